"""`penchant train --validation`: measure on rows held out, then train on all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penchant import EarlyStopping, ValidationMetric, evaluate, split
from penchant.cli.console import is_live, say
from penchant.data.frames import to_arrow
from penchant.models import Callback

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models import Recommender

_METRICS = ("precision@10", "ndcg@10")


class StopAfter(Callback):
    """Ends training after an epoch.

    Fewer `epochs` would not do the same: the learning rate falls over all the epochs asked for,
    and those up to the best one must run at the rates they were measured with.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, model: Recommender, epoch: int, logs: dict[str, Any]) -> bool | None:
        """Stop when it is time to."""
        return epoch >= self.epoch


def measure_and_fit(
    model: Recommender, data: Interactions, fraction: float, patience: int | None, seed: int
) -> None:
    """Fit on a part of the data, print the metrics on the rest, then fit on everything.

    Parameters
    ----------
    model : Recommender
        Ends up fitted on all of `data`.
    data : Interactions
    fraction : float
        Of the rows, to hold out.
    patience : int or None
        Of an early stopping on the held-out rows; the last fit ends after the best epoch.
    seed : int
        Of the split.
    """
    training, held_out = split.random(data, test_size=fraction, random_state=seed)
    stopping = None if patience is None else EarlyStopping(_METRICS[1], patience=patience)
    watchers: list[Callback] = (
        [ValidationMetric(None, name, every=5) for name in _METRICS]
        if stopping is None
        else [stopping]
    )
    model.fit(training, held_out, progress=is_live(), callbacks=watchers)
    measured = to_arrow(evaluate(model, held_out, metrics=_METRICS))[0].to_pylist()
    values = ", ".join(f"{row['metric']} {row['value']:.4f}" for row in measured)
    say(f"measured {values} on {len(held_out):,} held-out rows, trained on {len(training):,}")

    callbacks: list[Callback] = []
    best = ""
    if stopping is not None and stopping.best_epoch:
        callbacks = [StopAfter(stopping.best_epoch)]
        best = f" up to epoch {stopping.best_epoch}, the best"
    say(f"refit    on all {len(data):,} rows{best}")
    model.fit(data, progress=is_live(), callbacks=callbacks)
