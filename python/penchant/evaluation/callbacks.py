"""Callbacks that measure a model on held-out data while it trains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from penchant.errors import ParameterError, notice
from penchant.evaluation.metrics import Truth, find_truth, measure
from penchant.evaluation.names import parse_metric
from penchant.evaluation.rating_errors import (
    RATING_ERRORS,
    HeldOutRatings,
    held_out_ratings,
    rating_error,
)
from penchant.models.callbacks import Callback
from penchant.models.params import Flag, Integer, Real, Rule
from penchant.models.results import check_interactions

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models.base import Recommender

_COUNT = Integer(1, 2**31 - 1)


class ValidationMetric(Callback):
    """Measures a metric after epochs; it shows on the bar and in ``history_``.

    Parameters
    ----------
    test : Interactions or None
        Held-out data; None takes those given as ``fit(validation=...)``.
    metric : str, default "ndcg@10"
        See `penchant.evaluate`; for models of ratings also ``"rmse"`` and ``"mae"``.
    every : int, default 1
        Measure after every so many epochs.
    exclude_seen : bool, default True
        Leave training items out; False counts re-purchases too.
    name : str, optional
        Name in the history; the metric's by default, of "rmse" and "mae" "validation_rmse" and
        "validation_mae".

    Examples
    --------
    >>> import penchant as pc
    >>> train = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["jam", "pen"]])
    >>> test = pc.Interactions.from_sequences([["pen"], ["jam"]])
    >>> watch = pc.ValidationMetric(test, "recall@1", name="recall of new items")
    >>> model = pc.BPR(factors=4, epochs=2).fit(train, progress=False, callbacks=[watch])
    >>> list(model.history_.columns)
    ['epoch', 'loss', 'auc', 'seconds', 'recall of new items']
    """

    def __init__(
        self,
        test: Interactions | None,
        metric: str = "ndcg@10",
        every: int = 1,
        exclude_seen: bool = True,
        name: str | None = None,
    ) -> None:
        if test is not None:
            check_interactions(test, "test")
        _check(self, "every", every, _COUNT)
        _check(self, "exclude_seen", exclude_seen, Flag())
        self.uses_validation = test is None
        self.every = every
        self.exclude_seen = exclude_seen
        self._error = metric if metric in RATING_ERRORS else None
        self._metric = parse_metric("ndcg@10" if self._error else metric)
        own = f"validation_{self._error}" if self._error else str(self._metric)
        self.name = own if name is None else name
        self._own = test
        self._test = test
        self._truth: Truth | HeldOutRatings | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def set_validation(self, validation: Interactions | None) -> None:
        """Take the data of ``fit(validation=...)`` where none were given here."""
        if self._own is None:
            self._test = validation

    def on_fit_begin(self, model: Recommender, train: Interactions) -> None:
        """Match the held-out data to the model's ids, once."""
        if self._test is None:
            raise ParameterError(
                f"{self!r} has no data to measure on: pass fit(validation=...) or give it some"
            )
        self._check_epochs(model)
        if self._error:
            self._truth = held_out_ratings(model, self._test)
            return
        self._truth = find_truth(
            model, self._test, exclude_seen=self.exclude_seen, unknown="popular"
        )

    def _check_epochs(self, model: Recommender) -> None:
        if "epochs" not in model.get_params():
            notice(
                f"{self!r} has nothing to do: {type(model).__name__} is fitted in one step, "
                "without epochs; measure it with pc.evaluate(model, test)"
            )

    def on_epoch_end(self, model: Recommender, epoch: int, logs: dict[str, Any]) -> bool | None:
        """Measure when it is time to."""
        if epoch % self.every == 0:
            logs[self.name] = self.value(model)
        return None

    def value(self, model: Recommender) -> float:
        """Measure the model as it is now."""
        if self._truth is None:
            raise ParameterError(f"{self!r} can only measure a model that is being fitted")
        if isinstance(self._truth, HeldOutRatings):
            return rating_error(model, self._truth, str(self._error))
        return measure(model, self._truth, [self._metric], exclude_seen=self.exclude_seen)[0]

    def on_fit_end(self, model: Recommender) -> None:
        """Let go of what was derived from the data."""
        self._truth = None


