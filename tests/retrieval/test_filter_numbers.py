"""How numbers in filter expressions compare with columns of every type."""

from __future__ import annotations

import datetime
import operator
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penchant.errors import ParameterError
from penchant.retrieval.expression_parser import (
    Compare,
    In,
    Not,
    parse_personalize,
    parse_where,
)
from penchant.retrieval.matching import matching_rows

HUGE = 2**63 + 5
TABLE = pa.table(
    {
        "price": [3.0, float("nan"), None, 5.0],
        "half": pa.array(np.float16([3, 1.5, 0, 5]), mask=np.array([False, False, True, False])),
        "cents": pa.array([Decimal("4.50"), Decimal("4.51"), None, Decimal(-1)]).cast(
            pa.decimal128(10, 2)
        ),
        "hash": pa.array([1, HUGE, None, HUGE - 1], pa.uint64()),
        "whole": pa.array([1, 2**63 - 1, None, -(2**63)]),
        "void": pa.nulls(4),
        "voids": pa.array([[None], [], None, [None]], pa.list_(pa.null())),
        "released": [datetime.datetime(2020, 1, day) for day in (1, 2, 3, 4)],
        "day": [datetime.date(2020, 1, day) for day in (1, 2, 3, 4)],
        "days": [[datetime.datetime(2020, 1, day)] for day in (1, 2, 3, 4)],
        "length": pa.array([1, 2, 3, 4], pa.duration("s")),
        "time": [datetime.time(hour) for hour in (1, 2, 3, 4)],
    }
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("price != 3", [3]),  # NaN is missing, as null is
        ("not price == 3", [3]),
        ("price != 1e400", [0, 3]),
        ("price < 9007199254740993", [0, 3]),
        ("half in (1.5, 3)", [0, 1]),
        ("cents < 4.505", [0, 3]),
        ("cents >= 4.505", [1]),
        ("cents = 4.505", []),
        ("cents in (4.505, 4.51)", [1]),
        ("cents != 4.505", [0, 1, 3]),
        ("cents = 4.5", [0]),
        ("cents > -1.001", [0, 1, 3]),
        ("cents < 1e300", [0, 1, 3]),
        ("cents in (100000000000, -1)", [3]),
        ("hash > -1", [0, 1, 3]),
        ("hash < -1", []),
        ("hash != -0.5", [0, 1, 3]),
        (f"hash = {HUGE}", [1]),
        (f"hash < {HUGE}", [0, 3]),
        (f"hash in ({HUGE}, -1)", [1]),
        ("hash < 18446744073709551616", [0, 1, 3]),
        ("hash > 1.5", [1, 3]),
        ("whole in (9223372036854775807, 9223372036854775808)", [1]),
        ("whole < 9223372036854775807.5", [0, 1, 3]),
        ("void = 'x'", []),
        ("not void = 'x'", []),
        ("void > 3 or void in ('x', 2)", []),
        ("void is null", [0, 1, 2, 3]),
        ("2 in voids", []),
    ],
)
def test_what_numbers_choose(text, rows):
    assert np.flatnonzero(matching_rows(parse_where(text), TABLE)).tolist() == rows


@pytest.mark.parametrize(
    "text",
    ["released > 2000", "released in (2000)", "day = 5", "days = 2000", "day < true", "day > 'x'"],
)
def test_numbers_are_no_dates(text):
    name = text.split()[0]
    with pytest.raises(
        ParameterError, match=f"column '{name}' is .*write a date in quotes, such as {name} > '20"
    ):
        matching_rows(parse_where(text), TABLE)


@pytest.mark.parametrize("text", ["length > 5", "time > 5", "time in (5)", "length = '5'"])
def test_times_of_day_and_durations_want_numbers_in_the_table(text):
    with pytest.raises(ParameterError, match="with a column of numbers, such as seconds"):
        matching_rows(parse_where(text), TABLE)


