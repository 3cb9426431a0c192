"""`penchant demo`: every step of the main job, on the generated shop and on one's own table."""

from __future__ import annotations

import os
import re
import shlex
import struct
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import penchant
from penchant import datasets
from penchant.cli.demo_report import ceiling, pick_customers

COLUMNS = ("--user", "customer", "--item", "product")


@pytest.fixture(scope="module")
def demo(tmp_path_factory, process):
    """Outcome and folder of a demo on the generated shop, in a process with a pipe."""
    folder = tmp_path_factory.mktemp("demo")
    result = process("demo", "--epochs", "4", "--out", "my demo", cwd=folder)
    assert result.returncode == 0, result.stderr
    return result, folder


@pytest.fixture
def own(shop_frame, tmp_path):
    """A table with everything that is cleaned: nulls, returns, spaces, empty names."""
    frame = pd.concat([shop_frame] * 3, ignore_index=True)
    frame["customer"] = frame["customer"].astype(float)
    frame.loc[0:10, "customer"] = None
    frame.loc[20:22, "product"] = "  "
    frame.loc[30:33, "pieces"] *= -1
    frame.loc[40:44, "product"] = " " + frame.loc[40:44, "product"] + " "
    frame.to_csv(tmp_path / "own.csv", index=False)
    return tmp_path / "own.csv"


def counted(text, word):
    return [int(n.replace(",", "")) for n in re.findall(rf"{word} +([\d,]+)", text)]


def png_size(path):
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


def test_generated_shop_is_big_and_cleaned(demo):
    text = demo[0].stdout
    shop = datasets.make_purchases(random_state=41)
    assert len(shop) > 200_000
    assert f"a generated shop (seed 41): {len(shop):,} rows" in text
    nobody = int(shop["CustomerID"].isna().sum())
    returns = int((shop["Quantity"][shop["CustomerID"].notna()] < 0).sum())
    assert f"dropped {nobody:>10,}  rows without CustomerID" in text
    assert f"dropped {returns:>10,}  rows with negative Quantity" in text
    assert counted(text, "kept") == [len(shop) - nobody - returns]


def test_split_is_70_30_with_seed_41(demo):
    text = demo[0].stdout
    (kept,), (train,), (test,) = (counted(text, word) for word in ("kept", "  train", "  test"))
    assert train == np.count_nonzero(np.random.RandomState(41).rand(kept) < 0.7)
    assert train + test == kept


def test_progress_shows_precision_measured_both_ways(demo):
    lines = re.findall(
        r"epoch +(\d)/4  precision@10 new (0\.\d{4}), repeats (0\.\d{4}), loss", demo[0].stdout
    )
    assert [epoch for epoch, _, _ in lines] == ["1", "2", "3", "4"]
    assert "measured twice, every epoch:" in demo[0].stdout
    assert all(float(repeats) > float(new) for _, new, repeats in lines)


def test_metrics_stand_beside_the_baseline_and_the_ceiling(demo):
    rows = re.findall(r"precision@10 +(0\.\d+) +(0\.\d+) +(0\.\d+)$", demo[0].stdout, re.MULTILINE)
    assert len(rows) == 2
    for ours, popular, best in rows:
        assert 0 < float(ours) < float(best) < 1
        assert 0 < float(popular) < float(best)
    last = re.findall(r"precision@10 new (\S+), repeats (\S+), loss", demo[0].stdout)[-1]
    assert (rows[0][0], rows[1][0]) == last


def test_three_customers_with_ten_recommendations_beside_their_purchases(demo):
    text, folder = demo[0].stdout, demo[1]
    customers = re.findall(r"Customer (\d+) bought \(\d+ products\) +\| recommended", text)
    assert len(customers) == 3
    answer = penchant.load(folder / "my demo" / "artifact").recommend(customers, k=10)
    shown = [name.rstrip() for name in re.findall(r"\| +\d+ [ *] (.+)$", text, re.MULTILINE)]
    assert shown == answer["Description"].tolist()
    bought = re.search(r"^ +(\d+) x (.+?) +\| +1 ", text, re.MULTILINE)
    shop = datasets.make_purchases(random_state=41)
    mine = shop[(shop["CustomerID"] == int(customers[0])) & (shop["Quantity"] > 0)]
    assert (mine["Description"].str.strip() == bought[2]).sum() >= int(bought[1])


