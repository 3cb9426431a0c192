"""Runs: once for each id, in one process, in several, and after one of them is killed."""

import os
import resource
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from small_models import WARNINGS

from penchant.errors import DataError
from penchant.serving.idempotent_runs import Run, Runs

LOST = b"lost"
CHILD = """
import sys, threading
from penchant.serving.idempotent_runs import Runs
runs = Runs({"k": 1}, lost=b"lost", state=sys.argv[1])
def work():
    print("started", flush=True)
    if sys.argv[2] == "hang":
        threading.Event().wait()
    return 200, b"by the child"
runs.start("k", "a", "d", work)
runs.drain()
"""


def child(path, what):
    command = [sys.executable, *WARNINGS, "-c", CHILD, str(path), what]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_each_id_once():
    runs = Runs({"k": 100}, lost=LOST)
    begun = []

    def start(number):
        run_id = str(number % 10)
        return runs.start("k", run_id, "d", lambda: (200, begun.append(run_id) or b"x"))

    with ThreadPoolExecutor(16) as pool:
        assert all(isinstance(run, Run) for run in pool.map(start, range(200)))
    runs.drain()
    assert sorted(begun) == [str(n) for n in range(10)]


def test_kinds_are_apart():
    runs = Runs({"one": 1, "two": 1}, lost=LOST)
    door = threading.Event()
    assert runs.start("one", "a", "d", lambda: (200, b"%d" % door.wait(600)))
    assert runs.start("one", "b", "d", lambda: (200, b"")) is None
    assert runs.start("two", "a", "d", lambda: (200, b"2"))
    door.set()
    runs.drain()
    assert runs.find("one", "a") == Run("d", 200, b"1")
    assert runs.find("two", "a") == Run("d", 200, b"2")
    assert runs.find("one", "b") is None


def test_a_run_that_raises_ends(caplog):
    runs = Runs({"k": 1}, lost=LOST)
    runs.start("k", "a", "d", lambda: 1 // 0)
    runs.drain()
    run = runs.find("k", "a")
    assert run.status == 500
    assert b"the server's log says more" in run.body
    assert "ZeroDivisionError" in caplog.text


def test_answers_are_bounded_in_number_and_time():
    runs = Runs({"k": 1}, lost=LOST, keep=3)
    for n in range(6):
        runs.start("k", str(n), "d", lambda: (200, b""))
        runs.drain()
    assert [n for n in range(6) if runs.find("k", str(n))] == [3, 4, 5]
    short = Runs({"k": 2}, lost=LOST, keep_seconds=0.2)
    door = threading.Event()
    short.start("k", "going", "d", lambda: (200, b"%d" % door.wait(600)))
    short.start("k", "done", "d", lambda: (200, b""))
    short.wait("k", "done")
    while short.find("k", "done"):
        threading.Event().wait(0.05)
    assert short.find("k", "going").status is None  # what goes on is never forgotten
    door.set()
    short.drain()


def test_processes_share_a_file(tmp_path):
    path = tmp_path / "new" / "runs.db"
    with child(path, "end") as other:
        assert other.wait(600) == 0
    mine = Runs({"k": 1}, lost=LOST, state=path)
    assert mine.find("k", "a") == Run("d", 200, b"by the child")
    assert mine.start("k", "a", "d", lambda: 1 // 0) == Run("d", 200, b"by the child")
    mine.close()


def test_a_killed_process_leaves_an_answer(tmp_path):
    path = tmp_path / "runs.db"
    mine = Runs({"k": 1}, lost=LOST, state=path)
    with child(path, "hang") as other:
        assert other.stdout.readline() == "started\n"
        assert mine.find("k", "a") == Run("d", None, b"")
        assert mine.start("k", "b", "d", lambda: (200, b"")) is None  # the limit is for all
        os.kill(other.pid, signal.SIGKILL)
        other.wait(600)
    assert mine.start("k", "a", "d", lambda: 1 // 0) == Run("d", 400, LOST)
    assert mine.start("k", "b", "d", lambda: (200, b"again"))
    mine.drain()
    assert mine.find("k", "b") == Run("d", 200, b"again")
    mine.close()


def test_an_answer_that_cannot_be_written_is_written_later(tmp_path, caplog):
    """No file may grow for a while, as on a full disk."""
    runs = Runs({"k": 1}, lost=LOST, state=tmp_path / "runs.db")
    door = threading.Event()
    body = bytes(2**20)
    runs.start("k", "a", "d", lambda: (door.wait(600) and 200, body))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    try:
        door.set()
        runs.drain(600)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot be written yet" in caplog.text
    assert runs.find("k", "a") == Run("d", 200, body)
    assert runs.start("k", "b", "d", lambda: (200, b"")) is not None  # its place is free
    runs.drain()
    runs.close()
    later = Runs({"k": 1}, lost=LOST, state=tmp_path / "runs.db")
    assert later.find("k", "a") == Run("d", 200, body)
    later.close()


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "notes").write_text("not a database, and long enough to be none" * 10)
    for path in (tmp_path / "notes", tmp_path, tmp_path / "notes" / "runs.db"):
        with pytest.raises(DataError, match="cannot keep the answers"):
            Runs({"k": 1}, lost=LOST, state=path)
