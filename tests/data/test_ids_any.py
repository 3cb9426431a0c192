"""Whatever ids a column holds, they come back as they were."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from penchant.data import IdMap


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=40))
def test_any_integers_round_trip(values: list[int]) -> None:
    _round_trip(values, pa.array(values, pa.int64()))
    ids, _ = IdMap.from_column(pa.array(values, pa.int64()), "x")
    whole = [v for v in values if abs(v) < 10**18]
    assert ids.to_list() == sorted(set(values))
    assert [ids[c] for c in ids.codes([str(v) for v in whole])] == whole


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=40))
def test_any_text_round_trips(values: list[str]) -> None:
    ids = _round_trip(values, pa.array(values, pa.string()))
    assert [ids.code(value) for value in values] == ids.codes(values).tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=8), min_size=1, max_size=20))
def test_any_bytes_round_trip(values: list[bytes]) -> None:
    _round_trip(values, pa.array(values, pa.binary()))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)), min_size=1, max_size=20
    )
)
def test_any_datetimes_round_trip(values: list[dt.datetime]) -> None:
    _round_trip(values, pa.array(values, pa.timestamp("us")))


def _round_trip(values: list[Any], column: Any) -> IdMap:
    ids, codes = IdMap.from_column(column, "x")
    assert [ids[int(code)] for code in codes] == values
    assert ids.take(codes).to_pylist() == values
    assert ids.codes(values).tolist() == codes.tolist()
    assert len(ids) == len(set(values))
    return ids


@settings(max_examples=200, deadline=None)
@given(
    st.from_regex(r"[ \t\v\f\n\r]?[+-]?[0-9]{0,20}(\.[0-9]?)?\s?", fullmatch=True)
    | st.text(max_size=3)
)
def test_one_lookup_and_many_read_numbers_alike(text: str) -> None:
    """`code` has a way of its own for text, without Arrow."""
    ids, _ = IdMap.from_column(pa.array([*range(-12, 120), 10**17]), "x")
    assert ids.code(text) == ids.codes([text])[0]
