"""`python -m bench cold_start`: process start to a healthy `/ping`, and shared memory."""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from bench.cold_start import artifact
from bench.cold_start.server import Server, serving
from bench.report import Report
from penchant.models.prepared import open_served

Serve = Callable[[Path], AbstractContextManager[Server]]

_BATCH = 50  # users of a request
_TOP_N = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--users", type=int, default=2_200_000)
    parser.add_argument("--items", type=int, default=1_300_000)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5, help="later starts")
    parser.add_argument("--asked", type=int, default=20_000, help="users each server answers")
    parser.add_argument("--folder", type=Path, help="where 2 GB fit; default: the temporary one")


def run(options: argparse.Namespace, report: Report) -> None:
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name) / "artifact"
        os.environ["PENCHANT_HOME"] = str(Path(name) / "home")
        model = artifact.write(folder, options.users, options.items, options.factors)
        size = artifact.n_bytes(folder, derived=False)
        print(f"artifact: {size / 1e9:.2f} GB, {options.users:,} users, {options.items:,} items")
        tiny = Path(name) / "tiny"
        artifact.write(tiny, 100, 100, options.factors)
        asked = _users(options.users, 2 * _BATCH, seed=9)
        rows, _ = model.recommend_codes(asked[:_BATCH], k=_TOP_N)
        expected = [str(model.items_[int(row)]) for row in rows.reshape(-1)]
        del model
        start = functools.partial(serving, compiled=Path(name) / "compiled")
        with start(tiny):  # compiles
            pass
        _starts(options, report, start, folder, tiny, asked, expected)
        _memory(options, report, start, folder, size)


def _starts(
    options: argparse.Namespace,
    report: Report,
    serve: Serve,
    folder: Path,
    tiny: Path,
    asked: np.ndarray,
    expected: list[str],
) -> None:
    found: dict[str, list[Server]] = {}

    def start(name: str, path: Path, check: bool = True, written: bool = False) -> None:
        with serve(path) as server:
            found.setdefault(name, []).append(server)
            if check:
                got = [record["item_id"] for record in server.ask(_names(asked[:_BATCH]), _TOP_N)]
                report.check(got == expected, f"{name}: the answers of the model itself")
            if written:  # the server answers before; who opens the same artifact waits for it
                open_served(path)

    start("first: verifies, makes the index", folder, written=True)
    prepared = artifact.n_bytes(folder, derived=True)
    print(f"made from it: {prepared / 1e9:.2f} GB")
    for _ in range(options.repeats):
        start("later", folder)
    for _ in range(options.repeats):
        artifact.forget(folder)
        start("later, files not in memory", folder)
    for _ in range(options.repeats):
        start("later, 100 users and 100 items", tiny, check=False)
    table = []
    for name, servers in found.items():
        seconds = sorted(server.seconds for server in servers)
        median = seconds[len(seconds) // 2]
        cpu = float(np.median([server.cpu_seconds for server in servers]))
        report.figure(name, median)
        report.results.setdefault("starts", {})[name] = {"seconds": seconds, "cpu_seconds": cpu}
        spread = f"{seconds[0]:.2f} - {seconds[-1]:.2f}"
        table.append([name, f"{median:.2f}", spread, f"{cpu:.2f}", len(seconds)])
    report.table(
        "process start to /ping 200",
        ["start", "median s", "min - max", "CPU s", "runs"],
        table,
    )


def _memory(
    options: argparse.Namespace, report: Report, serve: Serve, folder: Path, size: int
) -> None:
    users = _users(options.users, options.asked, seed=1)
    with serve(folder) as first:
        idle = first.memory()
        _ask_all(first, users)
        alone = first.memory()
        with serve(folder) as second:
            _ask_all(second, users)
            ours, theirs = first.memory(), second.memory()
    both = {name: ours[name] + theirs[name] for name in ours}
    added = both["Pss"] - alone["Pss"]
    share = added / alone["Pss"]
    report.figure("PSS added by a second process, share", share)
    report.results["memory"] = {"idle": idle, "alone": alone, "both": both, "share": share}
    rows = {"one, idle": idle, "one": alone, "two": both}
    report.table(
        f"memory (PSS) of server processes that have each answered {len(users):,} users, MB",
        ["processes", "all", "anonymous", "of files"],
        [
            [name, *(f"{part[key] / 1e6:.0f}" for key in ("Pss", "Pss_Anon", "Pss_File"))]
            for name, part in rows.items()
        ],
    )
    print(
        f"the second one adds {added / 1e6:.0f} MB: {share:.1%} of the first one, "
        f"{added / size:.1%} of the artifact"
    )


def _users(n_users: int, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n_users)[:count]


def _names(codes: np.ndarray) -> list[str]:
    return [f"user-{code:08}" for code in codes]


def _ask_all(server: Server, users: np.ndarray) -> None:
    for start in range(0, len(users), _BATCH):
        server.ask(_names(users[start : start + _BATCH]), _TOP_N)
