"""The users x items matrix of some events."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from penchant.data import _repeats

REDUCTIONS = ("distinct", "sum", "count", "last")


class CSR(NamedTuple):
    """A sparse users x items matrix by rows.

    Attributes
    ----------
    indptr : ndarray of int64, shape (n_users + 1,)
        Row ``u`` is ``indices[indptr[u]:indptr[u + 1]]``.
    indices : ndarray of int32, shape (nnz,)
        Item codes, increasing and different within a row.
    values : ndarray of float32, shape (nnz,)
    """

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray


def reduce_pairs(
    keys: np.ndarray, events: np.ndarray | None, reduce: str, oldest_first: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the different pair keys, sorted, and one value for each.

    Parameters
    ----------
    keys : ndarray of int64, shape (n,)
    events : ndarray of float64, shape (n,), or None
        Value of each event; None counts each as 1.
    reduce : {"distinct", "sum", "count", "last"}
    oldest_first : ndarray of int64 or None
        Row numbers from the oldest to the newest event; None if rows are in that order.
    """
    if events is None or reduce in ("distinct", "count"):
        distinct, counts = np.unique(keys, return_counts=True)
        ones = reduce in ("distinct", "last")
        return distinct, np.ones(len(distinct)) if ones else counts
    pairs = _repeats.group(keys, oldest_first if reduce == "last" else None)
    if reduce == "last":
        return pairs.keys, events[pairs.last]
    return pairs.keys, np.add.reduceat(events[pairs.order], pairs.starts)


def make_csr(keys: np.ndarray, values: np.ndarray, n_users: int, n_items: int) -> CSR:
    """Return sorted pair keys and their values as a matrix; its arrays are read-only."""
    rows = keys // n_items
    indptr = np.zeros(n_users + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=n_users), out=indptr[1:])
    indices = (keys - rows * n_items).astype(np.int32)
    csr = CSR(indptr, indices, values.astype(np.float32))
    for array in csr:
        array.flags.writeable = False
    return csr
