"""A running server and clients that mean no good: no 5xx, no hang, no crash, bounded memory.

`ENDPOINTS` is the table of what is attacked: a new endpoint is a new row.
"""

import dataclasses
import json
import random
import signal
import threading

import pytest
from hostile_support import MEMORY, Endpoint, answer, many_files, reset, serving

ENDPOINTS = [
    Endpoint("POST", "/invocations", b'{"user_id": "17850", "top_n": 3}'),
    Endpoint("GET", "/recommend?user_id=17850&top_n=3"),
]
POSTS = [endpoint for endpoint in ENDPOINTS if endpoint.takes_json]
SIMPLE = ENDPOINTS[0]
# The most recommendations that one request may ask for.
LARGE = json.dumps([{"user_id": n, "top_n": 1000} for n in range(1000)]).encode()

ids = [endpoint.path.partition("?")[0] for endpoint in ENDPOINTS]
everywhere = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=ids)
where_json_goes = pytest.mark.parametrize("endpoint", POSTS, ids=[e.path for e in POSTS])


@pytest.fixture(scope="module")
def running(artifact):
    with many_files(4096), serving(artifact) as server:
        for endpoint in ENDPOINTS:
            assert server.ask(endpoint)[0] == 200, endpoint
        server.rest = server.memory()
        yield server
        code = server.stop()
    assert code in (0, -signal.SIGTERM)


@pytest.fixture
def server(running):
    """The server; well after each test, no error logged, and no larger than it may be."""
    before = len(running.log)
    yield running
    running.is_well(before)
    assert running.memory() - running.rest < MEMORY


def is_refused(found):
    """A status that blames the client, with a reason that says nothing of the server's inside."""
    assert found is not None
    status, body = found
    assert 400 <= status < 500, found
    assert b"Traceback" not in body
    return True


def is_no_failure(found):
    """Any answer but a 5xx, or none."""
    assert found is None or found[0] < 500, found
    return True


# ---- what is asked -------------------------------------------------------------------------------

MALFORMED = {
    "nothing": b" ",
    "half an object": b'{"user_id": "17850"',
    "a comma too many": b'{"user_id": "17850",}',
    "single quotes": b"{'user_id': '17850'}",
    "no UTF-8": b'{"user_id": "\xff\xfe"}',
    "UTF-16": '{"user_id": "17850"}'.encode("utf-16"),
    "a NUL": b'{"user_id": "1\x00"}',
    "only NULs": b"\x00" * 1000,
    "a number": b"17850",
    "text": b'"17850"',
    "null": b"null",
    "NaN": b'{"user_id": NaN}',
    "infinity": b'{"user_id": 1e999}',
    "deep lists": b"[" * 100_000,
    "deep and closed": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"user_id": ' * 50_000,
    "many digits": b'{"user_id": ' + b"9" * 100_000 + b"}",
    "lone surrogate": b'{"user_id": "\\ud800"}',
    "a list as id": b'{"user_id": ["17850"]}',
    "an object as id": b'{"user_id": {"$ne": null}}',
    "no id": b'{"top_n": 3}',
    "unknown field": b'{"user_id": "17850", "__class__": "x"}',
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "a pickle": b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94.",
}


@where_json_goes
@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_malformed_bodies(server, endpoint, body):
    assert is_refused(server.ask(endpoint, body=body))


@where_json_goes
@pytest.mark.parametrize(
    "media",
    [
        "text/csv",
        "text/plain; charset=utf-16",
        "application/x-npy",
        "multipart/form-data; boundary=" + "x" * 1000,
        "application/json; charset=" + "x" * 5000,
        "application/json\t;;;===",
        "nonsense",
        "é",
        ";",
        "",
    ],
)
def test_wrong_content_types(server, endpoint, media):
    assert is_no_failure(server.ask(endpoint, f"Content-Type: {media}"))


@everywhere
@pytest.mark.parametrize("accept", ["image/png", "*", ";q=", "a/b" * 5000, "text/csv;q=nan", "é"])
def test_odd_accept_headers(server, endpoint, accept):
    assert is_no_failure(server.ask(endpoint, f"Accept: {accept}"))


