"""What re-rankers work on: ranked lists, the catalogue, and the request behind them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant.errors import ColumnError, ParameterError, closest
from penchant.retrieval.column_values import plain_column
from penchant.retrieval.kept import keep

Rows = NDArray[np.int64]
Scores = NDArray[np.float32]
Flags = NDArray[np.bool_]
T = TypeVar("T")

_KEPT = 64  # things derived from a catalogue that are kept


@dataclass(frozen=True, eq=False)
class RankedLists:
    """Items of each user, best first.

    Attributes
    ----------
    items : int64 array of shape (q, p)
        Codes of items, -1 only at the end of a list.
    scores : float32 array of shape (q, p)
        The model's own; -inf where `items` is -1.
    relevance : float64 array of shape (q, p)
        From 0 to 1: what re-rankers weigh against other aims.
    users : uint64 array of shape (q,)
        A number that stands for the user, so that draws do not depend on the batch.
    """

    items: Rows
    scores: Scores
    relevance: NDArray[np.float64]
    users: NDArray[np.uint64]

    @classmethod
    def from_search(cls, items: Rows, scores: Scores, users: NDArray[np.uint64]) -> RankedLists:
        """Scale each user's scores to 0 for the lowest and 1 for the highest; 1 where all agree.

        Items that the model could not score, float32's lowest number, count for 0.
        """
        wide = scores.astype(np.float64)
        known = (items >= 0) & (scores > np.finfo(np.float32).min)
        low = np.where(known, wide, np.inf).min(axis=1, initial=np.inf, keepdims=True)
        high = np.where(known, wide, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
        relevance = np.where(known, 1.0, 0.0)
        np.divide(wide - low, high - low, out=relevance, where=known & (high > low))
        return cls(items, scores, relevance, users)

    def reorder(self, places: Rows) -> RankedLists:
        """Return lists whose places hold these places of the old ones; -1, at the end, for none.

        Examples
        --------
        >>> import numpy as np
        >>> found = np.array([[7, 8, 9]]), np.array([[3, 2, 1]], np.float32)
        >>> lists = RankedLists.from_search(*found, np.array([0], np.uint64))
        >>> lists.reorder(np.array([[2, 0, -1]])).items
        array([[ 9,  7, -1]])
        """
        none = places < 0
        at = np.where(none, 0, places)
        items, scores, relevance = (
            np.where(none, padding, np.take_along_axis(part, at, axis=1))
            for part, padding in ((self.items, -1), (self.scores, -np.inf), (self.relevance, 0.0))
        )
        return replace(self, items=items, scores=scores.astype(np.float32), relevance=relevance)

    def keep(self, kept: Flags) -> RankedLists:
        """Return lists without some places, in the same order."""
        order = np.argsort(~kept, axis=1, kind="stable")
        gone = np.arange(kept.shape[1]) >= kept.sum(axis=1, keepdims=True)
        return self.reorder(np.where(gone, -1, order))

    def by_place(self) -> RankedLists:
        """Let the order say how relevant items are: 1 for the first, falling evenly to 0."""
        width = self.items.shape[1]
        steps = 1.0 - np.arange(width) / max(width, 1)
        return replace(self, relevance=np.where(self.items >= 0, steps, 0.0))

    def insert(self, items: Rows, scores: Scores, places: Rows) -> RankedLists:
        """Put items at places of the lists, of which they leave the ones they may have had.

        Parameters
        ----------
        items : int64 array of shape (q, m)
            Distinct within a row; -1 for none.
        scores : float32 array of shape (q, m)
        places : int64 array of shape (q, m)
            Where to, from 0, distinct within a row. A list that is too short closes up.
        """
        n_lists, width = self.items.shape
        new = items >= 0
        owners = np.arange(n_lists)[:, None] << 32
        stays = (self.items >= 0) & ~np.isin(owners + self.items, (owners + items)[new])
        # The n-th of those that stay gets the n-th place that is free.
        taken = np.zeros((n_lists, width + max(int(places.max(initial=-1)) + 1, 0)), dtype=bool)
        taken[np.nonzero(new)[0], places[new]] = True
        free = np.argsort(taken, axis=1, kind="stable")
        number = np.maximum(np.cumsum(stays, axis=1) - 1, 0)
        nowhere = np.iinfo(np.int64).max
        target = np.hstack(
            [
                np.where(stays, np.take_along_axis(free, number, axis=1), nowhere),
                np.where(new, places, nowhere),
            ]
        )
        both = RankedLists(
            np.hstack([self.items, items]),
            np.hstack([self.scores, scores]),
            np.zeros(target.shape),
            self.users,
        )
        order = np.argsort(target, axis=1, kind="stable")
        there = np.take_along_axis(target, order, axis=1) < nowhere
        return both.reorder(np.where(there, order, -1)[:, :width]).by_place()


@dataclass(frozen=True, eq=False)
class Catalogue:
    """What is known of the items.

    Attributes
    ----------
    model : str
        Name of the model, for messages.
    table : pyarrow.Table
        A row for each item.
    counts : int64 array of shape (n_items,)
        Users of each item.
    first_seen : int64 array of shape (n_items,), or None
        Microseconds of UTC of each item's first event.
    last_event : int or None
        Microseconds of UTC of the latest event of all.
    vectors : callable
        Returns the item vectors, float32 [n_items, d], or raises `UnsupportedError`.
    codes : callable
        Returns the code of each of some ids, -1 for the unknown.
    derived : dict
        Keeps what was made of the above.
    """

    model: str
    table: pa.Table
    counts: NDArray[np.int64]
    first_seen: NDArray[np.int64] | None
    last_event: int | None
    vectors: Callable[[], NDArray[np.float32]]
    codes: Callable[[Any], NDArray[np.int32]]
    derived: dict[Hashable, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.counts)

    def column(self, name: str, owner: str) -> Any:
        """Return a `plain_column` of the table; `owner` names who asks, for the ColumnError."""
        names = self.table.column_names
        if name not in names:
            raise ColumnError(
                f"{owner} names {name!r}{closest(name, names)}; the item table has "
                f"{', '.join(map(repr, names))}: give more with item_features="
            )
        return plain_column(self.table.column(name))

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` made the first time it was asked for under this key."""
        found: T = keep(self.derived, key, make, _KEPT)
        return found


