"""`penchant train`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import penchant

COLUMNS = ("--user", "customer", "--item", "product")
QUICK = ("--param", "factors=4", "--param", "epochs=5")


def test_says_what_it_did_and_what_comes_next(cli, shop, tmp_path):
    result = cli("train", "--data", shop, *COLUMNS, *QUICK, "--out", tmp_path / "a")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "kept           160  rows, 40 users, 10 items"
    assert re.fullmatch(r"trained  BPR\(factors=4, epochs=5\) in [0-9.]+ s", lines[1])
    assert lines[2:] == [
        f"saved    {tmp_path / 'a'}",
        f"next     penchant recommend {tmp_path / 'a'} --user 17000",
    ]
    assert result.stderr == ""


def test_the_next_command_it_prints_works(shop, tmp_path, process):
    out = tmp_path / "a folder"
    first = process("train", "--data", shop, *COLUMNS, *QUICK, "--out", out)
    command = first.stdout.splitlines()[-1].removeprefix("next     penchant ")
    second = subprocess.run(
        f"{sys.executable} -m penchant {command}", shell=True, capture_output=True, text=True
    )
    assert second.returncode == 0, second.stderr
    assert len(second.stdout.splitlines()) == 2 + 6  # six products that customer does not have


def test_the_artifact_is_the_model_python_would_have_trained(cli, tmp_path, shop, shop_frame):
    assert cli("train", "--data", shop, *COLUMNS, *QUICK, "--out", tmp_path).exit_code == 0
    found = penchant.load(tmp_path).recommend(k=3)
    data = penchant.Interactions.from_frame(shop_frame, user="customer", item="product")
    expected = penchant.BPR(factors=4, epochs=5).fit(data, progress=False).recommend(k=3)
    assert found.equals(expected)


def test_drops_and_counts(cli, tmp_path, shop_frame):
    shop_frame.loc[:6, "customer"] = None
    shop_frame.loc[9, "pieces"] = -1
    shop_frame.to_csv(tmp_path / "shop.csv", index=False)
    result = cli(
        *("train", "--data", tmp_path / "shop.csv", *COLUMNS, "--value", "pieces"),
        *("--timestamp", "at", "--negative-values", "drop", "--model", "popularity"),
        *("--out", tmp_path / "a"),
    )
    assert result.stdout.splitlines()[:3] == [
        "dropped          7  rows without customer",
        "dropped          1  row with negative pieces",
        "kept           152  rows, 39 users, 10 items",
    ]
    assert result.stderr == ""  # not said twice
    assert 17001 in penchant.load(tmp_path / "a").users_


def test_times_as_numbers_need_their_unit(cli, refused, tmp_path, shop_frame):
    shop_frame["at"] = 1_700_000_000
    shop_frame.to_parquet(tmp_path / "shop.parquet")
    arguments = ("train", "--data", tmp_path / "shop.parquet", *COLUMNS, *QUICK)
    arguments += ("--timestamp", "at", "--out", tmp_path / "a")
    assert "timestamp_unit" in refused(*arguments)
    assert "'h'" in refused(*arguments, "--timestamp-unit", "h")
    assert cli(*arguments, "--timestamp-unit", "s").exit_code == 0


def test_validation_measures_on_rows_held_out(cli, shop, tmp_path):
    arguments = ("train", "--data", shop, *COLUMNS, *QUICK, "--validation", "0.25")
    result = cli(*arguments, "--out", tmp_path / "a")
    assert result.exit_code == 0, result.stderr
    assert re.search(
        r"^measured precision@10 0\.\d{4}, ndcg@10 0\.\d{4} on \d+ held-out rows$",
        result.stdout,
        re.MULTILINE,
    )
    again = cli(*arguments, "--seed", "7", "--out", tmp_path / "b")
    assert len(penchant.load(tmp_path / "a").history_) == 5
    assert again.stdout != result.stdout


def test_patience_stops_early(cli, shop, tmp_path):
    result = cli(
        *("train", "--data", shop, *COLUMNS, "--param", "factors=4", "--param", "epochs=500"),
        *("--validation", "0.25", "--patience", "3", "--out", tmp_path),
    )
    assert result.exit_code == 0, result.stderr
    assert len(penchant.load(tmp_path).history_) < 500


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--user", "custmer", "--item", "product"], "--user: no column 'custmer' in shop.parquet"),
        (["--user", "custmer", "--item", "product"], "did you mean 'customer'?"),
        (["--user", "customer", "--item", "customer"], "named twice"),
        ([*COLUMNS, "--timestamp", "when"], "--timestamp: no column 'when'"),
        ([*COLUMNS, "--value", "product"], "product"),
        ([*COLUMNS, "--model", "als"], "no model 'als'"),
        ([*COLUMNS, "--param", "factors=-1"], "factors"),
        ([*COLUMNS, "--param", "factros=1"], "did you mean 'factors'?"),
        ([*COLUMNS, "--validation", "1.5"], "--validation"),
        ([*COLUMNS, "--patience", "3"], "--validation 0.1"),
        ([*COLUMNS, "--negative-values", "keep"], "--negative-values='keep'"),
        ([*COLUMNS, "--out", "/dev/null/x"], "/dev/null/x"),
    ],
)
def test_bad_input(refused, shop, tmp_path, arguments, words):
    out = () if "--out" in arguments else ("--out", tmp_path / "a")
    assert words in refused("train", "--data", shop, *out, *arguments)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.csv", None, "no file"),
        ("empty.csv", "", "CSV"),
        ("header.csv", "customer,product\n", "no rows"),
        ("nulls.csv", "customer,product\n,tea\n,pot\n", "customer"),
        ("shop.xlsx", "PK", "neither Parquet"),
    ],
)
def test_bad_files(refused, tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    assert words in refused("train", "--data", path, *COLUMNS, "--out", tmp_path / "a")


def test_negative_values_are_explained(refused, tmp_path, shop_frame):
    shop_frame.loc[3, "pieces"] = -2
    shop_frame.to_parquet(tmp_path / "shop.parquet")
    arguments = ("--data", tmp_path / "shop.parquet", *COLUMNS, "--value", "pieces")
    assert "negative_values" in refused("train", *arguments, "--out", tmp_path / "a")


def test_ctrl_c_stops_within_a_second_without_a_traceback(tmp_path, shop_frame):
    many = pd.concat([shop_frame] * 50)
    many["customer"] += np.arange(len(many))
    many.to_parquet(tmp_path / "shop.parquet")
    command = [sys.executable, "-u", "-m", "penchant", "train", "--data", tmp_path / "shop.parquet"]
    command += [*COLUMNS, "--param", "epochs=1000000", "--out", tmp_path / "a"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout.readline().startswith("kept")
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert errors == "interrupted\n"
    assert not (tmp_path / "a").exists()