@everywhere
@pytest.mark.parametrize(
    "k",
    [10**9, 10**30, 2**31, 2**63, -1, 0, 1.5, 1e308, "1e9", "٣", "", [10], {}, True, "9" * 5000],
)
def test_lists_of_any_length(server, endpoint, k):
    assert is_refused(server.ask(endpoint.with_field(endpoint.k, k)))


@everywhere
@pytest.mark.parametrize(
    "user",
    [
        "nobody",
        "日本茶 ☃ 😀",
        "\u202e\u0000\u0001\x1f\x7f\u2028",
        "a\r\nSet-Cookie: x=1",
        "' OR '1'='1",
        "../../etc/passwd",
        "%s%s%n{0}${jndi:ldap://x}",
        "e\u0301" * 500,
        "x" * 4096,
        "-0",
        "1e5",
        "9" * 400,
        "\ufeff17850",
        "\ufdd0\uffff",
    ],
)
def test_ids_of_any_kind(server, endpoint, user):
    found = server.ask(endpoint.with_field(endpoint.user, user))
    assert found[0] in (200, 400), found
    if found[0] == 200:
        json.loads(found[1])


@everywhere
def test_ids_that_are_too_long_or_no_text(server, endpoint):
    assert is_refused(server.ask(endpoint.with_field(endpoint.user, "x" * 5000)))
    assert is_no_failure(server.ask(endpoint.with_field(endpoint.user, "\ud800")))
    assert is_refused(server.ask(endpoint.with_field(endpoint.user, "")))


@pytest.mark.parametrize(
    "path",
    [
        *[
            "//",
            "/..",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/recommend/../ping",
            "/%00",
            "/%ff",
            "/\u00e9",
        ],
        *["/recommend", "/recommend?", "/recommend?user_id", "/recommend?user_id=%ff%fe", "*"],
        *["/static/%2e%2e/x", "http://elsewhere/"],
        pytest.param("/" + "a" * 60_000, id="long"),
        pytest.param("/recommend?" + "&".join(f"a{n}=1" for n in range(5000)), id="many fields"),
    ],
)
def test_odd_paths(server, path):
    assert is_no_failure(server.ask(Endpoint("GET", path)))


@everywhere
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW"])
def test_other_methods(server, endpoint, method):
    assert is_refused(server.ask(dataclasses.replace(endpoint, method=method)))


# ---- large ones ----------------------------------------------------------------------------------


@where_json_goes
def test_bodies_of_10_megabytes(server, endpoint):
    big = {
        "one id": json.dumps({endpoint.user: "x" * (10 * 2**20)}).encode(),
        "many requests": json.dumps([json.loads(endpoint.body)] * 300_000).encode(),
        "many fields": json.dumps({f"a{n}": n for n in range(700_000)}).encode(),
        "spaces": endpoint.body + b" " * (10 * 2**20),
        "zeros": b"\x00" * (10 * 2**20),
        "brackets": b"[" * (10 * 2**20),
    }
    for name, body in big.items():
        found = server.ask(endpoint, body=body)
        assert found is None or is_refused(found), name


