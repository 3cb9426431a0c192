"""A model watched while it learns: how good it is after each epoch, and when."""

from __future__ import annotations

import time
from typing import Any

import penchant as pc
from bench.models import quality


class Watch(pc.Callback):
    """Takes a metric after every epoch, outside of the time, and stops where it reaches a target.

    Attributes
    ----------
    seconds : list of float
        From the call of `fit` to the end of each epoch.
    values : list of float
    """

    def __init__(self, test: pc.Interactions, metric: str, target: float) -> None:
        self.test, self.metric, self.target = test, metric, target
        self.seconds: list[float] = []
        self.values: list[float] = []
        self.reached = False
        self._looking = 0.0
        self._began = time.perf_counter()

    def on_epoch_end(self, model: Any, epoch: int, logs: dict[str, Any]) -> bool:
        now = time.perf_counter()
        self.seconds.append(now - self._began - self._looking)
        self.values.append(quality(model, self.test, [self.metric])[self.metric])
        self.reached = self.values[-1] >= self.target
        self._looking += time.perf_counter() - now
        return self.reached


def watch(
    model: Any,
    train: pc.Interactions,
    test: pc.Interactions,
    metric: str,
    target: float = float("inf"),
) -> Watch:
    """Fit `model` until `metric` on `test` reaches `target`."""
    found = Watch(test, metric, target)
    model.fit(train, progress=False, callbacks=[found])
    return found