@dataclass(frozen=True, eq=False)
class Request:
    """What else a re-ranker may ask for.

    Attributes
    ----------
    catalogue : Catalogue
    k, pool : int
        Length of the answers, and of the lists before they were widened for some users.
    depth : int
        So many places count; the rest may stay as it is.
    search : callable
        ``search(flags, k)`` returns the `k` best (items, scores) of each user among the items
        flagged (bool [n_items]), after all filters; -1 and -inf pad.
    num_threads : int
        0 stands for the default.
    """

    catalogue: Catalogue
    k: int
    pool: int
    depth: int
    search: Callable[[Flags, int], tuple[Rows, Scores]]
    num_threads: int


class Reranker(ABC):
    """Base class of re-rankers; your own one defines `apply`, and `check` where it can fail.

    Examples
    --------
    >>> import numpy as np, penchant as pc
    >>> class WorstFirst(pc.rerank.Reranker):
    ...     def apply(self, lists, request):
    ...         there = lists.items >= 0
    ...         places = there.sum(axis=1, keepdims=True) - 1 - np.arange(there.shape[1])
    ...         return lists.reorder(np.where(places >= 0, places, -1))
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea", "jam"], ["tea", "pen"]])
    >>> model = pc.Popularity().fit(data)
    >>> model.recommend(2, exclude_seen=False, rerank=WorstFirst())["item"].tolist()
    ['pen', 'jam', 'tea']
    """

    def check(self, catalogue: Catalogue) -> None:  # noqa: B027 (most have nothing to check)
        """Raise a clear error where the catalogue lacks what `apply` will need."""

    def reach(self) -> int:
        """Return how many items `apply` asks `Request.search` for, of each user; 0 for none."""
        return 0

    @abstractmethod
    def apply(self, lists: RankedLists, request: Request) -> RankedLists:
        """Return the lists in a new order.

        Each user's list must depend on that list alone, never on the others of the batch.
        """


def check_number(
    owner: object, name: str, value: object, low: float, high: float, *, whole: bool = False
) -> None:
    """Raise a ParameterError unless a setting is a number from `low` to `high`."""
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    good = isinstance(value, kinds) and not isinstance(value, bool)
    if not good or not low <= value <= high:  # type: ignore[operator]
        kind = "an integer" if whole else "a number"
        raise ParameterError(
            f"{type(owner).__name__}: {name} must be {kind} from {low:g} to {high:g}, got {value!r}"
        )
