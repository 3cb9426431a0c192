"""`penchant batch transform`: files in, files out."""

import csv
import io
import json
import os
from pathlib import Path

import pytest

from penchant.batch import requests, sources
from penchant.cli import batch as module
from penchant.errors import ArtifactError, DataError, ParameterError
from penchant.serving import Requests, Service, to_csv

GOOD = b'{"user_id": "17850", "top_n": "2"}\n'


@pytest.fixture
def run(artifact, tmp_path, capsys):
    """Run the command on some bytes; give what it wrote and what it said."""

    def run(content, **options):
        (tmp_path / "users.jsonl").write_bytes(content)
        out = tmp_path / "out.csv"
        module.transform(str(tmp_path / "users.jsonl"), str(out), artifact, **options)
        said = capsys.readouterr()
        assert said.out == ""
        return out.read_bytes(), said.err

    return run


def answer(model, *pairs):
    return to_csv(Service(model).answer(Requests.of(pairs)))


def test_rows_are_the_services(run, number_model, tmp_path):
    written, said = run(GOOD + b'\n{"user_id": 17860}\n{"user_id": 17860.0, "top_n": 1}')
    assert written == answer(number_model, ("17850", 2), ("17860", 10), ("17860", 1))
    rows = len(list(csv.reader(io.StringIO(written.decode(), newline=""))))
    assert said == f"{rows} recommendations for 3 requests\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "users.jsonl"]


def test_options(run, number_model):
    written, _ = run(b'{"user_id": 17860}', header=True, top_n=3)
    assert written == b"user_id,item_id,score\n" + answer(number_model, ("17860", 3))
    with pytest.raises(ParameterError, match="top_n must be from 1 to 100000, got 0"):
        run(GOOD, top_n=0)


def test_chunks_do_not_show(run, number_model, monkeypatch):
    monkeypatch.setattr(sources, "BLOCK_BYTES", 130)
    monkeypatch.setattr(requests, "_PART_REQUESTS", 7)
    monkeypatch.setattr(requests, "_PART_RECORDS", 25)
    users = number_model.users_.to_list()
    lines = b"".join(b'{"user_id": %d}\n' % user for user in users)
    written, said = run(lines + b"bad\n")
    assert written == answer(number_model, *((str(user), 10) for user in users))
    assert f"line {len(users) + 1}: not JSON" in said


def test_unknown_users_are_counted(run, number_model):
    written, said = run(GOOD + b'{"user_id": "nobody", "top_n": 3}')
    assert written == answer(number_model, ("17850", 2), ("nobody", 3))
    assert "5 recommendations for 2 requests; 1 of them for users unknown to the model" in said


BAD = b'{"top_n": 3}\n' + GOOD + b"nonsense \xff\r\n" + b'{"user_id": 1, "top_n": "many"}\n' * 5


def test_bad_lines_go_to_a_side_file(run, number_model, tmp_path):
    written, said = run(BAD)
    assert written == answer(number_model, ("17850", 2))
    side = tmp_path / "out.csv.errors.jsonl"
    records = [json.loads(line) for line in side.read_text().splitlines()]
    assert [record["line"] for record in records] == [1, 3, 4, 5, 6, 7, 8]
    assert records[0] == {"line": 1, "error": "user_id is missing", "input": '{"top_n": 3}'}
    assert records[1]["input"] == "nonsense \\xff"
    assert "line 1: user_id is missing\nline 3: not UTF-8" in said
    assert f"skipped 7 bad lines, 2 more like these: see {side}\n" in said
    assert "2 recommendations for 1 request;" in said
    run(GOOD)  # the file of the run before would mislead
    assert not side.exists()


def test_the_side_file_can_be_named(run, tmp_path):
    run(BAD, errors=tmp_path / "wrong.jsonl")
    assert len((tmp_path / "wrong.jsonl").read_text().splitlines()) == 7
    assert not (tmp_path / "out.csv.errors.jsonl").exists()


