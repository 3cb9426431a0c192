from __future__ import annotations

import decimal
import uuid
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from frames_of import KINDS, kind_of, make_frame, to_columns
from penchant.data.frames import column_names, from_arrow, to_arrow
from penchant.errors import ColumnError, DataError, ParameterError, PenchantWarning

COLUMNS = {
    "user": ["b", "a", None],
    "n": [1, 2, 3],
    "x": [0.5, 1.5, 2.5],
    "yes": [True, False, True],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_goes_to_arrow_and_back(kind: str) -> None:
    frame = make_frame(kind, COLUMNS)
    table, backend = to_arrow(frame)
    assert backend == kind
    assert table.to_pydict() == COLUMNS
    back = from_arrow(table, backend)
    assert kind_of(back) == kind
    assert to_arrow(back)[0].to_pydict() == COLUMNS


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_columns_wanted_in_their_order(kind: str) -> None:
    frame = make_frame(kind, COLUMNS)
    assert column_names(frame) == list(COLUMNS)
    assert to_arrow(frame, ["x", "user", "x"])[0].column_names == ["x", "user"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_column_lists_those_available(kind: str) -> None:
    frame = make_frame(kind, COLUMNS)
    with pytest.raises(ColumnError) as caught:
        to_arrow(frame, ["User"])
    assert str(caught.value) == (
        "column 'User' is missing, did you mean 'user'? Columns available: 'user', 'n', 'x', 'yes'"
    )
    with pytest.raises(KeyError, match=r"column 'zzz' is missing\. Columns available: 'user'"):
        to_arrow(frame, ["zzz"])


def test_a_long_list_of_columns_is_cut() -> None:
    frame = pd.DataFrame({f"column {i}": [i] for i in range(30)})
    with pytest.raises(ColumnError, match="'column 19' and 10 more"):
        to_arrow(frame, ["zzz"])


def test_a_column_that_is_the_index_is_explained() -> None:
    frame = pd.DataFrame({"user": [1], "item": [2]}).set_index("user")
    with pytest.raises(ColumnError, match=r"'user' is the index, not a column: call reset_index"):
        to_arrow(frame, ["user"])


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (pd.DataFrame({"a": [1], "b": [2]}).set_index(["a", "b"]), "Index as its index"),
        (pd.DataFrame({("a", "b"): [1]}), "MultiIndex as its columns"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than one column named 'a'"),
        (pa.table([[1], [2]], names=["a", "a"]), "more than one column named 'a'"),
        (pd.DataFrame([[1, 2]], columns=["1", 1]), "more than one column named '1'"),
        (pl.DataFrame({"a": [1]}).lazy(), r"polars.LazyFrame; call \.collect\(\)"),
        (pd.Series([1]), r"pandas\.Series; call \.to_frame\(\)"),
        ({"a": [1]}, "got dict"),
        ([[1, 2]], "got list"),
        (None, "got NoneType"),
        ("data.csv", "got str"),
    ],
)  # fmt: skip
def test_what_is_no_plain_frame_is_refused(frame: Any, match: str) -> None:
    with pytest.raises(DataError, match=match):
        to_arrow(frame)


def test_column_names_that_are_numbers_can_be_named() -> None:
    table, _ = to_arrow(pd.DataFrame({0: [5], 1: [6]}), [1])  # type: ignore[list-item]
    assert table.to_pydict() == {"1": [6]}


def test_mixed_objects_become_text_with_a_notice() -> None:
    frame = pd.DataFrame({"id": [17850, "x1", 2.0, 2.5, None, float("nan"), decimal.Decimal("7.0"),
                                 b"ab", True, pd.NA, pd.NaT, b"\xff"]})  # fmt: skip
    with pytest.warns(PenchantWarning, match="column 'id' mixes .*int.*str.* read as text"):
        table, _ = to_arrow(frame)
    assert table.column("id").to_pylist() == [
        "17850", "x1", "2", "2.5", None, None, "7", "ab", "true", None, None, "ff"
    ]  # fmt: skip


def test_objects_that_are_not_single_values_are_refused() -> None:
    with pytest.raises(DataError, match="not a single value"):
        to_arrow(pd.DataFrame({"id": [(1, 2), "a"]}))


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_uuids_come_in_without_a_notice(kind: str) -> None:
    ids = [uuid.UUID(int=1), None, uuid.UUID(int=2)]
    frame = pd.DataFrame({"id": ids}) if kind == "pandas" else pl.DataFrame({"id": ids})
    table, backend = to_arrow(frame)
    assert [None if v is None else str(v) for v in table.column("id").to_pylist()] == [
        str(ids[0]), None, str(ids[2])
    ]  # fmt: skip
    back = to_columns(from_arrow(table, backend))["id"]
    assert [None if pd.isna(v) else str(v) for v in back] == [str(ids[0]), None, str(ids[2])]


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series(["a", None, "b"], dtype="string"),
        pd.Series(["a", None, "b"], dtype=object),
        pd.Series(["a", None, "b"], dtype="category"),
        pd.Series([True, None, False], dtype="boolean"),
        pd.Series([1.0, None, 3.0], dtype=pd.ArrowDtype(pa.float32())),
        pd.Series(pd.to_datetime(["2020-01-01", None, "2021-01-01"])),
    ],
    ids=lambda s: str(s.dtype),
)
def test_pandas_nulls_of_every_dtype_are_nulls(series: pd.Series) -> None:
    table, _ = to_arrow(pd.DataFrame({"x": series}))
    assert [v is None for v in table.column("x").to_pylist()] == [False, True, False]


def test_frames_are_not_changed() -> None:
    frame = pd.DataFrame({"id": [3, "a"], "x": [1.5, 2.5]}, index=[9, 4])
    before = frame.copy(deep=True)
    with pytest.warns(PenchantWarning):
        to_arrow(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ParameterError, match="backend='spark'"):
        from_arrow(pa.table({"a": [1]}), "spark")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pd.period_range("2020-01", periods=2, freq="M"), ["2020-01", "2020-02"]),
        (pd.IntervalIndex.from_breaks([0, 1, 2]), ["(0, 1]", "(1, 2]"]),
        ([1 + 2j, 3j], ["(1+2j)", "3j"]),
    ],
)
def test_rare_objects_become_text_with_a_notice(values: Any, text: list[str]) -> None:
    with pytest.warns(PenchantWarning, match="column 'x' holds .* read as text"):
        table, _ = to_arrow(pd.DataFrame({"x": values}))
    assert table.column("x").to_pylist() == text


def test_text_that_is_no_unicode_is_refused_by_row() -> None:
    frame = pd.DataFrame({"id": pd.Series(["a", "\ud800"], dtype=object)})
    with pytest.raises(DataError, match=r"row 1: .* in column 'id' is not valid Unicode"):
        to_arrow(frame)
