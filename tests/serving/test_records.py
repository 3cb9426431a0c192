"""Records of /invocations, and `GET /recommend`, with the fields of /v1: answered alike."""

import asyncio
import json

import httpx
import numpy as np
import pandas as pd
import pytest

import penchant as pc
from penchant.serving import create_app
from penchant.serving.recorder import Recorder

PATHS = ["/invocations", "/models/default/invoke", "/endpoints/default/invocations"]


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(3)
    events = pd.DataFrame({"who": rng.integers(0, 20, 200), "what": rng.integers(0, 30, 200)})
    films = pd.DataFrame({"what": range(30), "year": 1990 + np.arange(30)})
    films["neighbor"] = films["genre"] = ["a, b", "c"] * 15
    data = pc.Interactions.from_frame(events, user="who", item="what", item_features=films)
    return pc.BPR(factors=8, epochs=3).fit(data, progress=False)


@pytest.fixture
def ask(model, tmp_path):
    """Ask an application of its own, which records; the record is read when it has ended."""
    recorder = Recorder(tmp_path / "record.jsonl")
    app = create_app(model, recorder=recorder)

    async def send(method, path, body, headers):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            content = None if body is None else body.encode()
            return await client.request(method, path, content=content, headers=headers)

    def request(path, body=None, **headers):
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        text = None if body is None else body if isinstance(body, str) else json.dumps(body)
        return asyncio.run(send("GET" if body is None else "POST", path, text, given))

    def recorded():
        app.state.server.close()
        return [json.loads(line) for line in (tmp_path / "record.jsonl").read_text().splitlines()]

    request.recorded = recorded
    yield request
    app.state.server.close()


def flat(answer, owner="user_id", name="item_id"):
    """What /v1 answers as rows."""
    return [
        {owner: answer[owner], name: one["item_id"], **{k: one[k] for k in one if k != "item_id"}}
        for one in answer["items"]
    ]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "record",
    [
        {"user_id": 7, "k": 3, "where": "year > $Y", "where_values": {"Y": 2000}},
        {"user_id": 7, "top_n": 3, "with_columns": ["year", "genre"], "context": {"a": [1]}},
        {"user_id": "nobody", "k": 2, "exclude": [1, 2]},
        {"history": {"3": 2, "4": 1}, "k": 2},
    ],
)
def test_answers_are_those_of_v1(ask, path, record):
    wanted = ask("/v1/recommend", record).json()
    answer = ask(path, record)
    assert answer.status_code == 200, answer.text
    assert answer.json() == flat(wanted)
    assert len(answer.json()) == record.get("k", 3)
    lines = ask(path, json.dumps(record), content_type="application/jsonlines",
                accept="application/jsonlines")  # fmt: skip
    assert lines.json() == {"user_id": wanted["user_id"], "items": wanted["items"]}


def test_similar_items_with_columns(ask):
    record = {"item_id": 3, "k": 3, "with_columns": ["year", "neighbor"]}
    wanted = flat(ask("/v1/similar", record).json(), "item_id", "neighbor")
    assert list(wanted[0]) == ["item_id", "neighbor", "score", "year", "neighbor_"]
    assert ask("/invocations", record).json() == wanted
    attributes = {"x_amzn_sagemaker_custom_attributes": "include_query=true"}
    with_query = ask("/invocations", record, **attributes).json()
    assert with_query == [{"item_id": 3, "neighbor": 3, "score": 1}, *wanted[:2]]
    several = ask("/invocations", [{"item_id": "nothing"}, record]).json()
    assert several == wanted  # an unknown item has no neighbours, with options as without


def test_columns_in_csv_come_last_and_are_quoted(ask):
    record = {"user_id": 7, "k": 2, "with_columns": ["year", "genre"], "where": "genre = 'a, b'"}
    items = ask("/v1/recommend", record).json()["items"]
    text = ask("/invocations", record, accept="text/csv").text
    assert text == "".join(
        f'7,{one["item_id"]},{one["score"]},{one["year"]},"a, b"\n' for one in items
    )


