"""What all commands share: help, version, errors, start-up."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import warnings

import pytest

import penchant
from penchant.errors import ParameterError, PenchantWarning

COMMANDS = ("demo", "train", "evaluate", "recommend", "serve", "config")
GROUPS = ("batch", "jobs", "endpoints")


def test_version(cli):
    result = cli("--version")
    assert (result.exit_code, result.stdout) == (0, f"penchant {penchant.__version__}\n")


def test_help_names_every_command(cli):
    result = cli("--help")
    assert result.exit_code == 0
    listed = re.findall(r"^  (\w+) ", result.stdout.partition("Commands:")[2], re.MULTILINE)
    assert sorted(listed[: len(COMMANDS + GROUPS)]) == sorted(COMMANDS + GROUPS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_examples_that_parse(cli, command):
    result = cli(command, "--help")
    assert result.exit_code == 0
    examples = result.stdout.partition("Examples:")[2]
    assert f"  penchant {command}" in examples
    options = set(re.findall(r"--[a-z][a-z-]+", result.stdout.partition("Examples:")[0]))
    assert set(re.findall(r"--[a-z][a-z-]+", examples)) <= options


@pytest.mark.parametrize("group", GROUPS)
def test_help_of_each_group_has_examples_that_parse(cli, group):
    examples = cli(group, "--help").stdout.partition("Examples:")[2]
    found = re.findall(rf"  penchant {group} ([\w-]+)(.*)", examples)
    assert len(found) > 1
    for command, rest in found:
        options = set(re.findall(r"--[a-z][a-z-]+", cli(group, command, "--help").stdout))
        assert set(re.findall(r"--[a-z][a-z-]+", rest)) <= options, command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "No such command 'trian'."),
        (["train", "--user", "a", "--item", "b"], "Missing option '--data'"),
        (["train", "--dta", "x"], "No such option"),
        (["recommend"], "Missing argument 'ARTIFACT'"),
        (["recommend", "somewhere", "--user", "1", "-k", "ten"], "'-k'"),
        (["demo", "--seed", "-1"], "--seed"),
        (["demo", "--epochs", "0"], "--epochs"),
    ],
)
def test_bad_usage_is_one_line_that_points_to_the_help(refused, arguments, words):
    line = refused(*arguments)
    assert words.lower() in line.lower()
    assert "--help)" in line


def test_debug_shows_the_traceback_in_any_position(cli):
    for arguments in (["--debug", "recommend", "nowhere", "--user", "1"],
                      ["recommend", "nowhere", "--user", "1", "--debug"]):  # fmt: skip
        result = cli(*arguments)
        assert result.exit_code == 2
        assert "Traceback" in result.stderr
        assert result.stderr.splitlines()[-1].startswith("error: ")


def test_a_bug_is_one_line_and_exit_code_1(cli, monkeypatch):
    def broken():
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("penchant.config.read_config", broken)
    result = cli("config")
    assert result.exit_code == 1
    assert result.stderr == "error: unexpected ZeroDivisionError: oops (--debug shows where)\n"


def test_ctrl_c_is_one_word_and_exit_code_130(cli, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("penchant.config.read_config", interrupted)
    result = cli("config")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_a_reader_that_has_had_enough_is_no_error(artifact):
    command = f"{sys.executable} -m penchant recommend {artifact} -k 9 --include-seen "
    command += " ".join(f"--user {17000 + i % 40}" for i in range(4000)) + " | head -n 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert result.stdout.split() == ["customer", "product", "score", "rank"]
    assert result.stderr == ""


def test_a_wrong_isa_is_one_clear_line(process, monkeypatch):
    monkeypatch.setenv("PENCHANT_ISA", "mmx")
    result = process("config")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "PENCHANT_ISA" in result.stderr


def test_no_arguments_show_the_help(cli):
    result = cli()
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == cli("--help").stdout
    assert len(result.stdout.splitlines()) > 10


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("negative_values='drop' drops such rows", "--negative-values drop drops such rows"),
        ("unknown='popular' or unknown='drop'", "--unknown popular or --unknown drop"),
        ("with timestamp_unit='s', 'ms' or 'ns'", "with --timestamp-unit s, ms or ns"),
        ("random_state=-1 or random_state=7 in it", "random_state=-1 or --seed 7 in it"),
        ("--unknown='guess' is not one", "--unknown='guess' is not one"),
        ("an unknown user, my_unknown='x'", "an unknown user, my_unknown='x'"),
    ],
)
def test_errors_and_notes_name_options_not_python_arguments(cli, monkeypatch, message, line):
    def refusing():
        warnings.warn(message, PenchantWarning, stacklevel=2)
        raise ParameterError(message)

    monkeypatch.setattr("penchant.config.read_config", refusing)
    assert cli("config").stderr == f"note: {line}\nerror: {line}\n"


def test_start_up_is_light():
    code = (
        "import sys; from penchant.cli.app import app\n"
        "heavy = {'pandas', 'pyarrow', 'numpy', 'narwhals', 'matplotlib', 'fastapi'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr


def test_output_in_a_pipe_has_no_control_characters(process, artifact):
    for arguments in (["--help"], ["recommend", artifact, "--user", 17001], ["nonsense"]):
        result = process(*arguments)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", result.stdout + result.stderr)


def test_module_and_help_are_quick(process):
    best = min(_seconds(process) for _ in range(3))
    assert best < 2.0  # 0.2 s on an idle machine; a heavy import would add a second


def _seconds(process) -> float:
    start = time.perf_counter()
    assert process("--help").returncode == 0
    return time.perf_counter() - start
