"""Dirty tables: nulls, NaN, returns, repeats; features of ids."""

from __future__ import annotations

import datetime as dt
import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frames_of import KINDS, make_frame, to_columns
from penchant.data import Interactions
from penchant.errors import DataError, ParameterError, PenchantWarning


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def read(frame: Any, **options: Any) -> Interactions:
    return Interactions.from_frame(frame, **{"user": "u", "item": "i", **options})


def events(data: Interactions) -> list[tuple[Any, ...]]:
    return list(zip(*to_columns(data.to_frame()).values(), strict=True))


def test_rows_without_user_or_item_are_dropped_and_counted(kind: str) -> None:
    frame = make_frame(kind, {"u": [1, None, 2, None, 3], "i": ["a", "b", None, None, "a"]})
    with pytest.warns(PenchantWarning) as caught:
        data = read(frame)
    assert data.dropped == {"missing_user": 2, "missing_item": 1}
    assert [str(w.message) for w in caught] == [
        "dropped 2 of 5 rows without u",
        "dropped 1 of 5 rows without i",
    ]
    assert caught[0].filename == __file__
    assert events(data) == [(1, "a"), (3, "a")]
    assert "dropped 2 rows without u, 1 row without i" in repr(data)
    assert to_columns(data.describe())["statistic"][-2:] == [
        "dropped: rows without u",
        "dropped: row without i",
    ]


def test_rows_without_session_are_dropped_too() -> None:
    frame = pd.DataFrame({"u": [1, 2], "i": [1, 2], "s": ["x", None]})
    with pytest.warns(PenchantWarning, match="without s"):
        assert read(frame, session="s").dropped == {"missing_session": 1}


def test_nan_ids_of_polars_and_arrow_are_missing() -> None:
    for frame in (
        pl.DataFrame({"u": [1.0, float("nan")], "i": [1, 2]}),
        pa.table({"u": [1.0, float("nan")], "i": [1, 2]}),
    ):
        with pytest.warns(PenchantWarning):
            assert read(frame).users.to_list() == [1]


def test_missing_ids_can_be_an_error(kind: str) -> None:
    frame = make_frame(kind, {"u": ["x", "y", None], "i": [1, 2, 3]})
    with pytest.raises(DataError, match=r"row 2: user column 'u' is null \(1 such rows\)"):
        read(frame, drop_missing=False)


