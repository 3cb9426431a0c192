"""Server processes: started, waited for, weighed, stopped."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from penchant.errors import PenchantError

NAME = "shop"
PATH = "/v1/recommend"
TOKEN = "bench"  # of a server that lives for a minute, on the loopback interface
_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    """A running server; `seconds` is how long it took from its start to a healthy /ping."""

    process: subprocess.Popen[bytes]
    port: int
    seconds: float

    def post(self, path: str, body: bytes, method: str = "POST", token: str = "") -> bytes:
        """Ask once, on a connection of its own; anything but 200 is an error."""
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            text = content.decode("utf8", "replace")[:500]
            raise PenchantError(f"{method} {path} was answered with {answer.status}: {text}")
        return content

    def pids(self) -> list[int]:
        """Return the process and all below it."""
        found = [self.process.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    found += map(int, children.read_text().split())
        return found

    def cpu_seconds(self) -> float:
        """Return the CPU time, user and system, that it has taken so far."""
        return sum(self.cpu_by_process().values())

    def cpu_by_process(self) -> dict[int, float]:
        found = {}
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[pid] = (int(fields[11]) + int(fields[12])) / _TICKS
        return found

    def pss(self) -> dict[str, int]:
        """Return the proportional set size in bytes, and its parts: a shared page is split."""
        sums: dict[str, int] = {}
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, _, value = line.partition(":")
                if name.startswith("Pss"):
                    sums[name] = sums.get(name, 0) + 1024 * int(value.split()[0])
        return sums


@contextlib.contextmanager
def penchant_server(artifact: Path, log: Path, *, workers: int = 1) -> Iterator[Server]:
    """Run `penchant serve`."""
    command = [sys.executable, "-m", "penchant", "serve", str(artifact), "--name", NAME]
    if workers > 1:
        command += ["--workers", str(workers)]
    with _running(command, log, {"PENCHANT_ADMIN_TOKEN": TOKEN}) as server:
        yield server


@contextlib.contextmanager
def bare_server(kind: str, answer: Path, log: Path) -> Iterator[Server]:
    """Run a server that answers everything with the contents of a file."""
    command = [sys.executable, "-m", "bench.serve.bare", kind, str(answer)]
    with _running(command, log, {}) as server:
        yield server


@contextlib.contextmanager
def _running(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[Server]:
    port = free_port()
    began = time.perf_counter()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        _wait(process, port, log)
        yield Server(process, port, time.perf_counter() - began)
    finally:
        _stop(process)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until /ping is answered with 200."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            tail = log.read_text(errors="replace")[-2000:]
            raise PenchantError(f"the server ended with {process.returncode}: {tail}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("GET", "/ping")
                if connection.getresponse().status == 200:
                    return
            finally:
                connection.close()
        time.sleep(0.01)
    raise PenchantError(f"the server did not answer within {_START_SECONDS:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
