"""Formats of `transform`: what goes in by one suffix comes out the same by another."""

import csv
import datetime
import gzip
import io
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import penchant as pc
from penchant.batch import sources
from penchant.errors import ColumnError, DataError, ParameterError
from penchant.serving import Requests, Service, to_csv

ASKED = [("17850", 2), ("nobody", 3), ("17850", 2), ("17860", 1)]


def answer(model, *pairs):
    return to_csv(Service(model).answer(Requests.of(pairs)))


def as_csv(path):
    """Return what a file holds as the rows of its CSV."""
    if path.name.endswith(".parquet"):
        columns = pq.read_table(path).to_pydict()
        names = ("user_id", "item_id", "score")
        return [tuple(map(str, row)) for row in zip(*(columns[n] for n in names), strict=True)]
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if ".csv" in path.name:
        return [tuple(row) for row in csv.reader(io.StringIO(data.decode(), newline=""))]
    rows = [json.loads(line) for line in data.decode().split("\n") if line]
    return [(str(r["user_id"]), r["item_id"], str(r["score"])) for r in rows]


def numbers(rows):
    return [(user, item, np.float32(score)) for user, item, score in rows]


def write(path, rows):
    frame = pd.DataFrame(rows, columns=["user_id", "top_n"])
    if path.name.endswith(".parquet"):
        frame.to_parquet(path)
    elif ".csv" in path.name:
        frame.to_csv(path, index=False)
    else:
        text = "".join(json.dumps(dict(zip(frame, row, strict=True))) + "\n" for row in rows)
        data = text.encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("given", ["a.jsonl", "a.csv", "a.parquet", "a.jsonl.gz", "a.csv.gz"])
@pytest.mark.parametrize("out", ["o.csv", "o.jsonl", "o.parquet", "o.csv.gz", "o.jsonl.gz"])
def test_every_format_says_the_same(number_model, tmp_path, given, out):
    source = write(tmp_path / given, ASKED)
    report = pc.batch.transform(number_model, source, tmp_path / out)
    wanted = csv.reader(io.StringIO(answer(number_model, *ASKED).decode(), newline=""))
    assert numbers(as_csv(tmp_path / out)) == numbers(tuple(row) for row in wanted)
    assert (report.requests, report.unknown, report.failed) == (4, 1, 0)
    assert report.rows == 8
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([given, out])


def test_parquet_has_integers_where_all_users_are(number_model, tmp_path):
    out = tmp_path / "o.parquet"
    pc.batch.transform(number_model, write(tmp_path / "a.csv", [("17850", 2)]), out)
    assert pq.read_schema(out).types == [pa.int64(), pa.string(), pa.float32()]
    pc.batch.transform(number_model, write(tmp_path / "a.csv", ASKED), out)
    assert pq.read_schema(out).types[0] == pa.string()
    pc.batch.transform(number_model, write(tmp_path / "a.csv", []), out)
    assert pq.read_table(out).num_rows == 0


def test_texts_survive(text_model, tmp_path):
    users = text_model.users_.to_list()
    for given in ("a.jsonl", "a.csv", "a.parquet"):
        source = write(tmp_path / given, [(user, 3) for user in users])
        pc.batch.transform(text_model, source, tmp_path / "o.csv")
        assert (tmp_path / "o.csv").read_bytes() == answer(text_model, *((u, 3) for u in users))


@pytest.mark.parametrize(
    "data",
    [
        b"17850\n17860\n",
        b"17850,10\n17860,\n",
        b"\xef\xbb\xbfuser_id\r\n17850\r\n17860\r\n",
        b'"who","x"\n"17850","1,2"\n17860,"line\nbreak"\n',
        b"top_n,user_id\n10.0,17850.0\n,17860",
        b"k,user_id\n10.0,17850.0\n,17860",
        b"k,user_id,top_n\n,17850,10\n10,17860,",
    ],
)
def test_csv_of_many_kinds(number_model, tmp_path, data):
    (tmp_path / "a.csv").write_bytes(data)
    report = pc.batch.transform(number_model, tmp_path / "a.csv", tmp_path / "o.csv")
    assert report.failed == 0
    wanted = answer(number_model, ("17850", 10), ("17860", 10))
    assert (tmp_path / "o.csv").read_bytes() == wanted


