"""The record of questions: complete when the server has ended, of whole lines always."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import urllib.request

import httpx
import pytest
from small_models import WARNINGS, wait_until_healthy

from penchant.errors import RequestError
from penchant.serving import create_app
from penchant.serving import recorder as recorder_module
from penchant.serving.questions import read_question
from penchant.serving.recorder import Recorder


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_holds_question_context_and_answer(tmp_path):
    recorder = Recorder(tmp_path / "record.jsonl")
    said = {"user_id": "ü", "k": 3, "where": "price < 3", "context": {"device": "\ud800"}}
    recorder.write("shop", "0a1b", read_question(said, "recommend"), b'{"items": []}')
    recorder.write("shop", "0a1b", read_question(said, "recommend"), RequestError("no"))
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
        recorder.write("shop", str(number), question, b"{}")
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
            recorder.write("shop", "0", question, b"{}")
        assert 47 <= recorder.dropped <= 48  # one is being written, or not yet
        assert len(caplog.records) == 1
        assert "does not follow" in caplog.text
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

    recorder.write_many("shop", "0", 5, lambda: pairs(5))
    recorder.write_many("shop", "1", 9, lambda: pairs(9))  # there is room for one
    recorder.write_many("shop", "2", 4, lambda: pairs(4))
    assert recorder.dropped == 4
    door.set()
    recorder.close()
    assert [line["version"] for line in lines(tmp_path / "record.jsonl")] == ["0"] * 5 + ["1"] * 6
    assert recorder.dropped == 4 + 3


async def ping(app):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.get("/ping")).json()


def test_everything_answered_is_recorded_when_the_server_ends(artifact, tmp_path):
    record, log = tmp_path / "record.jsonl", tmp_path / "log"
    command = [sys.executable, *WARNINGS, "-m", "penchant", "serve", str(artifact), "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, "--record", str(record)], stderr=output)
    try:
        while b"http://" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
        address = "http" + log.read_text().partition("on http")[2].split()[0]
        wait_until_healthy(address, process, log)
        body = json.dumps([{"user_id": str(user)} for user in range(900)]).encode()
        for _ in range(5):
            with urllib.request.urlopen(f"{address}/v1/recommend", body) as response:
                assert len(json.load(response)) == 900
        # Plain bodies, which are answered a column at a time, however long they are.
        for media, plain in PLAIN.items():
            headers = {"Content-Type": media, "X-Amzn-SageMaker-Custom-Attributes": "k=1"}
            request = urllib.request.Request(f"{address}/invocations", plain, headers)
            with urllib.request.urlopen(request) as response:
                assert len(json.load(response)) == 20_000
    finally:
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