def test_picture(demo):
    assert min(png_size(demo[1] / "my demo" / "training.png")) > 500


def test_the_fresh_process_agreed(demo):
    assert "10 recommendations for every customer, equal to the bit" in demo[0].stdout


def test_timings_of_each_step_add_up(demo):
    table = demo[0].stdout.partition("What each step took")[2].partition("Next steps")[0]
    seconds = dict(re.findall(r"^  (\w[\w ,/]*\w) +(\d+\.\d+)$", table, re.MULTILINE))
    total = float(seconds.pop("total"))
    assert len(seconds) == 7
    assert total == pytest.approx(sum(map(float, seconds.values())), abs=0.05)


def test_the_next_steps_work_as_printed(demo):
    result, folder = demo
    commands = [line.strip() for line in result.stdout.partition("Next steps")[2].splitlines()[1:]]
    assert [command.split()[:2] for command in commands] == [
        ["penchant", "recommend"], ["penchant", "batch"], ["penchant", "serve"],
    ]  # fmt: skip
    for command in commands[:2]:
        arguments = [sys.executable, "-m", *shlex.split(command)]
        done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    written = (folder / "my demo" / "recommendations.csv").read_text().splitlines()
    assert len(written) == 30
    assert os.path.isdir(folder / shlex.split(commands[2])[2])


def test_a_pipe_gets_plain_text(demo):
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", demo[0].stdout)
    assert demo[0].stderr == ""
    assert max(map(len, demo[0].stdout.splitlines())) <= 120


def test_own_table_is_cleaned_as_it_says(cli, own, tmp_path):
    result = cli(
        *("demo", "--data", own, *COLUMNS, "--quantity", "pieces", "--timestamp", "at"),
        *("--epochs", 3, "--out", tmp_path / "out"),
    )
    assert result.exit_code == 0, result.output
    assert re.findall(r"^  (?:stripped|dropped|kept) .*", result.stdout, re.MULTILINE) == [
        "  stripped         8  values of product of spaces around them",
        "  dropped         11  rows without customer",
        "  dropped          3  rows without product",
        "  dropped          4  rows with negative pieces",
        "  kept           462  rows, 40 users, 10 items",
    ]
    model = penchant.load(tmp_path / "out" / "artifact")
    assert model.users_.to_list() == list(range(17000, 17040))  # never 17000.0
    assert all(name == name.strip() for name in model.items_)


