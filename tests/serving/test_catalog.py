"""Named models: versions, swaps, what a pointer file says, and micro-batches across a swap."""

import asyncio
import gc
import hashlib
import json
import threading
import time
import weakref

import pytest
from small_models import fit

import penchant as pc
from penchant.errors import ArtifactError, ParameterError, UnknownModelError
from penchant.serving.batching import Batcher
from penchant.serving.catalog import Catalog
from penchant.serving.pointer import Follower
from penchant.serving.questions import read_question

USERS = [f"u{i}" for i in range(20)]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """Two versions of one model, which answer differently."""
    folder = tmp_path_factory.mktemp("versions")
    for name, seed in (("one", 1), ("two", 2)):
        fit(USERS, pc.BPR(factors=8, epochs=5, random_state=seed)).save(folder / name)
    return folder / "one", folder / "two"


def version_of(path):
    return hashlib.sha256((path / "model.json").read_bytes()).hexdigest()[:12]


def test_a_version_is_the_digest_of_its_manifest(artifacts):
    catalog = Catalog({"shop": artifacts[0]})
    assert catalog.get().version == version_of(artifacts[0]) != version_of(artifacts[1])
    assert catalog.get("shop").describe()["class"] == "BPR"
    with pytest.raises(UnknownModelError, match="shop"):
        catalog.get("shap")


def test_a_damaged_artifact_leaves_the_old_version_serving(artifacts, tmp_path):
    catalog = Catalog({"shop": artifacts[0]})
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ArtifactError):
        catalog.install("shop", tmp_path)
    with pytest.raises(ArtifactError):
        catalog.install("shop", tmp_path / "missing")
    assert catalog.get("shop").version == version_of(artifacts[0])


@pytest.mark.parametrize("name", ["", "../shop", "a/b", ".hidden", "a" * 64, "ü", "a b"])
def test_names_that_could_be_paths_are_refused(artifacts, name):
    with pytest.raises(ParameterError, match="no name"):
        Catalog({name: artifacts[0]})


def test_an_old_version_goes_when_its_last_answer_is_done(artifacts):
    catalog = Catalog({"shop": artifacts[0]})
    held = catalog.get()
    gone = weakref.ref(held.service.model)
    catalog.install("shop", artifacts[1])
    assert gone() is not None
    del held
    gc.collect()
    assert gone() is None


def test_every_micro_batch_is_of_one_version(artifacts):
    """Answers while versions change are whole answers of one of the two."""
    catalog = Catalog({"shop": artifacts[0]})
    questions = [read_question({"user_id": user, "k": 5}, "recommend") for user in USERS]
    paths = dict(zip(map(version_of, artifacts), artifacts, strict=True))
    expected = {}
    for version, path in paths.items():
        model = pc.load(path)
        for user in USERS:
            expected[version, user] = model.recommend(user, k=5)["what"].tolist()
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            for path in paths.values():
                catalog.install("shop", path)

    async def work():
        batcher = Batcher(catalog)
        found = []
        for _ in range(40):
            found += await asyncio.gather(*(batcher.ask("shop", "recommend", q) for q in questions))
        batcher.close()
        return found

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        replies = [json.loads(reply) for reply in asyncio.run(work())]
    finally:
        stop.set()
        thread.join()
    for reply in replies:
        items = [one["item_id"] for one in reply["items"]]
        assert items == expected[reply["version"], reply["user_id"]]
    assert {reply["version"] for reply in replies} == set(paths)


def test_an_error_is_the_answer_of_its_own_question(artifacts):
    catalog = Catalog({"shop": artifacts[0]})

    async def work():
        batcher = Batcher(catalog)
        asked = [
            batcher.ask("shop", "recommend", read_question({"user_id": "u1"}, "recommend")),
            batcher.ask(
                "shop", "recommend", read_question({"user_id": "u1", "where": "x < 1"}, "recommend")
            ),
            batcher.ask("nope", "recommend", read_question({"user_id": "u1"}, "recommend")),
        ]
        return await asyncio.gather(*asked, return_exceptions=True)

    good, bad, missing = asyncio.run(work())
    assert json.loads(good)["user_id"] == "u1"
    assert isinstance(bad, KeyError | ValueError)
    assert isinstance(missing, UnknownModelError)


def wait_for(holds, what):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_workers_follow_one_pointer(artifacts, tmp_path):
    one, two = (str(path) for path in artifacts)
    pointer = tmp_path / "models.json"
    catalogs = [Catalog({"shop": one}), Catalog({"shop": one})]
    for catalog in catalogs:
        Follower(pointer).follow(catalog)
    catalogs[0].install("shop", two)
    wait_for(lambda: catalogs[1].get().version == version_of(artifacts[1]), "no swap")
    catalogs[1].install("more", one)
    wait_for(lambda: len(catalogs[0]) == 2, "no second model")
    catalogs[0].remove("shop")
    wait_for(lambda: len(catalogs[1]) == 1, "not removed")
    assert Follower(pointer).read() == {"more": one}


def test_a_worker_that_was_loading_during_a_change_begins_with_it(artifacts, tmp_path):
    one, two = (str(path) for path in artifacts)
    early, late = Catalog({"shop": one}), Catalog({"shop": one})
    Follower(tmp_path / "models.json").follow(early)
    early.install("shop", two)
    Follower(tmp_path / "models.json").follow(late)
    assert late.get().version == version_of(artifacts[1])
