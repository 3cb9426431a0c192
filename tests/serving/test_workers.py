"""`penchant serve --workers`: processes that share a socket, and who replaces them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import urllib.request

import pytest
from hostile_support import PATIENCE, children, serving
from small_models import TOKEN

import penchant as pc

pytestmark = pytest.mark.slow


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


def waited_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_end_with_the_first(artifact, number):
    with serving(artifact, "--workers", "2") as server:
        assert len(asked(server)) == 2
        waited_for(lambda: len(children(server.process.pid)) == 2)
        workers = children(server.process.pid)
        assert server.stop(number) == 0
        assert not any(map(is_alive, workers))
        assert "Traceback" not in "".join(server.log)


def test_a_worker_that_dies_is_replaced(artifact):
    with serving(artifact, "--workers", "2") as server:
        waited_for(lambda: len(children(server.process.pid)) == 2)
        expected, before = asked(server), children(server.process.pid)
        os.kill(before[0], signal.SIGKILL)
        waited_for(lambda: len(set(children(server.process.pid)) - {before[0]}) == 2)
        assert [asked(server) for _ in range(20)] == [expected] * 20
        assert server.stop() == 0


def test_the_others_go_on_where_no_replacement_can_start(artifact, tmp_path, monkeypatch):
    monkeypatch.setenv("PENCHANT_ADMIN_TOKEN", TOKEN)
    mine, other = tmp_path / "artifact", tmp_path / "other"
    pc.Popularity().fit(pc.Interactions.from_sequences([["tea", "jam"]])).save(other)
    shutil.copytree(artifact, mine)
    with serving(mine, "--workers", "2") as server:
        waited_for(lambda: len(children(server.process.pid)) == 2)
        expected, before = asked(server), children(server.process.pid)
        mine.rename(tmp_path / "away")
        os.kill(before[0], signal.SIGKILL)
        waited_for(lambda: "exited with code 1" in "".join(server.log))
        assert "error: no Penchant artifact" in "".join(server.log)
        assert [asked(server) for _ in range(20)] == [expected] * 20
        (tmp_path / "away").rename(mine)
        said = len(server.log)
        waited_for(lambda: len([one for one in children(server.process.pid) if is_alive(one)]) == 2)
        time.sleep(0.5)
        assert [asked(server) for _ in range(20)] == [expected] * 20
        assert before[1] in children(server.process.pid)
        # A worker that failed did not take away what the others follow.
        put(server, other)
        waited_for(lambda: {class_of(server) for _ in range(20)} == {"Popularity"})
        assert server.stop() == 0
        assert "Traceback" not in "".join(server.log[said:])


def test_workers_end_when_their_parent_is_killed(artifact):
    with serving(artifact, "--workers", "2") as server:
        waited_for(lambda: len(children(server.process.pid)) == 2)
        asked(server)
        workers = children(server.process.pid)
        os.kill(server.process.pid, signal.SIGKILL)
        waited_for(lambda: not any(map(is_alive, workers)))
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
