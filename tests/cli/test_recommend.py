"""`penchant recommend`."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest

import penchant


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_answer_is_that_of_python(cli, artifact):
    result = cli(
        "recommend", artifact, "--user", 17003, "--user", 17000, "-k", 3, "--format", "json"
    )
    assert result.exit_code == 0, result.stderr
    expected = penchant.load(artifact).recommend([17003, 17000], k=3).to_dict("records")
    found = json.loads(result.stdout)
    assert [list(row) for row in found] == [["customer", "product", "score", "rank"]] * 6
    for row, wanted in zip(found, expected, strict=True):
        assert np.float32(row.pop("score")) == np.float32(wanted.pop("score"))  # to the bit
        assert row == wanted


def test_the_three_formats_say_the_same(cli, artifact):
    arguments = ("recommend", artifact, "--user", "17001", "-k", "2")
    table = cli(*arguments).stdout.splitlines()
    rows = read_csv(cli(*arguments, "--format", "csv").stdout)
    records = json.loads(cli(*arguments, "--format", "json").stdout)
    assert [[str(v) for v in record.values()] for record in records] == [
        list(row.values()) for row in rows
    ]
    assert table[0].split() == ["customer", "product", "score", "rank"]
    assert table[2].split()[0] == "17001"
    assert records[0]["product"] in table[2]
    assert len(table) == 2 + len(records)


def test_seen_items_are_left_out_unless_asked_for(cli, artifact, shop_frame):
    bought = set(shop_frame.loc[shop_frame.customer == 17004, "product"])
    arguments = ("recommend", artifact, "--user", 17004, "-k", 10, "--format", "csv")
    new = {row["product"] for row in read_csv(cli(*arguments).stdout)}
    everything = {row["product"] for row in read_csv(cli(*arguments, "--include-seen").stdout)}
    assert new == set(shop_frame["product"]) - bought
    assert everything == set(shop_frame["product"])


@pytest.mark.parametrize("text", ["17002", "17002.0"])
def test_ids_are_matched_to_the_type_of_the_model(cli, artifact, text):
    result = cli("recommend", artifact, "--user", text, "-k", 1, "--format", "json")
    assert json.loads(result.stdout)[0]["customer"] == 17002


def test_numbers_find_text_ids(cli, tmp_path):
    frame = pd.DataFrame({"u": ["007", "7", "x"], "i": ["a", "b", "a"]})
    frame.to_parquet(tmp_path / "t.parquet")
    arguments = ("--data", tmp_path / "t.parquet", "--user", "u", "--item", "i")
    cli("train", *arguments, "--model", "popularity", "--out", tmp_path / "a")
    result = cli("recommend", tmp_path / "a", "--user", "007", "--format", "json")
    assert [row["i"] for row in json.loads(result.stdout)] == ["b"]


def test_leading_zeros_of_a_csv_are_kept(cli, tmp_path):
    (tmp_path / "t.csv").write_text("u;i\n007;a\n7;b\n12;a\n")
    arguments = ("--data", tmp_path / "t.csv", "--user", "u", "--item", "i", "--delimiter", ";")
    trained = cli("train", *arguments, "--model", "popularity", "--out", tmp_path / "a")
    assert trained.exit_code == 0, trained.stderr
    assert penchant.load(tmp_path / "a").users_.to_list() == ["007", "12", "7"]
    result = cli("recommend", tmp_path / "a", "--user", "007", "--format", "json")
    assert [(row["u"], row["i"]) for row in json.loads(result.stdout)] == [("007", "b")]
    (tmp_path / "users.jsonl").write_text('{"user_id": "007"}\n{"user_id": 7}\n')
    result = cli("batch", "transform", tmp_path / "users.jsonl", "-", "--model", tmp_path / "a")
    assert [line.split(",")[:2] for line in result.stdout.split()] == [["007", "b"], ["7", "a"]]


def test_unknown_users(cli, refused, artifact):
    line = refused("recommend", artifact, "--user", "17000", "--user", "99999")
    assert "99999" in line
    assert "17000" not in line
    assert "--unknown drop or --unknown popular" in line
    result = cli("recommend", artifact, "--user", 99999, "--unknown", "popular", "--format", "json")
    assert len(json.loads(result.stdout)) == 10
    result = cli("recommend", artifact, "--user", 99999, "--unknown", "drop", "--format", "json")
    assert json.loads(result.stdout) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--user", "17000", "-k", "0"], "k"),
        (["--user", "17000", "--format", "xml"], "--format='xml' is not one of"),
        (["--user", "17000", "--unknown", "guess"], "--unknown='guess'"),
        (["--user", "not a number"], "not a number"),
        ([], "--user"),
    ],
)
def test_bad_input(refused, artifact, arguments, words):
    assert words in refused("recommend", artifact, *arguments)


def test_folders_that_are_no_artifact(refused, tmp_path):
    assert "nowhere" in refused("recommend", tmp_path / "nowhere", "--user", "1")
    (tmp_path / "empty").mkdir()
    assert "empty" in refused("recommend", tmp_path / "empty", "--user", "1")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "model.json").write_text("{")
    assert "model.json" in refused("recommend", tmp_path / "bad", "--user", "1")
    (tmp_path / "file").write_text("x")
    assert "file" in refused("recommend", tmp_path / "file", "--user", "1")
