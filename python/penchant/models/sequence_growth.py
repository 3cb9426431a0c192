"""New events, users and items for vectors of items in sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from penchant.errors import UnsupportedError
from penchant.models.factor_model import FactorModel
from penchant.models.growth import own_codes
from penchant.models.histories import Histories
from penchant.retrieval.filters import RowLists, near_pairs, take_lists

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models.growth import Growth
    from penchant.models.incremental import Reduction
    from penchant.models.state import State


class SequenceGrowth(FactorModel, abstract=True):
    """What `Prod2Vec` keeps of its users' histories, and how it goes on from there."""

    item_vectors_: NDArray[np.float32]
    output_vectors_: NDArray[np.float32]
    user_vectors_: NDArray[np.float32]
    vocabulary_counts_: NDArray[np.int64]

    def _mean(self, indptr: NDArray[np.int64], items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the weighted mean of the item vectors of each history."""
        raise NotImplementedError

    def _decay(self) -> float:
        """Return what an event weighs, relative to the one after it."""
        decays = {"mean": 1.0, "recency": float(self._trained.recency_decay), "last": 0.0}
        return decays[self._trained.history_weighting]

    def _value_reduction(self) -> Reduction:
        return "count"

    def _own_histories(self, codes: NDArray[np.integer[Any]]) -> Histories:
        """Return what users took, items ascending, each as often as they took it."""
        own = super()._own_histories(codes)
        return own.counted() if own.valued else own  # early versions did not keep how often

    def _weights_problem(self) -> str | None:
        counts = self.history_values_
        if counts is None or ((counts >= 1) & (counts == np.rint(counts))).all():
            return None
        return "history_values_ has other values than counts of events"

    def _restore_parts(self, saved: State) -> None:
        super()._restore_parts(saved)
        if self.history_values_ is None and len(self.seen_.indices) == 0:
            # Early versions did not keep counts, and of nothing there are none to miss.
            self.history_values_ = np.empty(0, dtype=np.float32)

    def _grow(self, growth: Growth) -> None:
        """Set items, which go by their neighbors alone, then users."""
        placed = np.empty(0, dtype=np.int64)
        if growth.events is not None and len(growth.items):
            placed = self._place_items(growth, growth.events)
        self._guess_items(growth, placed, placed)
        if growth.events is not None:
            items = growth.event_items[growth.events.array("item")]
            counts = np.bincount(items, minlength=len(self.items_))
            # Only items without events have a guess for a count.
            self.vocabulary_counts_[growth.fresh[counts[growth.fresh] > 0]] = 0
            self.vocabulary_counts_ += counts
        self._weights_changed()
        if growth.events is not None:
            self.user_vectors_[growth.users] = self._moved_users(growth, growth.events)

    def _moved_users(self, growth: Growth, events: Interactions) -> NDArray[np.float32]:
        """Return the vectors of users whose new events come after those they had."""
        sequences = events.sequences("user")
        lists = RowLists(sequences.indptr, growth.event_items[sequences.items])
        new = take_lists(lists, np.argsort(own_codes(self.users_, events.users)))
        found = self._mean(*new)
        known, decay = growth.known.users[growth.users], self._decay()
        if decay == 0 or not known.any():
            return found
        if self.history_values_ is None:
            raise UnsupportedError(
                "this Prod2Vec was saved by a version that did not keep how often its users took "
                "each item, which partial_fit goes by: fit it again"
            )
        own = self._own_histories(growth.users[known])
        if decay == 1:
            found[known] = self._mean(own.indptr, own.items)
            return found
        # Sums of the weights decay ** 0, decay ** 1, ..., each times 1 - decay.
        whole, after = np.diff(own.indptr), np.diff(new.indptr)[known]
        share = (decay**after - decay**whole) / (1 - decay**whole)
        before = self.user_vectors_[growth.users[known]]
        found[known] += share[:, None].astype(np.float32) * (before - found[known])
        return found

    def _place_items(self, growth: Growth, events: Interactions) -> NDArray[np.int64]:
        """Give items the means of the known ones that they stand near, as training would.

        Return those that stand near any.
        """
        sentences = events.sequences()
        pairs = near_pairs(
            sentences.indptr, growth.event_items[sentences.items], int(self._trained.window)
        )
        unlearnt = np.zeros(len(self.items_), dtype=np.bool_)
        unlearnt[growth.items] = True
        new, near = pairs[:, unlearnt[pairs[0]] & growth.known.items[pairs[1]]]
        counts = np.bincount(new, minlength=len(self.items_))
        placed = np.flatnonzero(counts)
        for vectors in (self.item_vectors_, self.output_vectors_):
            found = np.zeros((len(self.items_), vectors.shape[1]))
            np.add.at(found, new, vectors[near])
            vectors[placed] = found[placed] / counts[placed, None]
        return placed
