"""A small shop on disk, an artifact trained on it by the command, and a way to run commands."""

from __future__ import annotations

import subprocess
import sys
from inspect import signature

import pandas as pd
import pytest
from typer.testing import CliRunner

from penchant.cli.app import app

TASTES = (
    ("green tea", "black tea", "tea pot", "tea cup", "honey"),
    ("red pen", "blue ink", "paper", "ruler", "eraser"),
)


def make_shop() -> pd.DataFrame:
    """Forty customers of two tastes: no item of one taste is ever bought by the other."""
    rows = []
    for customer in range(40):
        taste = TASTES[customer % 2]
        for step in range(4):
            item = taste[(customer // 2 + step) % 5]
            rows.append((17000 + customer, item, 1 + step, pd.Timestamp("2024-01-01")))
    return pd.DataFrame(rows, columns=["customer", "product", "pieces", "at"])


@pytest.fixture
def shop_frame():
    """Return the shop as a frame to be changed."""
    return make_shop()


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """Path of the shop as Parquet."""
    path = tmp_path_factory.mktemp("shop") / "shop.parquet"
    make_shop().to_parquet(path)
    return path


@pytest.fixture(scope="session")
def artifact(shop, tmp_path_factory):
    """Path of a BPR artifact trained on the shop."""
    path = tmp_path_factory.mktemp("artifacts") / "artifact"
    result = run_cli(
        *("train", "--data", shop, "--user", "customer", "--item", "product", "--out", path),
        *("--param", "factors=8", "--param", "epochs=40"),
    )
    assert result.exit_code == 0, result.output
    return path


def run_cli(*arguments):
    """Run a command in this process; `.stdout`, `.stderr` and `.exit_code` tell what happened."""
    # Before click 8.2 stderr had to be asked for; since then there is no option.
    split = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
    return CliRunner(**split).invoke(app, [str(argument) for argument in arguments])


def run_process(*arguments, **options):
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "penchant", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture
def cli():
    """Run a command in this process."""
    return run_cli


@pytest.fixture(scope="session")
def process():
    """Run a command in a process of its own."""
    return run_process


@pytest.fixture
def refused():
    """Run a command that must fail: exit code 2 and one line on stderr."""

    def check(*arguments) -> str:
        result = run_cli(*arguments)
        assert result.exit_code == 2, result.output
        lines = result.stderr.splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("error: ")
        assert "Traceback" not in result.output
        return lines[0].removeprefix("error: ")

    return check
