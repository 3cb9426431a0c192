"""Penchant's own interface, `/v1/...`: what it answers, alike in any company."""

import asyncio
import functools
import json

import httpx
import numpy as np
import pandas as pd
import pytest
from anyio.from_thread import start_blocking_portal
from small_models import fit

import penchant as pc
from penchant.serving import create_app, replies

USERS = np.arange(17850, 18350, 10)


@pytest.fixture(scope="module")
def model():
    return fit(USERS)


@pytest.fixture(scope="module")
def other(model):
    return fit(USERS, pc.ItemKNN())


@pytest.fixture(scope="module")
def tables():
    """A model with an item table."""
    rng = np.random.default_rng(3)
    events = pd.DataFrame({"who": rng.integers(0, 20, 200), "what": rng.integers(0, 30, 200)})
    films = pd.DataFrame(
        {"what": range(30), "year": 1990 + np.arange(30), "genre": ["a", "b"] * 15}
    )
    films["price"] = np.where(films["what"] == 3, np.nan, films["what"])
    data = pc.Interactions.from_frame(events, user="who", item="what", item_features=films)
    return pc.BPR(factors=8, epochs=3).fit(data, progress=False)


@pytest.fixture(scope="module")
def taken():
    """A model whose item table has columns that are called like fields of an answer."""
    rng = np.random.default_rng(3)
    events = pd.DataFrame({"who": rng.integers(0, 20, 200), "what": rng.integers(0, 30, 200)})
    names = ["score", "item_id", "user_id", "rank", "year"]
    films = pd.DataFrame({name: 100 * place + np.arange(30) for place, name in enumerate(names)})
    films["what"] = range(30)
    data = pc.Interactions.from_frame(events, user="who", item="what", item_features=films)
    return pc.BPR(factors=8, epochs=3).fit(data, progress=False)


@pytest.fixture(scope="module")
def ask(model, other, tables, taken):
    app = create_app({"shop": model, "knn": other, "films": tables, "taken": taken})
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    with start_blocking_portal() as portal:
        client = httpx.AsyncClient(transport=transport, base_url="http://test")

        def post(path, body, **options):
            content = json.dumps(body)  # which escapes what cannot be encoded
            send = functools.partial(client.post, path, content=content, **options)
            return portal.call(send)

        post.client, post.portal = client, portal
        yield post


def listed(response, name="item_id"):
    key = "items" if name == "item_id" else "users"
    return [(one[name], one["score"]) for one in response.json()[key]]


def of_frame(frame, column):
    return [
        (item, pytest.approx(score, rel=1e-6))
        for item, score in zip(frame[column].tolist(), frame["score"].tolist(), strict=True)
    ]


def test_recommend_is_what_the_model_recommends(ask, model):
    for user in (17850, "17860", 17870.0):
        response = ask("/v1/recommend", {"user_id": user, "k": 3})
        assert response.status_code == 200
        assert listed(response) == of_frame(model.recommend(user, k=3), "what")
        document = response.json()
        assert document["user_id"] == int(user)
        assert (document["model"], document["version"]) == ("shop", "unsaved")
        assert "unknown" not in document


def test_unknown_users_get_popular_items_and_are_told_so(ask, model):
    response = ask("/v1/recommend", {"user_id": "nobody", "k": 2})
    assert response.json()["unknown"] is True
    popular = model.recommend("nobody", k=2, unknown="popular")
    assert listed(response) == of_frame(popular, "what")


def test_a_history_is_folded_in(ask, model):
    response = ask("/v1/recommend", {"history": ["LAMP", "MUG", "no such item"], "k": 2})
    assert listed(response) == of_frame(model.recommend(history=["LAMP", "MUG"], k=2), "what")
    valued = ask("/v1/recommend", {"history": {"LAMP": 2}, "k": 2})
    assert listed(valued) == of_frame(model.recommend(history={"LAMP": 2}, k=2), "what")


@pytest.mark.parametrize(
    ("said", "same"),
    [
        ({"where": "genre == 'a' and year > 2000"}, {}),
        ({"where": "year > $YEAR", "where_values": {"YEAR": 2005}}, {}),
        ({"where": 'EXCLUDE ItemID WHERE Items.GENRE IN ("a")'}, {}),
        ({"candidates": [3, 4, 5, 777]}, {"candidates": [3, 4, 5]}),
        ({"exclude": ["3", 4]}, {"exclude": [3, 4]}),
        ({"exclude_seen": False}, {}),
        ({"scores": "softmax"}, {}),
    ],
)
def test_options_mean_what_they_mean_in_python(ask, tables, said, same):
    response = ask("/v1/models/films/recommend", {"user_id": 7, "k": 4, **said})
    assert response.status_code == 200, response.text
    assert listed(response) == of_frame(tables.recommend(7, k=4, **(said | same)), "what")


