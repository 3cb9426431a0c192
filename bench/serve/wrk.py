"""wrk: as many requests a second as 32 connections get answered."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.serve.servers import PATH, Server
from penchant.errors import PenchantError

CONNECTIONS = 32
_SCRIPT = Path(__file__).with_name("post.lua")


@dataclass(frozen=True)
class Load:
    """What a run of wrk found; `cpu_seconds` is the server's, a request."""

    per_second: float
    requests: int
    cpu_seconds: float
    errors: int


def missing() -> str | None:
    if shutil.which("wrk"):
        return None
    return "wrk is not installed: apt-get install wrk"


def write_bodies(path: Path, bodies: Sequence[bytes]) -> Path:
    """Write what `post.lua` sends: a body a line."""
    path.write_bytes(b"\n".join(bodies) + b"\n")
    return path


def run(server: Server, bodies: Path, seconds: float) -> Load:
    """Send the bodies in turn over 32 connections, each as soon as the one before is answered."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s"]
    url = f"http://127.0.0.1:{server.port}{PATH}"
    before = server.cpu_seconds()
    done = subprocess.run(
        [*command, str(_SCRIPT), url, "--", str(bodies)],
        capture_output=True,
        text=True,
        check=False,
    )
    used = server.cpu_seconds() - before
    if done.returncode:
        raise PenchantError(f"wrk failed ({done.returncode}): {done.stderr or done.stdout}")
    return parse(done.stdout, used)


def parse(text: str, cpu_seconds: float) -> Load:
    """Read wrk's report.

    Examples
    --------
    >>> report = "  100 requests in 2.00s, 1MB read\\n  Non-2xx or 3xx responses: 3\\n"
    >>> parse(report + "Requests/sec:     50.00\\n", 0.2)
    Load(per_second=50.0, requests=100, cpu_seconds=0.002, errors=3)
    """
    count = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", text)
    if count is None or rate is None or not int(count[1]):
        raise PenchantError(f"wrk got no answers: {text}")
    errors = sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    for line in re.findall(r"Socket errors: (.*)", text):
        errors += sum(int(n) for n in re.findall(r"\d+", line))
    return Load(float(rate[1]), int(count[1]), cpu_seconds / int(count[1]), errors)
