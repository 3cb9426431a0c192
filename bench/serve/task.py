"""`python -m bench serve`: the server under load, each part against what it stands on."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench.report import Report
from bench.serve import latency, memory, scoring, swap, throughput, wrk
from bench.serve.subject import SETS, Subject, make, training_data

PARTS = ("throughput", "scoring", "latency", "swap", "memory")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--data", choices=SETS, default="gowalla")
    parser.add_argument("--items", type=int, default=41_000, help="of the generated data")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of a run under load")
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument(
        "--megabytes", type=int, default=1_000, help="item factors of the memory part's artifact"
    )


def run(options: argparse.Namespace, report: Report) -> None:
    parts = list(options.only)
    missing = wrk.missing()
    if missing and set(parts) - {"scoring"}:
        report.note(f"{missing}; only scoring can be measured without it")
        parts = [part for part in parts if part == "scoring"]
    with tempfile.TemporaryDirectory(prefix="penchant-bench-") as name:
        folder = Path(name)
        subjects = prepare(options, parts, folder)
        found: dict[str, wrk.Load] = {}
        if "throughput" in parts:
            found = throughput.run(options, subjects[0], folder, report)
        if "scoring" in parts:
            cost = scoring.run(options, subjects[0], report)
            if found:
                bound(report, found, cost)
        maximum = found[throughput.OURS].per_second if found else None
        if "latency" in parts:
            latency.run(options, subjects[0], folder, report, maximum)
        if "swap" in parts:
            swap.run(options, subjects, folder, report, maximum)
        if "memory" in parts:
            memory.run(options, folder, report)


def prepare(options: argparse.Namespace, parts: list[str], folder: Path) -> list[Subject]:
    """Train the model that is served, and the other one if models are to be swapped."""
    count = 0 if parts in ([], ["memory"]) else 2 if "swap" in parts else 1
    if not count:
        return []
    events = training_data(options.data, options.items)
    return [
        make(events, folder / f"model-{seed}", epochs=options.epochs, seed=seed)
        for seed in range(count)
    ]


def bound(report: Report, found: dict[str, wrk.Load], cost: scoring.Cost) -> None:
    """Say what the scoring leaves of the bare ASGI server, and how near the server comes.

    By CPU time: other load on the machine stretches the clock's, and a batch is scored on one CPU
    while another reads requests.
    """
    bare_asgi = found[throughput.BARE_ASGI].cpu_seconds
    ours = found[throughput.OURS].cpu_seconds
    least = bare_asgi + cost.cpu
    print(
        f"end to end: {1e6 * bare_asgi:.0f} us of CPU of bare ASGI and {1e6 * cost.cpu:.0f} us of "
        f"scoring allow {1 / least:,.0f} requests/s of a CPU; the server takes {1e6 * ours:.0f} "
        f"us, which is {least / ours:.0%} of that rate"
    )
    report.results["bound"] = {"cpu_seconds": least, "reached": least / ours}
    report.figure("share of the bound", least / ours)