def test_columns_of_the_table_come_along(ask, tables):
    response = ask("/v1/models/films/recommend", {"user_id": 7, "k": 3, "with_columns": ["year"]})
    expected = tables.recommend(7, k=3, with_columns=["year"])["year"].tolist()
    assert [one["year"] for one in response.json()["items"]] == expected


def test_columns_do_not_take_the_place_of_the_answers_own_fields(ask, taken):
    """They are called what the frames of `recommend` call them."""
    names = ["score", "item_id", "user_id", "rank", "year"]
    text = ask("/v1/models/taken/recommend", {"user_id": 7, "k": 3, "with_columns": names}).text
    keys = []

    def keep(pairs):
        keys.append([name for name, _ in pairs])
        return dict(pairs)

    found = json.loads(text, object_pairs_hook=keep)["items"]
    own = ["item_id", "score"]
    assert keys[:3] == [[*own, "score_", "item_id_", "user_id_", "rank_", "year"]] * 3
    plain = ask("/v1/models/taken/recommend", {"user_id": 7, "k": 3}).json()["items"]
    assert [{name: one[name] for name in own} for one in found] == plain
    frame = taken.recommend(7, k=3, with_columns=["score", "rank", "year"])
    for name in ("score_", "rank_", "year"):
        assert [one[name] for one in found] == frame[name].tolist()


def test_similar_predict_and_users(ask, model):
    similar = ask("/v1/similar", {"item_id": "LAMP", "k": 2})
    assert listed(similar) == of_frame(model.similar_items("LAMP", k=2), "neighbor")
    users = ask("/v1/users", {"item_id": "MUG", "k": 3})
    assert listed(users, "user_id") == of_frame(model.recommend_users("MUG", k=3), "who")
    pairs = [{"user_id": 17850, "item_id": "LAMP"}, {"user_id": 1, "item_id": "LAMP"}]
    scores = ask("/v1/predict", {"pairs": pairs}).json()["scores"]
    known = model.predict(pd.DataFrame({"who": [17850], "what": ["LAMP"]}))
    assert scores == [pytest.approx(float(known[0])), None]


def test_a_list_of_questions_has_a_list_of_answers_and_errors_stay_with_their_question(ask):
    body = [{"item_id": "LAMP", "k": 1}, {"item_id": "no such item"}, {"item_id": "MUG", "k": 1}]
    first, wrong, last = ask("/v1/similar", body).json()
    assert (first["item_id"], last["item_id"]) == ("LAMP", "MUG")
    assert "no such item" in wrong["error"]


