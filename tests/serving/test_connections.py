"""Connections on which the head of a request never ends are closed; no others are."""

import asyncio
import socket
import threading
from contextlib import ExitStack, contextmanager
from itertools import product

import pytest

from penchant.serving import connections
from penchant.serving.listening import listen, make_server

PATIENCE = 120  # seconds until a test says that the server hangs
LIMIT = 3
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b"done"


async def slow(scope, receive, send):
    """Answer, at /slow after the limit, and wait for nothing else."""
    assert scope["type"] == "http"
    if scope["path"] == "/slow":
        await asyncio.sleep(2 * LIMIT)
    headers = [(b"content-length", b"4")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


@pytest.fixture
def connect(monkeypatch):
    monkeypatch.setattr(connections, "WAIT_SECONDS", LIMIT)
    with listen("127.0.0.1", 0) as listener:
        server = make_server(slow)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()

        @contextmanager
        def connected():
            with socket.create_connection(listener.getsockname(), PATIENCE) as client:
                yield client

        yield connected
        server.should_exit = True
        thread.join()


def read(client, count=1):
    """Read until so many answers are there; what came, and whether the server has hung up."""
    found = b""
    while found.count(ANSWER) < count:
        more = client.recv(65536)
        if not more:
            return found, True
        found += more
    return found, False


def test_heads_that_never_end(connect):
    """Of the first request of a connection, or of one after others."""
    begun = (b"", b"G", WHOLE[:-2], WHOLE[:-2] + b"X: " + b"a" * 50_000)
    with ExitStack() as stack:
        clients = []
        for count, head in product((0, 1, 3), begun):
            client = stack.enter_context(connect())
            client.sendall(WHOLE * count + head)
            clients.append((client, count))
        for client, count in clients:
            assert read(client, count)[0].count(ANSWER) == count
        for client, _ in clients:
            assert client.recv(1) == b""


def test_a_body_that_nobody_reads(connect):
    """The request is answered; what comes of its body is no beginning of another one."""
    with connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        found, hung_up = read(client)
        assert (found.count(ANSWER), hung_up) == (1, False)
        client.sendall(b"a")
        assert client.recv(1) == b""


def test_answers_take_as_long_as_they_take(connect):
    slow_one = WHOLE.replace(b"/ ", b"/slow ")
    with connect() as client, connect() as pipelined:
        client.sendall(slow_one)
        pipelined.sendall(slow_one + WHOLE)
        for connection, count in ((client, 1), (pipelined, 2)):
            found, hung_up = read(connection, count)
            assert (found.count(ANSWER), hung_up) == (count, False)
