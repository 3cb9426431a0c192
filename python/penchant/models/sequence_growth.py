"""New events, users and items for vectors of items in sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.errors import UnsupportedError
from penchant.models.factor_model import FactorModel
from penchant.models.growth import own_codes
from penchant.models.histories import Histories
from penchant.retrieval.filters import RowLists, near_pairs, offsets, take_lists

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

    def _plain_mean(
        self, indptr: NDArray[np.int64], rows: NDArray[np.int32], vectors: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the mean of some vectors for each list of their rows."""
        return _core.fold_in_histories(
            indptr, rows, vectors, decay=1.0, num_threads=self._threads(None)
        )

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
        """Set items, which go by known ones alone, then users."""
        placed = np.empty(0, dtype=np.int64)
        if growth.events is not None and len(growth.items):
            placed = self._place_items(growth, growth.events)
        self._guess_items(growth, placed, placed)
        if growth.events is not None:
            items = growth.event_items[growth.events.array("item")]
            # Only items without events have a guess for a count.
            self.vocabulary_counts_[growth.first] = 0
            self.vocabulary_counts_ += np.bincount(items, minlength=len(self.items_))
        self._weights_changed()
        if growth.events is not None:
            self._move_takers(np.setdiff1d(placed, growth.fresh))
            self.user_vectors_[growth.users] = self._moved_users(growth, growth.events)

    def _move_takers(self, items: NDArray[np.int64]) -> None:
        """Make the vectors of those users anew who took what was a guess until now.

        Where the order of events counts, which is not kept, only of those with a single item.
        """
        users = np.unique(self._takers(items).indices)
        if self._decay() != 1:
            users = users[np.diff(self.seen_.indptr)[users] == 1]
        elif self.history_values_ is None:
            return
        own = self._own_histories(users)
        self.user_vectors_[users] = self._mean(own.indptr, own.items)

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

        For users with whom they stand near none, all that the user took stands in: as many places
        of it as a window holds. Return the items that anybody tells of.
        """
        items, near, own = self._near(growth, events)
        placed, counts = np.unique(items, return_counts=True)
        order = np.argsort(items, kind="stable")
        lists = offsets(counts), near[order]
        for vectors in (self.item_vectors_, self.output_vectors_):
            both = np.concatenate([vectors, self._plain_mean(own.indptr, own.items, vectors)])
            vectors[placed] = self._plain_mean(*lists, both)
        return placed

    def _near(
        self, growth: Growth, events: Interactions
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], Histories]:
        """Return pairs of an unlearnt item and what is near it, and histories.

        That is a known item, or the number of a history after all items.
        """
        sentences, window = events.sequences(), int(self._trained.window)
        codes = growth.event_items[sentences.items]
        unlearnt = np.zeros(len(self.items_), dtype=np.bool_)
        unlearnt[growth.items] = True
        places = near_pairs(sentences.indptr, np.arange(len(codes), dtype=np.int32), window)
        new, there = places[:, unlearnt[codes[places[0]]] & growth.known.items[codes[places[1]]]]
        users_there = own_codes(self.users_, events.users).astype(np.int64)
        owners = users_there[np.sort(events.array("user"))]  # sequences stand by their users
        takers = self._takers(growth.items)
        items, users = growth.items[takers.rows()], takers.indices
        alone = ~np.isin(items << 32 | users, codes[new].astype(np.int64) << 32 | owners[new])
        people, whose = np.unique(users[alone], return_inverse=True)
        own = self._own_histories(people).only(growth.known.items)
        weights = np.minimum(np.diff(own.indptr), window)[whose]
        stand_ins = np.repeat(len(self.items_) + whose, weights)
        return (
            np.concatenate([codes[new], np.repeat(items[alone], weights)]),
            np.concatenate([codes[there], stand_ins.astype(np.int32)]),
            own,
        )
