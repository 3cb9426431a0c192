"""Filters of Personalize's runtime API: the same answers as the batch jobs give."""

import json

import httpx
import numpy as np
import pandas as pd
import pytest
from anyio.from_thread import start_blocking_portal

import penchant as pc
from penchant.serving import create_app
from penchant.serving.ranking import likest, shares

FILTERS = {
    "old": "INCLUDE ItemID WHERE Items.YEAR < 1994",
    "genre": "EXCLUDE ItemID WHERE Items.GENRE IN ($G)",
    "none": "INCLUDE ItemID WHERE Items.YEAR < 3",
    "mine": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")',
}


@pytest.fixture(scope="module")
def films():
    rng = np.random.default_rng(3)
    events = pd.DataFrame({"who": rng.integers(0, 20, 300), "what": rng.integers(0, 40, 300)})
    table = pd.DataFrame(
        {"what": range(40), "year": 1990 + np.arange(40), "genre": ["a", "b"] * 20}
    )
    data = pc.Interactions.from_frame(events, user="who", item="what", item_features=table)
    return pc.BPR(factors=8, epochs=3).fit(data, progress=False)


@pytest.fixture(scope="module")
def ask(films):
    transport = httpx.ASGITransport(create_app({"films": films}, filters=FILTERS))
    with start_blocking_portal() as portal:
        client = httpx.AsyncClient(transport=transport, base_url="http://test")

        def post(path, **fields):
            async def send():
                return await client.post(path, content=json.dumps(fields))

            return portal.call(send)

        yield post
        portal.call(client.aclose)


@pytest.mark.parametrize(
    ("name", "values", "k"), [("old", {}, 3), ("old", {}, 25), ("genre", {"G": '"a"'}, 7)]
)
@pytest.mark.parametrize("item", ["2", "39"])
def test_related_items_are_filtered(ask, films, tmp_path, item, name, values, k):
    answer = ask(
        "/recommendations",
        itemId=item,
        numResults=k,
        filterArn=f"arn:aws:personalize:eu-west-1:000000000000:filter/{name}",
        filterValues=values,
    )
    assert answer.status_code == 200, answer.text
    found = [one["itemId"] for one in answer.json()["itemList"]]
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps({"itemId": item, "numResults": k, "filterValues": values}))
    report = pc.batch.related(films, source, where=FILTERS[name])
    with open(report.out) as out:
        assert json.load(out)["output"]["recommendedItems"] == found
    every = films.similar_items([item], k=40)
    year, genre = 1990 + every["neighbor"], np.resize(["a", "b"], 40)[every["neighbor"]]
    kept = every[year < 1994] if name == "old" else every[genre != "a"]
    assert found == kept["neighbor"].astype(str).tolist()[:k]
    assert [one["score"] for one in answer.json()["itemList"]] == pytest.approx(
        kept["score"].tolist()[:k], rel=1e-5
    )


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"filterArn": "nope"}, 404, "filter 'nope' does not exist; filters: old"),
        ({"filterArn": "genre"}, 400, "the filter wants a value for $G"),
        ({"filterArn": "genre", "filterValues": {"G": "\ud800"}}, 400, "not valid Unicode"),
        ({"filterArn": "old", "filterValues": {"G": "a"}}, 400, "where_values has 'G'"),
        ({"filterArn": "old", "itemId": "x"}, 400, "no item 'x' in the model"),
        ({"filterArn": "mine"}, 400, "Interactions.EVENT_TYPE"),
    ],
)
def test_filters_of_related_items_that_do_not_fit(ask, fields, status, message):
    answer = ask("/recommendations", **({"itemId": "2"} | fields))
    assert answer.status_code == status
    assert message in answer.json()["message"]


def test_a_filter_that_leaves_nothing(ask):
    answer = ask("/recommendations", itemId="2", filterArn="none")
    assert answer.json()["itemList"] == []


def test_strangers_are_last_and_what_is_filtered_is_out(ask):
    answer = ask(
        "/personalize-ranking", userId="3", inputList=["x", "1", "30", "2"], filterArn="old"
    )
    found = [(one["itemId"], one["score"]) for one in answer.json()["personalizedRanking"]]
    assert {item for item, _ in found[:2]} == {"1", "2"}
    assert sum(score for _, score in found) == pytest.approx(1)
    assert found[2:] == [("x", 0)]


@pytest.mark.parametrize(
    "model", [pc.BPR(factors=4, epochs=2), pc.ItemKNN(neighbors=5)], ids=["BPR", "KNN"]
)
def test_the_likest_are_those_of_the_whole_list(model):
    rng = np.random.default_rng(5)
    events = pd.DataFrame({"u": rng.integers(0, 30, 400), "i": rng.integers(0, 60, 400)})
    model = model.fit(pc.Interactions.from_frame(events, user="u", item="i"), progress=False)
    n = len(model.items_)
    rows, scores = model.similar_codes(np.arange(n), n)
    for share in (0.0, 0.05, 0.3, 1.0):
        allowed = rng.random(n) < share
        for k in (1, 3, n, n + 5):
            found, their = likest(model, np.arange(n), k, allowed)
            assert found.shape == their.shape == (n, min(k, n))
            for item in range(n):
                kept = (rows[item] >= 0) & allowed[rows[item]]
                wanted = rows[item][kept][:k]
                assert found[item][: len(wanted)].tolist() == wanted.tolist()
                assert (found[item][len(wanted) :] == -1).all()
                assert their[item][: len(wanted)].tolist() == scores[item][kept][:k].tolist()


def test_shares():
    found = shares(np.array([[3.0, 3.0], [1000.0, -np.inf], [-np.inf, -np.inf]]))
    assert found.tolist() == [[0.5, 0.5], [1.0, 0.0], [0.0, 0.0]]
    assert shares(np.zeros((1, 0))).shape == (1, 0)
