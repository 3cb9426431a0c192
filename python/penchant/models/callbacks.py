"""The interface between a running `fit` and code that watches it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models.base import Recommender


class Callback:
    """Base class of objects passed as ``fit(callbacks=[...])``; override what you need.

    Attributes
    ----------
    uses_validation : bool
        True where the callback wants the data given as ``fit(validation=...)``; it is then handed
        over through `set_validation` before training starts.

    Examples
    --------
    >>> import penchant as pc
    >>> class StopAfter(pc.Callback):
    ...     def on_epoch_end(self, model, epoch, logs):
    ...         return epoch >= 3
    >>> data = pc.Interactions.from_sequences([["a", "b"], ["b", "c"], ["a", "c"]])
    >>> model = pc.BPR(factors=4, epochs=50).fit(data, progress=False, callbacks=[StopAfter()])
    >>> len(model.history_)
    3
    """

    uses_validation: bool = False

    def set_validation(self, validation: Interactions | None) -> None:
        """Receive the data given as ``fit(validation=...)``, None where there is none."""

    def on_fit_begin(self, model: Recommender, train: Interactions) -> None:
        """Run before the first epoch; the model already answers `recommend`."""

    def on_epoch_end(self, model: Recommender, epoch: int, logs: dict[str, Any]) -> bool | None:
        """Run after an epoch.

        Parameters
        ----------
        model : Recommender
            The model in training; `recommend` and `predict` use the factors of this epoch.
        epoch : int
            From 1.
        logs : dict
            ``loss``, the model's other measures (``auc`` of `BPR`, ``rmse`` of rating models) and
            what earlier callbacks added. Numbers added here become columns
            of ``history_`` and show on the progress bar.

        Returns
        -------
        bool or None
            True stops the training after this epoch.
        """
        return None

    def on_fit_end(self, model: Recommender) -> None:
        """Run once after the last epoch, also when training was interrupted."""