def test_clean_tables_give_no_notice(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(make_frame(kind, {"u": [1, 2], "i": ["a", "b"]})).dropped == {}


def test_empty_frames_are_refused(kind: str) -> None:
    frame = make_frame(kind, {"u": np.array([], np.int64), "i": np.array([], np.int64)})
    with pytest.raises(DataError, match="the frame is empty"):
        read(frame)


@pytest.mark.parametrize("column", ["u", "i"])
def test_all_null_is_refused(kind: str, column: str) -> None:
    frame = make_frame(kind, {"u": [1, 2], "i": [1, 2], column: [None, None]})
    with pytest.raises(DataError, match=f"no rows are left of 2: column '{column}' is null in 2"):
        read(frame)


def test_rows_that_miss_either_id_may_leave_nothing() -> None:
    frame = pd.DataFrame({"u": [1, None], "i": [None, 2]})
    with (
        pytest.warns(PenchantWarning, match="without u"),
        pytest.raises(DataError, match="no rows are left of 2: column 'i' is null"),
    ):
        read(frame)


@pytest.mark.parametrize("bad", [float("nan"), None])
def test_values_that_are_no_number_are_refused_by_row(kind: str, bad: Any) -> None:
    frame = make_frame(kind, {"u": [1, 2, 3], "i": [1, 2, 3], "v": [1.0, 2.0, bad]})
    with pytest.raises(DataError, match=r"row 2: value column 'v' is NaN or null \(1 such rows\)"):
        read(frame, value="v")


@pytest.mark.parametrize("bad", [float("inf"), -float("inf")])
def test_infinite_values_are_refused_by_row(kind: str, bad: float) -> None:
    frame = make_frame(kind, {"u": [1, 2, 3], "i": [1, 2, 3], "v": [1.0, bad, 1.0]})
    with pytest.raises(DataError, match=f"row 1: value column 'v' is {bad}"):
        read(frame, value="v", negative_values="drop")


def test_rows_are_counted_in_the_callers_frame_and_dropped_rows_may_hold_anything() -> None:
    frame = pd.DataFrame({"u": [None, 1, 2], "i": [1, 2, 3], "v": [np.nan, 1.0, np.inf]})
    with (
        pytest.warns(PenchantWarning),
        pytest.raises(DataError, match="row 2: value column 'v' is inf"),
    ):
        read(frame, value="v")
    with pytest.warns(PenchantWarning):
        assert len(read(frame.iloc[:2], value="v")) == 1


@pytest.mark.parametrize("part", ["value", "order"])
def test_numbers_must_be_numbers(kind: str, part: str) -> None:
    frame = make_frame(kind, {"u": [1, 2], "i": [1, 2], "v": ["3", "4"]})
    with pytest.raises(DataError, match=f"{part} column 'v' is .*string.* must hold numbers"):
        read(frame, **{part: "v"})


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float32", "bool", "Int64", "boolean"])
def test_values_of_every_numeric_dtype(dtype: str) -> None:
    frame = pd.DataFrame({"u": [1, 2], "i": [1, 2], "v": pd.Series([1, 0], dtype=dtype)})
    plain = np.dtype(dtype.lower().removesuffix("ean"))
    data = read(frame, value="v")
    assert data.array("value").tolist() == [1.0, 0.0]
    assert data.to_frame()["v"].dtype == plain


def test_decimal_values() -> None:
    frame = pa.table({"u": [1], "i": [1], "v": pa.array(["2.50"]).cast(pa.decimal128(5, 2))})
    assert read(frame, value="v").array("value").tolist() == [2.5]
    assert str(read(frame, value="v").to_frame()["v"][0]) == "2.50"


def test_an_order_beyond_exact_floats_is_kept() -> None:
    nanoseconds = [1_323_432_000_000_000_001, 1_323_432_000_000_000_000]
    data = read(pd.DataFrame({"u": [1, 1], "i": [1, 2], "n": nanoseconds}), order="n")
    assert data.chronological().tolist() == [1, 0]  # type: ignore[union-attr]
    assert data.to_frame()["n"].tolist() == nanoseconds


def test_integer_timestamps_need_a_unit(kind: str) -> None:
    frame = make_frame(kind, {"u": [1, 2], "i": [1, 2], "t": [1_323_432_000, 1_323_432_001]})
    with pytest.raises(ParameterError, match="timestamp_unit='s'"):
        read(frame, timestamp="t")
    data = read(frame, timestamp="t", timestamp_unit="s")
    assert data.array("timestamp").tolist() == [1_323_432_000_000_000, 1_323_432_001_000_000]
    assert to_columns(data.to_frame())["t"] == [1_323_432_000, 1_323_432_001]


def test_mixed_ids_become_text_with_a_notice() -> None:
    frame = pd.DataFrame({"u": [17850, "17850", 17850.0, "guest"], "i": [1, 2, 3, 4]})
    with pytest.warns(PenchantWarning, match="column 'u' mixes float and int and str"):
        data = read(frame)
    assert data.users.to_list() == ["17850", "guest"]


# --- returns


RETURNS = {"u": [1, 1, 1, 2, 2, 3, 4], "i": list("aaabbcd"), "v": [5, 3, -4, 2, -2, -1, 0]}


def test_negative_values_are_refused_with_the_way_out(kind: str) -> None:
    with pytest.raises(DataError) as caught:
        read(make_frame(kind, RETURNS), value="v")
    message = str(caught.value)
    assert message.startswith("row 2: value column 'v' is -4 (3 rows are negative)")
    assert "negative_values='drop'" in message
    assert "negative_values='net'" in message


def test_negative_values_dropped(kind: str) -> None:
    data = read(make_frame(kind, RETURNS), value="v", negative_values="drop")
    assert events(data) == [(1, "a", 5), (1, "a", 3), (2, "b", 2), (4, "d", 0)]
    assert data.dropped == {"negative_value": 3}
    assert "dropped 3 rows with negative v" in repr(data)


def test_returns_netted_from_the_latest_purchases(kind: str) -> None:
    data = read(make_frame(kind, RETURNS), value="v", negative_values="net")
    # 8 bought, 4 returned: the 3 of the second purchase and 1 of the first. Totals of 0 vanish.
    assert events(data) == [(1, "a", 4)]
    assert data.dropped == {"negative_value": 3, "returned": 3}


def test_netting_follows_time_not_rows() -> None:
    day = [dt.date(2011, 1, d) for d in (9, 1, 5)]
    frame = pd.DataFrame({"u": [1, 1, 1], "i": [1, 1, 1], "v": [5, 3, -4], "t": day})
    assert read(frame, value="v", timestamp="t", negative_values="net").array("value").tolist() == [
        1.0,
        3.0,
    ]


def test_nothing_left_after_returns_is_refused() -> None:
    frame = pd.DataFrame({"u": [1, 1], "i": [1, 1], "v": [1, -1]})
    with pytest.raises(DataError, match="everything that was bought was returned"):
        read(frame, value="v", negative_values="net")
    with pytest.raises(DataError, match="all values of 'v' are negative"):
        read(frame.iloc[1:], value="v", negative_values="drop")


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(-20, 20), st.integers(0, 9)),
        min_size=1,
        max_size=40,
    )
)
def test_net_totals_are_purchases_less_returns(rows: list[tuple[int, int, int, int]]) -> None:
    frame = pd.DataFrame(rows, columns=["u", "i", "v", "n"]) * [1, 1, 0.1, 1]
    totals = frame.groupby(["u", "i"])["v"].sum()
    totals = totals[totals > 1e-9]
    options = {"value": "v", "order": "n", "negative_values": "net"}
    if totals.empty:
        with pytest.raises(DataError, match="no rows are left"):
            Interactions.from_frame(
                frame.assign(v=frame["v"] - 1e-9), user="u", item="i", **options
            )
        return
    data = read(frame, **options)
    found = data.to_frame().groupby(["u", "i"])["v"].sum()
    assert (data.array("value") >= 0).all()
    pd.testing.assert_series_equal(found, totals, check_index_type=False)
    assert len(data) + sum(data.dropped.values()) == len(frame)


