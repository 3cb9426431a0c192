"""The life of a model: fitting, its fitted state, history, saving and pickling."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.data.times import event_times
from penchant.errors import DataError, DivergenceError, NotFittedError
from penchant.models import results, state
from penchant.models.callbacks import Callback
from penchant.models.history import history_table, plot_rows
from penchant.models.params import Parameterized
from penchant.models.training import FitMonitor, prepare_callbacks
from penchant.models.weights import Weight, weights_problem
from penchant.retrieval.filters import RowLists

if TYPE_CHECKING:
    from os import PathLike

    import pyarrow as pa
    from matplotlib.axes import Axes

    from penchant.data.ids import IdMap
    from penchant.data.interactions import CSR, Columns, Interactions
    from penchant.models.base import Recommender
    from penchant.models.prepared import Shelf

ModelT = TypeVar("ModelT", bound="FittedModel")


class FittedModel(Parameterized):
    """The life of a model: hyperparameters, `fit`, history, saving and pickling.

    Attributes
    ----------
    users_, items_ : IdMap
        The ids of the training data; position = row of the factors.
    seen_ : RowLists
        Items of each user in the training data (CSR).
    history_values_ : float32 array or None
        The values of `seen_`, where the model goes by values.
    item_counts_ : int64 array of shape (n_items,)
        Number of distinct users of each item.
    guessed_items_ : int32 array
        Codes of items that `partial_fit` has brought and whose vector is a guess, ascending: no
        user who took anything else has told of them yet.
    item_features_, user_features_ : pyarrow.Table or None
        The item and user table of the training data, a row for each code.
    item_first_seen_ : int64 array of shape (n_items,), or None
        Time of each item's first event, in microseconds of UTC; None without timestamps.
    last_event_ : int or None
        Time of the latest event.
    columns_ : Columns
        The caller's column names.
    backend_ : str
        Kind of frame the training data came from, and results come as.
    """

    _weights: ClassVar[Mapping[str, Weight]] = {}
    _may_lack_users: ClassVar[bool] = False  # vectors from elsewhere have none
    # Whether training makes the loss smaller, so that one far above the lowest is a divergence.
    _descends: ClassVar[bool] = True
    _divergence_advice: ClassVar[str] = "use a smaller learning_rate"
    users_: IdMap
    items_: IdMap
    seen_: RowLists
    item_counts_: NDArray[np.int64]
    item_first_seen_: NDArray[np.int64] | None = None
    last_event_: int | None = None
    columns_: Columns
    backend_: str
    history_values_: NDArray[np.float32] | None = None
    guessed_items_: NDArray[np.int32]
    item_features_: pa.Table | None
    user_features_: pa.Table | None
    _history: list[dict[str, Any]]
    _derived: dict[str, Any]
    _shelf: Shelf | None = None
    _trained: SimpleNamespace

    # ---- what a model defines -------------------------------------------------------------------

    def _start(self, train: Interactions) -> None:
        """Make the arrays of `_weights`; from here on the model can answer."""

    def _fit(self, train: Interactions, monitor: FitMonitor) -> None:
        """Train the arrays of `_weights`; call `monitor` after each epoch, which may say stop."""

    def _epoch_accepted(self) -> None:
        """Bring arrays up to date that follow from those of an epoch that has ended well."""

    def _untrained_loss(self) -> float | None:
        """Return the loss of a model that has learnt nothing, where it is known."""
        return None

    def _weights_problem(self) -> str | None:
        """Say what is wrong with the arrays of `_weights` beyond shape, dtype, NaN and infinity."""
        return None

    def _add_parts(self, captured: state.State) -> state.State:
        """Return the state with that of models inside this one."""
        return captured

    def _restore_parts(self, saved: state.State) -> None:
        """Take out of a state what `_add_parts` put in."""

    # ---- fitting --------------------------------------------------------------------------------

    def fit(
        self: ModelT,
        train: Interactions,
        validation: Interactions | None = None,
        progress: bool = True,
        callbacks: Callback | Iterable[Callback] = (),
    ) -> ModelT:
        """Learn from interactions.

        Ctrl-C stops with KeyboardInterrupt, within a second as a rule; so does an error. The model
        then answers with what it had learnt in whole epochs, or is as it was before `fit` where
        there was none.

        Parameters
        ----------
        train : Interactions
            Never changed. What repeated (user, item) pairs mean is up to the model.
        validation : Interactions, optional
            Held-out data for the callbacks that ask for them (`EarlyStopping`,
            `ValidationMetric`); an error if none does.
        progress : bool, default True
            Show a bar with the loss and the callbacks' metrics.
        callbacks : Callback or iterable of Callback
            Run in this order after every epoch.

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            A hyperparameter out of range, or validation data nobody uses.
        DivergenceError
            The loss stopped being finite or grew far above its lowest value. The model then has
            the state of the last epoch before that, or is as it was before `fit`.
        DataError
            Data that are not `Interactions`, or are empty.

        Examples
        --------
        >>> import penchant as pc
        >>> data = pc.Interactions.from_sequences([["tea", "milk"], ["tea", "jam"], ["jam"]])
        >>> pc.BPR(factors=4, epochs=5).fit(data, progress=False)
        BPR(factors=4, epochs=5)
        """
        self._check_params()
        results.check_interactions(train, "train")
        if validation is not None:
            results.check_interactions(validation, "validation")
        watchers = prepare_callbacks(callbacks, validation)
        seen = train.csr("distinct")
        if len(seen.indices) == 0:
            raise DataError("train has no interactions: there is nothing to learn from")
        model = cast("Recommender", self)
        epochs = int(getattr(self, "epochs", 0))
        monitor = FitMonitor(model, train, watchers, epochs, progress)
        before = dict(self.__dict__)
        try:
            self._begin(train, seen)
            with monitor:
                self._fit(train, monitor)
            problem = weights_problem(self)
            if problem:
                raise DivergenceError(
                    f"{type(self).__name__}: training diverged: {problem}; "
                    f"{self._divergence_advice}"
                )
        except BaseException:
            # Whole epochs stay; without one the model is what it was.
            if not monitor.has_learnt or weights_problem(self):
                self.__dict__.clear()
                self.__dict__.update(before)
            raise
        return self

    def _begin(self, train: Interactions, seen: CSR) -> None:
        """Forget an earlier fit and make ready for this one."""
        self._forget()
        self.users_, self.items_ = train.users, train.items
        self.columns_, self.backend_ = train.columns, train.backend
        self.item_features_, self.user_features_ = train.item_features, train.user_features
        self.seen_ = RowLists(seen.indptr, seen.indices)
        self.item_counts_ = np.bincount(seen.indices, minlength=train.n_items).astype(np.int64)
        if (times := event_times(train)) is not None:
            self.item_first_seen_, self.last_event_ = times
        self._history = []
        self._training_begins()
        self._start(train)
        self._weights_changed()

    def _training_begins(self) -> None:
        """Take down the hyperparameters: answers go by those, whatever `set_params` says later."""
        self._trained = SimpleNamespace(**self.get_params(deep=False))
        self.guessed_items_ = np.empty(0, dtype=np.int32)

    def _forget(self) -> None:
        """Drop everything fitted."""
        fitted = ("users_", "items_", "seen_", "item_counts_", "columns_", "backend_")
        tables = ("item_features_", "user_features_", "_history", "_derived", "_trained")
        kept = ("item_first_seen_", "last_event_", "guessed_items_")
        for name in (*fitted, *kept, *tables, *self._weights):
            self.__dict__.pop(name, None)

    def _weights_changed(self) -> None:
        """Drop what was derived from the weights."""
        self._derived = {}
        self._shelf = None

    def _topk(self, name: str, make: Callable[[], _core.TopkIndex]) -> _core.TopkIndex:
        """Return what `make` returns: made once and kept until the weights change."""
        derived = self._derived
        if name not in derived:
            keep = partial(derived.__setitem__, name)
            if self._shelf is None:
                keep(make())
            else:
                self._shelf.topk(name, make, keep)
        index: _core.TopkIndex = derived[name]
        return index

    def _shelved(
        self,
        names: Sequence[str],
        make: Callable[[], Sequence[NDArray[Any]]],
        keep: Callable[[Sequence[NDArray[Any]]], object],
    ) -> None:
        """Call `keep` with the arrays that `make` returns; see `Shelf.arrays`."""
        if self._shelf is None:
            keep(make())
        else:
            self._shelf.arrays(names, make, keep)

    def _params_changed(self) -> None:
        if self.__sklearn_is_fitted__():
            self._weights_changed()

    def _kept_index(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """Return the approximate index as JSON and arrays, None without one."""
        return None

    def _restore_index(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Make the approximate index again of what `_kept_index` returned; trust nothing."""
        raise DataError(f"{type(self).__name__} has no approximate index")

    def _check_fitted(self) -> None:
        if "_derived" not in self.__dict__:
            raise NotFittedError(
                f"this {type(self).__name__} is not fitted yet: call fit(train) first"
            )

    def __sklearn_is_fitted__(self) -> bool:
        """Tell scikit-learn whether `fit` was called."""
        return "_derived" in self.__dict__

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Return a copy of what training changes, for `restore`."""
        self._check_fitted()
        learnt = (name for name, weight in self._weights.items() if not weight.given)
        arrays = ((name, getattr(self, name)) for name in learnt)
        return {name: array.copy() for name, array in arrays if array is not None}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Go back to an earlier `snapshot` of the same training."""
        self._check_fitted()
        for name, array in snapshot.items():
            getattr(self, name)[...] = array
        self._weights_changed()

    # ---- history, saving, pickling --------------------------------------------------------------

    @property
    def history_(self) -> Any:
        """Frame with a row per epoch: epoch, loss, the model's other measures, seconds, metrics."""
        self._check_fitted()
        return results.to_frame(history_table(self._history), self.backend_)

    def plot_history(self, path: str | PathLike[str] | None = None) -> Axes:
        """Plot the loss (left axis) and the metrics (right axis) over the epochs.

        Parameters
        ----------
        path : path, optional
            Write the picture there (PNG, SVG or PDF by its suffix).

        Returns
        -------
        matplotlib.axes.Axes
            The left axis; its ``figure`` is the whole picture.

        Raises
        ------
        MissingExtraError
            Without matplotlib: ``pip install 'penchant[plot]'``.
        """
        self._check_fitted()
        return plot_rows(self._history, repr(self), path)

    def save(self, path: str | PathLike[str]) -> None:
        """Save as an artifact directory, replacing one that is there in a single step.

        Parameters
        ----------
        path : path
            A directory; made if it does not exist.

        Raises
        ------
        ArtifactError
            The disk is full, the path is not writable or holds something else; an artifact that
            was there is intact.
        ParameterError
            The path is empty.
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> import tempfile, penchant as pc
        >>> data = pc.Interactions.from_sequences([["tea", "milk"], ["tea", "jam"]])
        >>> model = pc.Popularity().fit(data)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(folder)
        ...     same = pc.load(folder)
        >>> same
        Popularity()
        """
        self._check_fitted()
        state.save(self, path)

    def __getstate__(self) -> dict[str, Any]:
        return state.pickled(self)

    def __setstate__(self, pickled: dict[str, Any]) -> None:
        state.unpickle(self, pickled)