COMPARISONS = ["= {}", "!= {}", "< {}", "<= {}", "> {}", ">= {}", "in ({})", "not in ({})"]


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize(
    ("column", "value", "advice"),
    [
        ("cents", "'4.5'", r"write the number without quotes, such as cents > 4\.5$"),
        ("hash", "' 7 '", "write the number without quotes, such as hash > 7$"),
        ("half", "'1e3'", "write the number without quotes, such as half > 1e3$"),
        ("price", "'-1'", "write the number without quotes, such as price > -1$"),
        ("price", "'cheap'", "it holds numbers, such as in price > 0$"),
        ("hash", "true", "it holds numbers, such as in hash > 0$"),
        ("name", "4.5", "write text in quotes, such as name = 'some text'$"),
        ("name", "true", "write text in quotes, such as name = 'some text'$"),
        ("new", "'true'", "write true or false without quotes, such as new = true$"),
        ("new", "1", "write true or false without quotes, such as new = true$"),
        ("shape", "1", "use a column of single values, or of lists of them$"),
    ],
)
def test_what_does_not_compare_says_what_to_write(column, value, advice, comparison):
    texts, flags = ["a", "b", None, "c"], [True, False, None, True]
    table = TABLE.append_column("name", pa.array(texts)).append_column("new", pa.array(flags))
    table = table.append_column("shape", pa.array([{"a": 1}] * 4))
    condition = comparison.format(value)
    statement = f"INCLUDE ItemID WHERE Items.{column} {condition}"
    for node in (parse_where(f"{column} {condition}"), parse_personalize(statement)[0].condition):
        with pytest.raises(
            ParameterError, match=f"column '{column}' is .* cannot be compared with .*: {advice}"
        ):
            matching_rows(node, table)


@pytest.mark.parametrize("comparison", COMPARISONS[2:6])
def test_lists_have_no_order(comparison):
    with pytest.raises(
        ParameterError, match=r"a list has no order; .* such as voids in \(\.\.\.\)"
    ):
        matching_rows(parse_where(f"voids {comparison.format(1)}"), TABLE)


def test_a_long_integer_is_refused():
    limit = 10**80 - 1
    assert not matching_rows(parse_where(f"whole < -{limit} or hash > +{limit}"), TABLE).any()
    for digits in (81, 400, 5000):
        with pytest.raises(ParameterError, match=f"character 9: .*{digits:,} digits.* is 80"):
            parse_where(f"whole < {'9' * digits}")
        for column in ("price", "cents", "hash"):
            with pytest.raises(ParameterError, match=r"where_values\['V'\].*at most 80 digits"):
                matching_rows(parse_where(f"{column} in $V"), TABLE, {"V": [-(10**digits)]})


SIGNS = {
    **{"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le},
    **{">": operator.gt, ">=": operator.ge},
}
KINDS = [
    (getattr(pa, name)(), np.iinfo(name).min, np.iinfo(name).max, 0)
    for name in ("int8", "uint8", "int64", "uint64")
] + [
    (make(digits, scale), 1 - 10**digits, 10**digits - 1, scale)
    for make, digits, scale in [
        (pa.decimal128, 4, 2),
        (pa.decimal128, 38, 10),
        (pa.decimal256, 76, 3),
        (pa.decimal256, 60, 60),
    ]
]
TOLD_APART = [Decimal(f"1E{power}") for power in (-400, -4, -1, 77, 9000)]


@given(st.data())
def test_integers_and_decimals_are_compared_as_fractions(data):
    kind, low, high, scale = data.draw(st.sampled_from(KINDS))
    units = st.one_of(
        st.integers(low, high), st.sampled_from([low, high, 0, 1]), st.integers(0, 20)
    )

    def held(unit):
        sign, digits, _ = Decimal(unit).as_tuple()
        return Decimal((sign, digits, -scale)) if scale else unit

    there = data.draw(st.lists(units, min_size=1, max_size=8))
    near = st.sampled_from(there)
    number = st.one_of(
        near.map(held),
        st.tuples(near, st.sampled_from([-1, 1])).map(lambda pair: held(sum(pair))),
        st.tuples(near, st.sampled_from(range(-9, 10))).map(
            lambda pair: Decimal(f"{pair[0]}{abs(pair[1])}E{-scale - 1}")
        ),
        st.integers(-(10**79), 10**79),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from([*TOLD_APART, *(value.copy_negate() for value in TOLD_APART)]),
    )
    values = data.draw(st.lists(number, min_size=1, max_size=3))
    # Decimals are told a float by what it looks like, integers by what it is.
    told = [Fraction(str(v) if scale and isinstance(v, float) else v) for v in values]
    column = [Fraction(unit, 10**scale) for unit in there]
    table = pa.table({"x": pa.array([held(unit) for unit in there] + [None], kind)})
    sign = data.draw(st.sampled_from(list(SIGNS)))
    chosen = matching_rows(Compare("x", sign, values[0]), table)
    assert chosen.tolist() == [*(SIGNS[sign](one, told[0]) for one in column), False]
    among = [one in told for one in column]
    assert matching_rows(In("x", tuple(values)), table).tolist() == [*among, False]
    others = matching_rows(Not(In("x", tuple(values))), table).tolist()
    assert others == [*(not one for one in among), False]
