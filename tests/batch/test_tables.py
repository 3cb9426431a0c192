"""`to_parquet`: answers of a job as a table to read."""

import bz2
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import penchant as pc
from penchant.errors import ColumnError, DataError, ParameterError

ITEMS = pd.DataFrame(
    {
        "movieId": [1, 2, 3, 4, 1],
        "Title": ["Heat", "Toy Story (1995)", "Nowhere", "Odd | one", "again"],
        "year": [1995.0, 1995.0, None, 2001.0, None],
        "genres": ["Crime|Drama", "Comedy", None, "(no genres listed)", "x"],
    }
)


def line(key, items, field="recommendedItems", name="userId"):
    return json.dumps({"input": {name: key}, "output": {field: items}, "error": None})


def make(tmp_path, *lines, items=ITEMS, **options):
    (tmp_path / "a.out").write_text("\n".join(lines) + "\n")
    rows = pc.batch.to_parquet(tmp_path / "a.out", tmp_path / "a.parquet", items=items, **options)
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.num_rows == rows
    return table


def test_titles(tmp_path):
    failed = '{"input":{"userId":"8"},"output":null,"error":"why"}'
    table = make(tmp_path, line("7", ["1", "2", "3", "4", "x"]), failed, line("-9", []))
    assert table.schema.types == [pa.int64(), pa.string()]
    assert table.to_pylist() == [
        {
            "userId": 7,
            "Recommendations": "Heat (1995) (Crime) | Toy Story (1995) (Comedy) | Nowhere"
            " | Odd | one (2001) | x",
        },
        {"userId": 8, "Recommendations": None},
        {"userId": -9, "Recommendations": ""},
    ]
    meta = pq.ParquetFile(tmp_path / "a.parquet").metadata
    assert meta.row_group(0).column(0).compression == "SNAPPY"


def test_ids_that_are_no_integers_are_text(tmp_path):
    odd = '{"input":"nonsense","output":null,"error":"not JSON"}'
    table = make(tmp_path, line(7, ["1"]), line("007", []), odd)
    assert table["userId"].to_pylist() == ["7", "007", None]
    long = make(tmp_path, line(2**63 - 1, []), line(10**18, []))
    assert long["userId"].to_pylist() == [2**63 - 1, 10**18]
    too_long = make(tmp_path, line(2**63, []), line(10**18, []))
    assert too_long["userId"].to_pylist() == [str(2**63), str(10**18)]


def test_other_jobs(tmp_path):
    related = make(tmp_path, line("1", ["2"], name="itemId"))
    assert related.to_pylist() == [{"itemId": 1, "Recommendations": "Toy Story (1995) (Comedy)"}]
    segment = make(tmp_path, line("1", ["u", "v"], "recommendedUsers", "itemId"))
    assert segment["Recommendations"].to_pylist() == ["u | v"]


def test_lists_of_genres_and_files(tmp_path):
    items = ITEMS.assign(genres=[["A", "B"], [], None, ["C"], ["D"]])
    items.to_parquet(tmp_path / "items.parquet")
    ITEMS.to_csv(tmp_path / "items.csv", index=False)
    answer = line("7", ["1", "2", "4"])
    table = make(tmp_path, answer, items=tmp_path / "items.parquet")
    assert table["Recommendations"].to_pylist() == [
        "Heat (1995) (A) | Toy Story (1995) | Odd | one (2001) (C)"
    ]
    table = make(tmp_path, answer, items=tmp_path / "items.csv")
    assert table["Recommendations"][0].as_py().startswith("Heat (1995) (Crime) | Toy")


def test_the_models_own_table(tmp_path):
    events = pd.DataFrame({"who": [1, 1, 2], "film": [10, 11, 10]})
    films = pd.DataFrame({"film": [11, 10], "title": ["B", "A"], "year": [1999, 1998]})
    data = pc.Interactions.from_frame(events, user="who", item="film", item_features=films)
    pc.Popularity().fit(data).save(tmp_path / "artifact")
    (tmp_path / "in.jsonl").write_text('{"userId": "2"}')
    pc.batch.recommend(tmp_path / "artifact", tmp_path / "in.jsonl", tmp_path / "a.out")
    pc.batch.to_parquet(tmp_path / "a.out", tmp_path / "a.parquet", model=tmp_path / "artifact")
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == [
        {"userId": 2, "Recommendations": "B (1999)"}
    ]


def test_refusals(tmp_path, number_model):
    (tmp_path / "a.out").write_text(line("7", ["1"]) + "\n{}\n")
    out = tmp_path / "a.parquet"
    with pytest.raises(DataError, match="line 2 is no answer of a batch job"):
        pc.batch.to_parquet(tmp_path / "a.out", out, items=ITEMS)
    with pytest.raises(ColumnError, match="no column 'title'"):
        pc.batch.to_parquet(tmp_path / "a.out", out, items=ITEMS[["movieId"]])
    with pytest.raises(ColumnError, match="no table of items"):
        pc.batch.to_parquet(tmp_path / "a.out", out, model=number_model)
    with pytest.raises(ParameterError, match="model or items"):
        pc.batch.to_parquet(tmp_path / "a.out", out)
    with pytest.raises(DataError, match="cannot read"):
        pc.batch.to_parquet(tmp_path / "missing", out, items=ITEMS)
    wide = b"movieId,title," * 100_000
    (tmp_path / "wide.csv").write_bytes(wide)
    (tmp_path / "wide.csv.bz2").write_bytes(bz2.compress(wide))
    for name in ("wide.csv", "wide.csv.bz2"):
        with pytest.raises(DataError, match="has over 100,000 columns"):
            pc.batch.to_parquet(tmp_path / "a.out", out, items=tmp_path / name)
    assert not out.exists()