class EarlyStopping(ValidationMetric):
    """Stops when a metric has not improved for a while, and goes back to the best epoch.

    Parameters
    ----------
    metric : str, default "ndcg@10"
        See `penchant.evaluate`; larger is better. For models of ratings also ``"rmse"`` and
        ``"mae"``; smaller is better. It is measured on ``fit(validation=...)`` or on `test`.
        ``"auc"`` and ``"loss"`` (smaller is better) watch the training itself.
    patience : int, default 5
        Measurements without improvement before training stops.
    restore_best : bool, default True
        Put the factors of the best epoch back when training ends.
    min_delta : float, default 0.0
        An improvement must be larger than this.
    every, exclude_seen, name
        As for `ValidationMetric`.
    test : Interactions, optional
        Held-out data, instead of ``fit(validation=...)``.

    Attributes
    ----------
    best_epoch : int
        From 1; 0 before the first measurement.
    best_value : float
        The metric there.
    stopped : bool
        Whether training was stopped early.

    Examples
    --------
    >>> import penchant as pc
    >>> train = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["jam", "pen"]])
    >>> valid = pc.Interactions.from_sequences([["pen"], ["jam"]])
    >>> stop = pc.EarlyStopping("recall@2", patience=3)
    >>> model = pc.BPR(factors=4, epochs=500)
    >>> len(model.fit(train, valid, progress=False, callbacks=[stop]).history_) < 500
    True
    """

    def __init__(
        self,
        metric: str = "ndcg@10",
        patience: int = 5,
        restore_best: bool = True,
        *,
        min_delta: float = 0.0,
        every: int = 1,
        exclude_seen: bool = True,
        name: str | None = None,
        test: Interactions | None = None,
    ) -> None:
        self._own_metric = metric in ("auc", "loss")
        super().__init__(test, "ndcg@10" if self._own_metric else metric, every, exclude_seen, name)
        _check(self, "patience", patience, _COUNT)
        _check(self, "restore_best", restore_best, Flag())
        _check(self, "min_delta", min_delta, Real(0))
        if self._own_metric:
            self.name = metric
            self.uses_validation = False
        self.patience = patience
        self.restore_best = restore_best
        self.min_delta = min_delta
        self._reset()

    def _reset(self) -> None:
        self.best_epoch = 0
        self._sign = -1.0 if self._error or self.name == "loss" else 1.0
        self.best_value = -math.inf * self._sign
        self.stopped = False
        self._waited = 0
        self._best: dict[str, NDArray[np.float32]] = {}

    def on_fit_begin(self, model: Recommender, train: Interactions) -> None:
        """Forget earlier fits."""
        self._reset()
        if self._own_metric:
            self._check_epochs(model)
        else:
            super().on_fit_begin(model, train)

    def on_epoch_end(self, model: Recommender, epoch: int, logs: dict[str, Any]) -> bool | None:
        """Measure, remember the best factors, and stop when patience is over."""
        if epoch % self.every:
            return None
        if not self._own_metric:
            logs[self.name] = self.value(model)
        if self.name not in logs:
            raise ParameterError(
                f"{type(model).__name__} does not report {self.name!r}, only {', '.join(logs)}"
            )
        value = logs[self.name]
        gain = self._sign * (value - self.best_value)
        if gain > self.min_delta:
            self.best_epoch, self.best_value, self._waited = epoch, value, 0
            if self.restore_best:
                self._best = model.snapshot()
            return None
        self._waited += 1
        self.stopped = self._waited >= self.patience
        return self.stopped

    def on_fit_end(self, model: Recommender) -> None:
        """Put the best factors back."""
        # Also when the best epoch is the last one: an interrupted epoch may have begun since.
        if self._best:
            model.restore(self._best)
        self._best = {}
        self._truth = None


def _check(callback: Callback, name: str, value: object, rule: Rule) -> None:
    if not rule.accepts(value):
        raise ParameterError(
            f"{type(callback).__name__}: {name} must be {rule.describe()}, got {value!r}"
        )
