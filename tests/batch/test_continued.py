"""Runs that are cut short: killed, interrupted, out of disk; and what a second run makes of it."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

import penchant as pc
from penchant.batch import line_by_line, sources, work
from penchant.errors import ArtifactWriteError, DataError, PenchantWarning
from penchant.serving import Requests, Service, to_csv

CHILD = """
import sys
import penchant as pc
from penchant.batch import line_by_line, sources, work
sources.BLOCK_BYTES, work.CHECKPOINT_SECONDS = 400, 0.0
getattr(pc.batch, sys.argv[1], line_by_line.answer_lines)(*sys.argv[2:])
"""
LINES = 4500


@pytest.fixture
def users(number_model, tmp_path):
    """Many users, who repeat, and some lines that are no requests."""
    ids = [17850 + 10 * (i % 50) for i in range(LINES)]
    rows = [b'{"user_id": %d, "top_n": 2}' % user for user in ids]
    rows[10] = rows[4000] = b"bad"
    (tmp_path / "users.jsonl").write_bytes(b"\n".join(rows) + b"\n")
    asked = [(str(user), 2) for i, user in enumerate(ids) if i not in (10, 4000)]
    return tmp_path / "users.jsonl", to_csv(Service(number_model).answer(Requests.of(asked)))


def hidden(out):
    return out.parent / f".{out.name}.penchant-batch"


def place_of(out):
    try:
        manifest = json.loads((hidden(out) / "manifest.json").read_text())
    except (FileNotFoundError, ValueError):
        return 0
    return manifest["progress"]["place"][0]


def killed(out, *arguments):
    """Run a job in a process and kill it when it is well under way."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, *map(str, arguments)])
    try:
        deadline = time.monotonic() + 60
        while place_of(out) < 20:
            assert child.poll() is None, "the job ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.001)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not out.exists()
    return place_of(out)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(sources, "BLOCK_BYTES", 400)


@pytest.mark.parametrize("form", ["csv", pytest.param("parquet", marks=pytest.mark.slow)])
def test_kill_and_run_again(users, artifact, tmp_path, form):
    source, wanted = users
    out = tmp_path / f"out.{form}"
    before = killed(out, "transform", artifact, source, out)
    report = pc.batch.transform(artifact, source, out)
    assert report.continued
    assert before > 0
    assert (report.requests, report.failed) == (LINES - 2, 2)
    if form == "csv":
        assert out.read_bytes() == wanted
    else:
        import pyarrow.parquet as pq

        rows = csv.reader(wanted.decode().splitlines())
        assert pq.read_table(out)["user_id"].to_pylist() == [int(row[0]) for row in rows]
    side = (tmp_path / f"out.{form}.errors.jsonl").read_text().splitlines()
    side = [json.loads(line)["line"] for line in side]
    assert side == [11, 4001]
    assert not hidden(out).exists()


def test_kill_and_answer_the_same_lines_again(users, artifact, number_model, tmp_path):
    source, _ = users
    out, whole = tmp_path / "out", tmp_path / "whole"
    killed(out, "answer_lines", artifact, source, out)
    report = line_by_line.answer_lines(artifact, source, out)
    assert report.continued
    assert (report.requests, report.failed) == (LINES - 2, 2)
    assert not line_by_line.answer_lines(number_model, source, whole).continued
    assert out.read_bytes() == whole.read_bytes()
    assert not hidden(out).exists()


@pytest.mark.slow
def test_kill_a_job_of_personalize(artifact, tmp_path):
    source, out = tmp_path / "a.jsonl", tmp_path / "a.jsonl.out"
    ids = [str(17850 + 10 * (i % 50)) for i in range(LINES)]
    source.write_text("".join(json.dumps({"userId": user}) + "\n" for user in ids))
    killed(out, "recommend", artifact, source)
    report = pc.batch.recommend(artifact, source)
    assert report.continued
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    assert [one["input"]["userId"] for one in answers] == ids
    assert all(one["output"]["recommendedItems"] for one in answers)


@pytest.fixture
def cut_short(monkeypatch):
    """Interrupt a job after some parts, as Ctrl-C does."""

    def cut(*arguments):
        real, calls = work.Work.advance, []

        def advance(self, place, counts):
            real(self, place, counts)
            calls.append(place)
            if len(calls) == 40:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(work.Work, "advance", advance)
            with pytest.raises(KeyboardInterrupt):
                pc.batch.transform(*arguments)

    return cut


@pytest.mark.parametrize("change", ["input", "options", "model"])
def test_a_change_begins_afresh(users, artifact, tmp_path, cut_short, change):
    source, _ = users
    out = tmp_path / "out.csv"
    model, top_n = artifact, 10
    cut_short(artifact, source, out)
    if change == "input":
        os.utime(source, ns=(1, 1))
    elif change == "options":
        top_n = 5
    else:
        model = tmp_path / "other"
        pc.Popularity().fit(pc.Interactions.from_sequences([["a", "b"], ["a"]])).save(model)
    with pytest.warns(PenchantWarning, match=rf"not continued: changed since: {change}; begun"):
        report = pc.batch.transform(model, source, out, top_n=top_n)
    assert not report.continued
    assert report.requests == LINES - 2


def test_ctrl_c_keeps_what_is_done(users, artifact, tmp_path, cut_short):
    source, wanted = users
    out = tmp_path / "out.csv"
    out.write_text("old")
    cut_short(artifact, source, out)
    assert out.read_text() == "old"
    assert pc.batch.transform(artifact, source, out).continued
    assert out.read_bytes() == wanted


def test_a_full_disk(users, artifact, tmp_path, monkeypatch):
    """The limit on a file's size stands for the disk; then there is room again."""
    monkeypatch.setattr(work, "CHECKPOINT_SECONDS", 0.0)  # each part is kept, however quick it was
    source, wanted = users
    out = tmp_path / "out.csv"
    out.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(wanted) // 2, limits[1]))
    try:
        with pytest.raises(ArtifactWriteError, match=r"cannot save to .*out\.csv"):
            pc.batch.transform(artifact, source, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert out.read_text() == "old"
    report = pc.batch.transform(artifact, source, out)
    assert report.continued
    assert out.read_bytes() == wanted


def test_two_at_once_are_refused(users, artifact, tmp_path):
    source, _ = users
    out = tmp_path / "out.csv"
    with (
        work.opened_work(str(out), None),
        pytest.raises(DataError, match="another process is writing this output"),
    ):
        pc.batch.transform(artifact, source, out)
    assert not hidden(out).exists()
    pc.batch.transform(artifact, source, out)


def test_a_damaged_manifest_begins_afresh(users, artifact, tmp_path):
    source, wanted = users
    out = tmp_path / "out.csv"
    hidden(out).mkdir()
    (hidden(out) / "manifest.json").write_text('{"progress": 3}')
    with pytest.warns(PenchantWarning, match="cannot be read"):
        pc.batch.transform(artifact, source, out)
    assert out.read_bytes() == wanted


def test_a_model_in_memory_is_never_continued(users, number_model, tmp_path, monkeypatch):
    source, wanted = users
    out = tmp_path / "out.csv"
    monkeypatch.setattr(
        "penchant.batch.formats.to_csv", lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        pc.batch.transform(number_model, source, out)
    assert not hidden(out).exists()
    monkeypatch.undo()
    assert not pc.batch.transform(number_model, source, out).continued
    assert out.read_bytes() == wanted
