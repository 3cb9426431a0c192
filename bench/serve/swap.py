"""Swapping the model under full load: no answer may fail, be mixed, or come from the old model."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import Report
from bench.serve import open_loop, wrk
from bench.serve.client import Settings
from bench.serve.latency import most
from bench.serve.open_loop import Found
from bench.serve.servers import NAME, PATH, TOKEN, Server, penchant_server
from bench.serve.subject import Subject

_PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class Swap:
    """A PUT: when it was sent and answered (`time.monotonic`), and the version it brought."""

    began: float
    ended: float
    version: str


@dataclass(frozen=True)
class Verdict:
    """What became of the answers; `stale` were asked for after the swap that replaced them."""

    answers: int
    failed: int
    mixed: int
    stale: int
    by_version: dict[str, int]


def run(
    options: argparse.Namespace,
    subjects: Sequence[Subject],
    folder: Path,
    report: Report,
    maximum: float | None,
) -> None:
    bodies = wrk.write_bodies(folder / "bodies.txt", subjects[0].bodies())
    expected = {version_of(one.path): one.expected() for one in subjects}
    alike = sum(one == other for one, other in zip(*expected.values(), strict=True))
    report.check(
        len(expected) == 2 and alike == 0,
        f"{alike} users get the same from both models, which would hide a mix",
    )
    with penchant_server(subjects[0].path, folder / "ours.log") as server:
        if maximum is None:
            maximum = most(server, options, bodies)
        settings = Settings(server.port, PATH, str(bodies), str(folder / "swap.npz"), maximum)
        with open_loop.running(settings):
            swaps = alternate(server, subjects, options.swaps)
    found = open_loop.read(settings)
    tell(report, maximum, swaps, found, judge(found, swaps, expected))


def version_of(artifact: Path) -> str:
    return hashlib.sha256((artifact / "model.json").read_bytes()).hexdigest()[:12]


def alternate(server: Server, subjects: Sequence[Subject], count: int) -> list[Swap]:
    """Put the second model, the first, the second, ..., one after the other."""
    swaps = []
    time.sleep(1)  # the load comes up
    for number in range(1, count + 1):
        subject = subjects[number % 2]
        body = json.dumps({"artifact": str(subject.path.resolve())}).encode()
        began = time.monotonic()
        answer = json.loads(server.post(f"/v1/models/{NAME}", body, "PUT", TOKEN))
        swaps.append(Swap(began, time.monotonic(), answer["version"]))
        time.sleep(_PAUSE_SECONDS)
    return swaps


def judge(found: Found, swaps: Sequence[Swap], expected: dict[str, list[list[Any]]]) -> Verdict:
    """Check every answer: 200, the items of the version it names, and not of a model replaced.

    Mixed is an answer whose items are not those that the version it names has for this user.
    """
    n_users = len(next(iter(expected.values())))
    users = np.arange(len(found.due)) % n_users
    good = found.status == 200
    pairs, places = np.unique(
        np.stack([users[good], found.answer[good]]), axis=1, return_inverse=True
    )
    read = [(user, json.loads(found.answers[answer])) for user, answer in pairs.T.tolist()]
    right = np.array(
        [
            [item["item_id"] for item in document["items"]]
            == expected.get(document["version"], {user: None})[user]
            for user, document in read
        ],
        bool,
    )[places.ravel()]
    versions = np.array([document["version"] for _, document in read])[places.ravel()]
    stale = 0
    sent = found.sent[good]
    for swap, after in zip(swaps, [*swaps[1:], None], strict=True):
        until = np.inf if after is None else after.began
        stale += int(
            np.count_nonzero((sent > swap.ended) & (sent < until) & (versions != swap.version))
        )
    names, counts = np.unique(versions, return_counts=True)
    return Verdict(
        answers=len(found.due),
        failed=found.failed,
        mixed=int(np.count_nonzero(~right)),
        stale=stale,
        by_version=dict(zip(names.tolist(), counts.tolist(), strict=True)),
    )


def tell(
    report: Report, rate: float, swaps: Sequence[Swap], found: Found, verdict: Verdict
) -> None:
    seconds = [swap.ended - swap.began for swap in swaps]
    per_second = len(found.due) / (found.done.max() - found.due[0])
    report.table(
        f"{len(swaps)} swaps while {rate:,.0f} requests/s were due, {per_second:,.0f} answered",
        ["answers", "failed", "mixed", "stale", "swap s, median", "longest"],
        [
            [
                f"{verdict.answers:,}",
                verdict.failed,
                verdict.mixed,
                verdict.stale,
                f"{np.median(seconds):.2f}",
                f"{max(seconds):.2f}",
            ]
        ],
    )
    print(
        "mixed: items that are not those of the version named; stale: asked for after the PUT of "
        f"the next version was answered. Answers by version: {verdict.by_version}"
    )
    report.check(len(verdict.by_version) == 2, "both versions answered")
    report.check(verdict.failed + verdict.mixed == 0, "no answer failed or was mixed")
    report.check(verdict.stale == 0, "no answer came from a model that had been replaced")
    report.results["swap"] = {"rate": rate, "swap_seconds": seconds, **vars(verdict)}
    report.figure("failed or mixed", verdict.failed + verdict.mixed)
