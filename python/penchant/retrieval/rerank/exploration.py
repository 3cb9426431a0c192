"""Exploration: new items get places that the model would not give them yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant.data.times import read_times
from penchant.errors import ParameterError, UnsupportedError, choose
from penchant.retrieval.rerank.lists import (
    Catalogue,
    Flags,
    RankedLists,
    Request,
    Reranker,
    check_number,
)

_DAY = 86_400_000_000  # microseconds
_UNITS = ("s", "ms", "us", "ns")
_PLACES, _ITEMS = 1, 2  # streams of draws
_STEP = np.array([0x9E3779B97F4A7C15], np.uint64)  # an array: a scalar would warn of overflow


@dataclass(frozen=True, kw_only=True)
class Exploration(Reranker):
    """Give places to new items, as exploration in Amazon Personalize does.

    Each place is for a new item with probability `weight` (epsilon-greedy: Sutton and Barto,
    section 2.2): one drawn evenly among the `n_candidates` new items that the model ranks highest
    for the user, after filters and without what they have seen. The other places keep the order
    of the list.

    Draws depend on `random_state`, the user and the place or item alone: not on the batch or the
    threads. Strangers are told apart by their history; users whom the model does not know draw
    alike. Another `random_state` (the day's number, say) explores something else.

    Parameters
    ----------
    weight : float, default 0.3
        From 0 (no exploration) to 1 (new items wherever there are any).
    max_age_days : float, default 30
        An item is new when its age at the latest event of the training data is at most this.
    age_column : str, optional
        Column of the item table with the items' birth: dates, times, ISO 8601 text, or numbers.
        Items without one are not new. Default: the first event of the item.
    timestamp_unit : {"s", "ms", "us", "ns"}, optional
        What a column of numbers counts since 1970.
    n_candidates : int, default 100
    random_state : int, default 0

    Raises
    ------
    ParameterError
        A setting is out of range.
    UnsupportedError
        When recommending: neither an age column nor training data with timestamps.
    ColumnError, DataError
        When recommending: the item table has no such column, or one that is no time.

    Examples
    --------
    >>> import pandas as pd, penchant as pc
    >>> days = ["2026-01-01", "2026-01-02", "2026-01-03", "2026-03-01"]
    >>> events = pd.DataFrame({"who": [1, 2, 3, 4], "film": list("aabc"), "day": days})
    >>> data = pc.Interactions.from_frame(events, user="who", item="film", timestamp="day")
    >>> model = pc.Popularity().fit(data)
    >>> explore = pc.rerank.Exploration(weight=1)
    >>> model.recommend(1, exclude_seen=False, rerank=[explore])["film"].tolist()
    ['c', 'a', 'b']
    """

    weight: float = 0.3
    max_age_days: float = 30
    age_column: str | None = None
    timestamp_unit: str | None = None
    n_candidates: int = 100
    random_state: int = 0

    def __post_init__(self) -> None:
        check_number(self, "weight", self.weight, 0, 1)
        check_number(self, "max_age_days", self.max_age_days, 0, 1_000_000)
        check_number(self, "n_candidates", self.n_candidates, 1, 2**31 - 1, whole=True)
        check_number(self, "random_state", self.random_state, 0, 2**63 - 1, whole=True)
        if self.timestamp_unit is not None:
            choose("timestamp_unit", self.timestamp_unit, _UNITS)
        if self.age_column is not None and not isinstance(self.age_column, str):
            raise ParameterError(
                f"Exploration: age_column is the name of a column or None, got {self.age_column!r}"
            )
        if self.timestamp_unit is not None and self.age_column is None:
            raise ParameterError("Exploration: timestamp_unit goes with age_column")

    def check(self, catalogue: Catalogue) -> None:
        """Raise an error where nothing says how old items are."""
        self._new_items(catalogue)

    def reach(self) -> int:
        """Return `n_candidates`."""
        return int(self.n_candidates)

    def apply(self, lists: RankedLists, request: Request) -> RankedLists:
        """Return the lists with new items in some places."""
        new = self._new_items(request.catalogue)
        depth = min(request.depth, lists.items.shape[1])
        n_new = min(int(self.n_candidates), int(np.count_nonzero(new)))
        if not n_new or not depth:
            return lists
        places = np.arange(depth, dtype=np.int64)
        chance = self._draws(lists.users, _PLACES, places[None, :]) >> np.uint64(11)
        explored = chance.astype(np.float64) * 2.0**-53 < self.weight
        found, scores = request.search(new, n_new)
        # An order at random, padding last; as many of it as there are places to explore.
        draws = self._draws(lists.users, _ITEMS, found)
        order = np.lexsort((draws, found < 0), axis=1)[:, :depth]
        order_of_places = np.argsort(~explored, axis=1, kind="stable")[:, : order.shape[1]]
        number = np.arange(order.shape[1])
        items = np.take_along_axis(found, order, axis=1)
        items = np.where(number < explored.sum(axis=1, keepdims=True), items, -1)
        return lists.insert(items, np.take_along_axis(scores, order, axis=1), order_of_places)

    def _draws(
        self, users: NDArray[np.uint64], stream: int, numbers: NDArray[np.int64]
    ) -> NDArray[np.uint64]:
        """Return 64 random bits for each number of each user; [q, m] from [q] and [1 or q, m]."""
        seed = mixed(_STEP * np.array([stream], np.uint64) + np.uint64(self.random_state))
        keys = mixed(users ^ seed)[:, None]
        return mixed(keys + _STEP * (numbers.astype(np.uint64) + np.uint64(1)))

    def _new_items(self, catalogue: Catalogue) -> Flags:
        key = ("new", self.age_column, self.timestamp_unit, float(self.max_age_days))
        return catalogue.cached(key, lambda: self._find_new_items(catalogue))

    def _find_new_items(self, catalogue: Catalogue) -> Flags:
        if self.age_column is None:
            if catalogue.first_seen is None:
                raise UnsupportedError(
                    "Exploration: the training data have no timestamps that would say how old "
                    "items are: name them with Interactions.from_frame(..., timestamp=...) and fit "
                    "again, or give Exploration(age_column=...), a column of the item table"
                )
            births, known = catalogue.first_seen, np.ones(len(catalogue), dtype=np.bool_)
        else:
            births, known = self._births(catalogue)
        if not known.any():
            return known
        last = catalogue.last_event
        now = int(births[known].max()) if last is None else last
        flags: Flags = known & (births >= now - round(self.max_age_days * _DAY))
        return flags

    def _births(self, catalogue: Catalogue) -> tuple[NDArray[np.int64], Flags]:
        name: Any = self.age_column
        column = catalogue.column(name, "Exploration")
        known = ~np.asarray(pc.is_null(column, nan_is_null=True)).astype(np.bool_)
        births = np.zeros(len(catalogue), dtype=np.int64)
        if known.any():
            values = column.filter(pa.array(known)).combine_chunks()
            rows = np.flatnonzero(known)
            births[known] = read_times(values, name, self.timestamp_unit, rows)[0]
        return births, known


def mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return 64 well-mixed bits for each number, as ``mix64`` of the native random streams.

    Examples
    --------
    >>> import numpy as np
    >>> mixed(np.array([0, 1], np.uint64))
    array([                  0, 6238072747940578789], dtype=uint64)
    """
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
