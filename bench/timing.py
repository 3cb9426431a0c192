"""Sides of a comparison, run in turns in one process."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Side:
    """One contestant: `prepare` is not timed, `run` is and gets what `prepare` returned."""

    name: str
    run: Callable[[Any], Any]
    prepare: Callable[[], Any] = lambda: None


@dataclass
class Measured:
    """All runs of one side, in the order of the rounds, and what the last one returned."""

    name: str
    seconds: list[float] = field(default_factory=list)
    output: Any = None

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def runs(self) -> int:
        return len(self.seconds)

    def spread(self) -> str:
        return f"{min(self.seconds):.3g} - {max(self.seconds):.3g}"

    def as_dict(self) -> dict[str, Any]:
        quartiles = np.percentile(self.seconds, [25, 75])
        return {
            "seconds": self.seconds,
            "median": self.median,
            "min": min(self.seconds),
            "max": max(self.seconds),
            "iqr": float(quartiles[1] - quartiles[0]),
        }


def interleave(
    sides: Sequence[Side],
    repeats: int,
    each: Callable[[str, Any], None] = lambda name, output: None,
) -> dict[str, Measured]:
    """Run every side once per round; each round starts one side further on.

    Whatever the machine does meanwhile (other load, clock rates) meets all sides alike. `each` sees
    every output, outside the timed part.
    """
    measured = {side.name: Measured(side.name) for side in sides}
    for number in range(repeats):
        first = number % len(sides)
        for side in [*sides[first:], *sides[:first]]:
            measured[side.name].output = None  # frees the memory of the round before
            prepared = side.prepare()
            gc.collect()
            began = time.perf_counter()
            output = side.run(prepared)
            measured[side.name].seconds.append(time.perf_counter() - began)
            measured[side.name].output = output
            each(side.name, output)
    return measured


@dataclass(frozen=True)
class Ratio:
    """How many times faster ours is: of the medians, and lowest and highest of the rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({self.low:.2f} - {self.high:.2f})"

    def as_dict(self) -> dict[str, float]:
        return {"median": self.median, "min": self.low, "max": self.high}


def ratio(ours: Measured, rival: Measured) -> Ratio:
    rounds = np.divide(rival.seconds, ours.seconds)
    return Ratio(rival.median / ours.median, float(rounds.min()), float(rounds.max()))
