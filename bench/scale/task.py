"""`python -m bench scale`: time and peak memory of every model at 1x, 10x and 100x the rows."""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from typing import Any

from bench.report import Report
from bench.scale.one import SETTINGS

TIMES = (1, 10, 100)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=500_000, help="at 1x; 500,000")
    parser.add_argument("--largest", type=int, choices=TIMES, default=10, help="100 takes long")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="of sizes below the largest")
    parser.add_argument("--model", action="append", choices=list(SETTINGS), help="repeatable")


def run(options: argparse.Namespace, report: Report) -> None:
    factors = [factor for factor in TIMES if factor <= options.largest]
    found: dict[str, list[dict[str, Any]]] = {}
    for name in options.model or SETTINGS:
        for factor in factors:
            repeats = 1 if factor == 100 else options.repeats
            runs = [measure(name, options.rows * factor, options.threads) for _ in range(repeats)]
            runs.sort(key=lambda run: run["seconds"])
            found.setdefault(name, []).append(runs[len(runs) // 2])
            show(found[name][-1])
    report.results["runs"] = found
    rows = [row(name, runs) for name, runs in found.items()]
    report.table(
        "growth: 1 is linear (log of the time over log of the rows, last step); memory: the data's "
        "CSR and the most that the process grew by in fit, over that CSR and the model's weights",
        ["model", *(f"s at {factor}x" for factor in factors), "growth", "memory"],
        rows,
    )
    for line in rows:
        report.figure(f"{line[0]} growth", line[-2])
        report.figure(f"{line[0]} memory", line[-1])
    report.figure("largest growth", max(line[-2] for line in rows))
    report.figure("largest memory", max(line[-1] for line in rows))


def row(name: str, runs: list[dict[str, Any]]) -> list[Any]:
    first, last = runs[-2], runs[-1]
    growth = math.log(last["seconds"] / first["seconds"]) / math.log(last["rows"] / first["rows"])
    memory = last["peak_bytes"] / (last["csr_bytes"] + last["weights_bytes"])
    return [name, *(run["seconds"] for run in runs), growth, memory]


def measure(name: str, rows: int, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.scale.one", name, str(rows), str(threads)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def show(result: dict[str, Any]) -> None:
    print(
        f"{result['model']}: {result['rows']:,} rows, {result['users']:,} users, "
        f"{result['items']:,} items: {result['seconds']:.2f} s, peak "
        f"{result['peak_bytes'] / 2**20:,.0f} MiB for {result['csr_bytes'] / 2**20:,.0f} MiB of "
        f"CSR and {result['weights_bytes'] / 2**20:,.0f} MiB of weights"
    )
