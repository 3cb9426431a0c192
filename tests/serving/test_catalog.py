"""Named models: versions, swaps, what a pointer file says, and micro-batches across a swap."""

import asyncio
import gc
import hashlib
import json
import shutil
import threading
import time
import weakref
from pathlib import Path

import httpx
import pytest
from small_models import fit

import penchant as pc
from penchant.errors import ArtifactError, ParameterError, UnknownModelError
from penchant.serving.app import create_app
from penchant.serving.batching import Batcher
from penchant.serving.catalog import Catalog
from penchant.serving.pointer import LAG_SECONDS, Follower
from penchant.serving.questions import read_question
from penchant.storage.files import replaced_file

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


def test_names_without_a_model_are_not_remembered(artifacts):
    catalog = Catalog({"shop": artifacts[0]})
    for number in range(3):
        with pytest.raises(UnknownModelError):
            catalog.remove(f"nope-{number}")
    assert list(catalog._names) == ["shop"]


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
        batcher = Batcher()
        found = []
        deadline = time.monotonic() + 60
        rounds, seen = 0, set()
        while rounds < 40 or (len(seen) < 2 and time.monotonic() < deadline):
            asked = (batcher.ask(catalog.get(), "recommend", one) for one in questions)
            found += await asyncio.gather(*asked)
            seen.add(json.loads(found[-1])["version"])
            rounds += 1
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
        batcher = Batcher()
        said = [{"user_id": "u1"}, {"user_id": "u1", "where": "x < 1"}]
        questions = [read_question(one, "recommend") for one in said]
        return await asyncio.gather(
            *(batcher.ask(catalog.get(), "recommend", one) for one in questions)
        )

    good, bad = asyncio.run(work())
    assert json.loads(good)["user_id"] == "u1"
    assert isinstance(bad, KeyError | ValueError)


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


def followed(pointer, path, count=2):
    """Return the catalogs of workers that follow one pointer."""
    catalogs = [Catalog({"shop": path}) for _ in range(count)]
    for catalog in catalogs:
        Follower(pointer).follow(catalog)
    return catalogs


def versions(catalogs, name="shop"):
    return {one.version for catalog in catalogs for one in catalog if one.name == name}


def test_an_artifact_replaced_in_its_place_reaches_all_workers(artifacts, tmp_path):
    """The path is the same, before and after."""
    path = tmp_path / "shop"
    pc.load(artifacts[0]).save(path)
    catalogs = followed(tmp_path / "models.json", path)
    pc.load(artifacts[1]).save(path)
    new = catalogs[0].install("shop", path).version
    assert new == version_of(path)
    wait_for(lambda: versions(catalogs) == {new}, "no swap")


def test_a_version_that_is_gone_when_it_is_followed(artifacts, tmp_path):
    """A worker that can only find a newer one takes the others along."""
    path = tmp_path / "shop"
    pc.load(artifacts[0]).save(path)
    first, second = followed(tmp_path / "models.json", path)
    with second.changing("shop"):  # as if it were slow
        pc.load(artifacts[1]).save(path)
        first.install("shop", path)
        pc.load(artifacts[0]).save(path)
    wait_for(lambda: versions([first, second]) == {version_of(artifacts[0])}, "they disagree")


def test_changes_that_cross_leave_workers_with_one_version(artifacts, tmp_path, monkeypatch):
    """One worker is told of another version while it loads what the other was told of."""
    one, two = (str(path) for path in artifacts)
    first, second = followed(tmp_path / "models.json", two)
    loading, go_on = threading.Event(), threading.Event()
    prepare = second._prepare

    def slow(name, model):
        if threading.current_thread().name == "penchant-follow":
            loading.set()
            assert go_on.wait(60)
        return prepare(name, model)

    monkeypatch.setattr(second, "_prepare", slow)
    first.install("shop", one)
    assert loading.wait(60)
    put = threading.Thread(target=second.install, args=("shop", two))
    put.start()
    put.join(0.3)  # an install that waits for no lock is over by now
    go_on.set()
    put.join()
    wait_for(lambda: versions([first, second]) == {version_of(artifacts[1])}, "they disagree")
    assert Follower(tmp_path / "models.json").read() == {"shop": two}
    # And it stays so: nothing that was read before is installed after it.
    time.sleep(3 * LAG_SECONDS)
    assert versions([first, second]) == {version_of(artifacts[1])}


