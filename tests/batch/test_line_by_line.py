"""A line of answer for each line of a file, those that are no requests too."""

import json

import pytest

import penchant as pc
from penchant.batch import requests, sources
from penchant.batch.line_by_line import answer_lines
from penchant.errors import DataError, ParameterError
from penchant.serving import Requests, Service
from penchant.serving.encode import to_json_lines

ODD = {
    "{": "not JSON",
    '{"user_id": 1, "k": 0}': "k must be a whole number from 1 to 100000, got 0",
    '{"user_id": 1, "k": 1, "top_n": 1}': "give k or top_n, not both",
    '{"user_id": "\\ud800"}': "user_id is not valid Unicode",
    "x" * 70_000: "longer than 65536 bytes",
}


def wanted(model, *pairs):
    return to_json_lines(Service(model).answer(Requests.of(pairs))).decode().splitlines()


@pytest.mark.parametrize("places", [[], [0], [0, 1, 2], [7, 8], [41], range(42)])
def test_errors_stand_where_their_lines_are(number_model, tmp_path, monkeypatch, places):
    monkeypatch.setattr(sources, "BLOCK_BYTES", 400)
    monkeypatch.setattr(requests, "_PART_REQUESTS", 3)
    users = [str(user) for user in number_model.users_.to_list()[:42]]
    lines = [json.dumps({"user_id": user, "k": 2}) for user in users]
    answers = wanted(number_model, *((user, 2) for user in users))
    for number, place in enumerate(places):
        lines[place] = list(ODD)[number % len(ODD)]
        answers[place] = ODD[lines[place]]
    (tmp_path / "in.csv").write_text("\n\n".join(lines))  # every other line is blank
    report = answer_lines(number_model, tmp_path / "in.csv", tmp_path / "out")
    found = (tmp_path / "out").read_text().splitlines()
    assert (report.requests, report.failed) == (42 - len(places), len(places))
    assert len(found) == len(answers)
    for place, (one, answer) in enumerate(zip(found, answers, strict=True)):
        if place in places:
            assert json.loads(one)["error"].startswith(f"line {2 * place + 1}: {answer}")
        else:
            assert one == answer
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out"]


@pytest.mark.parametrize("depth", [400, 1000, 20_000])
@pytest.mark.parametrize("line", ['{"user_id": %s}', '{"user_id": 1, "k": %s}'])
def test_one_line_nested_deep_ends_no_job(artifact, number_model, tmp_path, depth, line):
    users = [str(user) for user in number_model.users_.to_list()[:2]]
    lines = [json.dumps({"user_id": user, "k": 2}) for user in users]
    path, out = tmp_path / "in.jsonl", tmp_path / "out.csv"
    path.write_text("\n".join([line % ("[" * depth + "]" * depth), *lines]))  # the form of all
    pc.jobs.Transformer(artifact).transform(path, tmp_path / "out")
    error, *found = (tmp_path / "out").read_text().splitlines()
    assert json.loads(error)["error"].startswith("line 1: ")
    assert found == wanted(number_model, *((user, 2) for user in users))
    report = pc.batch.transform(number_model, path, out)
    assert (report.requests, report.failed) == (2, 1)
    assert len(out.read_text().splitlines()) == 4


def test_an_empty_file_has_an_empty_answer(number_model, tmp_path):
    (tmp_path / "in").write_text("\n \n")
    answer_lines(number_model, tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b""


def test_what_cannot_be_is_refused(artifact, tmp_path):
    (tmp_path / "in").write_text('{"user_id": 1}')
    with pytest.raises(ParameterError, match="the same file"):
        answer_lines(artifact, tmp_path / "in", tmp_path / "in")
    with pytest.raises(ParameterError, match="inside the model"):
        pc.jobs.Transformer(artifact).transform(tmp_path / "in", artifact / "out")
    with pytest.raises(DataError, match="cannot read"):
        answer_lines(artifact, tmp_path / "no", tmp_path / "out")
