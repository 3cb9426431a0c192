"""Filter expressions: what they mean, and what they refuse."""

from __future__ import annotations

import contextlib
import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penchant.errors import ColumnError, ParameterError, PenchantError, UnsupportedError
from penchant.retrieval.expression_parser import (
    Clause,
    Compare,
    In,
    Or,
    parse_personalize,
    parse_where,
)
from penchant.retrieval.matching import Attributes, matching_rows

TABLE = pa.table(
    {
        "year": pa.array([1990, 2001, None, 1985], pa.int32()),
        "price": [1.5, float("nan"), None, 9.0],
        "new": [True, False, None, True],
        "name": ["Heat", "it's", None, 'say "no"'],
        "tags": [["a", "b"], [], None, ["b"]],
        "genres": ["Comedy|Drama", "Drama", None, "Horror"],
        "Item Name": ["x", "y", "z", None],
        "seen": [datetime.datetime(2020, 1, day) for day in (1, 2, 3, 4)],
        "kind": pa.array(["p", "q", None, "p"]).dictionary_encode(),
        "cents": [Decimal("1.50"), None, Decimal("-2.00"), Decimal(0)],
        "hash": pa.array([1, 2**64 - 1, None, 0], pa.uint64()),
        "void": pa.nulls(4),
    }
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("year < 1990.5", [0, 3]),
        ("year = 1990 or year == 2001", [0, 1]),
        ("year <> 1990", [1, 3]),  # a missing value matches no comparison
        ("not year = 1990", [1, 3]),
        ("year in (1985, 1990, 7)", [0, 3]),
        ("year not in [1985]", [0, 1]),
        ("year in (1990.0, 2.5)", [0]),
        ("year < 99999999999999999999", [0, 1, 3]),
        ("1985 < year <= 2001", [0, 1]),
        ("year between 1985 and 1990", [0, 3]),
        ("year is null", [2]),
        ("price is not null", [0, 3]),  # NaN is missing too
        ("price is None", [1, 2]),
        ("price > 1 and not price > 5", [0]),
        ("new = true", [0, 3]),
        ("new != TRUE", [1]),
        ("new", [0, 3]),
        ("not new", [1]),
        ("(new) and year < 1990 or not (new)", [1, 3]),
        ("name = 'it''s'", [1]),
        (r"name = 'it\'s'", [1]),
        ('name = "say ""no"""', [3]),
        ("name < 'I'", [0]),
        ("'b' in tags", [0, 3]),
        ("'b' not in tags", [1]),
        ("tags = 'a'", [0]),
        ("tags in ('a', 'c')", [0]),
        ("'Drama' in genres", [0, 1]),
        ("genres = 'Comedy|Drama'", [0]),
        ("genres in ('Comedy', 'Horror')", [0, 3]),
        ("genres != 'Drama'", [3]),  # none of the elements is equal
        ("not genres != 'Drama'", [0, 1]),
        ("tags <> 'b'", [1]),
        ("`Item Name` = 'y'", [1]),
        ("seen >= '2020-01-03'", [2, 3]),
        ("kind = 'p'", [0, 3]),
        ("KIND IN ('q')", [1]),
        ("NOT (year < 1990 OR year > 2000) AND genres IS NOT NULL", [0]),
        ("year in $years", [0, 3]),
        ("year = $one", [1]),
    ],
)
def test_what_an_expression_chooses(text, rows):
    chosen = matching_rows(parse_where(text), TABLE, {"years": [1985, 1990], "one": 2001})
    assert np.flatnonzero(chosen).tolist() == rows


def test_columns_are_read_once():
    kept = Attributes(TABLE)
    for text in ("'Drama' in genres", "genres = 'Horror'", "tags = 'a' or kind = 'q'", "year > 0"):
        node = parse_where(text)
        for _ in range(2):
            assert matching_rows(node, kept).tolist() == matching_rows(node, TABLE).tolist()
    assert kept.elements("genres") is kept.elements("genres")
    assert kept.column("kind") is kept.column("kind")
    assert kept.elements("name") is None
    with pytest.raises(ColumnError, match="'genre'"):
        kept.elements("genre")