def test_a_named_side_file_is_never_removed(run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    run(GOOD, errors=tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("out", "errors", "message"),
    [
        ("users.jsonl", None, "source and out are the same file"),
        ("out.csv", "users.jsonl", "source and errors are the same file"),
        ("out.csv", "./out.csv", "out and errors are the same file"),
        ("model/model.json", None, "out is inside the model"),
        ("out.csv", "model/bad.jsonl", "errors is inside the model"),
        (".", None, "out is a folder"),
    ],
)
def test_nothing_is_written_over(tmp_path, artifact, monkeypatch, out, errors, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users.jsonl").write_bytes(GOOD)
    (tmp_path / "model").symlink_to(artifact)
    with pytest.raises(ParameterError, match=message):
        module.transform("users.jsonl", out, artifact, errors=errors and Path(errors))
    assert (tmp_path / "users.jsonl").read_bytes() == GOOD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "users.jsonl"]


def test_a_file_of_something_else(run, tmp_path):
    (tmp_path / "out.csv").write_text("old")
    with pytest.raises(DataError, match=r"no line of .*users\.jsonl' is a request"):
        run(b"CustomerID\n17850\n17860\n")
    assert (tmp_path / "out.csv").read_text() == "old"
    assert len((tmp_path / "out.csv.errors.jsonl").read_text().splitlines()) == 3
    assert not list(tmp_path.glob(".penchant-*"))


def test_an_empty_file(run):
    assert run(b"", header=True)[0] == b"user_id,item_id,score\n"
    assert run(b"\n\n") == (b"", "0 recommendations for 0 requests\n")


def test_a_failure_leaves_the_old_output(run, tmp_path, monkeypatch):
    (tmp_path / "out.csv").write_text("old")

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("penchant.batch.formats.to_csv", fail)
    with pytest.raises(KeyboardInterrupt):
        run(b"bad\n" + GOOD)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "users.jsonl"]
    assert (tmp_path / "out.csv").read_text() == "old"


def test_files_that_cannot_be_used(run, artifact, tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*missing\.jsonl': No such file"):
        module.transform(str(tmp_path / "missing.jsonl"), str(tmp_path / "out.csv"), artifact)
    (tmp_path / "users.jsonl").write_bytes(GOOD)
    users = str(tmp_path / "users.jsonl")
    with pytest.raises(ArtifactError, match=r"cannot save to .*: No such file or directory"):
        module.transform(users, str(tmp_path / "missing" / "out.csv"), artifact)
    with pytest.raises(ArtifactError, match="no Penchant artifact"):
        module.transform(users, str(tmp_path / "out.csv"), tmp_path / "missing")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["users.jsonl"]


def test_a_device_is_written_to_not_replaced(artifact, tmp_path):
    (tmp_path / "users.jsonl").write_bytes(GOOD)
    module.transform(str(tmp_path / "users.jsonl"), "/dev/null", artifact)
    assert not os.path.isfile("/dev/null")


def test_a_link_keeps_pointing(run, tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "out.csv").symlink_to(tmp_path / "real.csv")
    written, _ = run(GOOD)
    assert (tmp_path / "out.csv").is_symlink()
    assert (tmp_path / "real.csv").read_bytes() == written


def test_a_line_without_end_is_cut(run, number_model):
    written, said = run(b"x" * 5_000_000 + b"\n" + GOOD)
    assert written == answer(number_model, ("17850", 2))
    assert "line 1: longer than 65536 bytes" in said


def test_pipes(command, artifact, number_model):
    lines = GOOD + b'{"user_id": 17860}\nbad\n'
    options = ("--header", "--model", artifact, "--top-n", "3")
    done = command("transform", "-", "-", *options, input=lines)
    said = done.stderr.decode()
    assert done.returncode == 0, said
    wanted = answer(number_model, ("17850", 2), ("17860", 3))
    assert done.stdout == b"user_id,item_id,score\n" + wanted
    assert "line 3: not JSON" in said
    assert "skipped 1 bad line\n" in said


def test_the_command_line_reports_in_one_line(command, artifact, tmp_path):
    done = command("transform", "missing.jsonl", "out.csv", "--model", artifact, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == b"error: cannot read 'missing.jsonl': No such file or directory\n"


def test_all_customers_of_online_retail(retail, tmp_path, capsys):
    retail.save(tmp_path / "artifact")
    users = retail.users_.to_list()
    lines = "".join(json.dumps({"user_id": str(user), "top_n": "10"}) + "\n" for user in users)
    (tmp_path / "users.jsonl").write_text(lines)
    module.transform(
        str(tmp_path / "users.jsonl"), str(tmp_path / "out.csv"), tmp_path / "artifact"
    )
    assert "for 5,942 requests" in capsys.readouterr().err
    frame = retail.recommend(users, k=10)
    written = (tmp_path / "out.csv").read_text().splitlines()
    assert len(written) == len(frame)
