"""Measures of every epoch on the log, in a form that a regular expression can read."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from penchant.container.settings import RATING_ERRORS
from penchant.container.tree import say
from penchant.evaluation.metrics import Truth, find_truth, measure
from penchant.evaluation.names import MetricName, parse_metrics
from penchant.evaluation.rating_errors import HeldOutRatings, held_out_ratings, rating_error
from penchant.models.callbacks import Callback

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models.base import Recommender

__all__ = ["EpochReport", "HeldOut", "Stop", "metric_line"]


class Stop:
    """Whether the host wants the job to end: it sends SIGTERM, and kills two minutes later.

    Attributes
    ----------
    asked : bool
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        """Take note of SIGTERM and Ctrl-C from now on, in the main thread only."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def metric_line(values: Mapping[str, float], prefix: str = "") -> str:
    """Return measures as ``precision_at_10=0.1234; loss=0.5;``.

    Examples
    --------
    >>> metric_line({"loss": 0.25, "precision@10": 0.125})
    'loss=0.25; precision_at_10=0.125;'
    """
    named = ((name.replace("@", "_at_"), value) for name, value in values.items())
    return " ".join(f"{prefix}{name}={value:.6g};" for name, value in named)


class HeldOut:
    """Held-out data and what is measured on them.

    Parameters
    ----------
    test : Interactions
    metrics : list of str
        Ranking metrics and "rmse" or "mae"; all ranking ones are measured in one pass.
    """

    def __init__(self, test: Interactions, metrics: Iterable[str]) -> None:
        metrics = list(metrics)
        self._test = test
        self._errors = [name for name in metrics if name in RATING_ERRORS]
        ranking = [name for name in metrics if name not in RATING_ERRORS]
        self._ranking: list[MetricName] = parse_metrics(ranking) if ranking else []
        self._truth: Truth | None = None
        self._ratings: HeldOutRatings | None = None

    def prepare(self, model: Recommender) -> None:
        """Match the data to a model's ids, once.

        Raises
        ------
        DataError
            No user can be measured, or there are no ratings.
        """
        if self._ranking:
            self._truth = find_truth(model, self._test, exclude_seen=True, unknown="popular")
        if self._errors:
            self._ratings = held_out_ratings(model, self._test)

    def values(self, model: Recommender) -> dict[str, float]:
        """Measure a model as it is now."""
        found = {}
        if self._truth is not None:
            measured = measure(model, self._truth, self._ranking, exclude_seen=True)
            found = dict(zip(map(str, self._ranking), measured, strict=True))
        if self._ratings is not None:
            found |= {name: rating_error(model, self._ratings, name) for name in self._errors}
        return found


class EpochReport(Callback):
    """Prints a line for every epoch, and ends the training when that is asked for.

    Parameters
    ----------
    stop : Stop
    held_out : HeldOut, optional
    every : int, default 1
        Measure after every so many epochs.

    Attributes
    ----------
    epochs : int
        Those that were reported.
    """

    def __init__(self, stop: Stop, held_out: HeldOut | None, every: int = 1) -> None:
        self._stop = stop
        self._held_out = held_out
        self._every = every
        self.epochs = 0

    def on_fit_begin(self, model: Recommender, train: Interactions) -> None:
        """Match the held-out data to the model."""
        if self._held_out is not None:
            self._held_out.prepare(model)

    def on_epoch_end(self, model: Recommender, epoch: int, logs: dict[str, Any]) -> bool | None:
        """Measure, print, and stop if that is asked for."""
        if self._held_out is not None and (epoch % self._every == 0 or self._stop.asked):
            logs.update(self._held_out.values(model))
        self.epochs = epoch
        say(f"epoch={epoch}; {metric_line(logs)}")
        return self._stop.asked

    def on_fit_end(self, model: Recommender) -> None:
        """Print the measures of a model that is made in one step."""
        if not self.epochs and self._held_out is not None:
            say(f"epoch=1; {metric_line(self._held_out.values(model))}")