def test_pairs_with_a_context_are_answered_like_those_without(ask):
    pairs = [{"user_id": "7", "item_id": item} for item in (3, 4, 999)]
    plain = ask("/invocations", pairs)
    assert plain.json()[0]["user_id"] == 7
    told = [{**pair, "context": {"n": n}} for n, pair in enumerate(pairs)]
    for accept in ("application/json", "application/jsonlines", "text/csv"):
        plain = ask("/invocations", pairs, accept=accept).content
        assert ask("/invocations", told, accept=accept).content == plain
    together = ask("/invocations", {"pairs": pairs, "context": {}}, accept="text/csv").content
    assert together == plain


def test_pairs_with_a_context_are_scored_once(ask, model, monkeypatch):
    predict, calls = type(model).predict, []
    monkeypatch.setattr(type(model), "predict", lambda *a, **b: calls.append(1) or predict(*a, **b))
    pairs = [{"user_id": "7", "item_id": item} for item in (3, 999)]
    told = [{"pairs": pairs, "context": {"n": 1}}, {**pairs[0], "context": {"n": 2}}]
    assert len(ask("/invocations", told).json()) == 3
    assert len(calls) == 1
    assert ask("/v1/predict", told).status_code == 200
    lines = [(line["question"], line["answer"]) for line in ask.recorded()]
    assert lines[:2] == lines[2:]
    assert [len(answer["scores"]) for _, answer in lines[:2]] == [2, 1]


def test_context_is_recorded(ask):
    said = {"user_id": 7, "k": 1, "context": {"device": "phone"}}
    assert ask("/endpoints/default/invocations", [said, {"user_id": 8}]).status_code == 200
    assert ask("/invocations", {"user_id": 7, "item_id": 3, "context": {"x": 1}}).status_code == 200
    assert ask('/recommend?user_id=7&k=1&context={"device":"web"}').status_code == 200
    first, second, pair, query = ask.recorded()
    assert first["question"]["context"] == {"device": "phone"}
    assert first["answer"]["items"]
    assert second["question"]["user_id"] == "8"
    assert len(pair["answer"]["scores"]) == 1
    assert query["question"]["context"] == {"device": "web"}


@pytest.mark.parametrize(
    ("kind", "body", "headers", "questions"),
    [
        ("recommend", '[{"user_id": 7, "k": 2}, {"user_id": "nobody"}]', {},
         [{"user_id": 7, "k": 2}, {"user_id": "nobody"}]),
        ("recommend", '{"user_id": 7}\n{"user_id": 8, "top_n": 3}',
         {"content_type": "application/jsonlines", "accept": "text/csv"},
         [{"user_id": 7}, {"user_id": 8, "k": 3}]),
        ("recommend", 'user_id,k\n7,2\nü,1\n', {"content_type": "text/csv"},
         [{"user_id": 7, "k": 2}, {"user_id": "ü", "k": 1}]),
        ("recommend", '{"instances": [{"user_id": 7}, {"user_id": 8}], "k": 4}', {},
         [{"user_id": 7, "k": 4}, {"user_id": 8, "k": 4}]),
        ("similar", '[{"item_id": 3, "k": 2}, {"item_id": 4, "k": 1}]', {},
         [{"item_id": 3, "k": 2}, {"item_id": 4, "k": 1}]),
        ("similar", '{"instances": [3, 4], "k": 2}', {},
         [{"item_id": 3, "k": 2}, {"item_id": 4, "k": 2}]),
        ("predict", "7,3\n7,999\nnobody,3", {"content_type": "text/csv"},
         [{"user_id": 7, "item_id": 3}, {"user_id": 7, "item_id": 999},
          {"user_id": "nobody", "item_id": 3}]),
        ("predict", '[{"user_id": 7, "item_id": 3}, {"user_id": 8, "item_id": 3}]', {},
         [{"user_id": 7, "item_id": 3}, {"user_id": 8, "item_id": 3}]),
    ],
)  # fmt: skip
def test_plain_bodies_are_recorded_as_questions_of_v1_are(ask, kind, body, headers, questions):
    assert ask("/invocations", body, **headers).status_code == 200
    assert ask(f"/v1/{kind}", questions).status_code == 200
    lines = ask.recorded()
    plain, own = lines[: len(questions)], lines[len(questions) :]
    assert len(own) == len(questions)
    for line, wanted in zip(plain, own, strict=True):
        assert line.pop("time") <= wanted.pop("time")
        assert line == wanted
        assert list(line["answer"]) == list(wanted["answer"])


