"""`python -m bench import`: what a script waits for before its first line of work."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.models import implicit_missing
from bench.report import Report
from bench.timing import Side, interleave
from penchant.errors import MissingFileError, PenchantError

_STATEMENTS = {
    "bare interpreter": "pass",
    "import numpy": "import numpy",
    "import penchant": "import penchant",
    "penchant.Interactions, BPR": "import penchant; penchant.Interactions; penchant.BPR",
}
_RIVAL = {"import implicit": "import implicit"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="weigh this wheel too")


def run(options: argparse.Namespace, report: Report) -> None:
    if options.wheel is not None and not options.wheel.is_file():
        raise MissingFileError(f"there is no wheel {options.wheel}")
    statements = dict(_STATEMENTS)
    missing = implicit_missing()
    if missing:
        report.note(missing)
    else:
        statements |= _RIVAL
    reported: dict[str, list[float]] = {name: [] for name in statements}
    sides = [
        Side(name, run=lambda _, statement=statement: run_fresh(statement))
        for name, statement in statements.items()
    ]
    interleave(sides, 1)
    measured = interleave(sides, options.repeats, lambda name, s: reported[name].append(s))
    rows = []
    for name, side in measured.items():
        values = sorted(reported[name])
        inside = values[len(values) // 2]
        found = {"whole_process": side.as_dict(), "statement_seconds": reported[name]}
        report.results.setdefault("sides", {})[name] = found | {"statement_median": inside}
        report.figure(name, inside)
        spread = f"{values[0]:.3f} - {values[-1]:.3f}"
        rows.append([name, f"{inside:.3f}", spread, f"{side.median:.3f}"])
    report.table(
        f"fresh processes, {options.repeats} runs each",
        ["statement", "median s", "min - max", "whole process s"],
        rows,
    )
    if options.wheel is not None:
        size = options.wheel.stat().st_size
        report.results["wheel_bytes"] = size
        print(f"\nwheel {options.wheel.name}: {size:,} bytes = {size / 1e6:.2f} MB")


def run_fresh(statement: str) -> float:
    """Return the seconds a statement takes in a new process, outside the checkout."""
    code = f"import time; t = time.perf_counter()\n{statement}\nprint(time.perf_counter() - t)"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise PenchantError(f"{statement!r} failed: {done.stderr.strip()[-2000:]}")
    return float(done.stdout)
