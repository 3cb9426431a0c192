"""The record of questions: complete when the server has ended, of whole lines always."""

import asyncio
import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import httpx
import pytest
from small_models import WARNINGS, wait_until_healthy

from endpoint_support import wait_until as wait_for_long
from penchant.errors import RequestError
from penchant.serving import create_app
from penchant.serving import recorder as recorder_module
from penchant.serving.questions import read_question
from penchant.serving.recorder import Recorder

wait_until = functools.partial(wait_for_long, seconds=20)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_holds_question_context_and_answer(tmp_path):
    recorder = Recorder(tmp_path / "record.jsonl")
    said = {"user_id": "ü", "k": 3, "where": "price < 3", "context": {"device": "\ud800"}}
    question = read_question(said, "recommend")
    recorder.write_many("shop", "0a1b", [question] * 2, [b'{"items": []}', RequestError("no")])
    recorder.close()
    first, second = lines(tmp_path / "record.jsonl")
    assert first["question"] == said
    assert (first["model"], first["version"], first["answer"]) == ("shop", "0a1b", {"items": []})
    assert second["error"] == "no"


def test_what_cannot_be_written_is_counted_and_the_next_line_is_whole(tmp_path):
    class Full:
        """A disk that takes half a line and no more, once."""

        def __init__(self, file):
            self.file, self.calls = file, 0

        def write(self, data):
            self.calls += 1
            if self.calls == 2:
                raise OSError(28, "No space left on device")
            return self.file.write(data[: len(data) // 2] if self.calls == 1 else data)

        def close(self):
            self.file.close()

    recorder = Recorder(tmp_path / "record.jsonl")
    recorder._file = Full(recorder._file)
    question = read_question({"user_id": "1"}, "recommend")
    for number in range(3):
        recorder.write_many("shop", str(number), [question], [b"{}"])
    recorder.close()
    torn, *whole = (tmp_path / "record.jsonl").read_text().splitlines()
    assert recorder.dropped == 1
    with pytest.raises(ValueError, match=r"Unterminated|Expecting|delimiter"):
        json.loads(torn)
    assert [json.loads(line)["version"] for line in whole] == ["1", "2"]


def test_lines_that_are_dropped_are_logged_once_and_told(tmp_path, monkeypatch, caplog, artifact):
    """A disk that hangs: the queue fills, answers go on, and somebody learns of it."""
    monkeypatch.setattr(recorder_module, "_MOST_WAITING", 2)
    door = threading.Event()

    class Hanging:
        def write(self, data):
            assert door.wait(600)
            return len(data)

        def close(self):
            pass

    recorder = Recorder(tmp_path / "record.jsonl")
    recorder._file.close()
    recorder._file = Hanging()
    question = read_question({"user_id": "1"}, "recommend")
    app = create_app(artifact, recorder=recorder)
    try:
        for _ in range(50):
            recorder.write_many("shop", "0", [question], [b"{}"])
        assert 47 <= recorder.dropped <= 48  # one is being written, or not yet
        assert len(caplog.records) == 1
        assert "more was asked than could be written" in caplog.text
        told = asyncio.run(ping(app))
        assert told == {"status": "healthy", "unrecorded": recorder.dropped}
    finally:
        door.set()
        app.state.server.close()
    assert f"{recorder.dropped} questions are not in" in caplog.text


def test_many_lines_are_dropped_together_and_counted(tmp_path, monkeypatch):
    """A body is taken whole while there is room; of one that fails half-way, the rest is lost."""
    monkeypatch.setattr(recorder_module, "_LINES", 2)
    monkeypatch.setattr(recorder_module, "_MOST_WAITING", 6)
    recorder = Recorder(tmp_path / "record.jsonl")
    door = threading.Event()
    question = read_question({"user_id": "1"}, "recommend")

    def pairs(n):
        assert door.wait(600)
        for number in range(n):
            if number == 7:
                raise OSError("no more")
            yield question, b"{}"

    recorder.write_later("shop", "0", 5, 0, lambda: pairs(5))
    recorder.write_later("shop", "1", 9, 0, lambda: pairs(9))  # there is room for one
    recorder.write_later("shop", "2", 4, 0, lambda: pairs(4))
    assert recorder.dropped == 4
    door.set()
    recorder.close()
    assert [line["version"] for line in lines(tmp_path / "record.jsonl")] == ["0"] * 5 + ["1"] * 6
    assert recorder.dropped == 4 + 3


def test_what_is_written_makes_room(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_module, "_MOST_WAITING", 10)
    monkeypatch.setattr(recorder_module, "_MOST_BYTES", 10_000)
    recorder = Recorder(tmp_path / "record.jsonl")
    question = read_question({"user_id": "1"}, "recommend")
    for _ in range(8):
        recorder.write_many("shop", "0", [question] * 6, [b"{}"] * 6)
        wait_until(lambda: recorder._held == recorder._held_bytes == 0)
    recorder.close()
    assert recorder.dropped == 0
    assert len(lines(tmp_path / "record.jsonl")) == 48


def hold(recorder):
    """Make a recorder wait for an event, which is returned."""
    door = threading.Event()

    def nothing():
        assert door.wait(600)
        return ()

    recorder.write_later("shop", "0", 0, 0, nothing)
    return door


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        ({"user_id": "1"}, b'{"items": [%b]}' % (b" " * 6000)),
        ({"user_id": "1", "context": {"page": "x" * 800}}, b"{}"),
        ({"history": ["x" * 800]}, b"{}"),
        ({"user_id": "1", "exclude": ["x" * 800]}, b"{}"),
    ],
)
def test_what_waits_takes_so_much_memory_and_no_more(tmp_path, monkeypatch, said, reply):
    monkeypatch.setattr(recorder_module, "_MOST_BYTES", 10_000)
    recorder = Recorder(tmp_path / "record.jsonl")
    door = hold(recorder)
    question = read_question(said, "recommend")
    for _ in range(4):
        recorder.write_many("shop", "0", [question], [reply])
    assert recorder.dropped == 2
    door.set()
    recorder.close()
    assert len(lines(tmp_path / "record.jsonl")) == 2


