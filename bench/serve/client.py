"""An open-loop client: `python -m bench.serve.client`, a process of its own.

Request i is due at ``start + i / rate``, whatever happened to those before it, and its latency runs
from that moment to the last byte of its answer: a server that stalls is charged with every request
that fell due meanwhile. (wrk sends the next one only when the last was answered, and so asks least
just when the server is slowest.) A request that finds all connections busy waits for one; that is
counted and is part of its latency.

Standard input gives the settings as a line of JSON; its end stops a run without `seconds`. A line
on standard output says when the first request is due.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import selectors
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

_GRACE_SECONDS = 20.0  # for answers that are still missing at the end
_HEADER_END = b"\r\n\r\n"
LOST = 0  # instead of the HTTP status, where the connection broke or no answer came


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to send. `bodies` is a file with a body a line, taken in turn."""

    port: int
    path: str
    bodies: str
    out: str
    rate: float
    seconds: float | None = None
    connections: int = 64


class Connection(asyncio.Protocol):
    """A kept-alive connection; at most one request is on its way."""

    __slots__ = ("buffer", "load", "number", "transport")

    def __init__(self, load: Load) -> None:
        self.load = load
        self.buffer = b""
        self.number = -1
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if self.buffer:
            data = self.buffer + data
        content = parse_answer(data)
        if content is None:
            self.buffer = data
            return
        self.buffer = b""
        number, self.number = self.number, -1
        self.load.answered(self, number, now, *content)

    def connection_lost(self, _: Exception | None) -> None:
        self.load.lost(self)


def parse_answer(data: bytes) -> tuple[int, bytes] | None:
    """Return status and body once all of it is there.

    Examples
    --------
    >>> parse_answer(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
    (200, b'{}')
    >>> parse_answer(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\n{")
    """
    end = data.find(_HEADER_END)
    if end < 0:
        return None
    head = data[:end].lower()
    at = head.find(b"content-length:")
    if at < 0:
        raise ValueError(f"an answer without a content-length: {head!r}")
    length = int(head[at + 15 :].partition(b"\r")[0])
    first = end + len(_HEADER_END)
    if len(data) < first + length:
        return None
    return int(head[9:12]), data[first : first + length]


class Load:
    """Sends the requests and keeps when each was due, sent and answered, and the answer."""

    def __init__(self, settings: Settings, requests: list[bytes]) -> None:
        self.settings = settings
        self.requests = requests
        self.step = 1 / settings.rate
        self.free: list[Connection] = []
        self.everyone: set[Connection] = set()
        self.sent: list[float] = []
        self.done: dict[int, tuple[float, int, int]] = {}
        self.answers: dict[bytes, int] = {}
        self.waited = 0
        self.start = 0.0
        self.end = float("inf")  # what is due then and later is not sent
        self.last = float("inf")  # no answer is waited for beyond
        self.timer: asyncio.TimerHandle | None = None
        self.finished = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    async def connect(self) -> None:
        _, made = await self.loop.create_connection(
            lambda: Connection(self), "127.0.0.1", self.settings.port
        )
        self.everyone.add(made)
        self.free.append(made)

    async def run(self) -> None:
        for _ in range(self.settings.connections):
            await self.connect()
        self.start = time.monotonic() + 0.05
        if self.settings.seconds is not None:
            self.end = self.start + self.settings.seconds
        self.pump()
        print("sending", flush=True)
        await self.finished.wait()

    def pump(self) -> None:
        """Send all that is due, and come back for the next one."""
        self.timer = None
        while self.free:
            due = self.start + len(self.sent) * self.step
            now = time.monotonic()
            if due >= self.end:
                self.check_end()
                return
            if due > now:
                self.timer = self.loop.call_at(due, self.pump)
                return
            connection = self.free.pop()
            connection.number = number = len(self.sent)
            self.sent.append(now)
            connection.transport.write(self.requests[number % len(self.requests)])
        self.waited += 1  # the next one finds no free connection

    def answered(
        self, connection: Connection, number: int, now: float, status: int, body: bytes
    ) -> None:
        self.done[number] = (now, status, self.answers.setdefault(body, len(self.answers)))
        self.free.append(connection)
        if self.timer is None:
            self.pump()

    def lost(self, connection: Connection) -> None:
        self.everyone.discard(connection)
        if connection in self.free:
            self.free.remove(connection)
        elif connection.number >= 0:
            nothing = self.answers.setdefault(b"", len(self.answers))
            self.done[connection.number] = (time.monotonic(), LOST, nothing)
        if not self.finished.is_set():
            self.reconnect_later()

    async def reconnect(self) -> None:
        try:
            await self.connect()
        except OSError:
            if not self.finished.is_set():
                self.loop.call_later(0.05, self.reconnect_later)
            return
        if self.timer is None:
            self.pump()

    def reconnect_later(self) -> None:
        self.reconnecting = self.loop.create_task(self.reconnect())

    def stop(self) -> None:
        """Send nothing more, not even what is due and waits for a connection."""
        self.loop.remove_reader(sys.stdin)
        self.end = self.start + len(self.sent) * self.step
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.check_end()

    def check_end(self) -> None:
        """Finish once everything is answered, or the time for that is over."""
        missing = len(self.sent) - len(self.done)
        now = time.monotonic()
        self.last = min(self.last, now + _GRACE_SECONDS)
        if not missing or now > self.last:
            self.finished.set()
        elif self.timer is None:
            self.timer = self.loop.call_later(0.02, self.pump_end)

    def pump_end(self) -> None:
        self.timer = None
        self.check_end()


async def drive(settings: Settings, requests: list[bytes]) -> Load:
    load = Load(settings, requests)
    if settings.seconds is None:
        load.loop.add_reader(sys.stdin, load.stop)  # readable: at its end
    await load.run()
    return load


def main() -> None:
    settings = Settings(**json.loads(sys.stdin.readline()))
    bodies = Path(settings.bodies).read_bytes().splitlines()
    requests = [http_request(settings.path, body) for body in bodies]
    # epoll and poll, and uvloop's timers, count in milliseconds; select in microseconds.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    gc.disable()  # a collection would look like a slow server
    began, used = time.monotonic(), time.process_time()
    load = loop.run_until_complete(drive(settings, requests))
    share = (time.process_time() - used) / (time.monotonic() - began)
    write(load, Path(settings.out), share)


def http_request(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def write(load: Load, out: Path, cpu_share: float) -> None:
    numbers = np.arange(len(load.sent))
    if len(load.done) < len(numbers):
        nothing = load.answers.setdefault(b"", len(load.answers))
        for number in set(numbers.tolist()) - set(load.done):
            load.done[number] = (load.last, LOST, nothing)
    done = [load.done[number] for number in numbers.tolist()]
    np.savez(
        out,
        due=load.start + numbers * load.step,
        sent=np.array(load.sent, np.float64),
        done=np.array([one[0] for one in done], np.float64),
        status=np.array([one[1] for one in done], np.int64),
        answer=np.array([one[2] for one in done], np.int64),
        waited=load.waited,
        cpu_share=cpu_share,
    )
    texts = [answer.decode("utf8", "replace") for answer in load.answers]
    out.with_suffix(".answers.json").write_text(json.dumps(texts))


if __name__ == "__main__":
    main()