# --- repeats


REPEATS = {"u": [2, 1, 2, 1, 2], "i": list("babab"), "v": [1, 2, 3, 4, 5], "t": [9, 1, 7, 3, 8],
           "note": list("vwxyz")}  # fmt: skip


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"duplicates": "keep"}, [(2, "b"), (1, "a"), (2, "b"), (1, "a"), (2, "b")]),
        ({"duplicates": "last", "value": "v"}, [(2, "b", 5), (1, "a", 4)]),
        ({"duplicates": "last", "value": "v", "order": "t"}, [(2, "b", 1, 9), (1, "a", 4, 3)]),
        ({"duplicates": "sum", "value": "v"}, [(2, "b", 9), (1, "a", 6)]),
        ({"duplicates": "sum", "value": "v", "order": "t", "context": "note"},
         [(2, "b", 9, 9, "v"), (1, "a", 6, 3, "y")]),
        ({"duplicates": "sum"}, [(2, "b", 3), (1, "a", 2)]),
        ({"duplicates": "last"}, [(2, "b"), (1, "a")]),
    ],
)  # fmt: skip
def test_repeated_pairs_are_resolved_as_asked(
    kind: str, options: dict[str, Any], expected: list[tuple[Any, ...]]
) -> None:
    data = read(make_frame(kind, REPEATS), **options)
    assert events(data) == expected
    assert data.dropped == ({} if options["duplicates"] == "keep" else {"repeated": 3})


def test_counts_of_repeats_are_named_count() -> None:
    data = read(pd.DataFrame(REPEATS), duplicates="sum")
    assert data.columns.value == "count"
    assert data.to_frame()["count"].tolist() == [3, 2]
    assert "3 rows merged into another row of the same pair" in repr(data)


def test_returns_are_netted_before_repeats_are_merged() -> None:
    data = read(pd.DataFrame(RETURNS), value="v", negative_values="net", duplicates="sum")
    assert events(data) == [(1, "a", 4)]


# --- features


def test_features_from_event_columns_take_the_latest_event() -> None:
    data = read(pd.DataFrame(REPEATS), order="t", item_features="note", user_features=["note", "v"])
    assert data.item_features.to_pydict() == {"note": ["y", "v"]}
    assert data.user_features.to_pydict() == {"note": ["y", "v"], "v": [4, 1]}
    assert data.select([1, 3]).item_features.to_pydict() == {"note": ["y"]}
    assert "note" not in data.to_frame().columns


def test_features_from_a_frame_are_matched_by_id(kind: str) -> None:
    features = make_frame(kind, {"colour": ["red", "blue"], "i": ["b", "unsold"]})
    data = read(pd.DataFrame(REPEATS), item_features=features)
    assert data.item_features.to_pydict() == {"colour": [None, "red"]}


def test_features_of_nothing_but_ids_are_none() -> None:
    frame = pd.DataFrame({"u": [1, 2], "i": ["a", "b"]})
    data = Interactions.from_frame(frame, user="u", item="i", item_features=frame[["i"]])
    assert data.item_features is None


def test_features_must_fit() -> None:
    frame = pd.DataFrame(REPEATS)
    with pytest.raises(DataError, match="needs the column 'i'; it has 'x'"):
        read(frame, item_features=pd.DataFrame({"x": [1]}))
    with pytest.raises(DataError, match="more than one row for i 'a'"):
        read(frame, item_features=pd.DataFrame({"i": ["a", "a"], "x": [1, 2]}))
    with pytest.raises(KeyError, match="column 'colour' is missing"):
        read(frame, item_features=["colour"])


@pytest.mark.parametrize(("ids", "said"), [(["A", "B"], "its first is 'A'"), ([], "it is empty")])
def test_features_of_other_ids_alone_are_noticed(ids: list[str], said: str) -> None:
    features = pd.DataFrame({"i": pd.Series(ids, dtype=str), "price": np.arange(len(ids))})
    events = pd.DataFrame({"u": [1, 2], "i": ["a", "b"]})
    with pytest.warns(PenchantWarning, match=f"no i of the events has a row .*{said}.* 'a'"):
        data = Interactions.from_frame(events, user="u", item="i", item_features=features)
    assert data.item_features["price"].null_count == 2
