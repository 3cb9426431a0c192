"""Latency at half the maximum throughput, by the open-loop client."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import numpy as np

from bench.report import Report
from bench.serve import bare, open_loop, wrk
from bench.serve.client import Settings
from bench.serve.open_loop import Found
from bench.serve.servers import PATH, Server, bare_server, penchant_server
from bench.serve.subject import Subject
from bench.serve.throughput import OURS

BARE = "bare ASGI, same rate"
_WARM_SECONDS = 0.5
_SPARE = 0.5


def run(
    options: argparse.Namespace,
    subject: Subject,
    folder: Path,
    report: Report,
    maximum: float | None,
) -> None:
    """Measure ours, and a server that answers a constant: what is the client's and machine's."""
    bodies = wrk.write_bodies(folder / "bodies.txt", subject.bodies())
    found: dict[str, list[Found]] = {}
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(penchant_server(subject.path, folder / "ours.log"))
        answer = folder / "constant.json"
        answer.write_bytes(ours.post(PATH, subject.bodies()[0]))
        constant = stack.enter_context(bare_server(bare.ASGI, answer, folder / "bare.log"))
        if maximum is None:
            maximum = most(ours, options, bodies)
        rate = maximum * _SPARE
        servers = {OURS: ours, BARE: constant}
        for _ in range(options.repeats):
            for name, server in servers.items():
                out = str(folder / "latency.npz")
                seconds = options.seconds + _WARM_SECONDS
                settings = Settings(server.port, PATH, str(bodies), out, rate, seconds)
                found.setdefault(name, []).append(open_loop.run(settings).after(_WARM_SECONDS))
    tell(report, options, rate, found)


def most(server: Server, options: argparse.Namespace, bodies: Path) -> float:
    """Return the requests a second that wrk gets answered: the median of three runs."""
    runs = [wrk.run(server, bodies, options.seconds).per_second for _ in range(3)]
    return float(np.median(runs))


def tell(
    report: Report, options: argparse.Namespace, rate: float, found: dict[str, list[Found]]
) -> None:
    columns = (50.0, 99.0, 99.9)
    rows = []
    for name, runs in found.items():
        latency = [float(np.median([one.latency(p) for one in runs])) for p in columns]
        tails = [one.latency(99) for one in runs]
        lag = np.median([one.lag(99) for one in runs])
        cpu = np.median([one.cpu_share for one in runs])
        waited = sum(one.waited for one in runs)
        spread = f"{min(tails):.2f} - {max(tails):.2f}"
        row = [f"{value:.2f}" for value in latency]
        rows.append([name, *row, spread, f"{lag:.2f}", f"{cpu:.0%}", waited])
        report.results.setdefault("latency", {})[name] = {
            "rate": rate,
            "p50_ms": latency[0],
            "p99_ms": tails,
            "p99.9_ms": latency[2],
            "client_lag_p99_ms": float(lag),
        }
    report.table(
        f"latency in ms at {rate:,.0f} requests/s (half the maximum), sent at times fixed "
        f"beforehand; medians of {options.repeats} runs of {options.seconds:g} s",
        ["server", "p50", "p99", "p99.9", "p99 of runs", "client late p99", "client CPU", "queued"],
        rows,
    )
    print(
        "Latency runs from when a request was due. 'client late' is the part of it before the "
        "client sent it; 'queued' requests found no free connection when they were due."
    )
    failed = sum(one.failed for one in found[OURS])
    report.check(failed == 0, f"{failed} answers were not 200")
    tails = [one.latency(99) for one in found[OURS]]
    report.figure("latency p99 ms", float(np.median(tails)))
