"""`penchant serve --workers`: processes that share a socket, and who replaces them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from http.client import HTTPConnection

import pytest
from hostile_support import PATIENCE, children, serving
from small_models import TOKEN, WARNINGS

import penchant as pc
from endpoint_support import wait_until
from penchant.serving import workers

SLOW = pytest.mark.slow
WORKERS = ("--workers", "2")


def asked(server):
    url = f"http://127.0.0.1:{server.port}/recommend?user_id=u1&k=2"
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        return json.load(response)


def put(server, artifact):
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/v1/models/default",
        json.dumps({"artifact": str(artifact)}).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"},
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=PATIENCE).close()


def class_of(server):
    """What whichever worker answers has."""
    url = f"http://127.0.0.1:{server.port}/v1/models"
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        return json.load(response)[0]["class"]


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def both(server):
    """The workers' numbers, when both are there and one of them answers."""
    wait_until(lambda: len(children(server.process.pid)) == 2)
    asked(server)
    return children(server.process.pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=SLOW)])
def test_all_end_with_the_first_when_they_have_answered(artifact, number):
    with serving(artifact, *WORKERS) as server:
        pids = both(server)
        with open(f"/proc/{server.process.pid}/maps") as maps:
            assert str(artifact) not in maps.read()
        body = b'{"user_id": "u1"}'
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as slow:
            head = f"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
            slow.sendall(head.encode() + body[:5])
            time.sleep(0.5)  # a worker has begun with it
            server.process.send_signal(number)
            time.sleep(0.5)
            slow.sendall(body[5:])
            answer = b""
            while part := slow.recv(65_536):
                answer += part
        assert answer.startswith(b"HTTP/1.1 200")
        assert server.process.wait(PATIENCE) == 0
        assert server.stop() == 0
        assert not any(map(is_alive, pids))
        assert "Traceback" not in "".join(server.log)


@SLOW
def test_a_worker_that_dies_is_replaced(artifact):
    with serving(artifact, *WORKERS) as server:
        before = both(server)
        expected = asked(server)
        for pid in before:  # both, so that it is the new ones that answer
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: pid not in children(server.process.pid))
            wait_until(lambda: len(children(server.process.pid)) == 2)
        assert not set(before) & set(children(server.process.pid))
        assert [asked(server) for _ in range(20)] == [expected] * 20
        assert server.stop() == 0


@SLOW
def test_the_others_go_on_where_no_replacement_can_start(artifact, tmp_path, monkeypatch):
    monkeypatch.setenv("PENCHANT_ADMIN_TOKEN", TOKEN)
    mine, other = tmp_path / "artifact", tmp_path / "other"
    pc.Popularity().fit(pc.Interactions.from_sequences([["tea", "jam"]])).save(other)
    shutil.copytree(artifact, mine)
    with serving(mine, *WORKERS) as server:
        before = both(server)
        expected = asked(server)
        mine.rename(tmp_path / "away")
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: "exited with code 1" in "".join(server.log))
        assert "error: no Penchant artifact" in "".join(server.log)
        assert [asked(server) for _ in range(20)] == [expected] * 20
        (tmp_path / "away").rename(mine)
        said = len(server.log)
        wait_until(lambda: len([one for one in children(server.process.pid) if is_alive(one)]) == 2)
        time.sleep(0.5)
        assert [asked(server) for _ in range(20)] == [expected] * 20
        assert before[1] in children(server.process.pid)
        # A worker that failed did not take away what the others follow.
        put(server, other)
        wait_until(lambda: {class_of(server) for _ in range(20)} == {"Popularity"})
        assert server.stop() == 0
        assert "Traceback" not in "".join(server.log[said:])


@SLOW
def test_whatever_it_is_that_keeps_a_replacement_from_starting(artifact, tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    with serving(artifact, *WORKERS, "--record", str(folder / "a.jsonl")) as server:
        before = both(server)
        shutil.rmtree(folder)
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: "exited with code 1" in "".join(server.log))
        assert len(asked(server)) == 2
        folder.mkdir()
        wait_until(lambda: server.log and len(set(both(server)) - set(before)) == 1)
        assert server.stop() == 0


@SLOW
def test_workers_end_when_their_parent_is_killed(artifact):
    with serving(artifact, *WORKERS) as server:
        pids = both(server)
        os.kill(server.process.pid, signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, pids)))
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL


@SLOW
def test_signals_that_mean_more_to_gunicorn_do_not_here(artifact):
    with serving(artifact, *WORKERS) as server:
        pids = both(server)
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU):
            server.process.send_signal(number)
        time.sleep(2.5)
        assert children(server.process.pid) == pids
        assert server.stop(signal.SIGHUP) == 0
        assert not any(map(is_alive, pids))


@SLOW
@pytest.mark.parametrize("options", [(), WORKERS])
def test_connections_are_kept_as_long_with_workers_as_without(artifact, options):
    with serving(artifact, *options) as server:
        asked(server)
        connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        for pause in (3.0, 0.0):
            connection.request("GET", "/ping")
            assert connection.getresponse().read()
            kept = connection.sock
            time.sleep(pause)
        assert connection.sock is kept
        connection.close()
        server.stop()


@pytest.mark.parametrize("options", [(), WORKERS])
def test_what_cannot_be_recorded_in(artifact, options, tmp_path):
    command = [sys.executable, *WARNINGS, "-m", "penchant", "serve", str(artifact), "--port", "0"]
    command += ["--record", str(tmp_path / "no" / "a.jsonl"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"error: --record: cannot write to {tmp_path}/no/a.jsonl: No such"
    )
    assert len(done.stderr.splitlines()) == 1


def test_folders_of_servers_that_were_killed_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(workers.tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "penchant-serve-left"
    left.mkdir()
    (left / "models.json").write_text("{}")
    with workers._shared_folder() as used:
        os.utime(used, (1, 1))
        with workers._shared_folder() as mine:  # nobody knows yet whether `left` is used
            assert left.exists()
            assert used.exists()
            assert mine.exists()
        os.utime(left, (1, 1))
        with workers._shared_folder():
            assert not left.exists()
            assert used.exists()
    assert list(tmp_path.iterdir()) == []