def test_concurrent_questions_are_answered_like_single_ones(ask):
    """Whatever shares a micro-batch, the bytes of an answer are the same."""
    bodies = [{"user_id": int(user), "k": 1 + place % 7} for place, user in enumerate(USERS)]
    bodies += [{"user_id": "nobody", "k": 3}, {"history": ["MUG"], "k": 2}, {"user_id": 17850}]
    alone = [ask("/v1/recommend", body).content for body in bodies]

    async def together():
        return await asyncio.gather(
            *(ask.client.post("/v1/recommend", json=body) for body in bodies)
        )

    for _ in range(3):
        answers = ask.portal.call(together)
        assert [answer.content for answer in answers] == alone


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("recommend", {"user_id": 1, "kk": 3}, "unknown field"),
        ("recommend", {"user_id": 1, "history": []}, "not both"),
        ("recommend", {"k": 3}, "user_id is missing: give user_id or history"),
        ("recommend", {"user_id": 1, "k": 0}, "k must be"),
        ("recommend", {"user_id": 1, "k": 10**9}, "k must be a whole number from 1 to 1000"),
        ("recommend", {"user_id": 1, "k": 1, "top_n": 1}, "k or top_n"),
        ("recommend", {"user_id": [1]}, "user_id must be"),
        ("recommend", {"user_id": 1, "where": "price <"}, "price"),
        ("recommend", {"user_id": 1, "where": "__import__('os')"}, "__import__"),
        ("recommend", {"user_id": 1, "where_values": {"A": 1}}, "give where too"),
        ("recommend", {"user_id": 1, "scores": "best"}, "softmax"),
        ("recommend", {"history": {"LAMP": -1}}, "LAMP"),
        ("recommend", {"user_id": 1, "exclude": "LAMP"}, "list of ids"),
        ("recommend", {"user_id": 1, "context": 3}, "context"),
        ("recommend", {"user_id": 1, "where": "what == '\ud800'"}, "Unicode"),
        ("recommend", {"user_id": 1, "where": "what == $A", "where_values": {"A": "\ud800"}}, "A"),
        ("recommend", {"user_id": 1, "with_columns": ["\ud800"]}, "Unicode"),
        ("recommend", {"user_id": 1, "with_columns": ["a", "b", "a"]}, "a name more than once"),
        ("recommend", {"user_id": 1, "with_columns": [f"c{i}" for i in range(101)]}, "101 names"),
        (
            "recommend",
            [{"user_id": 1, "k": 1000, "with_columns": [f"c{i}" for i in range(100)]}] * 11,
            "k (or top_n) adds up to 1100000 values of columns",
        ),
        ("recommend", {"user_id": json.loads("[" * 101 + "]" * 101)}, "nested more than 100 deep"),
        ("users", {"item_id": "LAMP", "min_score": 10**400}, "finite"),
        ("similar", [{"item_id": "LAMP"}] * 1001, "1,001 questions"),
        ("recommend", 3, "object"),
        ("similar", {"item_id": "no such item"}, "no such item"),
        ("predict", {"user_id": 1}, "item_id is missing"),
        ("predict", {"pairs": []}, "pairs"),
        ("users", {"where": "price > 1", "item_id": "LAMP"}, "not both"),
    ],
)
def test_wrong_questions_are_refused_and_named(ask, kind, body, message):
    response = ask(f"/v1/{kind}", body)
    assert response.status_code == 400, response.text
    assert message in response.json()["error"]


@pytest.mark.parametrize("user", ["7\n", "999999\n", "007", "-0", "+7", "7.0"])
def test_odd_numbers_are_json_all_the_same(ask, tables, user):
    """A line feed behind the digits tore the answer, and the file that questions are kept in."""
    response = ask("/v1/models/films/recommend", {"user_id": user, "k": 1})
    assert "\n" not in response.text
    known = tables.users_.code(user)
    assert response.json()["user_id"] == (user if known < 0 else tables.users_[known])


def test_a_bug_is_the_answer_of_its_own_question(ask, monkeypatch, caplog):
    """Whatever goes wrong with one question, those that came with it are answered."""
    answer = replies._KINDS["similar"]

    def fails(service, questions, about):
        if any(question.item_id == "MUG" for question in questions):
            raise ZeroDivisionError("a bug")
        return answer(service, questions, about)

    monkeypatch.setitem(replies._KINDS, "similar", fails)
    first, wrong, last = ask(
        "/v1/similar", [{"item_id": item, "k": 1} for item in ("LAMP", "MUG", "LAMP")]
    ).json()
    assert first == last != wrong
    assert "internal error" in wrong["error"]
    assert ask("/v1/similar", {"item_id": "MUG"}).status_code == 500
    assert "a bug" in caplog.text


def test_missing_numbers_of_a_table_are_null(ask, tables):
    asked = {"user_id": 7, "k": 30, "exclude_seen": False, "with_columns": ["price"]}
    text = ask("/v1/models/films/recommend", asked).text
    prices = {one["item_id"]: one["price"] for one in json.loads(text)["items"]}
    assert "NaN" not in text
    assert (prices[3], prices[4]) == (None, 4)


def test_a_model_that_is_not_there(ask):
    response = ask("/v1/models/nope/recommend", {"user_id": 1})
    assert response.status_code == 404
    assert "shop" in response.json()["error"]


def test_the_openapi_document_lists_what_there_is(ask):
    document = ask.portal.call(functools.partial(ask.client.get, "/openapi.json")).json()
    assert {"/ping", "/v1/recommend", "/v1/models/{name}", "/invocations"} <= set(document["paths"])
    fields = document["paths"]["/v1/recommend"]["post"]["requestBody"]["content"]
    question = fields["application/json"]["schema"]["oneOf"][0]
    assert {"user_id", "history", "k", "where"} <= set(question["properties"])
    json.dumps(document)
