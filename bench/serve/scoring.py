"""Scoring alone, in one process: 32 waiting requests through the application, against NumPy.

No socket and no HTTP parser take part, so this is what decoding, recommending and encoding cost.
Our side is asked as uvicorn asks it, 32 requests at once. The other is what a hand-written handler
does with one request: all scores by a product, `numpy.argpartition`, a sort, `json.dumps`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import lists
from bench.report import Report
from bench.serve.servers import PATH
from bench.serve.subject import TOP, Subject, items_of
from bench.timing import Measured, Side, interleave, ratio
from penchant.errors import PenchantError

TOGETHER = 32
OURS, NUMPY = f"penchant, {TOGETHER} waiting", "NumPy argpartition, one by one"


@dataclass(frozen=True)
class Cost:
    """Seconds of one request."""

    wall: float
    cpu: float  # of all threads of the process


def run(options: argparse.Namespace, subject: Subject, report: Report) -> Cost:
    """Return what a request costs our side."""
    bodies = subject.bodies()
    theirs = numpy_handler(subject)
    cpu: dict[str, list[float]] = {OURS: [], NUMPY: []}
    with Asked(subject) as ours:
        check(report, subject, ours, theirs)
        groups = [bodies[i : i + TOGETHER] for i in range(0, len(bodies), TOGETHER)][:-1]

        def one_by_one(group: list[bytes]) -> list[bytes]:
            return [theirs(body) for body in group]

        sides = [
            Side(OURS, run=lambda _: all_of(groups, ours.together)),
            Side(NUMPY, run=lambda _: all_of(groups, one_by_one)),
        ]
        interleave(sides, 1)
        measured = interleave(sides, options.repeats, lambda name, used: cpu[name].append(used))
        batches = [timed(ours.together, group) for group in groups]
    count = len(groups) * TOGETHER
    tell(report, options, subject, measured, cpu, count)
    print(f"a batch of {TOGETHER} takes {1e3 * np.median(batches):.2f} ms")
    return Cost(measured[OURS].median / count, float(np.median(cpu[OURS])) / count)


def all_of(groups: list[list[bytes]], answer: Callable[[list[bytes]], Any]) -> float:
    """Answer all, and return the CPU time that took."""
    began = time.process_time()
    for group in groups:
        answer(group)
    return time.process_time() - began


def tell(
    report: Report,
    options: argparse.Namespace,
    subject: Subject,
    measured: dict[str, Measured],
    cpu: dict[str, list[float]],
    count: int,
) -> None:
    times = ratio(measured[OURS], measured[NUMPY])
    spent = {name: float(np.median(seconds)) for name, seconds in cpu.items()}
    report.table(
        f"scoring alone, top {TOP} of {len(subject.model.items_):,}, one process: {count} "
        f"requests, {options.repeats} runs each",
        ["side", "us a request", "requests/s", "against ours", "CPU us", "by CPU"],
        [
            [
                side.name,
                f"{1e6 * side.median / count:.1f}",
                f"{count / side.median:,.0f}",
                None if side.name == OURS else str(times),
                f"{1e6 * spent[side.name] / count:.1f}",
                f"{spent[side.name] / spent[OURS]:.2f}x",
            ]
            for side in measured.values()
        ],
    )
    report.results["scoring"] = {
        "requests": count,
        "ratio": times.as_dict(),
        "sides": {name: side.as_dict() | {"cpu": cpu[name]} for name, side in measured.items()},
    }
    report.figure("scoring", times.median)


def timed(call: Callable[[Any], Any], argument: Any) -> float:
    began = time.perf_counter()
    call(argument)
    return time.perf_counter() - began


class Asked:
    """The application, asked by its ASGI interface on an event loop of its own."""

    def __init__(self, subject: Subject) -> None:
        from penchant.serving import create_app

        self.app: Any = create_app(subject.path)

    def __enter__(self) -> Asked:
        self.loop = _new_loop()
        return self

    def __exit__(self, *_: Any) -> None:
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def together(self, bodies: list[bytes]) -> list[bytes]:
        """Ask for all at once and return the answers."""
        return self.loop.run_until_complete(self._together(bodies))

    async def _together(self, bodies: list[bytes]) -> list[bytes]:
        return await asyncio.gather(*(self._ask(body) for body in bodies))

    async def _ask(self, body: bytes) -> bytes:
        sent: list[Any] = []
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Any:
            return next(messages, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(_scope(len(body)), receive, send)
        if sent[0]["status"] != 200:
            raise PenchantError(f"{PATH} was answered with {sent}")
        return b"".join(message.get("body", b"") for message in sent[1:])


def _scope(length: int) -> dict[str, Any]:
    headers = [
        (b"host", b"127.0.0.1"),
        (b"content-type", b"application/json"),
        (b"content-length", str(length).encode()),
    ]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }


def _new_loop() -> asyncio.AbstractEventLoop:
    """Make one of uvloop's, which uvicorn takes too where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    made: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return made


def numpy_handler(subject: Subject) -> Callable[[bytes], bytes]:
    """Return what people write: a dict of users, a product, argpartition, json."""
    users, items, biases = subject.model._factors()
    rows = dict(zip(subject.model.users_.to_list(), range(len(users)), strict=True))
    names = subject.model.items_.to_list()

    def answer(body: bytes) -> bytes:
        asked = json.loads(body)
        scores: NDArray[np.float32] = items @ users[rows[asked["user_id"]]]
        if biases is not None:
            scores = scores + biases
        best = np.argpartition(scores, -TOP)[-TOP:]
        best = best[np.argsort(-scores[best])]
        found = [
            {"item_id": names[row], "score": score}
            for row, score in zip(best.tolist(), scores[best].tolist(), strict=True)
        ]
        return json.dumps({"user_id": asked["user_id"], "items": found}).encode()

    return answer


def check(report: Report, subject: Subject, ours: Asked, theirs: Callable[[bytes], bytes]) -> None:
    """Compare the lists of both; handlers like theirs do not leave out what was seen."""
    everything = [
        json.dumps({"user_id": user, "exclude_seen": False}).encode() for user in subject.users
    ]
    wanted = subject.expected()
    got = [items_of(answer) for answer in ours.together(subject.bodies())]
    wrong = sum(one != other for one, other in zip(got, wanted, strict=True))
    report.check(wrong == 0, f"{wrong} of {len(got)} answers differ from model.recommend")
    users, items, biases = subject.model._factors()

    def score(rows: Any, ids: Any) -> Any:
        pairs = users[subject.codes[rows]].astype(np.float64) * items[ids]
        return pairs.sum(axis=1) + (0 if biases is None else biases[ids])

    codes = [
        subject.model.items_.codes([name for body in answers for name in items_of(body)])
        for answers in (ours.together(everything), [theirs(body) for body in everything])
    ]
    found = lists.compare(
        *(part.reshape(-1, TOP) for part in codes), np.arange(len(everything)), score
    )
    report.check(found.agrees, f"scoring, seen items not left out: {found}")
