"""The web application: in process through the test client, and once as a real server."""

import asyncio
import functools
import json
import logging
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from small_models import WARNINGS

from penchant.serving import Requests, Service, create_app, http, to_csv, to_json
from penchant.serving.app import Limits

JSON = {"content-type": "application/json"}
CSV = {"accept": "text/csv"}
PENCHANT = [sys.executable, *WARNINGS, "-m", "penchant"]


class Client:
    """Sends requests to an application without a network, from any thread."""

    def __init__(self, portal, app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://test")
        self._portal = portal

    def request(self, method, path, **options):
        return self._portal.call(functools.partial(self._http.request, method, path, **options))

    get = functools.partialmethod(request, "GET")
    post = functools.partialmethod(request, "POST")


@pytest.fixture(scope="module")
def connect():
    with start_blocking_portal() as portal:
        yield functools.partial(Client, portal)


@pytest.fixture(scope="module")
def client(connect, number_model):
    return connect(create_app(number_model))


def answer(model, *pairs):
    return Service(model).answer(Requests.of(pairs))


def test_ping(client):
    response = client.get("/ping")
    assert (response.status_code, response.json()) == (200, {"status": "healthy"})


def test_one_object(client, number_model):
    response = client.post("/invocations", json={"user_id": "17850", "top_n": "3"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.content == to_json(answer(number_model, ("17850", 3)))
    assert [record["user_id"] for record in response.json()] == [17850] * 3


@pytest.mark.parametrize(
    ("content", "media"),
    [
        ('[{"user_id": "17850"}, {"user_id": 17860, "top_n": 2}]', "application/json"),
        ('{"user_id": "17850"}\n{"user_id": 17860, "top_n": 2}\n', "application/json"),
        ('{"user_id": "17850"}\n{"user_id": 17860, "top_n": 2}', "application/jsonlines"),
        ('{"user_id": "17850"}\n{"user_id": 17860, "top_n": 2}', "Application/X-NDJSON"),
        (
            '[{"user_id": "17850"}, {"user_id": 17860, "top_n": 2}]',
            "application/json; charset=utf-8",
        ),
        ('[{"user_id": "17850"}, {"user_id": 17860, "top_n": 2}]', ""),
    ],
)
def test_many(client, number_model, content, media):
    response = client.post("/invocations", content=content, headers={"content-type": media})
    assert response.status_code == 200
    assert response.content == to_json(answer(number_model, ("17850", 10), ("17860", 2)))


@pytest.mark.parametrize(
    ("accept", "csv"),
    [
        ("text/csv", True),
        ("text/*", True),
        ("text/html, text/csv;q=0.9, */*", True),
        ("*/*", False),
        ("application/json, text/csv", False),
        ("image/png", False),
    ],
)
def test_accept(client, number_model, accept, csv):
    response = client.get("/recommend?user_id=17850&top_n=2", headers={"accept": accept})
    records = answer(number_model, ("17850", 2))
    assert response.content == (to_csv(records) if csv else to_json(records))
    assert response.headers["content-type"].startswith("text/csv" if csv else "application/json")


def test_recommend_by_query(client, number_model):
    response = client.get("/recommend", params={"user_id": "17850"})
    assert response.content == to_json(answer(number_model, ("17850", 10)))
    response = client.get("/recommend", params={"user_id": "Zoë & co", "top_n": 1})
    assert [record["user_id"] for record in response.json()] == ["Zoë & co"]


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status", "message"),
    [
        ("GET", "/recommend", None, {}, 400, "user_id is missing"),
        ("GET", "/recommend?user_id=1&top_n=x", None, {}, 400, 'top_n must be .* got "x"'),
        ("GET", "/recommend?user_id=1&user_id=2", None, {}, 400, "user_id is given more than once"),
        ("GET", "/recommend?user_id=1&top_n=2&top_n=2", None, {}, 400, "top_n is given more than"),
        ("GET", "/recommend?user_id=1&n=5", None, {}, 400, 'unknown field "n"'),
        ("POST", "/invocations", b"", JSON, 400, "the body is empty"),
        ("POST", "/invocations", b"{", JSON, 400, "not JSON"),
        ("POST", "/invocations", b"\xff", JSON, 400, "not UTF-8"),
        (
            "POST",
            "/invocations",
            b'[{"user_id": 1}, 2]',
            JSON,
            400,
            "request 2: expected",
        ),
        ("POST", "/invocations", b'{"user_id": 1}\n{}', JSON, 400, "line 2: user_id is missing"),
        ("POST", "/invocations", b'{"user_id": 1, "top_n": 1001}', JSON, 400, "from 1 to 1000"),
        (
            "POST",
            "/invocations",
            b"a,b",
            {"content-type": "text/html"},
            415,
            "send application/json",
        ),
        ("GET", "/invocations", None, {}, 405, "Method Not Allowed"),
        ("GET", "/nowhere", None, {}, 404, "Not Found"),
    ],
)
def test_errors_are_json(client, method, path, content, headers, status, message):
    response = client.request(method, path, content=content, headers=headers)
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert re.search(message, response.json()["error"])


def test_limits(connect, number_model):
    client = connect(create_app(number_model, limits=Limits(body_bytes=1000, top_n=5, records=20)))

    def post(*records):
        return client.post("/invocations", content=json.dumps(records), headers=JSON)

    assert post(*[{"user_id": 1, "top_n": 5}] * 4).status_code == 200
    too_many = post(*[{"user_id": 1, "top_n": 5}] * 5)
    assert too_many.status_code == 400
    assert "25 recommendations, more than 20" in too_many.json()["error"]
    assert "from 1 to 5" in post({"user_id": 1, "top_n": 6}).json()["error"]
    too_large = client.post("/invocations", content=b" " * 1001, headers=JSON)
    assert too_large.status_code == 413
    assert too_large.json() == {"error": "the body is larger than 1000 bytes"}


def test_a_crash_is_logged_and_tells_nothing(connect, number_model, monkeypatch, caplog):
    client = connect(create_app(number_model))
    monkeypatch.setattr(Service, "answer", lambda *_: 1 // 0)
    with caplog.at_level(logging.ERROR, "penchant"):
        response = client.get("/recommend?user_id=1")
    assert response.status_code == 500
    assert response.json() == {"error": "internal error; the server's log says more"}
    assert "ZeroDivisionError" in caplog.text
    assert "GET /recommend failed" in caplog.text


def test_requests_beside_each_other(client, number_model):
    users = number_model.users_.to_list() * 3
    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda u: client.get(f"/recommend?user_id={u}").content, users))
    assert bodies == [to_json(answer(number_model, (str(user), 10))) for user in users]


# ---- a real server -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(artifact):
    command = [
        *PENCHANT,
        "serve",
        str(artifact),
        "--port",
        "0",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        found = re.search(r"on (http://127\.0\.0\.1:\d+) - Ctrl-C stops it", line)
        assert found, line + process.communicate()[1]
        yield found[1]
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=600)[1]
    assert "Traceback" not in rest
    assert "Warning" not in rest


def test_a_real_server_answers(server, number_model):
    with httpx.Client(base_url=server) as web:
        users = number_model.users_.to_list()
        body = "\n".join(json.dumps({"user_id": str(user), "top_n": "4"}) for user in users)
        wanted = answer(number_model, *((str(user), 4) for user in users))
        response = web.post("/invocations", content=body, headers=JSON)
        assert response.content == to_json(wanted)
        assert web.post("/invocations", content=body, headers=JSON | CSV).content == to_csv(wanted)
        assert web.get("/recommend", params={"user_id": "nobody"}).status_code == 200
        assert web.post("/invocations", content=b"{", headers=JSON).status_code == 400
        assert web.get("/ping").json() == {"status": "healthy"}


def test_the_address_is_taken(server, artifact):
    port = server.rpartition(":")[2]
    command = [*PENCHANT, "serve", str(artifact), "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"error: cannot listen on 127.0.0.1:{port}: Address already in use"
    )


def test_only_this_machine_is_let_in_by_default(server):
    port = int(server.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_no_artifact(tmp_path):
    command = [*PENCHANT, "serve", str(tmp_path / "missing")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert "no Penchant artifact at" in done.stderr
    assert "Traceback" not in done.stderr


def test_k_and_top_n_mean_the_same(client):
    short, other = (client.get(f"/recommend?user_id=17850&{name}=3") for name in ("k", "top_n"))
    assert short.status_code == 200
    assert (short.content, len(short.json())) == (other.content, 3)
    assert client.get("/recommend?user_id=17850&k=3&top_n=3").status_code == 400


def test_a_client_that_sends_no_body_is_not_waited_for(monkeypatch):
    """Neither before the first byte of the body nor in the middle of it."""
    monkeypatch.setattr(http, "WAIT_SECONDS", 0.05)

    async def handle(call):
        raise AssertionError("it has no body to answer")

    async def answered(*messages):
        waiting = iter(messages)
        sent = []

        async def receive():
            for message in waiting:
                return message
            return await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        await asyncio.wait_for(http.Endpoint(handle, body_bytes=9)(scope, receive, send), 60)
        return sent[0]["status"]

    part = {"type": "http.request", "body": b"{", "more_body": True}
    assert asyncio.run(answered()) == 408
    assert asyncio.run(answered(part)) == 408
    assert asyncio.run(answered({**part, "body": b"1234567890"})) == 413
