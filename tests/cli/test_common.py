"""Reading tables and building models from text."""

from __future__ import annotations

import gzip
import re

import pytest

from penchant.cli.common import make_model, read_table
from penchant.errors import ColumnError, DataError, ParameterError

CSV = 'when,customer,"product, name",n\n2024-01-01,1,"tea\npot",3\n2024-01-02,,"caf\u00e9",\n'
COLUMNS = {"--user": "customer", "--item": "product, name", "--timestamp": None}


@pytest.fixture
def write(tmp_path):
    def _write(name: str, content: str | bytes):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write


def test_csv_reads_the_named_columns_only(write):
    table = read_table(write("a.csv", CSV), COLUMNS)
    assert table.to_pydict() == {"customer": [1, None], "product, name": ["tea\npot", "caf\u00e9"]}


def test_optional_columns_are_read_where_present(write):
    table = read_table(write("a.csv", CSV), COLUMNS, optional=("n", "m"))
    assert table.column_names == ["customer", "product, name", "n"]


def test_compressed_and_tab_separated(write):
    gz = write("a.csv.gz", gzip.compress(CSV.encode()))
    assert read_table(gz, COLUMNS).num_rows == 2
    tsv = write("a.tsv", "customer\tproduct\n1\ta,b\n")
    assert read_table(tsv, {"--item": "product"}).to_pydict() == {"product": ["a,b"]}


def test_empty_text_is_missing(write):
    table = read_table(write("a.csv", "u,i\na,x\n,y\n"), {"--user": "u", "--item": "i"})
    assert table.column("u").null_count == 1


@pytest.mark.parametrize(
    ("fields", "ids"),
    [
        (["17850", "0", "-3"], [17850, 0, -3]),
        (["17850.0", "", "17851.00", "7"], [17850, None, 17851, 7]),  # pandas, with gaps
        ([" 17850", "7 "], [17850, 7]),
        (["9007199254740993.0", "1"], [2**53 + 1, 1]),  # more than a double holds
        (["007", "7"], ["007", "7"]),
        (["007", "", "x"], ["007", None, "x"]),
        (["-0", "1"], ["-0", "1"]),
        (["+1", "1"], ["+1", "1"]),
        (["1.50", "1"], ["1.50", "1"]),
        (["1e5", "1"], ["1e5", "1"]),
        (["9223372036854775808", "1"], ["9223372036854775808", "1"]),
        (["true", "false"], ["true", "false"]),
        (["2024-01-01", "2024-01-02"], ["2024-01-01", "2024-01-02"]),
        (["", ""], [None, None]),
    ],
)
@pytest.mark.parametrize("option", ["--user", "--item"])
def test_ids_become_integers_where_nothing_is_lost(write, option, fields, ids):
    path = write("a.csv", "id,other\n" + "".join(f"{field},x\n" for field in fields))
    assert read_table(path, {option: "id"}).column("id").to_pylist() == ids


def test_other_columns_are_numbers_as_ever(write):
    table = read_table(write("a.csv", "n\n007\n1.5\n"), {"--value": "n"})
    assert table.column("n").to_pylist() == [7.0, 1.5]


@pytest.mark.parametrize(
    ("delimiter", "shown"), [(";", "';'"), ("|", "'|'"), ("\t", "tab"), ("\t", "\\t")]
)
def test_delimiter(write, delimiter, shown):
    path = write("a.csv", f"u{delimiter}i\n1{delimiter}a,b\n")
    columns = {"--user": "u", "--item": "i"}
    if shown != "\\t":
        with pytest.raises(ColumnError, match=re.escape(f"add --delimiter {shown}") + "$"):
            read_table(path, columns)
    table = read_table(path, columns, delimiter=shown.strip("'"))
    assert table.to_pydict() == {"u": [1], "i": ["a,b"]}


def test_delimiter_is_not_suggested_without_reason(write):
    for content in ("u\n1\n", "u,i;j\n1,2\n"):
        with pytest.raises(ColumnError) as error:
            read_table(write("a.csv", content), {"--user": "x"})
        assert "--delimiter" not in str(error.value)
    with pytest.raises(ColumnError, match=r"add --delimiter ','$"):
        read_table(write("a.tsv", "u,i\n1,2\n"), {"--user": "u"})


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n", "\u2192"])
def test_bad_delimiters(write, delimiter):
    with pytest.raises(ParameterError, match="--delimiter takes one character"):
        read_table(write("a.csv", CSV), COLUMNS, delimiter=delimiter)


def test_encoding(write):
    path = write("a.csv", CSV.encode("latin-1"))
    with pytest.raises(DataError, match="--encoding latin-1"):
        read_table(path, COLUMNS)
    assert read_table(path, COLUMNS, encoding="latin-1").column(1)[1].as_py() == "caf\u00e9"
    for encoding in ("klingon", "rot13"):
        with pytest.raises(DataError, match="--encoding"):
            read_table(path, COLUMNS, encoding=encoding)


def test_a_missing_column_is_suggested(write):
    path = write("a.csv", CSV)
    with pytest.raises(ColumnError, match=r"--user: no column 'Custmer' in a.csv, did you mean"):
        read_table(path, COLUMNS | {"--user": "Custmer"})
    with pytest.raises(ColumnError, match="one column is named twice"):
        read_table(path, {"--user": "customer", "--item": "customer"})


def test_files_that_cannot_be_read(write, tmp_path):
    with pytest.raises(DataError, match="no file"):
        read_table(tmp_path / "absent.csv", COLUMNS)
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path, COLUMNS)
    with pytest.raises(DataError, match="neither Parquet"):
        read_table(write("a.xlsx", "x"), COLUMNS)
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_table(write("a.parquet", "x"), COLUMNS)
    with pytest.raises(DataError, match="not a readable CSV file"):
        read_table(write("ragged.csv", "u,i\n1,2\n1,2,3\n"), {"--user": "u", "--item": "i"})
    with pytest.raises(DataError, match="not a readable CSV file"):
        read_table(write("empty.csv", ""), COLUMNS)


def test_settings_are_read_as_what_they_look_like():
    model = make_model(
        "BPR", ["factors=16", "learning_rate=1e-2", "negatives=uniform", "use_biases=false",
                "num_threads=none"],
    )  # fmt: skip
    found = model.get_params()
    assert (found["factors"], found["learning_rate"], found["negatives"]) == (16, 0.01, "uniform")
    assert found["use_biases"] is False
    assert found["num_threads"] is None


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("bpt", [], "no model 'bpt', did you mean 'bpr'"),
        ("bpr", ["factors"], "NAME=VALUE, not 'factors'"),
        ("bpr", ["factor=3"], "no parameter 'factor', did you mean 'factors'"),
        ("bpr", ["factors=many"], "factors"),
        ("bpr", ["factors=0"], "factors"),
        ("bpr", ["learning_rate=NaN"], "learning_rate"),
        ("popularity", ["epochs=3"], "no parameter 'epochs'"),
    ],
)
def test_bad_settings(name, settings, words):
    with pytest.raises(ParameterError, match=words):
        make_model(name, settings)
