"""`penchant evaluate`."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import penchant


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """A product of the customer's own taste, and one the model does not know."""
    path = tmp_path_factory.mktemp("held_out") / "test.csv"
    path.write_text("buyer,thing\n17000,honey\n17001,eraser\n17001,stapler\n17003,red pen\n")
    return path


ARGUMENTS = ("--user", "buyer", "--item", "thing", "--format", "json")


def test_values_are_those_of_python(cli, artifact, held_out):
    metrics = ["precision@3", "recall@3", "coverage@3"]
    result = cli(
        "evaluate", artifact, "--data", held_out, *ARGUMENTS, "--metrics", ", ".join(metrics)
    )
    assert result.exit_code == 0, result.stderr
    test = penchant.Interactions.from_frame(pd.read_csv(held_out), user="buyer", item="thing")
    expected = penchant.evaluate(penchant.load(artifact), test, metrics).to_dict("records")
    assert json.loads(result.stdout) == [
        row | {"value": pytest.approx(row["value"], rel=1e-12)} for row in expected
    ]


def test_include_seen_counts_re_purchases(cli, artifact, shop):
    arguments = ("evaluate", artifact, "--data", shop, "--metrics", "recall@10", "--format", "json")
    result = cli(*arguments, "--include-seen")
    assert json.loads(result.stdout)[0] == {
        "metric": "recall@10", "value": 1.0, "n_users": 40, "n_users_skipped": 0,
    }  # fmt: skip


def test_column_names_default_to_those_of_the_training(cli, artifact, shop, refused, held_out):
    result = cli("evaluate", artifact, "--data", shop, "--include-seen")
    assert result.exit_code == 0, result.stderr
    names = [line.split()[0] for line in result.stdout.splitlines()]
    assert names == ["metric", "------------", "precision@10", "recall@10", "ndcg@10"]
    assert "no column 'customer'" in refused("evaluate", artifact, "--data", held_out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--metrics", "precison@10"], "did you mean 'precision@10'"),
        (["--metrics", ","], "metrics"),
        (["--metrics", "recall@0"], "recall@0"),
        (["--format", "yaml"], "--format='yaml'"),
        (["--unknown", "whatever"], "--unknown='whatever'"),
        (["--user", "nobody"], "no column 'nobody'"),
        ([], "--include-seen"),  # everything in the shop is training data
    ],
)
def test_bad_input(refused, artifact, shop, arguments, words):
    assert words in refused("evaluate", artifact, "--data", shop, *arguments)


def test_unknown_users_can_be_an_error(refused, artifact, tmp_path):
    (tmp_path / "test.csv").write_text("customer,product\n99,honey\n17001,eraser\n")
    arguments = ("evaluate", artifact, "--data", tmp_path / "test.csv")
    assert "99" in refused(*arguments, "--unknown", "error")


def test_missing_files(refused, artifact, shop, tmp_path):
    assert "absent" in refused("evaluate", tmp_path / "absent", "--data", shop)
    assert "absent.csv" in refused("evaluate", artifact, "--data", tmp_path / "absent.csv")


def test_delimiter_of_the_held_out_rows(cli, artifact, shop_frame, tmp_path):
    shop_frame.to_csv(tmp_path / "t.csv", index=False, sep=";")
    arguments = ("evaluate", artifact, "--data", tmp_path / "t.csv", "--include-seen")
    assert "add --delimiter ';'" in cli(*arguments).stderr
    assert cli(*arguments, "--delimiter", ";").exit_code == 0
