"""Reading Parquet files and sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penchant.data import Interactions
from penchant.errors import (
    ColumnError,
    DataError,
    MissingFileError,
    ParameterError,
    PenchantWarning,
)

NAMES = {"user": "u", "item": "i"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    for name, users in (("a", [1, 2]), ("b", [3, None]), ("deep/c", [4, 5])):
        frame = pd.DataFrame({"junk": 0, "i": ["x", "y"], "u": users})
        frame.to_parquet(tmp_path / f"{name}.parquet")
    return tmp_path


def read(source: Any, **options: Any) -> Interactions:
    with pytest.warns(PenchantWarning, match="dropped 1 of"):
        return Interactions.from_parquet(source, **NAMES, **options)


def test_one_file_by_text_or_path(folder: Path) -> None:
    for source in (folder / "a.parquet", str(folder / "a.parquet")):
        data = Interactions.from_parquet(source, **NAMES)
        assert data.users.to_list() == [1, 2]
        assert data.backend == "pandas"


def test_several_files(folder: Path) -> None:
    """The second file's users are floats, because of its null: the types are unified."""
    parts = [folder / "b.parquet", folder / "a.parquet"]
    assert read(parts).to_frame()["u"].tolist() == [3, 1, 2]
    assert read(str(folder / "*.parquet")).to_frame()["u"].tolist() == [1, 2, 3]
    assert read(folder).users.to_list() == [1, 2, 3, 4, 5]
    assert read([str(folder / "b*"), folder / "deep"]).users.to_list() == [3, 4, 5]
    assert read(str(folder / "**" / "*.parquet")).users.to_list() == [1, 2, 3, 4, 5]


def test_all_options_are_those_of_from_frame(tmp_path: Path) -> None:
    frame = pd.DataFrame({"u": [1, 1, 2], "i": ["a", "a", "b"], "v": [2, -1, 3], "t": [3, 2, 1],
                          "c": ["x", "y", "z"]})  # fmt: skip
    frame.to_parquet(tmp_path / "f.parquet")
    options = {"value": "v", "timestamp": "t", "timestamp_unit": "s", "context": "c",
               "negative_values": "net", "duplicates": "sum", "item_features": "c"}  # fmt: skip
    data = Interactions.from_parquet(tmp_path / "f.parquet", **NAMES, **options)
    expected = Interactions.from_frame(frame, **NAMES, **options)
    pd.testing.assert_frame_equal(data.to_frame(), expected.to_frame())
    assert data.dropped == expected.dropped
    assert data.item_features.equals(expected.item_features)


@pytest.mark.parametrize(("backend", "kind"), [("polars", pl.DataFrame), ("pyarrow", pa.Table)])
def test_results_come_in_the_frames_asked_for(folder: Path, backend: str, kind: type) -> None:
    data = Interactions.from_parquet(folder / "a.parquet", **NAMES, backend=backend)
    assert isinstance(data.to_frame(), kind)
    with pytest.raises(ParameterError, match="backend='spark'"):
        Interactions.from_parquet(folder / "a.parquet", **NAMES, backend="spark")


def test_dictionary_columns_stay_categories(tmp_path: Path) -> None:
    frame = pd.DataFrame({"u": [1, 2], "i": pd.Categorical(["x", "y"])})
    frame.to_parquet(tmp_path / "f.parquet")
    data = Interactions.from_parquet(tmp_path / "f.parquet", **NAMES)
    assert data.items.dtype == "category"
    assert data.to_frame()["i"].dtype == "category"


def test_what_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "text.parquet").write_text("not Parquet at all")
    whole = (folder / "a.parquet").read_bytes()
    (folder / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    (folder / "empty").mkdir()
    for name in ("text", "cut"):
        with pytest.raises(DataError, match=rf"{name}\.parquet is not a readable Parquet file"):
            Interactions.from_parquet(folder / f"{name}.parquet", **NAMES)
    for source in ("none.parquet", "none*.parquet"):
        with pytest.raises(MissingFileError, match=r"no such file: .*none"):
            Interactions.from_parquet(folder / source, **NAMES)
    with pytest.raises(FileNotFoundError, match=r"no \*\.parquet files in the directory"):
        Interactions.from_parquet(folder / "empty", **NAMES)
    with pytest.raises(ColumnError, match=r"a\.parquet: column 'U' is missing, did you mean 'u'"):
        Interactions.from_parquet(folder / "a.parquet", user="U", item="i")
    with pytest.raises(ParameterError, match="must be a path"):
        Interactions.from_parquet(5, **NAMES)
    with pytest.raises(ParameterError, match="list of Parquet files is empty"):
        Interactions.from_parquet([], **NAMES)


def test_files_whose_types_do_not_match_are_refused(folder: Path) -> None:
    pq.write_table(pa.table({"u": ["x"], "i": ["y"]}), folder / "other.parquet")
    with pytest.raises(DataError, match="matching types"):
        Interactions.from_parquet([folder / "a.parquet", folder / "other.parquet"], **NAMES)


def test_a_damaged_page_is_a_data_error(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    table = pa.table({"u": np.arange(5000), "i": np.arange(5000)})
    pq.write_table(table, path, compression="snappy", use_dictionary=False)
    damaged = bytearray(path.read_bytes())
    damaged[4:2000] = b"\xff" * 1996
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"f\.parquet is not a readable Parquet file"):
        Interactions.from_parquet(path, **NAMES)


def test_sequences_become_ordered_events() -> None:
    data = Interactions.from_sequences([["a", "b", "a"], [], ["c"]])
    assert data.to_frame().to_dict("list") == {
        "sequence": [0, 0, 0, 2],
        "item": ["a", "b", "a", "c"],
        "position": [0, 1, 2, 0],
    }
    assert data.users.to_list() == [0, 2]


def test_sequences_may_have_users_and_names() -> None:
    data = Interactions.from_sequences(
        (iter(s) for s in ((7, 8), (8,))), users=["x", "y"], user="who", item="what", order="when",
        backend="polars",
    )  # fmt: skip
    assert data.to_frame().to_dict(as_series=False) == {
        "who": ["x", "x", "y"],
        "what": [7, 8, 8],
        "when": [0, 1, 0],
    }


@pytest.mark.parametrize(
    ("sequences", "users", "error", "match"),
    [
        ([], None, DataError, "hold no items"),
        ([[], []], None, DataError, "hold no items"),
        (["abc"], None, DataError, "sequence 0 is 'abc'; each one must be a list"),
        ([[1], 5], None, DataError, "sequence 1 is 5"),
        ([[1], [2]], ["x"], ParameterError, "1 users for 2 sequences"),
    ],
)
def test_sequences_are_checked(
    sequences: Any, users: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        Interactions.from_sequences(sequences, users=users)


def test_text_written_as_views_is_read(tmp_path: Path) -> None:
    kinds = pa.array(["tea", None], pa.string_view())
    table = pa.table({"u": ["a", "b"], "i": ["x", "y"], "kind": kinds})
    try:
        pq.write_table(table, tmp_path / "views.parquet")
    except pa.ArrowNotImplementedError:
        pytest.skip("pyarrow 21 and later write views")
    data = Interactions.from_parquet(tmp_path / "views.parquet", item_features="kind", **NAMES)
    assert data.item_features is not None
    assert data.item_features["kind"].to_pylist() == ["tea", None]