@where_json_goes
def test_bodies_of_10_megabytes_side_by_side(server, endpoint):
    body = endpoint.body + b" " * (10 * 2**20)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(server.ask(endpoint, body=body)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert all(one is None or is_refused(one) for one in found)


@where_json_goes
def test_a_body_without_an_end(server, endpoint):
    """Chunks for ever: the server must hang up, or answer, before it has read 100 MB."""
    head = endpoint.raw("Transfer-Encoding: chunked", body=b"")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with server.connect() as client:
        client.sendall(head)
        try:
            for _ in range(1600):
                client.sendall(chunk)
        except (ConnectionResetError, BrokenPipeError):
            pass
        found = answer(client)
    assert found is None or is_refused(found)


@where_json_goes
def test_a_body_that_is_announced_and_never_comes(server, endpoint):
    for length in (2**63, 10**30, 10**12):
        with server.connect() as client:
            client.sendall(endpoint.raw(f"Content-Length: {length}", body=b""))
            reset(client)
    assert server.memory() - server.rest < MEMORY


def test_large_answers_that_nobody_reads(server):
    clients = [server.connect(receive_buffer=4096) for _ in range(8)]
    for client in clients:
        client.sendall(SIMPLE.raw(body=LARGE))
    assert server.ask(SIMPLE)[0] == 200
    for client in clients[::2]:
        reset(client)
    for client in clients[1::2]:
        status, body = answer(client)
        assert status == 200
        assert len(json.loads(body)) > 1000
        client.close()


# ---- no HTTP -------------------------------------------------------------------------------------

_POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"
BROKEN = {
    "noise": bytes(range(256)) * 20,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    "no version": b"GET /ping\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "version 9": b"GET /ping HTTP/9.9\r\nHost: x\r\n\r\n",
    "no host": b"GET /ping HTTP/1.1\r\n\r\n",
    "spaces": b" " * 100_000,
    "long method": b"A" * 100_000 + b" / HTTP/1.1\r\nHost: x\r\n\r\n",
    "long header": b"GET /ping HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n",
    "many headers": b"GET /ping HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 100_000 + b"\r\n",
    "a NUL": b"GET /ping HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n",
    "a header without a name": b"GET /ping HTTP/1.1\r\nHost: x\r\n: x\r\n\r\n",
    "a folded header": b"GET /ping HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "negative length": _POST + b"Content-Length: -5\r\n\r\nabcde",
    "length no number": _POST + b"Content-Length: 0x5\r\n\r\nabcde",
    "two lengths": _POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "length and chunks": _POST + b"Content-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /ping HTTP/1.1\r\nHost: x\r\n\r\n",
    "bad chunk": _POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "huge chunk": _POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc",
    "unknown encoding": _POST + b"Transfer-Encoding: cow\r\n\r\n{}",
    "upgrade": b"GET /ping HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "expect": _POST + b"Expect: 500-crash\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_no_http(server, raw):
    with server.connect() as client:
        try:
            client.sendall(raw)
            client.shutdown(1)  # nothing more will come
        except OSError:
            pass
        assert is_no_failure(answer(client))


def test_many_requests_in_one_breath(server):
    with server.connect() as client:
        client.sendall(SIMPLE.raw() * 200)
        found = [answer_of_pipeline(client) for _ in range(200)]
    assert [status for status, _ in found] == [200] * 200
    assert len({body for _, body in found}) == 1


def answer_of_pipeline(client):
    """Read one answer and not a byte more: `HTTPResponse` reads ahead."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        assert byte, head
        head += byte
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    body = b""
    while len(body) < length:
        body += client.recv(length - len(body))
    return int(head.split()[1]), body


@pytest.mark.parametrize("seed", range(4))
def test_requests_with_random_damage(server, seed):
    """Bytes of good requests are changed, cut, doubled; the seed is in the test's name."""
    rng = random.Random(seed)
    for _ in range(100):
        raw = bytearray(rng.choice(ENDPOINTS).raw("Connection: close"))
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(raw))
            kind = rng.randrange(4)
            if kind == 0:
                raw[place] = rng.randrange(256)
            elif kind == 1:
                del raw[place : place + rng.randint(1, 8)]
            elif kind == 2:
                raw[place:place] = rng.randbytes(rng.randint(1, 8))
            else:
                raw[place:place] = raw[place : place + 20]
            if not raw:
                break
        with server.connect() as client:
            client.sendall(raw)
            client.shutdown(1)
            found = answer(client)
        assert found is None or found[0] < 500, bytes(raw)


# ---- connections ---------------------------------------------------------------------------------


@everywhere
def test_slow_clients(server, endpoint):
    """Bytes come one by one on 50 connections, and others are answered all the while."""
    raw = endpoint.raw("Connection: close")
    clients = [server.connect() for _ in range(50)]
    for place in range(len(raw)):
        for client in clients:
            client.sendall(raw[place : place + 1])
        if place % 25 == 0:
            assert server.ask(endpoint)[0] == 200
    for client in clients:
        assert answer(client)[0] == 200
        client.close()


@everywhere
def test_half_closed_connections(server, endpoint):
    """A client that has said everything and still listens gets its answer, or is hung up on."""
    expected = server.ask(endpoint)
    raw = endpoint.raw("Connection: close")
    for _ in range(20):
        with server.connect() as client:
            client.sendall(raw)
            client.shutdown(1)
            assert answer(client) in (None, expected)
    for cut in range(0, len(raw), 7):
        with server.connect() as client:
            client.sendall(raw[:cut])
            client.shutdown(1)
            assert is_no_failure(answer(client))


@everywhere
def test_connections_that_are_reset(server, endpoint):
    raw = endpoint.raw()
    for cut in [*range(0, len(raw), 5), len(raw)]:
        client = server.connect()
        client.sendall(raw[:cut])
        reset(client)
    for _ in range(20):
        client = server.connect()
        client.sendall(SIMPLE.raw(body=LARGE))
        client.recv(1)
        reset(client)


@everywhere
def test_a_thousand_connections_at_once(server, endpoint):
    expected = server.ask(endpoint)
    clients = [server.connect() for _ in range(1000)]
    raw = endpoint.raw("Connection: close")
    for client in clients:
        client.sendall(raw)
    found = [answer(client) for client in clients]
    for client in clients:
        client.close()
    assert found == [expected] * 1000


def test_a_thousand_connections_that_say_nothing(server):
    clients = [server.connect() for _ in range(1000)]
    for number, client in enumerate(clients):
        client.sendall(SIMPLE.raw()[: number % 40])
    for endpoint in ENDPOINTS:
        assert server.ask(endpoint)[0] == 200
    for client in clients:
        client.close()


# ---- its end -------------------------------------------------------------------------------------


def hammer(server, endpoint, expected, stop, counts):
    """Ask one request after the other until the server is gone; every answer must be whole."""
    raw = endpoint.raw("Connection: close")
    while not stop.is_set():
        try:
            with server.connect() as client:
                client.sendall(raw)
                data = b""
                while more := client.recv(65536):
                    data += more
        except ConnectionError:
            counts["refused"] += 1
            stop.wait(0.01)
            continue
        if not data:  # accepted by the system, and never by the server
            counts["refused"] += 1
        elif data.startswith(b"HTTP/1.1 200") and data.endswith(expected):
            counts["answered"] += 1
        else:
            counts["broken"].append(data)


def test_sigterm_under_load(artifact):
    stop = threading.Event()
    counts = {"answered": 0, "refused": 0, "broken": []}
    with serving(artifact) as server:
        jobs = [(server, endpoint, server.ask(endpoint)[1], stop, counts) for endpoint in ENDPOINTS]
        threads = [threading.Thread(target=hammer, args=job) for job in jobs * 4]
        for thread in threads:
            thread.start()
        while counts["answered"] < 200:
            stop.wait(0.01)
        code = server.stop()
        answered = counts["answered"]
        while not counts["refused"]:
            stop.wait(0.01)
        stop.set()
        for thread in threads:
            thread.join()
    assert counts["broken"] == []
    assert answered >= 200
    assert code in (0, -signal.SIGTERM)
    assert server.complaints() == ""


def test_sigterm_while_a_client_dawdles(artifact):
    """A request that was begun and never ends must not keep the server from its end."""
    with serving(artifact) as server:
        clients = [server.connect() for _ in range(20)]
        for client in clients[:10]:
            client.sendall(SIMPLE.raw()[:-5])
        for client in clients[10:15]:
            client.sendall(SIMPLE.raw(body=LARGE))
        assert server.ask(SIMPLE)[0] == 200  # the others have reached it too
        code = server.stop()
        for client in clients:
            client.close()
    assert code in (0, -signal.SIGTERM)
    assert server.complaints() == ""