@pytest.mark.parametrize("given", ["a.jsonl", "a.csv", "a.parquet"])
@pytest.mark.parametrize("rows", [4, 400])  # one by one, and by columns where none is odd
def test_k_is_another_name_of_top_n(number_model, tmp_path, given, rows):
    frame = pd.DataFrame({"user_id": [17850, 17860] * (rows // 2), "k": [1, 3] * (rows // 2)})

    def answered(frame):
        path = tmp_path / given
        if given == "a.jsonl":
            said = [
                {name: int(v) for name, v in row.dropna().items()} for _, row in frame.iterrows()
            ]
            path.write_text("".join(json.dumps(one) + "\n" for one in said))
        else:
            frame.to_csv(path, index=False) if given == "a.csv" else frame.to_parquet(path)
        report = pc.batch.transform(number_model, path, tmp_path / "o.csv")
        return report, (tmp_path / "o.csv").read_bytes()

    asked = [("17850", 1), ("17860", 3)] * (rows // 2)
    report, out = answered(frame)
    assert (report.failed, out) == (0, answer(number_model, *asked))
    # Now the one, now the other; in one row both, which is an error as of a question.
    both = pd.DataFrame({"user_id": frame["user_id"], "k": [1, None] * (rows // 2)})
    both["top_n"] = [None, 3] * (rows // 2)
    report, out = answered(both)
    assert (report.failed, out) == (0, answer(number_model, *asked))
    both.loc[1, "k"] = 3
    report, out = answered(both)
    place = 3 if given == "a.csv" else 2  # the row of names is one
    assert report.first_errors == (f"line {place}: give k or top_n, not both: they mean the same",)
    assert out == answer(number_model, *(asked[:1] + asked[2:]))
    frame.loc[0, "k"] = 0
    report, out = answered(frame)
    assert "k must be a whole number from 1 to 100000, got" in report.first_errors[0]
    assert out == answer(number_model, *asked[1:])


def test_a_user_column_may_be_called_k(tmp_path):
    frame = pd.DataFrame({"k": ["x", "y"], "what": ["tea", "jam"]})
    model = pc.Popularity().fit(pc.Interactions.from_frame(frame, user="k", item="what"))
    (tmp_path / "a.csv").write_text("k,top_n\nx,1\n")
    pc.batch.transform(model, tmp_path / "a.csv", tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_bytes() == answer(model, ("x", 1))


@pytest.mark.parametrize("given", ["a.jsonl", "a.csv", "a.parquet"])
@pytest.mark.parametrize(
    "text", ["0x3", "0X3", "+3", "-3", "3e0", "1_0", "", " ", ".0", "٣", "2.5"]
)
@pytest.mark.parametrize("rows", [1, 2])
def test_a_count_is_read_by_one_rule(number_model, tmp_path, given, text, rows):
    """Whether the file is read by columns or, as a row of another kind makes it, one by one."""
    frame = pd.DataFrame({"user_id": ["17850", ""][:rows], "k": [text] * rows})
    if given == "a.jsonl":
        frame.to_json(tmp_path / given, orient="records", lines=True)
    else:
        frame.to_csv(tmp_path / given, index=False) if given == "a.csv" else frame.to_parquet(
            tmp_path / given
        )
    if text == "" and given == "a.csv":  # where nothing is said
        report = pc.batch.transform(number_model, tmp_path / given, tmp_path / "o.csv")
        assert (report.requests, report.failed) == (1, rows - 1)
        return
    with pytest.raises(DataError, match="k must be a whole number from 1 to 100000, got"):
        pc.batch.transform(number_model, tmp_path / given, tmp_path / "o.csv")


@pytest.mark.parametrize("rows", [1, 2])
def test_counts_as_a_warehouse_has_them(number_model, tmp_path, rows):
    """Text with space around it or a point, and decimals, by columns and one by one."""
    users = ["17850", ""][:rows]
    wanted = answer(number_model, ("17850", 3))
    for counts in ([" 3 "] * rows, ["3."] * rows, ["003.00"] * rows, [Decimal("3.0")] * rows):
        pq.write_table(pa.table({"user_id": users, "k": counts}), tmp_path / "a.parquet")
        report = pc.batch.transform(number_model, tmp_path / "a.parquet", tmp_path / "o.csv")
        assert report.failed == rows - 1
        assert (tmp_path / "o.csv").read_bytes() == wanted


@pytest.mark.parametrize("name", ["k", "top_n", "user_id"])
def test_a_column_twice(number_model, tmp_path, name):
    names = ["user_id", "k", "top_n", name]
    arrays = [pa.array([17850]), pa.array([1]), pa.array([None], pa.int64()), pa.array([17850])]
    pq.write_table(pa.Table.from_arrays(arrays, names), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text(f"{','.join(names)}\n17850,1,,17850\n")
    for given in ("a.parquet", "a.csv"):
        with pytest.raises(ColumnError, match=rf"{given}' has 2 columns named '{name}'$"):
            pc.batch.transform(number_model, tmp_path / given, tmp_path / "o.csv")


def test_values_that_json_lacks_are_named(number_model, tmp_path):
    day = datetime.date(2024, 1, 31)
    ask = {"user_id": ["17850", "17860"], "k": [day, None]}
    pq.write_table(pa.table(ask), tmp_path / "a.parquet")
    report = pc.batch.transform(number_model, tmp_path / "a.parquet", tmp_path / "o.csv")
    shown = "got datetime.date(2024, 1, 31)"
    assert report.first_errors == (f"line 1: k must be a whole number from 1 to 100000, {shown}",)
    assert (tmp_path / "o.csv").read_bytes() == answer(number_model, ("17860", 10))
    ask = {"user_id": [b"\xff", b"17860"], "k": [1, 1]}
    pq.write_table(pa.table(ask), tmp_path / "a.parquet")
    report = pc.batch.transform(number_model, tmp_path / "a.parquet", tmp_path / "o.csv")
    assert report.first_errors == ("line 1: user_id must be text or a number, got b'\\xff'",)


def test_rows_that_are_no_requests(number_model, tmp_path):
    rows = b"user_id,top_n\n17850,1\n,5\n17860,many\n17850,1,9\n17850,0\n\xff\xfe,2\n17860,1\n"
    (tmp_path / "a.csv").write_bytes(rows)
    report = pc.batch.transform(number_model, tmp_path / "a.csv", tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_bytes() == answer(number_model, ("17850", 1), ("17860", 1))
    side = (tmp_path / "o.csv.errors.jsonl").read_text().splitlines()
    side = [json.loads(line) for line in side]
    assert [bad["error"].split(":")[0] for bad in side] == [
        "user_id is missing",
        'top_n must be a whole number from 1 to 100000, got "many"',
        "more or fewer fields than columns",
        'top_n must be a whole number from 1 to 100000, got "0"',
        report.first_errors[4].split(": ", 1)[1].split(":")[0],
    ]
    assert report.failed == 5


def test_floats_and_gaps_of_a_warehouse(number_model, tmp_path):
    frame = pd.DataFrame({"who": [17850.0, None, 17860.0], "top_n": [1.0, 1.0, None]})
    frame.to_parquet(tmp_path / "a.parquet")
    report = pc.batch.transform(number_model, tmp_path / "a.parquet", tmp_path / "o.csv")
    assert report.first_errors == ("line 2: user_id is missing",)
    wanted = answer(number_model, ("17850", 1), ("17860", 10))
    assert (tmp_path / "o.csv").read_bytes() == wanted


def test_files_of_something_else_are_named(number_model, tmp_path):
    (tmp_path / "a.csv").write_text("customer,country\nx,DE\n")
    with pytest.raises(ColumnError, match=r"'user_id' or 'who'; its columns are 'customer'"):
        pc.batch.transform(number_model, tmp_path / "a.csv", tmp_path / "o.csv")
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(DataError, match="cannot read"):
        pc.batch.transform(number_model, tmp_path / "a.parquet", tmp_path / "o.csv")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"user_id": 1}\n' * 99)[:-12])
    with pytest.raises(DataError, match="cannot read"):
        pc.batch.transform(number_model, tmp_path / "a.jsonl.gz", tmp_path / "o.csv")
    with pytest.raises(ParameterError, match=r"end it in \.csv"):
        pc.batch.transform(number_model, tmp_path / "a.csv", tmp_path / "o.xlsx")
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv", ".gz", ".parquet"]


def test_a_row_whose_quote_is_not_closed(number_model, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_MAX_ROW_BYTES", 1000)
    monkeypatch.setattr(sources, "BLOCK_BYTES", 100)
    (tmp_path / "a.csv").write_bytes(b'user_id\n"17850\n' + b"17860\n" * 1000)
    with pytest.raises(DataError, match="is a quote not closed"):
        pc.batch.transform(number_model, tmp_path / "a.csv", tmp_path / "o.csv")


def test_a_row_of_far_too_many_columns(number_model, tmp_path):
    (tmp_path / "a.csv").write_bytes(b"user_id" + b",x" * 200_000 + b"\n17850\n")
    with pytest.raises(DataError, match="has over 100,000 columns in its first row"):
        pc.batch.transform(number_model, tmp_path / "a.csv", tmp_path / "o.csv")


def test_long_lines_crlf_bom_and_blanks(number_model, tmp_path):
    data = b'\xef\xbb\xbf{"user_id": 17850, "top_n": 1}\r\n\r\n' + b"x" * 10_000_000 + b"\n"
    data += b'{"user_id": "' + b"y" * 5000 + b'"}\n  {"top_n": 1, "user_id": "17860"}  '
    (tmp_path / "a.jsonl").write_bytes(data)
    report = pc.batch.transform(number_model, tmp_path / "a.jsonl", tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_bytes() == answer(number_model, ("17850", 1), ("17860", 1))
    assert report.first_errors == (
        "line 3: longer than 65536 bytes",
        "line 4: user_id has 5000 bytes, more than 4096",
    )


def test_odd_lines_among_many_do_not_change_the_others(number_model, tmp_path):
    users = [str(17850 + 10 * (i % 50)) for i in range(3000)]
    lines = [b'{"user_id": "%s", "top_n": 1}' % user.encode() for user in users]
    odd = {7: b"{", 1500: b'{"user_id": "17850"}{"user_id": "17860"}', 2999: b'{"user_id": 1.5e3}'}
    for place, line in odd.items():
        lines[place] = line
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    report = pc.batch.transform(number_model, tmp_path / "a.jsonl", tmp_path / "o.csv", top_n=1)
    asked = [
        ("1500" if i == 2999 else user, 1) for i, user in enumerate(users) if i not in (7, 1500)
    ]
    assert (tmp_path / "o.csv").read_bytes() == answer(number_model, *asked)
    assert [text.partition(":")[0] for text in report.first_errors] == ["line 8", "line 1501"]


def test_the_number_of_threads_does_not_show(number_model, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "BLOCK_BYTES", 200)
    rows = [(str(17850 + 10 * (i % 50)), 1 + i % 4) for i in range(500)]
    source = write(tmp_path / "a.jsonl", rows)
    for threads in (1, 2, 5):
        pc.batch.transform(number_model, source, tmp_path / "o.csv", num_threads=threads)
        assert (tmp_path / "o.csv").read_bytes() == answer(number_model, *rows)


def test_huge_lists_end_with_the_catalogue(number_model, tmp_path):
    source = write(tmp_path / "a.jsonl", [("17850", 100_000)])
    report = pc.batch.transform(number_model, source, tmp_path / "o.csv")
    assert 0 < report.rows < len(number_model.items_)