def test_what_the_record_has_of_items_like_others(ask):
    attributes = {"x_amzn_sagemaker_custom_attributes": "include_query=true,k=2"}
    answer = ask("/invocations", [{"item_id": 3}, {"item_id": "x"}], **attributes).json()
    first, second = ask.recorded()
    assert first["question"] == {"item_id": "3", "k": 2}
    assert flat(first["answer"], "item_id", "neighbor") == answer  # as it was answered
    assert (second["answer"]["item_id"], second["answer"]["items"]) == ("x", [])


def test_plain_bodies_that_fail_are_recorded_with_the_error(tmp_path):
    data = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]])
    recorder = Recorder(tmp_path / "record.jsonl")
    app = create_app(pc.Popularity().fit(data), recorder=recorder)

    async def post():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            body = [{"item_id": "tea"}, {"item_id": "jam", "k": 2}]
            return await client.post("/invocations", json=body)

    answer = asyncio.run(post())
    app.state.server.close()
    lines = [json.loads(line) for line in (tmp_path / "record.jsonl").read_text().splitlines()]
    assert answer.status_code == 400
    assert [line["question"]["item_id"] for line in lines] == ["tea", "jam"]
    assert {line["error"] for line in lines} == {answer.json()["error"]}


@pytest.mark.parametrize(
    ("query", "record"),
    [
        ("user_id=7&k=3", {"user_id": 7, "k": 3}),
        ("user_id=7&k=3&exclude_seen=false", {"user_id": 7, "k": 3, "exclude_seen": False}),
        ("history=3,4&top_n=2", {"history": [3, 4], "k": 2}),
        ('history={"3":2}&k=2', {"history": {"3": 2}, "k": 2}),
        ("user_id=7&k=9&candidates=[5,6,%227%22]", {"user_id": 7, "candidates": [5, 6, 7]}),
        ("user_id=7&exclude=5,6&where=year>2000&k=4",
         {"user_id": 7, "exclude": [5, 6], "where": "year > 2000", "k": 4}),
        ('user_id=7&k=2&where=year>$Y&where_values={"Y":2005}&with_columns=year,genre',
         {"user_id": 7, "k": 2, "where": "year > 2005", "with_columns": ["year", "genre"]}),
    ],
)  # fmt: skip
def test_a_query_has_the_same_fields(ask, query, record):
    answer = ask(f"/recommend?{query}")
    assert answer.status_code == 200, answer.text
    assert answer.json() == flat(ask("/v1/recommend", record).json())


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/invocations", {"user_id": 7, "k": 1, "top_n": 1}, "k or top_n, not both"),
        ("/invocations", {"user_id": 7, "history": [1]}, "not both"),
        ("/invocations", [{"user_id": 7}, {"user_id": 7, "where": "price <"}], "request 2: "),
        ("/invocations", {"item_id": 7, "where": "year > 1"}, 'unknown field "where"'),
        ("/invocations", [{"user_id": 7, "context": {}}] * 1001, "1,001 records"),
        ("/recommend?user_id=7&where=year%20%3C", None, "year"),
        ("/recommend?user_id=7&context={", None, "context: not JSON"),
        ("/recommend?user_id=7&exclude_seen=no", None, "exclude_seen: not JSON"),
        ("/recommend?user_id=7&history=3", None, "not both"),
    ],
)
def test_what_is_wrong_is_named(ask, path, body, message):
    answer = ask(path, body)
    assert answer.status_code == 400, answer.text
    assert message in answer.json()["error"]
