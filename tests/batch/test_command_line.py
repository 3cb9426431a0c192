"""The group of commands `penchant batch`: help and examples that parse."""

import re

import pytest
from typer.testing import CliRunner

from penchant.cli.app import app

COMMANDS = ["transform", "recommend", "rank", "related", "segment", "watch", "to-parquet"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_that_parse(command):
    result = CliRunner().invoke(app, ["batch", command, "--help"])
    assert result.exit_code == 0
    usage, _, examples = result.stdout.partition("Examples:")
    assert f"  penchant batch {command}" in examples
    options = set(re.findall(r"--[a-z][a-z-]+", usage))
    assert set(re.findall(r"--[a-z][a-z-]+", examples)) <= options


def test_the_group_lists_them_all():
    listed = CliRunner().invoke(app, ["batch", "--help"]).stdout
    assert re.findall(r"^  ([a-z-]+) +[A-Z]", listed.partition("Commands:")[2], re.M) == COMMANDS


def test_once_tells_of_failures(command, artifact, tmp_path):
    (tmp_path / "what.jsonl").write_text("{}")
    line = ("watch", tmp_path, "--model", artifact, "--once", "--interval", "0.01")
    done = command(*line)
    assert done.returncode == 1
    assert b"what.jsonl: 'what.jsonl' does not say what it is" in done.stderr
    assert command(*line).returncode == 0
