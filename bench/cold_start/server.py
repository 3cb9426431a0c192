"""`penchant serve` as a process: started, asked, weighed and stopped."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from penchant.errors import PenchantError

_TIMEOUT = 300.0


class Server:
    """A server that has answered `/ping`.

    Parameters
    ----------
    artifact : Path
    compiled : Path
        Folder of Python's compiled modules.

    Attributes
    ----------
    seconds : float
        From the start of the process to its first answer.
    cpu_seconds : float
        Of all its threads, until then.
    """

    def __init__(self, artifact: Path, compiled: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "penchant", "serve", str(artifact)]
        # As installed packages do, and as PYTHONDONTWRITEBYTECODE would not: keep compiled modules.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        while not self._healthy():
            if self.process.poll() is not None or time.perf_counter() - began > _TIMEOUT:
                self.stop()
                assert self.process.stderr is not None
                raise PenchantError(f"no server: {self.process.stderr.read()[-2000:]}")
            time.sleep(0.005)
        self.seconds = time.perf_counter() - began
        self.cpu_seconds = sum(map(_cpu_seconds, self._pids()))

    def ask(self, users: list[str], top_n: int) -> list[dict[str, Any]]:
        """Return the recommendations for some users, in one request."""
        body = json.dumps([{"user_id": user, "top_n": str(top_n)} for user in users])
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT)
        with contextlib.closing(connection):
            head = {"Content-Type": "application/json"}
            connection.request("POST", "/invocations", body, head)
            answer = connection.getresponse()
            content = answer.read()
        if answer.status != 200:
            raise PenchantError(f"{answer.status}: {content[:500]!r}")
        return list(json.loads(content))

    def memory(self) -> dict[str, int]:
        """Return what the processes take, in bytes: proportional share, and what is private."""
        found = {"Pss": 0, "Pss_Anon": 0, "Pss_File": 0}
        for pid in self._pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
                name, value = line.split()[:2]
                if name[:-1] in found:
                    found[name[:-1]] += int(value) * 1024
        return found

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        return False

    def _pids(self) -> list[int]:
        found, new = [], [self.process.pid]
        while new:
            found += new
            new = [child for pid in new for child in _children(pid)]
        return found


@contextlib.contextmanager
def serving(artifact: Path, compiled: Path) -> Iterator[Server]:
    server = Server(artifact, compiled)
    try:
        yield server
    finally:
        server.stop()


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    return []


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
