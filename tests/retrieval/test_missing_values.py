"""Filter expressions and missing values: as in SQL, nothing but `is null` is true of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penchant as pc
from penchant.retrieval.expression_parser import (
    And,
    Compare,
    In,
    IsNull,
    Not,
    Or,
    parse_where,
)
from penchant.retrieval.matching import matching_rows

ABV = [5.0, 9.0, None, 0.5, 7.0, None]
KIND = ["ale", None, None, "stout", "ale|sour", "stout"]
BEERS = pa.table({"abv": ABV, "kind": KIND})


def kleene(node, row):
    """Return True, False or None (unknown), as SQL has it."""
    if isinstance(node, Not):
        part = kleene(node.part, row)
        return None if part is None else not part
    if isinstance(node, And | Or):
        parts = [kleene(part, row) for part in node.parts]
        decisive = isinstance(node, Or)
        return decisive if decisive in parts else None if None in parts else not decisive
    value = row[node.column]
    if isinstance(node, IsNull):
        return value is None
    if value is None:
        return None
    own = value.split("|") if isinstance(value, str) else [value]
    if isinstance(node, In):
        return any(one in node.values for one in own)  # noqa: PD011 - no frame
    compare = {"<": own[0] < node.value, ">=": own[0] >= node.value, "==": node.value in own}
    return compare[node.operator] if node.operator != "!=" else not compare["=="]


CONDITIONS = st.one_of(
    st.builds(
        Compare, st.just("abv"), st.sampled_from(["<", ">=", "==", "!="]), st.sampled_from(ABV[:2])
    ),
    st.builds(Compare, st.just("kind"), st.sampled_from(["==", "!="]), st.just("ale")),
    st.builds(In, st.just("kind"), st.sampled_from([("ale",), ("sour", "stout")])),
    st.builds(IsNull, st.sampled_from(["abv", "kind"])),
)
TREES = st.recursive(
    CONDITIONS,
    lambda part: st.one_of(
        st.builds(Not, part),
        st.builds(And, st.tuples(part, part)),
        st.builds(Or, st.tuples(part, part)),
    ),
    max_leaves=6,
)


@given(TREES)
def test_logic_is_that_of_three_values(tree):
    rows = BEERS.to_pylist()
    expected = [kleene(tree, row) is True for row in rows]
    assert matching_rows(tree, BEERS).tolist() == expected


@pytest.mark.parametrize(
    ("where", "same"),
    [
        ("not not abv > 6", "abv > 6"),
        ("not (abv > 6 or abv > 7)", "abv <= 6 and abv <= 7"),
        ("not abv between 4 and 6", "abv < 4 or abv > 6"),
        ("not ('ale' not in kind)", "'ale' in kind"),
        ("not (abv is null or abv > 6)", "abv is not null and abv <= 6"),
    ],
)
def test_what_is_written_differently_chooses_the_same(where, same):
    found = matching_rows(parse_where(where), BEERS)
    np.testing.assert_array_equal(found, matching_rows(parse_where(same), BEERS))
    assert found.any()


def test_exclude_keeps_what_is_missing():
    """Personalize leaves out what a statement names; of a missing value it says nothing."""
    frame = pd.DataFrame({"user": range(6), "item": list("abcdef")})
    data = pc.Interactions.from_frame(
        frame,
        user="user",
        item="item",
        item_features=pd.DataFrame({"item": list("abcdef"), "abv": ABV, "kind": KIND}),
    )
    model = pc.Popularity().fit(data)
    statement = "EXCLUDE ItemID WHERE Items.ABV < 6"
    found = model.recommend(0, k=9, where=statement, exclude_seen=False)
    assert sorted(found["item"]) == ["b", "c", "e", "f"]


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.float16(), pa.list_(pa.float32())])
def test_minus_zero_is_zero(kind):
    numbers = np.array([0.0, -0.0, 0.5], dtype=np.float16)
    column = pa.array(numbers) if kind == pa.float16() else pa.array(numbers.tolist(), pa.float64())
    if pa.types.is_list(kind):
        column = pa.ListArray.from_arrays([0, 1, 2, 3], column.cast(pa.float32()))
    elif kind != pa.float16():
        column = column.cast(kind)
    table = pa.table({"x": column})
    for zero in ("0", "-0.0"):
        for where, expected in (
            (f"x == {zero}", [True, True, False]),
            (f"x in ({zero}, 7)", [True, True, False]),
            (f"x not in ({zero})", [False, False, True]),
        ):
            assert matching_rows(parse_where(where), table).tolist() == expected, where
