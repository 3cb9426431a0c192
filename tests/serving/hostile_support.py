"""A server as its own process, and clients that do not behave."""

import dataclasses
import json
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from urllib.parse import quote

from small_models import WARNINGS

PATIENCE = 120  # seconds until a test says that the server hangs
MEMORY = 300 * 2**20  # what a server may grow by, whatever is sent


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A path, and a request that it answers with 200."""

    method: str
    path: str
    body: bytes = b""
    id: str | None = "user_id"  # field of the body or the query, with a user or an item
    k: str | None = "k"  # likewise, how many are asked for
    media: str = "application/json"

    @property
    def takes_json(self):
        return self.method == "POST" and "json" in self.media

    def with_field(self, name, value):
        """The request with one field changed."""
        if self.takes_json:
            body = json.dumps(json.loads(self.body) | {name: value}).encode()
            return dataclasses.replace(self, body=body)
        text = value if isinstance(value, str) else json.dumps(value)
        shown = quote(text.encode("utf-8", "surrogatepass"), safe="")
        path = re.sub(rf"(?<=[?&]){name}=[^&]*", lambda _: f"{name}={shown}", self.path)
        return dataclasses.replace(self, path=path)

    def raw(self, *headers, body=None, version="HTTP/1.1"):
        """The request as bytes."""
        body = self.body if body is None else body
        lines = [f"{self.method} {self.path} {version}", "Host: test", *headers]
        named = {line.partition(":")[0].lower() for line in headers}
        if body and not named & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(body)}")
        if self.media and body and "content-type" not in named:
            lines.append(f"Content-Type: {self.media}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Server:
    """A running server."""

    def __init__(self, process, port):
        self.process = process
        self.port = port
        self.log = []
        self._reader = threading.Thread(target=lambda: self.log.extend(process.stderr))
        self._reader.start()

    def connect(self, receive_buffer=None):
        made = socket.socket()
        made.settimeout(PATIENCE)
        if receive_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            made.connect(("127.0.0.1", self.port))
        except OSError:
            made.close()
            raise
        return made

    def send(self, raw):
        """Send bytes and return the answer to the first request: a status and a body, or None."""
        with self.connect() as client:
            with suppress(ConnectionResetError, BrokenPipeError):
                client.sendall(raw)  # it may refuse before it has read everything
            return answer(client, raw.partition(b" ")[0].decode("latin-1"))

    def ask(self, endpoint, *headers, **options):
        return self.send(endpoint.raw("Connection: close", *headers, **options))

    def memory(self):
        """Resident bytes of the process and its workers."""
        total = 0
        for pid in [self.process.pid, *children(self.process.pid)]:
            with open(f"/proc/{pid}/status") as status:
                found = re.search(r"VmRSS:\s+(\d+) kB", status.read())
            total += int(found[1]) * 1024
        return total

    def stop(self, number=signal.SIGTERM):
        """Stop it, and return what it ended with."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._reader.join()
        self.process.stderr.close()
        return code

    def complaints(self, since=0):
        """What it has written of errors, from some line on."""
        text = "".join(self.log[since:])
        return text if "Traceback" in text else ""

    def is_well(self, since=0):
        assert self.process.poll() is None, "".join(self.log)
        assert self.send(b"GET /ping HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")[0] == 200
        assert self.complaints(since) == ""


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as listing:
        return [int(child) for child in listing.read().split()]


@contextmanager
def serving(artifact, *options):
    """Start `python -m penchant serve` on a free port."""
    command = [sys.executable, *WARNINGS, "-m", "penchant", "serve", str(artifact), "--port", "0"]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        found = re.search(r"on http://127\.0\.0\.1:(\d+)", line)
        assert found, line
        yield Server(process, int(found[1]))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def answer(client, method="GET"):
    """Read one answer: status and body. None where the server hangs up instead."""
    response = HTTPResponse(client, method=method)
    try:
        response.begin()
        return response.status, response.read()
    except (ConnectionError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        return None
    except Exception as error:  # http.client's own: BadStatusLine, RemoteDisconnected
        if type(error).__module__ != "http.client":
            raise
        return None
    finally:
        response.close()


def reset(client):
    """Close with a reset instead of a farewell."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@contextmanager
def many_files(count):
    """Allow this process, and the servers it starts, so many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, count) if hard == resource.RLIM_INFINITY else min(max(soft, count), hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield wanted
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


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