@pytest.mark.parametrize(
    "rest", ["", " IF CurrentUser.NEW", " | INCLUDE ItemID WHERE Items.YEAR > 1"]
)
def test_a_column_of_true_and_false_is_a_condition_of_personalize(rest):
    clause = parse_personalize("EXCLUDE ItemID WHERE Items.NEW" + rest)[0]
    assert clause.condition == Compare("NEW", "==", True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is text such as"),
        ("year <", "expected a value, found 'the end'"),
        ("year = new", "text goes in quotes, found 'new'"),
        ("year = None", "a missing value is found by 'is null'"),
        ("(year = 1", r"expected \)"),
        ("year = 1 price = 2", "expected 'and', 'or' or the end, found 'price'"),
        ("year = 'a", "a quote that is never closed"),
        ("year ; 1", "cannot read"),
        ("__import__('os').system('x')", "cannot read"),
        ("name = '\ud800'", "not valid Unicode"),
        ("`\udc00` is null", "not valid Unicode"),
        ("year in 5", "expected values in brackets"),
        ("year in (1 2)", "expected ','"),
        ("(" * 50 + "year = 1" + ")" * 50, "nested deeper than 40"),
        ("not " * 3000 + "new", "characters; the limit is 10,000"),
        ("not " * 2000 + "new", "nested deeper than 40"),
    ],
)
def test_what_is_no_expression(text, message):
    with pytest.raises(ParameterError, match=message):
        parse_where(text)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("yaer = 1", ColumnError, "'yaer', .*did you mean 'year'.* it has 'year', 'price'"),
        ("year = 'x'", ParameterError, "column 'year' is int32 and cannot be compared with 'x'"),
        ("name = 3", ParameterError, "column 'name' is string and cannot be compared with 3"),
        ("new = 1", ParameterError, "column 'new' is bool"),
        ("year", ParameterError, "column 'year' is int32 and cannot be compared with True"),
        ("seen > 'soon'", ParameterError, "column 'seen' is timestamp"),
        ("tags < 'a'", ParameterError, "column 'tags' is list"),
        ("year = true", ParameterError, "cannot be compared with True"),
        ("year = $y", ParameterError, r"wants a value for \$y; given are: years"),
        ("year < $years", ParameterError, "wants one value, not 2"),
    ],
)
def test_what_does_not_fit_the_table(text, error, message):
    with pytest.raises(error, match=message):
        matching_rows(parse_where(text), TABLE, {"years": [1, 2]})


def test_personalize_s_grammar():
    text = (
        'EXCLUDE ItemID WHERE Items.GENRES IN ("Comedy", $more) OR items.YEAR > (5) '
        "IF CurrentUser.AGE < 18 | INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ('*')"
    )
    first, second = parse_personalize(text)
    assert not first.include
    assert isinstance(first.condition, Or)
    assert isinstance(first.condition.parts[0], In)
    assert first.condition.parts[0].column == "GENRES"
    assert first.user is not None
    assert first.user.column == "AGE"
    assert second == Clause(True, "items", None, ("*",), None)
    with pytest.raises(ParameterError, match=r"expected a column of Items, such as Items\.NAME"):
        parse_personalize("INCLUDE ItemID WHERE Users.AGE > 3")
    with pytest.raises(ParameterError, match="expected INCLUDE or EXCLUDE"):
        parse_personalize("Items.YEAR > 3")


@pytest.mark.parametrize(
    "condition",
    [
        "Interactions.EVENT_TYPE NOT IN ('*')",
        "interactions.event_type = 'buy'",
        "Interactions.EVENT_VALUE > 3",
        "Interactions.EVENT_TYPE IN ('*') AND Items.YEAR > 1990",
        "Items.YEAR > 1990 IF Interactions.EVENT_TYPE IN ('*')",
    ],
)
def test_what_of_events_cannot_be_asked(condition):
    message = r'only Interactions.EVENT_TYPE IN \("\*"\) can be asked, alone in its statement'
    with pytest.raises(UnsupportedError, match=message):
        parse_personalize(f"EXCLUDE ItemID WHERE {condition}")


def digits(longest):
    """Return numbers of one digit, many times: what is too long for an int, a float or a text."""
    return st.builds(lambda digit, n: digit * n, st.sampled_from("0129"), st.integers(1, longest))


NUMBERS = st.one_of(
    digits(6000),
    st.builds("{}{}.{}".format, st.sampled_from(["", "-"]), digits(30), digits(400)),
    st.builds("{}e{}{}".format, digits(30), st.sampled_from(["", "-"]), digits(30)),
)
VALUES = st.one_of(NUMBERS, st.sampled_from(["'2020-01-01'", "'b'", "''", "true", "$years", "$y"]))
BRACKETED = st.lists(VALUES, min_size=1, max_size=3).map(lambda values: f"({', '.join(values)})")


@given(st.text(alphabet="ay01e9-+ .,'\"`()[]<>=!$|\\andorti", max_size=80))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(PenchantError):  # any other error fails
        matching_rows(parse_where(text), TABLE)


@given(st.sampled_from(["=", "!=", "<", "in", "not in", "between 1 and"]), VALUES, BRACKETED)
def test_any_comparison_is_answered_or_refused(sign, value, several):
    for name in TABLE.column_names:
        with contextlib.suppress(PenchantError):
            wanted = several if sign.endswith("in") else value
            matching_rows(parse_where(f"`{name}` {sign} {wanted}"), TABLE, {"years": [1985, 1990]})


@given(
    st.one_of(st.integers(), st.floats(), st.decimals(), st.integers(0, 9000).map(lambda n: 10**n))
)
def test_any_value_is_compared_or_refused(value):
    for name in TABLE.column_names:
        for condition in ("< $V", "= $V", "in $V"):
            with contextlib.suppress(PenchantError):
                matching_rows(parse_where(f"`{name}` {condition}"), TABLE, {"V": value})
