"""Loading models while a multi-model container runs."""

import asyncio
import threading

import httpx
import pytest
from small_models import TOKEN

from penchant.serving import create_app


@pytest.fixture
def root(artifact, tmp_path):
    """A folder of models: one as SageMaker unpacks it, one in a folder of its own."""
    for place in ("flat/model", "deep/model/artifact"):
        folder = tmp_path / "models" / place
        folder.mkdir(parents=True)
        for file in artifact.iterdir():
            (folder / file.name).hardlink_to(file)
    return tmp_path / "models"


@pytest.fixture
def app(root):
    return create_app({}, models_root=root, admin_token=TOKEN)


class Client:
    """Requests to the application, whose event loop runs in a thread of its own."""

    def __init__(self, app):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://test")

    def begin(self, method, path, document=None):
        headers = {"authorization": f"Bearer {TOKEN}"}
        asked = self._http.request(method, path, json=document, headers=headers)
        return asyncio.run_coroutine_threadsafe(asked, self._loop)

    def ask(self, *arguments):
        return self.begin(*arguments).result(600)

    def begin_loading(self, name, url):
        return self.begin("POST", "/models", {"model_name": name, "url": url})

    def load(self, name, url):
        return self.begin_loading(name, url).result(600)

    def close(self):
        asyncio.run_coroutine_threadsafe(self._http.aclose(), self._loop).result(600)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def client(app):
    made = Client(app)
    yield made
    made.close()


def test_a_name_is_loaded_once(app, client, root, monkeypatch):
    """All but one are refused, though none has finished when the last one asks."""
    catalog = app.state.server.catalog
    begun, door, install = threading.Event(), threading.Event(), catalog.install

    def slow(*arguments, **options):
        begun.set()
        assert door.wait(600)
        return install(*arguments, **options)

    monkeypatch.setattr(catalog, "install", slow)
    first = client.begin_loading("shop", "flat/model")
    assert begun.wait(600)
    later = [client.begin_loading("shop", url) for url in ("flat/model", "deep/model")]
    threading.Timer(1.0, door.set).start()
    statuses = [one.result(600).status_code for one in (first, *later)]
    assert statuses == [200, 409, 409]
    assert client.load("shop", "flat/model").status_code == 409
    assert client.ask("DELETE", "/models/shop").status_code == 200
    assert client.load("shop", "flat/model").status_code == 200


def test_a_name_is_free_again_after_a_failure(client, root):
    (root / "empty").mkdir()
    answer = client.load("shop", "empty")
    assert answer.status_code == 400
    assert "there is no model in" in answer.json()["error"]
    assert client.load("shop", "flat/model").status_code == 200


def test_a_model_that_memory_has_no_room_for(app, client, monkeypatch):
    """SageMaker unloads others at this status, and at no other."""

    def full(*_, **__):
        raise MemoryError

    catalog = app.state.server.catalog
    with monkeypatch.context() as patched:
        patched.setattr(catalog, "install", full)
        answer = client.load("shop", "flat/model")
    assert answer.status_code == 507
    assert "no memory is left for model shop" in answer.json()["error"]
    assert client.load("shop", "flat/model").status_code == 200


def test_a_model_in_a_folder_of_its_own(client):
    answer = client.load("deep", "deep/model")
    assert answer.status_code == 200
    assert answer.json()["modelUrl"].endswith("/deep/model/artifact")
    assert client.ask("POST", "/models/deep/invoke", {"user_id": 17850}).status_code == 200


def test_no_folder_leads_out(client, root, artifact):
    (root / "out").mkdir()
    (root / "out" / "model").symlink_to(artifact)
    answer = client.load("out", "out")
    assert answer.status_code == 400
    assert "url must lie in" in answer.json()["error"]


@pytest.mark.parametrize(("name", "status"), [("a" * 63, 200), ("a" * 64, 400), ("-a", 200)])
def test_names_are_those_of_every_model(client, name, status):
    assert client.load(name, "flat/model").status_code == status


def test_requests_are_answered_while_as_many_models_load_as_there_are_cores(
    app, client, monkeypatch
):
    server = app.state.server
    catalog = server.catalog
    door, install = threading.Event(), catalog.install
    begun = threading.Semaphore(0)

    def slow(*arguments, **options):
        begun.release()
        assert door.wait(600)
        return install(*arguments, **options)

    assert client.load("shop", "flat/model").status_code == 200
    monkeypatch.setattr(catalog, "install", slow)
    count = int(server._slots.total_tokens)
    loads = [client.begin_loading(f"shop{number}", "flat/model") for number in range(count)]
    try:
        for _ in range(min(count, 4)):
            assert begun.acquire(timeout=60)
        answer = client.begin("POST", "/models/shop/invoke", {"user_id": 17850}).result(60)
    finally:
        door.set()
    assert answer.status_code == 200
    assert [load.result(600).status_code for load in loads] == [200] * count


@pytest.mark.parametrize("path", ["/models/shop", "/v1/models/shop"])
def test_requests_are_answered_while_a_removal_waits_for_a_load(app, client, path):
    """A model is removed when the change of it that is under way has ended."""
    assert client.load("shop", "flat/model").status_code == 200
    with app.state.server.catalog.changing("shop"):  # as if another version were loaded
        removal = client.begin("DELETE", path)
        assert client.begin("GET", "/ping").result(60).status_code == 200
        answer = client.begin("POST", "/models/shop/invoke", {"user_id": 17850}).result(60)
        assert answer.status_code == 200
        assert not removal.done()
    assert removal.result(60).status_code == 200
    assert client.ask("GET", "/models/shop").status_code == 404
    assert client.ask("DELETE", path).status_code == 404
