"""Repeated (user, item) pairs: grouping, merging and netting returns, all vectorised."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# A remainder below this share of what was bought is rounding, not stock.
_ROUNDING = 1e-9


class Pairs(NamedTuple):
    """Rows grouped by pair.

    ``order`` lists row numbers pair by pair, oldest event first; pair ``p`` is
    ``order[starts[p]:starts[p + 1]]``. ``keys`` is ``user * n_items + item`` of each pair, sorted.
    """

    order: np.ndarray
    starts: np.ndarray
    keys: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Number of rows of each pair."""
        counts: np.ndarray = self._ends - self.starts
        return counts

    @property
    def last(self) -> np.ndarray:
        """Row of the latest event of each pair."""
        rows: np.ndarray = self.order[self._ends - 1]
        return rows

    @property
    def _ends(self) -> np.ndarray:
        return np.append(self.starts[1:], len(self.order))


def pair_keys(users: np.ndarray, items: np.ndarray, n_items: int) -> np.ndarray:
    """Return one int64 for each (user, item); both codes are below 2**31, so it cannot overflow."""
    keys: np.ndarray = users.astype(np.int64) * n_items + items
    return keys


def chronological(time: np.ndarray | None, order: np.ndarray | None) -> np.ndarray | None:
    """Return row numbers from oldest to newest: by time, then order, then row; None if rows are."""
    keys = [key for key in (order, time) if key is not None]
    if len(keys) == 2:
        return np.lexsort(keys)
    if not keys or bool((keys[0][1:] >= keys[0][:-1]).all()):
        return None
    return np.argsort(keys[0], kind="stable")


def group(keys: np.ndarray, oldest_first: np.ndarray | None) -> Pairs:
    """Group rows by key, each group from its oldest row to its newest."""
    if oldest_first is None:
        order = np.argsort(keys, kind="stable")
    else:
        order = oldest_first[np.argsort(keys[oldest_first], kind="stable")]
    ordered = keys[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    return Pairs(order, starts, ordered[starts])


def merge(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Keep one row for each pair.

    Returns
    -------
    rows : ndarray of int64
        The latest row of each pair, pairs in the order in which they first appear.
    place : ndarray of int64
        The pair each of those rows stands for.
    """
    first = np.minimum.reduceat(pairs.order, pairs.starts)
    place = np.argsort(first, kind="stable")
    return pairs.last[place], place


def net(values: np.ndarray, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Take returns off what was bought, the latest purchases first.

    A pair's values add up to (bought - returned) afterwards; a pair with nothing left vanishes.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Amounts; negative ones are returns.
    pairs : Pairs

    Returns
    -------
    rows : ndarray of int64, sorted
        Rows that keep something.
    amounts : ndarray of float64
        What they keep.
    """
    ordered = values[pairs.order]
    bought = np.maximum(ordered, 0.0)
    total_bought = np.add.reduceat(bought, pairs.starts)
    total_returned = np.add.reduceat(np.maximum(-ordered, 0.0), pairs.starts)
    left = total_bought - total_returned
    left[left <= _ROUNDING * total_bought] = 0.0
    counts = pairs.counts

    running = np.cumsum(bought)
    before_pair = np.repeat(running[pairs.starts] - bought[pairs.starts], counts)
    up_to = running - before_pair
    limit = np.repeat(left, counts)
    kept = np.clip(np.minimum(up_to, limit) - (up_to - bought), 0.0, bought)
    kept[kept <= _ROUNDING * bought] = 0.0

    # Pairs without returns keep their values to the bit, zeros included.
    untouched = np.repeat((total_returned == 0.0) & (left > 0.0), counts)
    kept = np.where(untouched, ordered, kept)
    stays = untouched | (kept > 0.0) | ((ordered == 0.0) & (limit > 0.0))
    rows = pairs.order[stays]
    by_row = np.argsort(rows)
    return rows[by_row], kept[stays][by_row]
