"""What happens around the epochs of a `fit`: callbacks, the progress bar and the history."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from penchant.errors import DivergenceError, ParameterError
from penchant.models.callbacks import Callback
from penchant.models.drafts import Drafts
from penchant.models.progress import Progress
from penchant.models.weights import weights_problem

if TYPE_CHECKING:
    from types import TracebackType

    from penchant.data.interactions import Interactions
    from penchant.models.base import Recommender

_FAR_ABOVE = 3.0


def prepare_callbacks(
    callbacks: Callback | Iterable[Callback] | None, validation: Interactions | None
) -> tuple[Callback, ...]:
    """Check the callbacks of a `fit` and hand the validation data to those that want it.

    Raises
    ------
    ParameterError
        Something that is not a `Callback`, or validation data that no callback would use.
    """
    if callbacks is None:
        callbacks = ()
    chosen = (callbacks,) if isinstance(callbacks, Callback) else tuple(callbacks)
    for callback in chosen:
        if not isinstance(callback, Callback):
            raise ParameterError(
                f"callbacks must be penchant.Callback objects, got {callback!r}"
                + (": pass an object, not the class" if isinstance(callback, type) else "")
            )
    users = [callback for callback in chosen if callback.uses_validation]
    if validation is not None and not users:
        raise ParameterError(
            "validation data were given, but no callback uses them: pass for example "
            "callbacks=[pc.EarlyStopping('ndcg@10')] or [pc.ValidationMetric(None, 'ndcg@10')]"
        )
    for callback in users:
        callback.set_validation(validation)
    return chosen


def has_diverged(losses: Sequence[float], untrained: float | None = None) -> bool:
    """Whether the last loss is not finite, or far above what it was.

    A loss may rise for good reasons, such as negatives that become harder as the model learns, but
    not to several times the lowest and beyond where it began. Where the loss of a model that has
    learnt nothing is known, `untrained`, it may not come to several times that either.

    Examples
    --------
    >>> has_diverged([0.7, 0.5, 0.6]), has_diverged([0.7, 0.2, 2.5]), has_diverged([float("nan")])
    (False, True, True)
    >>> has_diverged([7.0], untrained=0.7)
    True
    """
    last = losses[-1]
    if not math.isfinite(last) or (untrained is not None and last > _FAR_ABOVE * untrained):
        return True
    return last > losses[0] and last > _FAR_ABOVE * min(losses)


class FitMonitor:
    """Runs the callbacks, draws the bar and keeps the history of one `fit`.

    It is a context manager, so that interrupted training ends as cleanly as complete training,
    and the function the native kernels call after every epoch.
    """

    def __init__(
        self,
        model: Recommender,
        train: Interactions,
        callbacks: tuple[Callback, ...],
        epochs: int,
        progress: bool,
    ) -> None:
        self._model = model
        self._train = train
        self._callbacks = callbacks
        self._epochs = epochs
        self.progress = progress  # whether models inside the model show their bars
        self._show = progress and epochs > 0
        self._bar: Progress | None = None
        self._losses: list[float] = []
        self._drafts = Drafts(model)
        self.has_learnt = False  # whether an epoch has ended well

    def __enter__(self) -> FitMonitor:
        for callback in self._callbacks:
            callback.on_fit_begin(self._model, self._train)
        if self._show:
            self._bar = Progress(self._epochs, type(self._model).__name__)
        self._started = time.perf_counter()
        return self

    def __call__(self, epoch: int, loss: float, **measures: float) -> bool:
        """Take note of a finished epoch; return whether training goes on.

        Raises
        ------
        DivergenceError
            The loss is far above both its first and its lowest value, or it or a weight is not
            finite.
        """
        seconds = time.perf_counter() - self._started
        self._losses.append(loss)
        # A kernel may bound its loss while its weights run off: look at both.
        problem = self._drafts.problem() if self._drafts else weights_problem(self._model)
        risen = not math.isfinite(loss)
        if self._model._descends:
            risen = has_diverged(self._losses, self._model._untrained_loss())
        if problem is not None or risen:
            raise DivergenceError(
                f"{type(self._model).__name__}: training diverged in epoch {epoch} "
                f"({problem or f'loss is {loss:.6g}'}); {self._model._divergence_advice}"
            )
        self._drafts.accept()
        self.has_learnt = True
        self._model._epoch_accepted()
        self._model._weights_changed()
        logs: dict[str, Any] = {"loss": loss, **measures}
        row = {"epoch": epoch, "loss": loss, **measures, "seconds": seconds}
        self._model._history.append(row)  # before the callbacks: one of them may raise
        # A list, not a generator: a callback after one that stops still sees the epoch.
        stops = [
            callback.on_epoch_end(self._model, epoch, logs) is True for callback in self._callbacks
        ]
        row.update((name, value) for name, value in logs.items() if name not in row)
        if self._bar is not None:
            self._bar.update(logs)
        self._started = time.perf_counter()
        return not any(stops)

    def draft(self, name: str) -> Any:
        """Return a copy of one of the model's arrays for a kernel to train; None for None.

        The model's own array takes it over after every epoch that ends well, so that it is always
        the last good one. See `Drafts.add`.
        """
        return self._drafts.add(name)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None or isinstance(error, KeyboardInterrupt):
                self._model._weights_changed()
                for callback in self._callbacks:
                    callback.on_fit_end(self._model)
        finally:
            if self._bar is not None:
                self._bar.close()
