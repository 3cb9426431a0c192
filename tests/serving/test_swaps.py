"""Models that are replaced while they are asked: every answer is of one version, and names it."""

import asyncio
import contextlib
import functools
import gc
import json
import logging
import threading
import weakref

import httpx
import numpy as np
import pytest
from anyio.from_thread import start_blocking_portal

import penchant as pc
from penchant.serving import create_app, http, replies
from penchant.serving.batching import Batcher
from penchant.serving.catalog import Catalog
from penchant.serving.questions import read_question
from penchant.serving.recorder import Recorder
from penchant.serving.routes import personalize, sagemaker
from penchant.storage.manifest import version_of

USERS = [f"u{i}" for i in range(20)]
SHARED = ["bag", "box", "cap", "cup", "fan", "hat", "jam", "jar", "mug", "tea", "tin"]
OWN = {"one": "ink", "two": "pen"}  # an item that only this version knows
MANY = [{"user_id": USERS[place % 20], "k": 3} for place in range(600)]  # of several batches


class Shop:
    """An application with one model, in this process; `other` is the artifact that takes over."""

    def __init__(self, portal, artifacts, **options):
        self.app = create_app({"shop": artifacts["one"]}, **options)
        self.server = self.app.state.server
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://test")
        self._portal, self._artifacts = portal, artifacts

    def post(self, path, body):
        send = functools.partial(self.client.post, path, content=json.dumps(body))
        return self._portal.call(send)

    def install(self, which):
        return self.server.catalog.install("shop", self._artifacts[which])

    def then_swap(self, work):
        """Return `work`, after whose first call the other version takes over."""
        swap = iter([functools.partial(self.install, "two")])

        def wrapped(*arguments, **options):
            found = work(*arguments, **options)
            next(swap, lambda: None)()
            return found

        return wrapped


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """Two versions that differ in their scores, in one item, and in what they can do."""
    folder = tmp_path_factory.mktemp("versions")
    rng = np.random.default_rng(5)
    for name, model in (
        ("one", pc.BPR(factors=4, epochs=3)),
        ("two", pc.BPR(factors=4, epochs=3, random_state=9)),
        ("plain", pc.Pipeline(retrieve=pc.ItemKNN(), rank=pc.BPR(factors=4, epochs=3))),
    ):
        items = [*SHARED, OWN.get(name, "ink")]
        taken = [[items[place] for place in rng.permutation(12)[:4]] for _ in USERS]
        data = pc.Interactions.from_sequences([*taken, items], users=[*USERS, "everything"])
        model.fit(data, progress=False).save(folder / name)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def versions(artifacts):
    return {
        name: version_of((path / "model.json").read_bytes()) for name, path in artifacts.items()
    }


@pytest.fixture(scope="module")
def portal():
    with start_blocking_portal() as made:
        yield made


@pytest.fixture
def shop(portal, artifacts):
    made = Shop(portal, artifacts)
    yield made
    portal.call(made.client.aclose)
    made.server.close()


def test_a_list_of_several_batches_is_of_one_version(shop, versions, monkeypatch):
    """Another version takes over while the first batch is answered."""
    answer = replies._KINDS["recommend"]
    monkeypatch.setitem(replies._KINDS, "recommend", shop.then_swap(answer))
    found = shop.post("/v1/recommend", MANY).json()
    assert {one["version"] for one in found} == {versions["one"]}
    assert [one["user_id"] for one in found] == [question["user_id"] for question in MANY]
    assert shop.post("/v1/recommend", MANY[0]).json()["version"] == versions["two"]


def test_items_are_ranked_by_the_version_that_told_them_apart(shop, monkeypatch):
    monkeypatch.setattr(personalize, "_told_apart", shop.then_swap(personalize._told_apart))
    body = {"campaignArn": "shop", "userId": "u1", "inputList": [*SHARED, "ink", "pen"]}
    assert unranked(shop.post("/personalize-ranking", body)) == {"pen"}
    assert unranked(shop.post("/personalize-ranking", body)) == {"ink"}


def unranked(response):
    """Return the items without a score, after all that have been asked about were found."""
    assert response.status_code == 200, response.text
    ranked = response.json()["personalizedRanking"]
    assert sorted(one["itemId"] for one in ranked) == sorted([*SHARED, "ink", "pen"])
    return {one["itemId"] for one in ranked if not one["score"]}


def test_scores_are_those_that_the_version_has(shop, artifacts, monkeypatch):
    """A model without relative scores takes over from one with them, or the other way round."""
    assert "softmax" not in pc.load(artifacts["plain"]).capabilities_
    options = personalize._options
    body = {"campaignArn": "shop", "userId": "u1", "numResults": 4}
    for first, second in (("one", "plain"), ("plain", "one")):
        shop.install(first)
        alone = shop.post("/recommendations", body).json()["itemList"]

        def and_swap(*arguments, second=second):
            found = options(*arguments)
            shop.install(second)
            return found

        with monkeypatch.context() as patch:
            patch.setattr(personalize, "_options", and_swap)
            response = shop.post("/recommendations", body)
        assert response.status_code == 200, response.text
        assert response.json()["itemList"] == alone


def test_the_variant_that_is_named_is_the_one_that_answered(shop, artifacts, versions, monkeypatch):
    monkeypatch.setattr(sagemaker.sagemaker, "decode", shop.then_swap(sagemaker.sagemaker.decode))
    for name in ("one", "two"):
        response = shop.post("/endpoints/shop/invocations", {"user_id": "u1", "top_n": 4})
        assert response.headers["x-amzn-invoked-production-variant"] == versions[name]
        scores = [one["score"] for one in response.json()]
        expected = pc.load(artifacts[name]).recommend("u1", k=4)["score"].tolist()
        assert scores == pytest.approx(expected, rel=1e-6)


