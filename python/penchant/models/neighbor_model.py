"""Models that score by an item-item matrix and a user's history."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.data.interactions import CSR
from penchant.errors import DataError
from penchant.models.audience import Sums
from penchant.models.base import Recommender
from penchant.models.explain import Contributions
from penchant.models.histories import Histories
from penchant.models.params import Choice
from penchant.models.ranker import Rows, Scores
from penchant.models.weights import HISTORY_VALUES, Weight
from penchant.retrieval.filters import (
    RowLists,
    ascend,
    offsets,
    owners_of,
    places_of,
    take_lists,
)

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models.growth import Growth
    from penchant.models.incremental import Reduction
    from penchant.models.training import FitMonitor

Values = Literal["distinct", "count", "sum", "last"]
VALUES = Choice(("distinct", "count", "sum", "last"))

NEIGHBOR_WEIGHTS = {
    "neighbor_indptr_": Weight(("items+1",), optional=True, dtype="int64"),
    "neighbor_indices_": Weight(("neighbors",), optional=True, dtype="int32"),
    "neighbor_values_": Weight(("neighbors",), optional=True),
    **HISTORY_VALUES,
}


class NeighborModel(Recommender, abstract=True):
    """Base class of item-item models: ``score[j] = sum of value[h] * S[h, j]`` over a history.

    The matrix S is sparse (``neighbor_*_``) or, where a subclass adds ``item_weights_``, dense.
    Scores are added up in float32 over the history by ascending item code, so that searching,
    predicting and folding in give the same bits. An item that nothing in the history points to has
    score 0 and may be recommended, by ascending code, after all items with a positive score and
    before those with a negative one. A history that points to nothing at all gets popular items.
    """

    values: Values
    neighbor_indptr_: NDArray[np.int64] | None
    neighbor_indices_: NDArray[np.int32] | None
    neighbor_values_: NDArray[np.float32] | None
    item_weights_: NDArray[np.float32] | None = None

    def _start(self, train: Interactions) -> None:
        matrix = train.csr(self.values)
        self.history_values_ = None
        if self.values != "distinct":
            self._check_values(matrix, "train")
            self.history_values_ = matrix.values
        self._set_neighbors(
            np.zeros(len(self.items_) + 1, dtype=np.int64),
            np.empty(0, dtype=np.int32),
            np.empty(0, dtype=np.float32),
        )

    def _set_neighbors(
        self,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        values: NDArray[np.float32],
    ) -> None:
        self.neighbor_indptr_ = indptr
        self.neighbor_indices_ = indices
        self.neighbor_values_ = values

    def _neighbor_lists(self) -> CSR:
        indptr, indices = self.neighbor_indptr_, self.neighbor_indices_
        assert indptr is not None
        assert indices is not None
        assert self.neighbor_values_ is not None
        return CSR(indptr, indices, self.neighbor_values_)

    def _check_values(self, matrix: CSR, name: str) -> None:
        """Refuse values that cannot say how strong an interaction is."""
        bad = np.flatnonzero(~(matrix.values > 0))
        if len(bad) == 0:
            return
        entry = int(bad[0])
        row = int(np.searchsorted(matrix.indptr, entry, side="right")) - 1
        who = f"user {self.users_.to_list()[row]!r}" if name == "train" else f"history {row}"
        raise DataError(
            f"{name}: the value of {who} and item {self.items_.to_list()[matrix.indices[entry]]!r} "
            f"is {matrix.values[entry]:g}, and {len(bad) - 1} others are not above zero either; "
            f"{type(self).__name__}(values={self.values!r}) takes values above zero: leave such "
            "rows out, or use values='distinct'"
        )

    def _weights_problem(self) -> str | None:
        sparse = (self.neighbor_indptr_, self.neighbor_indices_, self.neighbor_values_)
        if (self.item_weights_ is None) != all(part is not None for part in sparse):
            return "it needs either neighbors or item_weights"
        if self.item_weights_ is not None:
            return None if all(part is None for part in sparse) else "it has two sets of weights"
        indptr, indices, _ = self._neighbor_lists()
        if indptr[0] != 0 or indptr[-1] != len(indices) or np.any(indptr[1:] < indptr[:-1]):
            return "neighbor_indptr does not ascend from 0 to the number of neighbors"
        if len(indices) and (indices.min() < 0 or indices.max() >= len(self.items_)):
            return f"neighbor_indices has entries outside 0..{len(self.items_) - 1}"
        rising = ascend(RowLists(indptr, indices))
        return None if rising else "neighbor_indices is not sorted within each item"

    def _fit(self, train: Interactions, monitor: FitMonitor) -> None:
        self._learn()

    def _learn(self) -> None:
        """Make the similarities of what is in `seen_`, as the hyperparameters of training say."""
        raise NotImplementedError

    def _value_reduction(self) -> Reduction:
        values: Reduction = self._trained.values
        return values

    def _grow(self, growth: Growth) -> None:
        """Compute the matrix again: it follows from what the model keeps."""
        if self.history_values_ is not None:
            self._check_values(CSR(*self.seen_, self.history_values_), "train")
        self._learn()

    # ---- answers --------------------------------------------------------------------------------

    def _index(self) -> _core.NeighborIndex:
        index: _core.NeighborIndex | None = self._derived.get("neighbors")
        if index is None:
            if self.item_weights_ is not None:
                index = _core.NeighborIndex(self.item_weights_)
            else:
                index = _core.NeighborIndex(*self._neighbor_lists())
            self._derived["neighbors"] = index
        return index

    def _index_of(self, items: Rows) -> _core.NeighborIndex:
        if self.item_weights_ is not None:
            return self._index()
        indptr, indices, values = self._neighbor_lists()
        wanted = np.zeros(len(self.items_), dtype=np.bool_)
        wanted[items] = True
        kept = wanted[indices]
        rows = owners_of(RowLists(indptr, indices))[kept]
        lengths = np.bincount(rows, minlength=len(self.items_))
        return _core.NeighborIndex(offsets(lengths), indices[kept], values[kept])

    def _sums(
        self,
        queries: CSR,
        flags: NDArray[np.bool_],
        left_out: RowLists | None,
        num_threads: int,
    ) -> Sums:
        sums = self._index().score_sums(
            queries, exclude=left_out, allowed=flags.view(np.uint8), num_threads=num_threads
        )
        counts = np.full(len(sums), np.count_nonzero(flags))
        return Sums(sums, counts if left_out is None else counts - np.diff(left_out.indptr))

    def _queries(self, codes: Rows | None) -> CSR:
        indptr, indices = self.seen_
        if codes is None:
            values = self.history_values_
            if values is None:
                values = np.ones(len(indices), dtype=np.float32)
            return CSR(indptr, indices, values)
        if self.history_values_ is None:
            seen = take_lists(self.seen_, codes)
            return CSR(seen.indptr, seen.indices, np.ones(len(seen.indices), dtype=np.float32))
        starts, entries = places_of(self.seen_, codes)
        return CSR(starts, indices[entries], self.history_values_[entries])

    def _telling(self, queries: Callable[[], CSR]) -> NDArray[np.bool_]:
        """Return which have an item that points to others."""
        if "points" not in self._derived:
            if self.item_weights_ is not None:
                points = np.any(self.item_weights_ != 0, axis=1)
            else:
                lists = self._neighbor_lists()
                rows = owners_of(lists)[lists.values != 0]
                points = np.bincount(rows, minlength=len(self.items_)) > 0
            self._derived["points"] = points
        points, asked = self._derived["points"], queries()
        rows = owners_of(asked)[points[asked.indices]]
        return np.bincount(rows, minlength=len(asked.indptr) - 1) > 0

    def _fold_in(self, histories: Histories) -> CSR:
        if self._trained.values == "count":
            histories = histories._replace(values=np.ones_like(histories.values))
        matrix = histories.matrix(
            "sum" if self._trained.values == "count" else self._trained.values
        )
        if self._trained.values != "distinct":
            self._check_values(matrix, "history")
        return matrix

    def _own_history(self, code: int) -> Histories:
        own = super()._own_history(code)
        return own.counted() if self._trained.values == "count" else own  # `_fold_in` counts

    def _contributions(self, history: Histories, item: int) -> Contributions:
        """Return the summands of the score."""
        _, items, values = self._fold_in(history)
        each = CSR(np.arange(len(items) + 1, dtype=np.int64), items, values)
        pairs = np.arange(len(items), dtype=np.int64)
        target = np.full(len(items), item, dtype=np.int64)
        return Contributions(items, self._index().score_pairs(each, pairs, target))

    def _neighbors(self, codes: Rows, k: int, num_threads: int) -> tuple[Rows, Scores]:
        return self._index().neighbors(codes, k, num_threads=num_threads)
