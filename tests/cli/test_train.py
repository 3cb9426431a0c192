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
    assert "--timestamp-unit s, ms, us or ns" in refused(*arguments)
    assert "--timestamp-unit h " in refused(*arguments, "--timestamp-unit", "h")
    assert cli(*arguments, "--timestamp-unit", "s").exit_code == 0


def test_validation_measures_on_rows_held_out(cli, shop, tmp_path):
    arguments = ("train", "--data", shop, *COLUMNS, *QUICK, "--validation", "0.25")
    result = cli(*arguments, "--out", tmp_path / "a")
    assert result.exit_code == 0, result.stderr
    assert re.search(
        r"^measured precision@10 0\.\d{4}, ndcg@10 0\.\d{4} on \d+ held-out rows, "
        r"trained on \d+\nrefit    on all 160 rows$",
        result.stdout,
        re.MULTILINE,
    )
    again = cli(*arguments, "--seed", "7", "--out", tmp_path / "b")
    assert len(penchant.load(tmp_path / "a").history_) == 5
    assert again.stdout != result.stdout


def test_the_model_saved_after_validation_knows_all_rows(cli, shop, tmp_path):
    arguments = ("train", "--data", shop, *COLUMNS, *QUICK)
    assert cli(*arguments, "--out", tmp_path / "a").exit_code == 0
    assert cli(*arguments, "--validation", "0.25", "--out", tmp_path / "b").exit_code == 0
    plain, measured = (penchant.load(tmp_path / name).recommend(k=10) for name in "ab")
    assert measured.equals(plain)


def test_patience_finds_the_epochs_to_train_on_all_rows_for(cli, shop, shop_frame, tmp_path):
    settings = ("-p", "factors=4", "-p", "epochs=60", "-p", "learning_rate=0.02")
    result = cli(
        *("train", "--data", shop, *COLUMNS, *settings),
        *("--validation", "0.25", "--patience", "8", "--seed", "1", "--out", tmp_path),
    )
    assert result.exit_code == 0, result.stderr
    best = re.search(r"^refit    on all 160 rows up to epoch (\d+), the best$", result.stdout, re.M)
    # By hand: the same split, stopping, and on all rows the first epochs of 60, not all of fewer.
    data = penchant.Interactions.from_frame(shop_frame, user="customer", item="product")
    train, held_out = penchant.split.random(data, test_size=0.25, random_state=1)
    stop = penchant.EarlyStopping("ndcg@10", patience=8)
    model = penchant.BPR(factors=4, epochs=60, learning_rate=0.02)
    model.fit(train, held_out, progress=False, callbacks=stop)
    assert int(best[1]) == stop.best_epoch
    assert 1 < stop.best_epoch < 52  # stopped, and the rate had fallen by then
    expected = _first_epochs(model, data, stop.best_epoch)
    found = penchant.load(tmp_path)
    assert found.get_params() == model.get_params()
    assert len(found.history_) == stop.best_epoch
    assert found.recommend(k=10).equals(expected.recommend(k=10))


def _first_epochs(model, data, count):
    class Stop(penchant.Callback):
        def on_epoch_end(self, model, epoch, logs):
            return epoch == count

    return model.fit(data, progress=False, callbacks=Stop())


def test_patience_means_nothing_to_a_model_without_epochs(cli, shop, tmp_path):
    result = cli(
        *("train", "--data", shop, *COLUMNS, "--model", "popularity"),
        *("--validation", "0.25", "--patience", "3", "--out", tmp_path),
    )
    assert result.exit_code == 0, result.stderr
    assert "\nrefit    on all 160 rows\n" in result.stdout


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
        ([*COLUMNS, "--validation", "0.1", "--patience", "0"], "--patience"),
        ([*COLUMNS, "--negative-values", "keep"], "--negative-values='keep'"),
        ([*COLUMNS, "--out", "/dev/null/x"], "/dev/null/x"),
    ],
)
def test_bad_input(refused, shop, tmp_path, arguments, words):
    out = () if "--out" in arguments else ("--out", tmp_path / "a")
    assert words in refused("train", "--data", shop, *out, *arguments)
    assert not (tmp_path / "a").exists()


def test_out_is_checked_before_anything_is_read(refused, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.json").write_text("{}")
    for out, words in (
        (tmp_path / "file", "file"),
        (tmp_path / "file" / "in", "file/in"),
        (tmp_path / "notes", "no artifact; name an empty or a new folder"),
        (tmp_path / "other", "not a Penchant artifact"),
        ("/proc/penchant", "/proc/penchant"),  # nobody can make a folder there
    ):
        assert words in refused("train", "--data", "absent.csv", *COLUMNS, "--out", out)
    assert "no file 'absent.csv'" in refused(
        "train", "--data", "absent.csv", *COLUMNS, "--out", tmp_path / "new" / "a"
    )
    assert {path.name for path in tmp_path.rglob("*")} == {
        *("file", "notes", "todo.txt", "other", "model.json"),
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_out_must_be_writable(refused, tmp_path):
    tmp_path.chmod(0o500)
    line = refused("train", "--data", "absent.csv", *COLUMNS, "--out", tmp_path)
    assert "Permission denied" in line


def test_an_artifact_is_replaced(cli, shop, tmp_path):
    for factors in (4, 5):
        setting = ("--param", f"factors={factors}", "--param", "epochs=1")
        arguments = ("train", "--data", shop, *COLUMNS, *setting, "--out", tmp_path / "a")
        assert cli(*arguments).exit_code == 0
        assert penchant.load(tmp_path / "a").factors == factors


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
    line = refused("train", *arguments, "--out", tmp_path / "a")
    assert "--negative-values drop drops" in line
    assert "--negative-values net takes" in line


def test_ctrl_c_stops_a_training_without_a_traceback(tmp_path, shop_frame):
    many = pd.concat([shop_frame] * 50)
    many["customer"] += np.arange(len(many))
    many.to_parquet(tmp_path / "shop.parquet")
    command = [sys.executable, "-u", "-m", "penchant", "train", "--data", tmp_path / "shop.parquet"]
    command += [*COLUMNS, "--param", "epochs=1000000", "--out", tmp_path / "a"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a shell ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline().startswith("kept")
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=600)  # against hanging; it takes a moment
    finally:
        process.kill()
    assert process.returncode == 130
    assert errors == "interrupted\n"
    assert not (tmp_path / "a").exists()


def test_a_csv_of_far_too_many_columns(refused, tmp_path):
    (tmp_path / "wide.csv").write_text("u,i," * 100_000)
    arguments = ("--user", "u", "--item", "i", "--out", tmp_path / "a")
    words = refused("train", "--data", tmp_path / "wide.csv", *arguments)
    assert "wide.csv' has over 100,000 columns in its first row" in words


def test_a_csv_with_two_columns_of_one_name(refused, tmp_path):
    (tmp_path / "twice.csv").write_text("u,u,i\n1,2,a\n")
    arguments = ("--user", "u", "--item", "i", "--out", tmp_path / "a")
    words = refused("train", "--data", tmp_path / "twice.csv", *arguments)
    assert "--user: twice.csv has 2 columns named 'u'" in words
    assert not (tmp_path / "a").exists()