def test_an_old_version_answers_what_it_was_asked_and_goes(artifacts, versions):
    catalog = Catalog({"shop": artifacts["one"]})
    questions = [read_question(one, "recommend") for one in MANY]

    async def work():
        batcher = Batcher()
        held = catalog.get()
        gone = weakref.ref(held.service.model)
        asked = [batcher.ask(held, "recommend", one) for one in questions]
        catalog.install("shop", artifacts["two"])
        del held
        # What is asked of the new version meanwhile is answered by that one.
        asked.append(batcher.ask(catalog.get(), "recommend", questions[0]))
        *old, new = [json.loads(reply)["version"] for reply in await asyncio.gather(*asked)]
        batcher.close()
        return set(old), new, gone

    old, new, gone = asyncio.run(work())
    gc.collect()
    assert (old, new) == ({versions["one"]}, versions["two"])
    assert gone() is None


def test_lists_and_rankings_under_swaps(shop, artifacts, versions):
    """No answer mixes the two versions that take turns as fast as they can."""
    expected = {
        (versions[name], user): pc.load(artifacts[name]).recommend(user, k=3)["item"].tolist()
        for name in OWN
        for user in USERS
    }
    ranking = {"campaignArn": "shop", "userId": "u1", "inputList": [*SHARED, "ink", "pen"]}
    stop = threading.Event()
    swaps = []

    def swap():
        while not stop.is_set():
            for name in OWN:
                shop.install(name)
                swaps.append(name)

    async def ask():
        """Ask until both versions have answered in both ways."""
        lists, ranked = set(), set()
        while len(lists) < 2 or len(ranked) < 2 or len(swaps) < 50:
            post = shop.client.post
            answers, *rankings = await asyncio.gather(
                post("/v1/recommend", json=MANY),
                *(post("/personalize-ranking", json=ranking) for _ in range(5)),
            )
            found = answers.json()
            (version,) = {one["version"] for one in found}
            for one in found:
                items = [item["item_id"] for item in one["items"]]
                assert items == expected[version, one["user_id"]]
            lists.add(version)
            for response in rankings:
                (strange,) = unranked(response)
                ranked.add(strange)
        return ranked

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        assert shop._portal.call(ask) == set(OWN.values())
    finally:
        stop.set()
        thread.join()


# ---- batches -------------------------------------------------------------------------------------


@contextlib.contextmanager
def counted(shop, monkeypatch):
    """Count the native calls: how many users each of them was for."""
    model = shop.server.catalog.get().service.model
    calls, recommend = [], model.recommend_codes

    def counting(codes, *arguments, **options):
        calls.append(len(codes))
        return recommend(codes, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(model, "recommend_codes", counting)
        yield calls


def test_a_list_is_one_native_call(shop, monkeypatch):
    with counted(shop, monkeypatch) as calls:
        assert len(shop.post("/v1/recommend", MANY[:200]).json()) == 200
        assert calls == [200]
        assert len(shop.post("/v1/recommend", MANY).json()) == 600
    assert sum(calls) == 800
    assert len(calls) < 6


def test_concurrent_questions_are_one_native_call(shop, monkeypatch):
    """All that come while a call runs are answered by the next one."""
    asked = []
    all_asked = threading.Event()
    ask, answer = shop.server.batcher.ask, replies._KINDS["recommend"]

    def asking(*arguments):
        asked.append(arguments)
        if len(asked) == 41:
            all_asked.set()
        return ask(*arguments)

    def waiting(*arguments):
        assert all_asked.wait(60)
        return answer(*arguments)

    async def one_and_forty():
        post = functools.partial(shop.client.post, "/v1/recommend")
        first = asyncio.ensure_future(post(json=MANY[0]))
        while not asked:
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # the turn in which its batch begins
        others = [post(json=question | {"k": 1 + place % 3}) for place, question in enumerate(MANY)]
        return await asyncio.gather(first, *others[:40]), [other.close() for other in others[40:]]

    monkeypatch.setattr(shop.server.batcher, "ask", asking)
    monkeypatch.setitem(replies._KINDS, "recommend", waiting)
    with counted(shop, monkeypatch) as calls:
        responses, _ = shop._portal.call(one_and_forty)
    assert [response.status_code for response in responses] == [200] * 41
    assert calls == [1, 40]


# ---- errors --------------------------------------------------------------------------------------


def test_no_model_for_a_thousand_questions(shop, caplog):
    response = shop.post("/v1/models/nope/recommend", [{"user_id": "u1", "k": 1}] * 1000)
    assert response.status_code == 404
    assert "no model 'nope'" in response.json()["error"]
    gc.collect()
    assert not caplog.records


def test_a_bug_in_every_batch_is_logged_once_a_request(
    portal, artifacts, tmp_path, monkeypatch, caplog
):
    """Also where a request has failed already, and batches of it are still to come."""

    class Lines(logging.Handler):
        """Keeps what is logged as text: a record would keep the frames of its error alive."""

        def emit(self, record):
            lines.append(self.format(record))

    def fails(*_):
        raise ZeroDivisionError("a bug")

    lines, logger = [], logging.Logger("alone")
    logger.addHandler(Lines())
    monkeypatch.setattr(http, "_log", logger)
    recorder = Recorder(tmp_path / "record.jsonl")
    recorder.write_many = fails
    shop = Shop(portal, artifacts, recorder=recorder)
    assert shop.post("/v1/recommend", MANY).status_code == 500
    assert shop.post("/v1/recommend", MANY[0]).status_code == 500  # after whatever is left of both
    gc.collect()
    assert not caplog.records
    assert len(lines) == 2
    portal.call(shop.client.aclose)
    shop.server.close()
