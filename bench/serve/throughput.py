"""Requests a second under wrk, against servers that answer a constant, in turns."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import numpy as np

from bench.report import Report
from bench.serve import bare, wrk
from bench.serve.servers import PATH, Server, bare_server, penchant_server
from bench.serve.subject import TOP, Subject, items_of
from bench.timing import Measured, ratio

OURS = "penchant serve"
BARE_ASGI = "(c) bare ASGI"
_TITLES = {
    bare.FASTAPI: "(a) bare FastAPI",
    bare.STARLETTE: "(b) bare Starlette",
    bare.ASGI: BARE_ASGI,
}


def run(
    options: argparse.Namespace, subject: Subject, folder: Path, report: Report
) -> dict[str, wrk.Load]:
    """Return each server's run with the median of requests a second."""
    bodies = wrk.write_bodies(folder / "bodies.txt", subject.bodies())
    loads: dict[str, list[wrk.Load]] = {}
    with contextlib.ExitStack() as stack:
        servers = {OURS: stack.enter_context(penchant_server(subject.path, folder / "ours.log"))}
        size = check(report, subject, servers[OURS], folder / "answer.json")
        for kind, title in _TITLES.items():
            log = folder / f"{kind}.log"
            servers[title] = stack.enter_context(bare_server(kind, folder / "answer.json", log))
        for server in servers.values():
            wrk.run(server, bodies, 1)
        names = list(servers)
        for turn in range(options.repeats):
            first = turn % len(names)
            for name in [*names[first:], *names[:first]]:
                load = wrk.run(servers[name], bodies, options.seconds)
                loads.setdefault(name, []).append(load)
    return tell(report, options, subject, size, loads)


def check(report: Report, subject: Subject, server: Server, answer: Path) -> int:
    """Compare some answers with the model's; keep one, whose size the bare servers send."""
    wanted = subject.expected()[:50]
    got = [server.post(PATH, body) for body in subject.bodies()[:50]]
    wrong = sum(items_of(one) != other for one, other in zip(got, wanted, strict=True))
    report.check(wrong == 0, f"{wrong} of {len(got)} answers differ from model.recommend")
    middle = sorted(got, key=len)[len(got) // 2]
    return answer.write_bytes(middle)


def tell(
    report: Report,
    options: argparse.Namespace,
    subject: Subject,
    size: int,
    loads: dict[str, list[wrk.Load]],
) -> dict[str, wrk.Load]:
    measured = {
        name: Measured(name, [1 / load.per_second for load in found])
        for name, found in loads.items()
    }
    spent = {
        name: 1e6 * float(np.median([load.cpu_seconds for load in found]))
        for name, found in loads.items()
    }
    rows = []
    for name in [OURS, *_TITLES.values()]:
        per_second = [load.per_second for load in loads[name]]
        share = None if name == OURS else ratio(measured[OURS], measured[name])
        shown = None if share is None else percent(share.median, share.low, share.high)
        spread = f"{min(per_second):,.0f} - {max(per_second):,.0f}"
        by_cpu = f"{spent[name] / spent[OURS]:.0%}"
        cells = [f"{np.median(per_second):,.0f}", spread, shown, f"{spent[name]:.0f}", by_cpu]
        rows.append([name, *cells])
        if share is not None:
            report.figure(f"throughput against {name[4:]}", share.median)
    report.table(
        f"POST {PATH}, top {TOP} of {len(subject.model.items_):,}, {len(subject.users):,} "
        f"users, {size}-byte answers, wrk with {wrk.CONNECTIONS} connections on the same "
        f"CPUs, {options.repeats} runs of {options.seconds:g} s each",
        ["server, one worker", "requests/s", "min - max", "ours against it", "CPU us", "by CPU"],
        rows,
    )
    print(
        "(a) is the row of the table: a handler that FastAPI calls with nothing to do. What "
        "FastAPI itself costs is no work of ours: (c) has nothing but uvicorn below it. 'CPU us' "
        "is what a request costs the server's process, 'by CPU' the same ratio by that."
    )
    errors = sum(load.errors for load in loads[OURS])
    report.check(errors == 0, f"{errors} answers of ours under load were not 200")
    report.results["throughput"] = {
        name: {
            "per_second": [load.per_second for load in found],
            "cpu_seconds": [load.cpu_seconds for load in found],
        }
        for name, found in loads.items()
    }
    return {
        name: sorted(found, key=lambda load: load.per_second)[len(found) // 2]
        for name, found in loads.items()
    }


def percent(middle: float, low: float, high: float) -> str:
    return f"{middle:.0%} ({low:.0%} - {high:.0%})"
