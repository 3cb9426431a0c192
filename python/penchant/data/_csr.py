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

    def rows(self) -> np.ndarray:
        """Return the row of each entry, int32."""
        numbers = np.arange(len(self.indptr) - 1, dtype=np.int32)
        return np.repeat(numbers, np.diff(self.indptr))

    def transposed(self, n_columns: int) -> CSR:
        """Return the matrix with a row for each column."""
        order = np.argsort(self.indices, kind="stable")
        return CSR(
            _indptr(self.indices, n_columns), self.rows()[order], np.asarray(self.values)[order]
        )

    def recoded(self, codes: np.ndarray) -> CSR:
        """Return the matrix with column c renamed codes[c], which differ; rows sorted again."""
        indices = codes[self.indices]
        order = np.lexsort((indices, self.rows()))
        return CSR(self.indptr, np.ascontiguousarray(indices[order]), self.values[order])


def make_csr(
    groups: _repeats.Groups,
    codes: tuple[np.ndarray, np.ndarray],
    events: np.ndarray | None,
    reduce: str,
    n_users: int,
) -> CSR:
    """Return the matrix of some events; its arrays are read-only.

    Parameters
    ----------
    groups : Groups
        The events by user and item, from old to new where `reduce` is "last".
    codes : pair of ndarrays of int32, shape (n,)
        Users and items of the events.
    events : ndarray of float64, shape (n,), or None
        Value of each event; None counts each as 1.
    reduce : {"distinct", "sum", "count", "last"}
    """
    users, items = codes
    rows = groups.last
    indptr = _indptr(users[rows], n_users)
    if reduce == "distinct" or (reduce == "last" and events is None):
        values = np.ones(len(rows), np.float32)
    elif reduce == "count" or events is None:
        values = groups.counts.astype(np.float32)
    elif reduce == "last":
        values = events[rows].astype(np.float32)
    else:
        values = np.add.reduceat(events[groups.order], groups.starts).astype(np.float32)
    csr = CSR(indptr, items[rows].astype(np.int32, copy=False), values)
    for array in csr:
        array.flags.writeable = False
    return csr


def _indptr(owners: np.ndarray, n: int) -> np.ndarray:
    """Return where the entries of each of `n` owners begin, and the end."""
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(owners, minlength=n), out=indptr[1:])
    return indptr