def test_nothing_stripped_is_nothing_said(cli, shop, tmp_path):
    result = cli("demo", "--data", shop, *COLUMNS, "--epochs", 1, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "  stripped " not in result.stdout


def test_delimiter_of_the_own_table(cli, own, tmp_path):
    pd.read_csv(own).to_csv(tmp_path / "t.csv", index=False, sep=";")
    arguments = ("demo", "--data", tmp_path / "t.csv", *COLUMNS, "--epochs", 1)
    arguments += ("--out", tmp_path / "out")
    assert "add --delimiter ';'" in cli(*arguments).stderr
    result = cli(*arguments, "--delimiter", ";")
    assert result.exit_code == 0, result.stderr


def test_a_quantity_column_is_found_by_its_name(cli, own, tmp_path):
    frame = pd.read_csv(own).rename(columns={"pieces": "Quantity"})
    frame.to_parquet(tmp_path / "t.parquet")
    arguments = ("demo", "--data", tmp_path / "t.parquet", *COLUMNS, "--epochs", 1)
    result = cli(*arguments, "--out", tmp_path / "out")
    assert "4  rows with negative Quantity" in result.stdout
    frame.assign(Quantity="many").to_parquet(tmp_path / "t.parquet")
    result = cli(*arguments, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert "Quantity" not in result.stdout


def test_same_seed_same_answers_other_seed_others(cli, own, tmp_path):
    def digest(*seed):
        result = cli(
            *("demo", "--data", own, *COLUMNS, "--epochs", 2, "--out", tmp_path / "o", *seed)
        )
        return re.search(r"sha256 (\w+)", result.stdout)[1]

    default = digest()
    assert digest("--seed", 41) == default
    assert digest("--seed", 42) != default


def test_a_damaged_copy_is_noticed(cli, own, tmp_path, monkeypatch):
    """The comparison compares: a process that answers differently fails the demo."""
    monkeypatch.setattr("penchant.cli.digest.digest", lambda model, k: "0" * 64)
    result = cli("demo", "--data", own, *COLUMNS, "--epochs", 1, "--out", tmp_path / "o")
    assert result.exit_code == 2
    assert "answers differently" in result.stderr


def test_without_matplotlib_there_is_no_picture_and_a_hint(cli, own, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = cli("demo", "--data", own, *COLUMNS, "--epochs", 1, "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    assert "no plot: " in result.stdout
    assert "pip install 'penchant[plot]'" in result.stdout
    assert not (tmp_path / "o" / "training.png").exists()


def test_ceiling_by_hand():
    train = penchant.Interactions.from_sequences([["a", "b"], ["a"], ["c"]], users=["x", "y", "z"])
    test = penchant.Interactions.from_sequences(
        [["a", "c", "d"], ["c"], ["c"]], users=["x", "y", "z"]
    )
    model = penchant.Popularity().fit(train)
    # Relevant, all: 3, 1, 1; without what was bought before: x has c and d, y has c, z nothing.
    assert ceiling(model, test, 2, new_only=False) == pytest.approx((2 + 1 + 1) / 3 / 2)
    assert ceiling(model, test, 2, new_only=True) == pytest.approx((2 + 1) / 2 / 2)


def test_customers_are_picked_even_in_tiny_data():
    train = penchant.Interactions.from_sequences([["a", "b"], ["a"]], users=["x", "y"])
    test = penchant.Interactions.from_sequences([["b"]], users=["y"])
    assert pick_customers(train, test, seed=0) == ["x", "y"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--user", "customer"], "add --data"),
        (["--data", "own.csv"], "--user COLUMN and --item COLUMN"),
        (["--data", "own.csv", "--user", "Customer", "--item", "product"], "mean 'customer'?"),
        (["--data", "own.csv", *COLUMNS, "--quantity", "product"], "product"),
        (["--data", "own.csv", *COLUMNS, "--timestamp", "product"], "product"),
        (["--data", "absent.csv", *COLUMNS], "no file 'absent.csv'"),
        (["--data", "own.csv", *COLUMNS, "--out", "own.csv"], "own.csv"),
    ],
)
def test_bad_input(refused, own, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in refused("demo", *arguments)


def test_too_little_data(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("customer,product\n1,tea\n2,tea\n")
    assert "too little" in refused("demo", "--data", "t.csv", *COLUMNS)
    (tmp_path / "t.csv").write_text("customer,product\n1,tea\n,tea\n")
    assert "too little" in refused("demo", "--data", "t.csv", *COLUMNS)


REAL = os.path.join(os.environ.get("PENCHANT_DATA", ""), "online-retail-ii", "transactions.parquet")


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists(REAL), reason="PENCHANT_DATA has no online-retail-ii")
def test_online_retail(process, tmp_path):
    result = process(
        *("demo", "--data", REAL, "--user", "CustomerID", "--item", "Description"),
        *("--epochs", 5, "--out", tmp_path),
    )
    assert result.returncode == 0, result.stderr
    assert "dropped    243,007  rows without CustomerID" in result.stdout
    assert "kept       805,619  rows, 5,881 users, 5,241 items" in result.stdout
    ceilings = re.findall(r"precision@10 +[\d.]+ +[\d.]+ +([\d.]+)$", result.stdout, re.MULTILINE)
    assert ceilings == ["0.7839", "0.8141"]


def test_a_folder_of_something_else_is_left_alone(refused, tmp_path, shop):
    (tmp_path / "users.jsonl").write_text("mine")
    arguments = ("demo", "--data", shop, *COLUMNS, "--out")
    assert "holds files that are no earlier demo's" in refused(*arguments, tmp_path)
    assert (tmp_path / "users.jsonl").read_text() == "mine"
    assert "is a file; name a folder" in refused(*arguments, tmp_path / "users.jsonl")
    refused("demo", "--data", tmp_path / "no.csv", *COLUMNS, "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()
