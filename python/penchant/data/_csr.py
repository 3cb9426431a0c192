"""The users x items matrix of some events."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    indptr = np.zeros(n_users + 1, np.int64)
    np.cumsum(np.bincount(users[rows], minlength=n_users), out=indptr[1:])
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


def transposed(matrix: CSR, n_columns: int) -> CSR:
    """Return the matrix with a row for each column."""
    order = np.argsort(matrix.indices, kind="stable")
    rows = np.repeat(np.arange(len(matrix.indptr) - 1, dtype=np.int32), np.diff(matrix.indptr))
    indptr = np.zeros(n_columns + 1, dtype=np.int64)
    np.cumsum(np.bincount(matrix.indices, minlength=n_columns), out=indptr[1:])
    return matrix._replace(indptr=indptr, indices=rows[order], values=matrix.values[order])


def recoded(
    matrix: CSR, codes: NDArray[np.int32], confidence: NDArray[np.float32] | None
) -> tuple[CSR, NDArray[np.float32] | None]:
    """Return the matrix with column c renamed codes[c], rows sorted again, confidence alike."""
    indices = codes[matrix.indices]
    rows = np.repeat(np.arange(len(matrix.indptr) - 1), np.diff(matrix.indptr))
    order = np.lexsort((indices, rows))
    sorted_matrix = matrix._replace(
        indices=np.ascontiguousarray(indices[order]), values=matrix.values[order]
    )
    return sorted_matrix, None if confidence is None else confidence[order]