def test_large_bodies_count_with_their_memory(tmp_path, monkeypatch, artifact):
    monkeypatch.setattr(recorder_module, "_MOST_BYTES", 10_000)
    recorder = Recorder(tmp_path / "record.jsonl")
    door = hold(recorder)
    app = create_app(artifact, recorder=recorder)
    body = json.dumps([{"user_id": user} for user in range(100)])
    try:
        for _ in range(2):
            assert asyncio.run(post(app, "/invocations", body)).status_code == 200
        assert recorder.dropped == 100
    finally:
        door.set()
        app.state.server.close()


def test_a_batch_is_put_in_the_queue_at_once(tmp_path, artifact):
    recorder = Recorder(tmp_path / "record.jsonl")
    put = []
    write_later = recorder.write_later
    recorder.write_later = lambda *given: (put.append(given[2]), write_later(*given))
    app = create_app(artifact, recorder=recorder)
    body = json.dumps([{"user_id": user} for user in range(32)])
    assert asyncio.run(post(app, "/v1/recommend", body)).status_code == 200
    app.state.server.close()
    assert put == [32]
    assert len(lines(tmp_path / "record.jsonl")) == 32


def test_a_torn_line_of_another_process_stays_alone(tmp_path):
    path = tmp_path / "record.jsonl"
    path.write_text('{"time": "2026-01-01"}\n{"time": "20')
    question = read_question({"user_id": "1"}, "recommend")
    several = [Recorder(path) for _ in range(3)]
    for recorder in several:
        recorder.write_many("shop", "0", [question], [b"{}"])
        recorder.close()
    whole, torn, *new = path.read_text().split("\n")
    assert (whole, torn, new.pop()) == ('{"time": "2026-01-01"}', '{"time": "20', "")
    assert [json.loads(line)["version"] for line in new] == ["0"] * 3


def test_a_torn_line_is_ended_later_where_the_disk_is_full_at_first(tmp_path):
    path = tmp_path / "record.jsonl"
    path.write_text("torn")
    with path.open("rb") as cannot_write:
        assert not recorder_module._end_last_line(cannot_write, path)
    path.write_text("whole\n")
    with path.open("rb") as cannot_write:
        assert recorder_module._end_last_line(cannot_write, path)


def test_a_reply_with_line_ends_is_one_line(tmp_path):
    recorder = Recorder(tmp_path / "record.jsonl")
    question = read_question({"user_id": "1"}, "recommend")
    recorder.write_many("shop", "0", [question] * 2, [b'{"user_id":\n "a\r\nb"}', b"{}"])
    recorder.close()
    first, second = lines(tmp_path / "record.jsonl")
    assert first["answer"] == {"user_id": "a  b"}
    assert second["answer"] == {}


