"""Starts the open-loop client and reads what it found."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.serve.client import Settings
from penchant.errors import PenchantError


@dataclasses.dataclass(frozen=True)
class Found:
    """What became of each request, in the order in which they were due.

    Times are seconds of `time.monotonic`, which all processes of a machine share.
    """

    due: NDArray[np.float64]
    sent: NDArray[np.float64]
    done: NDArray[np.float64]
    status: NDArray[np.int64]
    answer: NDArray[np.int64]  # positions in `answers`
    answers: list[str]
    waited: int
    cpu_share: float

    def after(self, seconds: float) -> Found:
        """Return what was due later than so many seconds after the first."""
        kept = self.due >= self.due[0] + seconds
        columns = ("due", "sent", "done", "status", "answer")
        parts: dict[str, Any] = {name: getattr(self, name)[kept] for name in columns}
        return dataclasses.replace(self, **parts)

    @property
    def failed(self) -> int:
        return int(np.count_nonzero(self.status != 200))

    def latency(self, percentile: float) -> float:
        """Return milliseconds from when requests were due to the ends of their answers."""
        return 1e3 * float(np.percentile(self.done - self.due, percentile))

    def lag(self, percentile: float) -> float:
        """Return milliseconds from when requests were due to when they were sent."""
        return 1e3 * float(np.percentile(self.sent - self.due, percentile))


def run(settings: Settings) -> Found:
    """Run the client for `settings.seconds`."""
    with running(settings):
        pass
    return read(settings)


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[None]:
    """Run the client beside the block, from its first request on.

    Without `seconds` it ends with the block.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.serve.client"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(dataclasses.asdict(settings)) + "\n")
        process.stdin.flush()
        if process.stdout.readline():
            yield
        _, errors = process.communicate(timeout=600)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        raise PenchantError(f"the client ended with {process.returncode}: {errors[-2000:]}")


def read(settings: Settings) -> Found:
    out = Path(settings.out)
    with np.load(out) as columns:
        found = {name: columns[name] for name in columns.files}
    answers = json.loads(out.with_suffix(".answers.json").read_text())
    return Found(
        **(found | {"waited": int(found["waited"]), "cpu_share": float(found["cpu_share"])}),
        answers=answers,
    )
