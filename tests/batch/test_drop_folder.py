"""The drop folder: kinds by name, results, refusals, and processes that end in the middle."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from small_models import WARNINGS

import penchant as pc
from penchant.errors import DataError, MissingFileError


def drop(folder, name, *records):
    (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))


def look(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_every_kind(artifact, number_model, tmp_path):
    item = "MUG"
    assert item in number_model.items_
    drop(tmp_path, "recommend-a.jsonl", {"userId": "17850"})
    drop(tmp_path, "Rank.json", {"userId": "17850", "itemList": [item]})
    drop(tmp_path, "related.jsonl", {"itemId": item})
    drop(tmp_path, "segment.jsonl", {"itemId": item})
    drop(tmp_path, "transform.jsonl", {"user_id": "17850"})
    outcomes = pc.batch.watch(tmp_path, artifact, once=True, interval=0.01)
    assert [outcome.error for outcome in outcomes] == [None] * 5
    found = {outcome.name: look(outcome.folder) for outcome in outcomes}
    assert found == {
        "recommend-a.jsonl": ["recommend-a.jsonl.out"],
        "Rank.json": ["Rank.json.out"],
        "related.jsonl": ["related.jsonl.out"],
        "segment.jsonl": ["segment.jsonl.out"],
        "transform.jsonl": ["transform.jsonl"],
    }
    names = {outcome.folder.name for outcome in outcomes}
    assert all(re.match(r"\d{8}T\d{6}Z(\.\d+)?-[Rrst]", name) for name in names)
    assert {path.name for path in (tmp_path / "done").iterdir()} == names
    assert sorted(path.name for path in tmp_path.iterdir()) == [".penchant-running", "done", "out"]


def test_files_that_cannot_be_answered(artifact, tmp_path):
    drop(tmp_path, "hello.jsonl", {"userId": "17850"})
    drop(tmp_path, "rank.jsonl", {"userId": "17850"})
    (tmp_path / "recommend.csv").write_text("userId\n17850\n")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "recommend-link.jsonl").symlink_to(tmp_path / ".hidden")
    outcomes = pc.batch.watch(tmp_path, artifact, once=True, interval=0.01)
    reasons = {outcome.name: outcome.error for outcome in outcomes}
    assert "does not say what it is" in reasons["hello.jsonl"]
    assert reasons["rank.jsonl"].startswith("no line of 'rank.jsonl' is a request to rank")
    assert "itemList must be a list" in reasons["rank.jsonl"]
    assert "is no JSON Lines file" in reasons["recommend.csv"]
    assert len(reasons) == 3
    failed = look(tmp_path / "failed")
    assert [name.partition("Z-")[2] for name in failed if "rank" in name] == [
        "rank.jsonl",
        "rank.jsonl.error.json",
    ]
    (note,) = (tmp_path / "failed").glob("*hello.jsonl.error.json")
    assert json.loads(note.read_text()) == {"file": "hello.jsonl", "error": reasons["hello.jsonl"]}
    assert (tmp_path / "recommend-link.jsonl").is_symlink()
    assert not (tmp_path / "out").exists()


def test_a_file_is_taken_when_it_stops_changing(artifact, tmp_path, monkeypatch):
    path = tmp_path / "recommend.jsonl"
    path.write_text('{"userId": "17850"}\n')
    left = [3]
    real = time.sleep

    def grow(seconds):
        if left[0]:
            left[0] -= 1
            with open(path, "a") as file:
                file.write('{"userId": "17860"}\n')
        real(seconds)

    monkeypatch.setattr("penchant.batch.drop_folder.time.sleep", grow)
    (outcome,) = pc.batch.watch(tmp_path, artifact, once=True, interval=0.01)
    assert outcome.report.requests == 4


def test_what_was_begun_is_continued(artifact, tmp_path):
    """As it is after a kill: before the answer, after the results were moved, after all moves."""
    running = tmp_path / ".penchant-running"
    for job in ("1-recommend.jsonl", "2-recommend.jsonl", "3-recommend.jsonl"):
        (running / job).mkdir(parents=True)
    drop(running / "1-recommend.jsonl", "recommend.jsonl", {"userId": "17850"})
    drop(running / "2-recommend.jsonl", "recommend.jsonl", {"userId": "17850"})
    (tmp_path / "out" / "2-recommend.jsonl").mkdir(parents=True)
    (tmp_path / "out" / "2-recommend.jsonl" / "recommend.jsonl.out").write_text("there")
    outcomes = pc.batch.watch(tmp_path, artifact, once=True, interval=0.01)
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert look(tmp_path) == [
        "done/1-recommend.jsonl",
        "done/2-recommend.jsonl",
        "out/1-recommend.jsonl/recommend.jsonl.out",
        "out/2-recommend.jsonl/recommend.jsonl.out",
    ]
    assert (tmp_path / "out/2-recommend.jsonl/recommend.jsonl.out").read_text() == "there"


class Broken(pc.Popularity):
    """A model with a bug."""

    def recommend_codes(self, *_, **__):
        raise RuntimeError("no such \ud800 thing")


def test_a_bug_is_a_matter_of_its_file(tmp_path, caplog):
    model = Broken().fit(pc.Interactions.from_sequences([["tea", "jam"], ["tea"]]))
    drop(tmp_path, "recommend.jsonl", {"userId": "1"})
    drop(tmp_path, "related.jsonl", {"itemId": "tea"})
    (tmp_path / "rank.jsonl").write_text('{"userId": "1", "itemList": ["tea"]}\n')
    outcomes = pc.batch.watch(tmp_path, model, once=True, interval=0.01)
    reasons = {outcome.name: outcome.error for outcome in outcomes}
    assert len(reasons) == 3
    assert reasons["recommend.jsonl"] == r"internal error: RuntimeError: no such \ud800 thing"
    failed = [name.partition("Z-")[2] for name in look(tmp_path / "failed")]
    assert "recommend.jsonl" in failed
    assert "recommend.jsonl.error.json" in failed
    assert not os.listdir(tmp_path / ".penchant-running")
    assert "Traceback" in caplog.text


def test_a_line_that_is_no_unicode_does_not_stop_the_folder(artifact, tmp_path):
    line = '{"userId": "17850", "filterValues": {"A": "\\ud800"}}\n'
    (tmp_path / "recommend.jsonl").write_text(line + '{"userId": "17850", "filterValues": 3}\n')
    good = '{"userId": "17850", "filterValues": {"A": "MUG"}}\n'
    (tmp_path / "recommend-good.jsonl").write_text(line + good)
    outcomes = pc.batch.watch(tmp_path, artifact, once=True, interval=0.01, where="what in $A")
    found = {outcome.name: outcome for outcome in outcomes}
    assert found["recommend-good.jsonl"].report.failed == 1
    assert found["recommend-good.jsonl"].report.requests == 1


@pytest.mark.parametrize(
    ("name", "folder"),
    [("recommend.jsonl", "out"), ("recommend.jsonl", "done"), ("x.csv", "failed")],
)
def test_what_the_system_refuses_waits(artifact, tmp_path, name, folder):
    """A link to nowhere is where a folder has to be."""
    drop(tmp_path, name, {"userId": "17850"})
    (tmp_path / folder).symlink_to(tmp_path / "nowhere")
    (refused,) = pc.batch.watch(tmp_path, artifact, once=True, interval=0.01)
    assert "it will be tried again" in refused.error
    (job,) = (tmp_path / ".penchant-running").iterdir()
    assert (job / name).is_file()
    (tmp_path / folder).unlink()
    (outcome,) = pc.batch.watch(tmp_path, artifact, once=True, interval=0.01)
    assert outcome.name == name
    assert (outcome.error is None) == (folder != "failed")
    assert not os.listdir(tmp_path / ".penchant-running")
    moved = tmp_path / ("failed" if folder == "failed" else "done")
    assert (moved / job.name).is_file()


def test_what_the_system_refused_is_tried_again(artifact, tmp_path, monkeypatch):
    drop(tmp_path, "recommend.jsonl", {"userId": "17850"})
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")
    looks = []
    real = time.sleep

    def mend(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            (tmp_path / "out").unlink()
        real(seconds)

    monkeypatch.setattr("penchant.batch.drop_folder.time.sleep", mend)
    monkeypatch.setattr("penchant.batch.drop_folder._AGAIN_SECONDS", 0.0)
    first, second = pc.batch.watch(tmp_path, artifact, once=True, interval=0.01)
    assert "it will be tried again" in first.error
    assert second.error is None
    assert look(second.folder) == ["recommend.jsonl.out"]


def test_a_reason_that_cannot_be_written_is_no_failure(artifact, tmp_path, caplog):
    job = tmp_path / ".penchant-running" / "1-hello.jsonl"
    job.mkdir(parents=True)
    drop(job, "hello.jsonl", {"userId": "17850"})
    (tmp_path / "failed" / "1-hello.jsonl.error.json").mkdir(parents=True)
    (outcome,) = pc.batch.watch(tmp_path, artifact, once=True, interval=0.01)
    assert "does not say what it is" in outcome.error
    assert (tmp_path / "failed" / "1-hello.jsonl").is_file()
    assert "error.json cannot be written" in caplog.text


def test_a_process_ends_at_sigterm(artifact, tmp_path):
    drop(tmp_path, "recommend.jsonl", {"userId": "17850"})
    line = [sys.executable, *WARNINGS, "-m", "penchant", "batch", "watch", str(tmp_path)]
    line += ["--model", str(artifact), "--interval", "0.05"]
    child = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 90
        while not list(tmp_path.glob("done/*")):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with pytest.raises(DataError, match="another process watches"):
            pc.batch.watch(tmp_path, artifact, once=True)
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 0, said
    assert "recommend.jsonl: " in said
    assert not os.listdir(tmp_path / ".penchant-running")


def test_no_folder(artifact, tmp_path):
    with pytest.raises(MissingFileError, match="no folder"):
        pc.batch.watch(tmp_path / "missing", artifact, once=True)
