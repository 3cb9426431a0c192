"""`python -m bench demo`: the whole job in a process of its own, as somebody at a shell runs it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import penchant as pc
from bench.report import Report
from bench.timing import Side, interleave
from penchant.errors import PenchantError

_RETAIL = ("--user", "CustomerID", "--item", "Description", "--timestamp", "InvoiceDate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", choices=("online-retail-ii", "generated"), default="online-retail-ii"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of the demo's own")


def run(options: argparse.Namespace, report: Report) -> None:
    arguments: list[str] = []
    if options.data == "online-retail-ii":
        pc.datasets.load(options.data)  # says what is missing, and warms the page cache
        table = Path(os.environ["PENCHANT_DATA"]) / options.data / "transactions.parquet"
        arguments = ["--data", str(table.expanduser().resolve()), *_RETAIL]
    if options.epochs:
        arguments += ["--epochs", str(options.epochs)]
    name = "penchant demo"
    side = Side(name, run=lambda _: run_demo(arguments, options.threads))
    measured = interleave([side], options.repeats)[name]
    report.results["sides"] = {name: measured.as_dict()}
    print(last_steps(measured.output))
    report.table(
        f"penchant demo, {options.data}, whole process, {options.repeats} runs",
        ["side", "median s", "min - max"],
        [[name, measured.median, measured.spread()]],
    )


def run_demo(arguments: list[str], threads: int) -> str:
    """Run the demo in an empty folder and return what it printed."""
    environment = os.environ | {"PENCHANT_NUM_THREADS": str(threads), "PYTHONIOENCODING": "utf8"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "penchant", "demo", *arguments, "--out", "demo"],
            cwd=folder,
            env=environment,
            capture_output=True,
            encoding="utf8",
            check=False,
        )
    if done.returncode:
        raise PenchantError(f"penchant demo failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def last_steps(output: str) -> str:
    """Return the demo's own account of what each step took."""
    _, found, steps = output.partition("What each step took")
    return (found + steps.partition("\n\n")[0]).strip()
