"""A running server and clients that speak it wrongly: no 5xx, no hang, no crash, bounded memory.

What is attacked is listed in `hostile_endpoints`.
"""

import random
import signal
import threading

import pytest
from hostile_endpoints import ATTACKED_AT_LENGTH, ENDPOINTS, LARGE, SIMPLE, at_length
from hostile_support import answer, is_no_failure, reset, serving

pytestmark = pytest.mark.slow  # hundreds of requests, once is enough

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
def test_no_http(attacked, raw):
    with attacked.connect() as client:
        try:
            client.sendall(raw)
            client.shutdown(1)  # nothing more will come
        except OSError:
            pass
        assert is_no_failure(answer(client))


def test_many_requests_in_one_breath(attacked):
    with attacked.connect() as client:
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
        part = client.recv(length - len(body))
        assert part, head + body
        body += part
    return int(head.split()[1]), body


@pytest.mark.parametrize("seed", range(4))
def test_requests_with_random_damage(attacked, seed):
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
        with attacked.connect() as client:
            client.sendall(raw)
            client.shutdown(1)
            found = answer(client)
        assert found is None or found[0] < 500, bytes(raw)


# ---- connections ---------------------------------------------------------------------------------


@at_length
def test_slow_clients(attacked, endpoint):
    """Bytes come one by one on 50 connections, and others are answered all the while."""
    raw = endpoint.raw("Connection: close")
    clients = [attacked.connect() for _ in range(50)]
    for place in range(len(raw)):
        for client in clients:
            client.sendall(raw[place : place + 1])
        if place % 25 == 0:
            assert attacked.ask(endpoint)[0] == 200
    for client in clients:
        assert answer(client)[0] == 200
        client.close()


@at_length
def test_half_closed_connections(attacked, endpoint):
    """A client that has said everything and still listens gets its answer, or is hung up on."""
    expected = attacked.ask(endpoint)
    raw = endpoint.raw("Connection: close")
    for _ in range(20):
        with attacked.connect() as client:
            client.sendall(raw)
            client.shutdown(1)
            assert answer(client) in (None, expected)
    for cut in range(0, len(raw), 7):
        with attacked.connect() as client:
            client.sendall(raw[:cut])
            client.shutdown(1)
            assert is_no_failure(answer(client))


@at_length
def test_connections_that_are_reset(attacked, endpoint):
    raw = endpoint.raw()
    for cut in [*range(0, len(raw), 5), len(raw)]:
        client = attacked.connect()
        client.sendall(raw[:cut])
        reset(client)
    for _ in range(20):
        client = attacked.connect()
        client.sendall(SIMPLE.raw(body=LARGE))
        client.recv(1)
        reset(client)


@at_length
def test_a_thousand_connections_at_once(attacked, endpoint):
    expected = attacked.ask(endpoint)
    clients = [attacked.connect() for _ in range(1000)]
    raw = endpoint.raw("Connection: close")
    for client in clients:
        client.sendall(raw)
    found = [answer(client) for client in clients]
    for client in clients:
        client.close()
    assert found == [expected] * 1000


def test_a_thousand_connections_that_say_nothing(attacked):
    clients = [attacked.connect() for _ in range(1000)]
    for number, client in enumerate(clients):
        client.sendall(SIMPLE.raw()[: number % 40])
    for endpoint in ENDPOINTS:
        assert attacked.ask(endpoint)[0] == 200
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
        jobs = [
            (server, endpoint, server.ask(endpoint)[1], stop, counts)
            for endpoint in ATTACKED_AT_LENGTH
        ]
        threads = [threading.Thread(target=hammer, args=job) for job in jobs * 3]
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
