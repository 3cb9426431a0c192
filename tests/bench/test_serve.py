"""The parts of `python -m bench serve`, against small servers that misbehave as told."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from bench.all.rows import ROWS
from bench.serve import open_loop, subject, swap, wrk
from bench.serve.client import LOST, Settings, parse_answer
from bench.serve.open_loop import Found
from bench.serve.servers import bare_server, free_port
from bench.serve.swap import Swap

from penchant.errors import PenchantError

ROOT = Path(__file__).resolve().parents[2]
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"'


@contextmanager
def serving(answer) -> Iterator[int]:
    """Serve on a thread; `answer(number, writer)` is awaited for each request, from 0."""
    loop = asyncio.new_event_loop()
    count = iter(range(10**9))

    async def handle(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                await reader.readexactly(length)
                await answer(next(count), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = loop.run_until_complete(asyncio.start_server(handle, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:

        async def end():
            server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def drive(folder: Path, port: int, **options) -> Found:
    bodies = wrk.write_bodies(folder / "bodies.txt", [b"{}"])
    out = str(folder / "found.npz")
    settings = Settings(port, "/", str(bodies), out, **{"rate": 200, "seconds": 1.0, **options})
    return open_loop.run(settings)


def test_requests_are_sent_at_their_times(tmp_path):
    async def answer(number, writer):
        writer.write(OK)

    with serving(answer) as port:
        found = drive(tmp_path, port)
    assert len(found.due) == 200
    assert found.sent[-1] - found.sent[0] > 0.9
    assert (found.sent >= found.due).all()
    assert (found.done >= found.sent).all()
    assert found.failed == 0
    assert found.answers == ['{"']


def test_a_stall_is_charged_to_all_that_fell_due_meanwhile(tmp_path):
    """The server stops once, for half a second: 2 in 5 requests wait a tenth of one and more."""
    stalled = []

    async def answer(number, writer):
        if number == 50:
            stalled.append(number)
            await asyncio.sleep(0.5)
        writer.write(OK)

    with serving(answer) as port:
        found = drive(tmp_path, port, connections=1)
    assert stalled == [50]
    late = found.done - found.due > 0.1
    assert np.count_nonzero(late) >= 80
    assert found.latency(75) > 100
    assert found.waited > 0
    assert found.failed == 0


def test_broken_connections_and_errors_are_failures(tmp_path):
    async def answer(number, writer):
        if number == 20:
            writer.transport.abort()
        elif number == 30:
            writer.write(OK.replace(b"200 OK", b"500 Oh"))
        else:
            writer.write(OK)

    with serving(answer) as port:
        found = drive(tmp_path, port, connections=4)
    assert found.failed == 2
    assert sorted(found.status[found.status != 200].tolist()) == [LOST, 500]
    assert len(found.due) == 200  # a new connection takes the place of the broken one


def test_a_run_without_an_end_ends_with_its_block(tmp_path):
    async def answer(number, writer):
        writer.write(OK)

    bodies = wrk.write_bodies(tmp_path / "bodies.txt", [b"{}"])
    with serving(answer) as port:
        settings = Settings(port, "/", str(bodies), str(tmp_path / "f.npz"), rate=500)
        with open_loop.running(settings):
            threading.Event().wait(1.0)
    found = open_loop.read(settings)
    assert len(found.due) > 0
    assert found.failed == 0


def test_a_client_that_cannot_connect_says_why(tmp_path):
    with pytest.raises(PenchantError, match="ConnectionRefusedError"):
        drive(tmp_path, free_port())


def test_what_waits_for_a_connection_at_the_end_is_not_sent(tmp_path):
    """A tenth of the rate is answered; the rest is not made up for after the block."""

    async def answer(number, writer):
        await asyncio.sleep(0.1)
        writer.write(OK)

    bodies = wrk.write_bodies(tmp_path / "bodies.txt", [b"{}"])
    out = str(tmp_path / "f.npz")
    with serving(answer) as port:
        settings = Settings(port, "/", str(bodies), out, rate=100, connections=1)
        with open_loop.running(settings):
            threading.Event().wait(2.0)
    found = open_loop.read(settings)
    assert 0 < len(found.due) < 50
    assert found.failed == 0


def test_answers_in_pieces_are_put_together():
    whole = b"HTTP/1.1 404 Not Found\r\nContent-length: 3\r\nx: y\r\n\r\nabc"
    for cut in range(len(whole)):
        assert parse_answer(whole[:cut]) is None
    assert parse_answer(whole) == (404, b"abc")


def judged(answers: list[tuple[str, str]], *, sent: list[float] | None = None, status: int = 200):
    """Judge answers of (version, item) to users 0, 1, 0, 1, ...; a swap to "b" ended at 2.5."""
    texts = [json.dumps({"items": [{"item_id": i}], "version": v}) for v, i in answers]
    numbers = np.arange(len(texts), dtype=float)
    found = Found(
        numbers,
        np.array(sent or numbers),
        numbers + 0.1,
        np.array([200] * (len(texts) - 1) + [status]),
        np.arange(len(texts)),
        texts,
        waited=0,
        cpu_share=0.0,
    )
    expected = {"a": [["a0"], ["a1"]], "b": [["b0"], ["b1"]]}
    return swap.judge(found, [Swap(2.0, 2.5, "b")], expected)


GOOD = [("a", "a0"), ("a", "a1"), ("b", "b0"), ("b", "b1")]


def test_good_answers_are_neither_mixed_nor_stale():
    verdict = judged(GOOD)
    assert (verdict.answers, verdict.failed, verdict.mixed, verdict.stale) == (4, 0, 0, 0)
    assert verdict.by_version == {"a": 2, "b": 2}


@pytest.mark.parametrize("wrong", [("a", "b1"), ("a", "a0"), ("c", "a1")])
def test_items_of_another_version_or_user_are_mixed(wrong):
    assert judged([GOOD[0], wrong, *GOOD[2:]]).mixed == 1


def test_an_old_version_after_the_swap_is_stale():
    assert judged([*GOOD[:3], ("a", "a1")]).stale == 1
    assert judged([*GOOD[:3], ("a", "a1")], sent=[0, 1, 2, 2.4]).stale == 0


def test_errors_are_failed_and_not_looked_into():
    verdict = judged([*GOOD[:3], ("a", "b0")], status=503)
    assert (verdict.failed, verdict.mixed, verdict.stale) == (1, 0, 0)


def test_wrk_reports_are_read():
    report = (
        "  100 requests in 2.00s, 1MB read\n"
        "  Socket errors: connect 0, read 2, write 0, timeout 1\n"
        "  Non-2xx or 3xx responses: 3\n"
        "Requests/sec:     50.00\n"
    )
    assert wrk.parse(report, 0.2) == wrk.Load(50.0, 100, 0.002, errors=6)
    with pytest.raises(PenchantError, match="no answers"):
        wrk.parse("unable to connect", 0.0)


@pytest.mark.parametrize("kind", ["fastapi", "starlette", "asgi"])
def test_bare_servers_answer_with_the_file(tmp_path, kind):
    answer = tmp_path / "answer.json"
    answer.write_bytes(b'{"a": 1}')
    with bare_server(kind, answer, tmp_path / "log") as server:
        assert server.post("/v1/recommend", b"{}") == b'{"a": 1}'
        assert server.cpu_seconds() > 0
        assert 1e6 < server.pss()["Pss"] < 1e9
    assert server.process.returncode is not None


def test_a_server_that_does_not_start_says_why(tmp_path):
    with (
        pytest.raises(PenchantError, match="FileNotFoundError"),
        bare_server("asgi", tmp_path / "missing.json", tmp_path / "log"),
    ):
        pass


@pytest.mark.slow
@pytest.mark.skipif(wrk.missing() is not None, reason="wrk is not installed")
def test_all_parts_on_little_data(tmp_path):
    path = tmp_path / "serve.json"
    little = ("--data", "generated", "--items", "400", "--epochs", "2", "--megabytes", "2")
    short = ("--repeats", "1", "--seconds", "1", "--swaps", "3")
    done = subprocess.run(
        [sys.executable, "-m", "bench", "serve", *little, *short, "--json", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "check: FAILED" not in done.stdout
    results = json.loads(path.read_text())["results"]
    figures = results["figures"]
    wanted = {row.figure for row in ROWS if row.run == "serve"}
    assert wanted <= set(figures)
    assert figures["failed or mixed"] == 0
    assert results["swap"]["answers"] > 0
    assert len(results["swap"]["swap_seconds"]) == 3
    assert figures["scoring"] > 0
    assert set(results["latency"]) == {"penchant serve", "bare ASGI, same rate"}
    assert str(tmp_path) not in path.read_text()


def test_without_wrk_only_scoring_is_measured():
    """`PATH` is empty, as on a machine without wrk."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "serve", "--only", "memory"],
        cwd=ROOT,
        env=os.environ | {"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "wrk is not installed: apt-get install wrk" in done.stdout


def test_generated_data_have_every_user_and_item():
    events = subject.training_data("generated", 500)
    assert (events.n_users, events.n_items) == (2 * subject.USERS, 500)
