"""Text layout."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from penchant.cli import console


def test_table_aligns_numbers_right_and_text_left():
    text = console.format_table(("item", "n"), [("tea", "10"), ("a mug", "7")], indent="  ")
    assert text == "  item    n\n  -----  --\n  tea    10\n  a mug   7"


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("tea", 5, "tea  "),
        ("tea pot", 7, "tea pot"),
        ("tea pots", 7, "tea po…"),
        ("tea  pots", 5, "tea… "),
        ("a\tb\x1b", 4, "a b "),
        ("日本茶", 5, "日本…"),
        ("日本茶", 4, "日… "),
    ],
)
def test_fit_fills_the_columns_exactly(text, columns, expected):
    assert console.fit(text, columns) == expected
    assert console.text_width(console.fit(text, columns)) == columns


def test_side_by_side_pads_the_shorter_list():
    text = console.side_by_side(["left", "a long line on the left"], ["right"], 25)
    assert text == "left        | right\na long lin… |"


@pytest.fixture
def answer():
    return pa.table(
        {
            "who": [1, 2],
            "item": ['a "mug", red', None],
            "score": pa.array([0.1, float("nan")], pa.float32()),
        }
    )


def test_csv_is_quoted_and_scores_round_trip(answer, capsys):
    console.write_frame(answer, "csv")
    assert capsys.readouterr().out == 'who,item,score\n1,"a ""mug"", red",0.1\n2,,\n'


def test_json_is_a_list_of_records_without_nan(answer, capsys):
    console.write_frame(answer, "json")
    assert json.loads(capsys.readouterr().out) == [
        {"who": 1, "item": 'a "mug", red', "score": 0.1},
        {"who": 2, "item": None, "score": None},
    ]


def test_table_of_a_result(answer, capsys):
    console.write_frame(answer, "table")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["who", "item", "score"]
    assert lines[2].split()[-1] == "0.1000"


def test_steps_are_numbered_and_timed(capsys):
    steps = console.Steps()
    with steps.step("One"):
        pass
    with steps.step("Two"):
        pass
    assert [line for line in capsys.readouterr().out.splitlines() if line] == ["1. One", "2. Two"]
    assert [line.split()[0] for line in steps.report().splitlines()] == [
        "step", "-----", "One", "Two", "total",
    ]  # fmt: skip
