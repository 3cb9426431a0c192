"""Repeated (user, item) pairs: grouping, merging and netting returns, all vectorised."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from penchant import _core

# A remainder below this share of what was bought is rounding, not stock.
_ROUNDING = 1e-9


class Groups(NamedTuple):
    """Rows grouped by one or more codes, such as user and item.

    ``order`` lists row numbers group by group, groups by rising code, oldest event first; group
    ``g`` is ``order[starts[g]:starts[g + 1]]``.
    """

    order: np.ndarray
    starts: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Number of rows of each group."""
        counts: np.ndarray = self._ends - self.starts
        return counts

    @property
    def last(self) -> np.ndarray:
        """Row of the latest event of each group."""
        rows: np.ndarray = self.order[self._ends - 1]
        return rows

    @property
    def _ends(self) -> np.ndarray:
        return np.append(self.starts[1:], len(self.order))


def chronological(time: np.ndarray | None, order: np.ndarray | None) -> np.ndarray | None:
    """Return row numbers from oldest to newest: by time, then order, then row; None if rows are."""
    keys = [key for key in (order, time) if key is not None]
    if len(keys) == 2:
        return np.lexsort(keys)
    if not keys or bool((keys[0][1:] >= keys[0][:-1]).all()):
        return None
    return np.argsort(keys[0], kind="stable")


def order_by(codes: np.ndarray, oldest_first: np.ndarray | None) -> np.ndarray:
    """Return row numbers by rising code, those of a code from its oldest row to its newest.

    Parameters
    ----------
    codes : ndarray of integers >= 0, shape (n,)
    oldest_first : ndarray of int64 or None
        Row numbers from the oldest to the newest event; None if rows are in that order.
    """
    n_codes = int(codes.max(initial=-1)) + 1
    if n_codes <= 8 * len(codes) + 1024:  # else counting them costs more than comparing
        return _core.stable_order(
            np.ascontiguousarray(codes, dtype=np.int32), n_codes, oldest_first
        )
    if oldest_first is None:
        return np.argsort(codes, kind="stable")
    return oldest_first[np.argsort(codes[oldest_first], kind="stable")]


def group(oldest_first: np.ndarray | None, *codes: np.ndarray) -> Groups:
    """Group rows by their codes, by the first of them first."""
    order = oldest_first
    for part in reversed(codes):
        order = order_by(part, order)
    assert order is not None
    new = np.zeros(len(order), bool)
    new[:1] = True
    for part in codes:
        ordered = part[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    return Groups(order, np.flatnonzero(new))


def merge(pairs: Groups) -> tuple[np.ndarray, np.ndarray]:
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


def net(values: np.ndarray, pairs: Groups) -> tuple[np.ndarray, np.ndarray]:
    """Take returns off what was bought, the latest purchases first.

    A pair's values add up to (bought - returned) afterwards; a pair with nothing left vanishes.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Amounts; negative ones are returns.
    pairs : Groups
        By user and item.

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
