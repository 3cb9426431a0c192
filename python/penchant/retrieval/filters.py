"""Filters of a search: one sorted list of vector rows per query, as a pair of CSR arrays."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from penchant.errors import ParameterError

Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]


class HasOffsets(Protocol):
    """Lists of any kind, one after the other: `RowLists`, or a matrix in CSR form."""

    @property
    def indptr(self) -> Int64Array:
        """Where each list starts, and the end of the last."""


class RowLists(NamedTuple):
    """List `i` is ``indices[indptr[i]:indptr[i + 1]]``: sorted, without repeats."""

    indptr: Int64Array
    indices: Int32Array


class ItemFilter(NamedTuple):
    """Which items answers may hold.

    Attributes
    ----------
    allowed : bool array of shape (n_items,) or (r, n_items), or None
        Of all queries, or of those that `allowed_rows` says.
    exclude, candidates : RowLists or None
        For each query, items left out, and the only ones considered.
    allowed_rows : int32 array of shape (q,), or None
        The row of `allowed` that holds for each query.
    """

    allowed: NDArray[np.bool_] | None = None
    exclude: RowLists | None = None
    candidates: RowLists | None = None
    allowed_rows: Int32Array | None = None

    def take(self, rows: NDArray[np.integer[Any]]) -> ItemFilter:
        """Return the filter of some of the queries."""
        exclude, candidates = (
            None if part is None else take_lists(part, rows)
            for part in (self.exclude, self.candidates)
        )
        own = None if self.allowed_rows is None else self.allowed_rows[rows]
        return ItemFilter(self.allowed, exclude, candidates, own)

    def without(self, seen: RowLists | None) -> ItemFilter:
        """Leave these items of each query out as well."""
        if seen is None:
            return self
        return self._replace(exclude=seen if self.exclude is None else merged(seen, self.exclude))

    def only(self, chosen: RowLists | None) -> ItemFilter:
        """Consider just these items of each query."""
        if chosen is None:
            return self
        both = chosen if self.candidates is None else common(chosen, self.candidates)
        return self._replace(candidates=both)

    def flagged(self, flags: NDArray[np.bool_] | None) -> ItemFilter:
        """Consider just the items that are flagged, for all queries."""
        if flags is None:
            return self
        return self._replace(allowed=flags if self.allowed is None else self.allowed & flags)


def row_lists(filter_: Any, n_queries: int, n_vectors: int, name: str) -> RowLists | None:
    """Check a caller's filter and bring it into the form the kernel takes.

    Parameters
    ----------
    filter_ : None, tuple or scipy sparse matrix
        ``(indptr, indices, ...)`` or anything with those attributes; row order within a list
        and repeats do not matter. The input is never changed.
    n_queries, n_vectors : int
        Number of lists expected, and the bound of their entries.
    name : str
        Argument name for messages.

    Returns
    -------
    RowLists or None
        None for None.

    Raises
    ------
    ParameterError
        Wrong number of lists or columns, offsets that do not ascend, entries out of range.
    """
    if filter_ is None:
        return None
    if hasattr(filter_, "tocsr"):
        filter_ = filter_.tocsr()
        if filter_.shape[1] != n_vectors:
            raise ParameterError(
                f"{name} has {filter_.shape[1]} columns, but there are {n_vectors} vectors"
            )
    if hasattr(filter_, "indptr"):
        indptr, indices = filter_.indptr, filter_.indices
    elif isinstance(filter_, tuple) and len(filter_) >= 2:
        indptr, indices = filter_[:2]
    else:
        raise ParameterError(
            f"{name} must be None, a tuple (indptr, indices) or a scipy sparse matrix, "
            f"got {type(filter_).__name__}"
        )
    indptr = _integers(indptr, np.int64, f"{name}.indptr")
    wide = _integers(indices, np.int64, f"{name}.indices")
    if len(indptr) != n_queries + 1:
        raise ParameterError(
            f"{name} has {max(len(indptr) - 1, 0)} lists, but there are {n_queries} queries"
        )
    if indptr[0] != 0 or indptr[-1] != len(wide) or np.any(np.diff(indptr) < 0):
        raise ParameterError(f"{name}.indptr must ascend from 0 to {len(wide)} (its indices)")
    outside = np.flatnonzero((wide < 0) | (wide >= n_vectors))
    if len(outside):
        raise ParameterError(
            f"{name}.indices[{outside[0]}] is {wide[outside[0]]}, outside 0..{n_vectors - 1}"
        )
    return _sorted_unique(indptr, wide.astype(np.int32))


def _integers(values: ArrayLike, dtype: type[np.int64], name: str) -> Int64Array:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ParameterError(
            f"{name} must be a 1-d array of integers, got {array.ndim}-d {array.dtype}"
        )
    return np.ascontiguousarray(array, dtype=dtype)


def _sorted_unique(indptr: Int64Array, indices: Int32Array) -> RowLists:
    lists = RowLists(indptr, indices)
    if ascend(lists):
        return lists
    rows = owners_of(lists)
    order = np.lexsort((indices, rows))
    rows, indices = rows[order], indices[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (np.diff(rows) > 0) | (np.diff(indices) > 0)
    counts = np.bincount(rows[first], minlength=len(indptr) - 1)
    return RowLists(offsets(counts), indices[first])


def ascend(lists: RowLists) -> bool:
    """Return whether each list is sorted and without repeats.

    Examples
    --------
    >>> import numpy as np
    >>> ascend(RowLists(np.array([0, 2, 3]), np.array([4, 7, 5], dtype=np.int32)))
    True
    """
    indptr, indices = lists
    steps = indices[1:] > indices[:-1]
    starts = indptr[1:-1]
    steps[starts[(starts > 0) & (starts < len(indices))] - 1] = True
    return bool(steps.all())


def offsets(counts: NDArray[np.integer[Any]]) -> Int64Array:
    """Return the CSR row offsets of lists with these lengths."""
    indptr = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=indptr[1:])
    return indptr


def take_lists(lists: RowLists, rows: NDArray[np.integer[Any]]) -> RowLists:
    """Return the lists of `rows` in that order; a row of -1 gets an empty list.

    Examples
    --------
    >>> import numpy as np
    >>> from penchant.retrieval.filters import RowLists, take_lists
    >>> lists = RowLists(np.array([0, 2, 3]), np.array([4, 7, 5], dtype=np.int32))
    >>> take_lists(lists, np.array([1, -1, 0, 1])).indices
    array([5, 4, 7, 5], dtype=int32)
    """
    indptr, places = places_of(lists, rows)
    return RowLists(indptr, np.ascontiguousarray(lists.indices[places], dtype=np.int32))


def places_of(lists: HasOffsets, rows: NDArray[np.integer[Any]]) -> tuple[Int64Array, Int64Array]:
    """Return the offsets of the lists of `rows`, and where their entries stand in `lists`.

    A row of -1 gets an empty list.

    Examples
    --------
    >>> import numpy as np
    >>> from penchant.retrieval.filters import RowLists, places_of
    >>> lists = RowLists(np.array([0, 2, 3]), np.array([4, 7, 5], dtype=np.int32))
    >>> places_of(lists, np.array([1, -1, 0]))
    (array([0, 1, 1, 3]), array([2, 0, 1]))
    """
    rows = np.asarray(rows, dtype=np.int64)
    known = rows >= 0
    starts = lists.indptr[np.where(known, rows, 0)]
    counts = np.zeros(len(rows), dtype=np.int64)
    counts[known] = lists.indptr[rows[known] + 1] - starts[known]
    indptr = offsets(counts)
    return indptr, np.arange(indptr[-1], dtype=np.int64) + np.repeat(starts - indptr[:-1], counts)


def distinct_lists(owners: NDArray[Any], items: NDArray[Any], n: int) -> RowLists:
    """Return the sorted distinct items of each of `n` owners."""
    return _from_pairs(np.unique(_pairs(owners, items)), n)


def merged(a: RowLists, b: RowLists) -> RowLists:
    """Return lists with the items of both."""
    n = len(a.indptr) - 1
    return _from_pairs(np.union1d(_pairs_of(a), _pairs_of(b)), n)


def common(a: RowLists, b: RowLists) -> RowLists:
    """Return lists with the items that are in both.

    Examples
    --------
    >>> import numpy as np
    >>> from penchant.retrieval.filters import RowLists, common
    >>> a = RowLists(np.array([0, 2, 3]), np.array([4, 7, 5], dtype=np.int32))
    >>> b = RowLists(np.array([0, 1, 2]), np.array([7, 4], dtype=np.int32))
    >>> common(a, b).indices
    array([7], dtype=int32)
    """
    n = len(a.indptr) - 1
    found = np.intersect1d(_pairs_of(a), _pairs_of(b), assume_unique=True)
    return _from_pairs(found, n)


def owners_of(lists: HasOffsets) -> Int64Array:
    """Return the list, or the row of a sparse matrix, that each entry is in."""
    return np.repeat(np.arange(len(lists.indptr) - 1, dtype=np.int64), np.diff(lists.indptr))


def _pairs(owners: NDArray[Any], items: NDArray[Any]) -> Int64Array:
    return owners.astype(np.int64) << 32 | items.astype(np.int64)


def _pairs_of(lists: RowLists) -> Int64Array:
    return _pairs(owners_of(lists), lists.indices)


def _from_pairs(pairs: Int64Array, n: int) -> RowLists:
    lengths = np.bincount(pairs >> 32, minlength=n)
    return RowLists(offsets(lengths), (pairs & 0xFFFFFFFF).astype(np.int32))


def recode(lists: Any, code: NDArray[np.int32]) -> RowLists:
    """Return lists of items with new codes; items with code -1 are left out, all keep their order.

    Parameters
    ----------
    lists : RowLists or Sequences
        Row offsets, and items.
    code : ndarray of int32
        New code of every item; a code that no other item has, rising with the old one, or -1.
    """
    indptr, items = lists[:2]
    if (code >= 0).all():  # then each item has kept its code
        return RowLists(indptr, items)
    new = code[items]
    stays = new >= 0
    before = np.zeros(len(items) + 1, np.int64)
    np.cumsum(stays, out=before[1:])
    return RowLists(before[indptr], new[stays])


def near_pairs(indptr: Int64Array, items: Int32Array, window: int) -> NDArray[np.int64]:
    """Return the items of sequences that stand at most `window` places from one another.

    Returns
    -------
    int64 array of shape (2, m)
        Every pair in both directions.

    Examples
    --------
    >>> import numpy as np
    >>> near_pairs(np.array([0, 3]), np.array([7, 8, 9], dtype=np.int32), 1).tolist()
    [[7, 8, 8, 9], [8, 9, 7, 8]]
    """
    owners = owners_of(RowLists(indptr, items))
    longest = int(np.diff(indptr).max(initial=0))
    parts = [np.empty((2, 0), dtype=np.int64)]
    for gap in range(1, min(window, longest - 1) + 1):
        left = np.flatnonzero(owners[gap:] == owners[:-gap])
        here, there = items[left].astype(np.int64), items[left + gap].astype(np.int64)
        parts.append(np.array([np.concatenate([here, there]), np.concatenate([there, here])]))
    return np.concatenate(parts, axis=1)