def test_many_changes_at_once_end_with_one_version(artifacts, tmp_path):
    catalogs = followed(tmp_path / "models.json", artifacts[0])

    def change(number):
        for turn in range(5):
            catalogs[number].install("shop", artifacts[(number + turn) % 2])

    threads = [threading.Thread(target=change, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = Follower(tmp_path / "models.json").read()["shop"]
    wait_for(lambda: versions(catalogs) == {version_of(Path(last))}, "they disagree")


def test_one_model_that_does_not_load_holds_up_no_other(artifacts, tmp_path, caplog):
    """And it is tried again; a model that was never installed may be removed."""
    one, two = (str(path) for path in artifacts)
    pointer, late = tmp_path / "models.json", tmp_path / "late"
    (catalog,) = followed(pointer, one, count=1)

    def point(**models):
        whole = {
            name: {"artifact": str(path), "version": version_of(artifacts[1])}
            for name, path in models.items()
        }
        with replaced_file(pointer) as file:
            file.write(json.dumps({"models": whole}).encode())

    point(absent=tmp_path / "nowhere", late=late, shop=two, more=two)
    wait_for(lambda: versions([catalog], "more") == {version_of(artifacts[1])}, "none after it")
    assert versions([catalog]) == {version_of(artifacts[1])}
    assert "absent" in caplog.text
    shutil.copytree(two, late)
    wait_for(lambda: versions([catalog], "late") == {version_of(late)}, "not tried again")
    point(late=late)
    wait_for(lambda: [one.name for one in catalog] == ["late"], "not removed")


def test_a_change_that_cannot_be_written_down_does_not_happen(artifacts, tmp_path):
    (catalog,) = followed(tmp_path / "models.json", artifacts[0], count=1)
    (tmp_path / "models.json").write_text("{")
    with pytest.raises(ValueError, match="Expecting"):
        catalog.install("shop", artifacts[1])
    assert versions([catalog]) == {version_of(artifacts[0])}
    (tmp_path / "models.json").unlink()
    time.sleep(3 * LAG_SECONDS)
    assert versions([catalog]) == {version_of(artifacts[0])}


def test_a_worker_that_was_loading_during_a_change_begins_with_it(artifacts, tmp_path):
    one, two = (str(path) for path in artifacts)
    early, late = Catalog({"shop": one}), Catalog({"shop": one})
    Follower(tmp_path / "models.json").follow(early)
    early.install("shop", two)
    Follower(tmp_path / "models.json").follow(late)
    assert late.get().version == version_of(artifacts[1])


def test_a_model_that_another_process_has_just_loaded(artifacts):
    catalog = Catalog({"shop": artifacts[0]})
    with pytest.raises(UnknownModelError):
        catalog.get_after_all("more")
    catalog.catch_up = lambda: catalog.install("more", artifacts[1])
    assert catalog.get_after_all("more").name == "more"
    catalog.catch_up = None  # which is not called where the model is there
    assert catalog.get_after_all("shop").name == "shop"


def test_every_way_to_ask_looks_once_more(artifacts):
    """Campaigns, too, though their error has words of its own."""
    app = create_app({"shop": artifacts[0]})
    catalog = app.state.server.catalog
    catalog.catch_up = lambda: catalog.install("more", artifacts[1])

    async def work():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            arn = "arn:aws:personalize:us-east-1:1:campaign/more"
            return await client.post("/recommendations", json={"campaignArn": arn, "userId": "u1"})

    found = asyncio.run(work())
    app.state.server.close()
    assert found.status_code == 200, found.text
    assert len(found.json()["itemList"]) > 0
