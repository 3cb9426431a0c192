"""`python -m bench all`: runs the other tasks one by one and prints one table."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.all.rows import ROWS, RUNS, Row
from bench.report import Report
from penchant import _core
from penchant.errors import ParameterError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", action="store_true", help="the large runs too")
    parser.add_argument("--only", action="append", metavar="RUN", help="by name; repeatable")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(".cache/bench"),
        help="where finished runs are kept; a run newer than the extension is not repeated",
    )
    parser.add_argument("--fresh", action="store_true", help="repeat finished runs")


def run(options: argparse.Namespace, report: Report) -> None:
    chosen = choose_runs(options)
    options.folder.mkdir(parents=True, exist_ok=True)
    waiting = [
        name for name in chosen if options.fresh or not is_current(result_path(options, name))
    ]
    minutes = sum(RUNS[name].minutes for name in waiting)
    print(
        f"{len(waiting)} of {len(chosen)} runs to do, about {minutes:.0f} minutes on two quiet "
        f"threads; finished runs are kept in {options.folder.name}, so stopping loses one at most"
    )
    for name in waiting:
        execute(name, result_path(options, name), report)
    figures = {name: read_figures(result_path(options, name)) for name in chosen}
    report.results["figures_by_run"] = figures
    report.table(
        "figures of this machine; floors and goals are those of two threads",
        ["row", "figure", "floor", "goal", "", "python -m bench ..."],
        [line(row, figures[row.run]) for row in ROWS if row.run in figures],
    )


def choose_runs(options: argparse.Namespace) -> list[str]:
    unknown = set(options.only or ()) - set(RUNS)
    if unknown:
        raise ParameterError(f"--only: no run {', '.join(unknown)}; runs: {', '.join(RUNS)}")
    if options.only:
        return [name for name in RUNS if name in options.only]
    return [name for name, entry in RUNS.items() if options.scale or not entry.large]


def result_path(options: argparse.Namespace, name: str) -> Path:
    folder: Path = options.folder
    return folder / f"{name}.json"


def is_current(path: Path) -> bool:
    """Whether a finished run is newer than the extension it measured."""
    return path.exists() and path.stat().st_mtime > Path(_core.__file__).stat().st_mtime


def execute(name: str, path: Path, report: Report) -> None:
    """Do one run in a process of its own; its output goes to a log beside the result."""
    arguments = shlex.split(RUNS[name].arguments)
    log = path.with_suffix(".log")
    print(f"{name}: python -m bench {RUNS[name].arguments} ...", end=" ", flush=True)
    began = time.perf_counter()
    path.unlink(missing_ok=True)
    with log.open("w", encoding="utf8") as output:
        command = [sys.executable, "-m", "bench", *arguments, "--json", str(path)]
        code = subprocess.run(
            command, stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode
    print(f"{time.perf_counter() - began:.0f} s" + (f", FAILED ({code})" if code else ""))
    if code:
        tail = log.read_text(encoding="utf8").splitlines()[-1:]
        report.failures.append(f"{name}: exit code {code}: {' '.join(tail)} (see {log.name})")


def read_figures(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    results = json.loads(path.read_text(encoding="utf8"))["results"]
    figures: dict[str, Any] = results.get("figures", {})
    return figures


def line(row: Row, figures: dict[str, Any]) -> list[Any]:
    value = figures.get(row.figure)
    command = RUNS[row.run].arguments
    return [row.title, value, row.floor, row.goal, verdict(row, value), command]


def verdict(row: Row, value: float | None) -> str:
    """Say whether a figure reaches the goal, the floor, or neither."""
    if value is None:
        return "not measured"
    sign = -1 if row.smaller_is_better else 1

    def reaches(bound: float | None) -> bool:
        return bound is not None and sign * value >= sign * bound

    if reaches(row.goal):
        return "goal"
    if row.floor is None:
        return ""
    return "floor" if reaches(row.floor) else "BELOW"