def full_pipe(tmp_path):
    """Make a pipe that nobody empties; return its path and the end that is not read."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path, os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def test_a_file_that_hangs_is_given_up(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(recorder_module, "_HUNG_SECONDS", 0.3)
    path, reader = full_pipe(tmp_path)
    recorder = Recorder(path)
    question = read_question({"user_id": "1"}, "recommend")
    for _ in range(3):
        recorder.write_many("shop", "0", [question], [b'"%b"' % (b"x" * 2**20)])
    closing = threading.Thread(target=recorder.close, daemon=True)
    closing.start()
    closing.join(20)
    hangs = closing.is_alive()
    os.close(reader)  # the write fails now
    recorder._thread.join(20)
    assert not hangs
    assert f"3 questions are not in {path}" in caplog.text


def test_a_slow_file_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_module, "_HUNG_SECONDS", 1.0)
    monkeypatch.setattr(recorder_module, "_LINES", 1)
    recorder = Recorder(tmp_path / "record.jsonl")
    question = read_question({"user_id": "1"}, "recommend")

    def pairs():
        for _ in range(15):
            time.sleep(0.1)
            yield question, b"{}"

    recorder.write_later("shop", "0", 15, 0, pairs)
    recorder.close()
    assert recorder.dropped == 0
    assert len(lines(tmp_path / "record.jsonl")) == 15


def test_what_comes_after_the_end_is_counted(tmp_path):
    recorder = Recorder(tmp_path / "record.jsonl")
    recorder.close()
    recorder.write_many("shop", "0", [read_question({"user_id": "1"}, "recommend")], [b"{}"])
    recorder.close()
    assert recorder.dropped == 1


async def post(app, path, body):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post(path, content=body)


async def ping(app):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.get("/ping")).json()


@contextlib.contextmanager
def recording(artifact, record, log):
    """`penchant serve --record`: its process, and where it listens."""
    command = [sys.executable, *WARNINGS, "-m", "penchant", "serve", str(artifact), "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, "--record", str(record)], stderr=output)
    try:
        while b"http://" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
        address = "http" + log.read_text().partition("on http")[2].split()[0]
        wait_until_healthy(address, process, log)
        yield process, address
    finally:
        process.kill()
        process.wait(60)


def ask_900(address, times):
    body = json.dumps([{"user_id": str(user)} for user in range(900)]).encode()
    for _ in range(times):
        with urllib.request.urlopen(f"{address}/v1/recommend", body) as response:
            assert len(json.load(response)) == 900


def test_a_server_ends_though_its_record_hangs(artifact, tmp_path):
    path, reader = full_pipe(tmp_path)
    log = tmp_path / "log"
    with recording(artifact, path, log) as (process, address):
        ask_900(address, 2)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    os.close(reader)
    assert f"questions are not in {path}" in log.read_text()


def test_everything_answered_is_recorded_when_the_server_ends(artifact, tmp_path):
    record, log = tmp_path / "record.jsonl", tmp_path / "log"
    with recording(artifact, record, log) as (process, address):
        ask_900(address, 5)
        # Plain bodies, which are answered a column at a time, however long they are.
        for media, plain in PLAIN.items():
            headers = {"Content-Type": media, "X-Amzn-SageMaker-Custom-Attributes": "k=1"}
            request = urllib.request.Request(f"{address}/invocations", plain, headers)
            with urllib.request.urlopen(request) as response:
                assert len(json.load(response)) == 20_000
        process.send_signal(signal.SIGTERM)
        process.wait(120)
    found = lines(record)
    assert len(found) == 4500 + len(PLAIN) * 20_000
    for start in range(4500, len(found), 20_000):
        some = found[start : start + 20_000]
        assert [line["question"] for line in some] == [
            {"user_id": str(user), "k": 1} for user in range(20_000)
        ]
        assert all(len(line["answer"]["items"]) == 1 for line in some)
        assert all(str(line["answer"]["user_id"]) == line["question"]["user_id"] for line in some)


PLAIN = {
    "application/json": json.dumps([{"user_id": user} for user in range(20_000)]).encode(),
    "application/jsonlines": b"\n".join(b'{"user_id": %d}' % user for user in range(20_000)),
    "text/csv": b"\n".join(b"%d" % user for user in range(20_000)),
}
