"""Exact top-k search over an item-item matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from penchant import _core
from penchant.errors import DataError, ParameterError
from penchant.retrieval.exact import check_k, float_rows, pad_columns, thread_count
from penchant.retrieval.filters import RowLists, owners_of, row_lists

Float32Array = NDArray[np.float32]


class NeighborIndex:
    """Finds, for each history, the items that its items point to most strongly.

    With S the item-item matrix, the score of item j for a history of items h with values v is
    ``sum of v[h] * S[h, j]``, added up in float32 over ascending h: `search` and `score_pairs` give
    the same bits. An item that nothing in the history points to has score 0 and may be returned,
    lower numbers first, behind all positive and before all negative scores.

    Parameters
    ----------
    similarities : scipy sparse matrix, (indptr, indices, values), or array_like, of shape (n, n)
        Row h holds what item h points to. A sparse matrix is copied; a dense one is converted to
        float32 where it is not, and otherwise kept and must not be changed.

    Raises
    ------
    DataError
        NaN, infinite or non-numeric similarities.
    ParameterError
        Wrong shapes.

    Examples
    --------
    >>> import numpy as np
    >>> from penchant.retrieval import NeighborIndex
    >>> index = NeighborIndex(np.array([[0.0, 0.5, 0.0], [0.5, 0.0, 2.0], [0.0, 2.0, 0.0]]))
    >>> rows, scores = index.search(([0, 1], [1]), k=2)  # one history, of item 1 alone
    >>> rows
    array([[2, 0]])
    >>> scores
    array([[2. , 0.5]], dtype=float32)
    """

    def __init__(self, similarities: Any) -> None:
        if _is_sparse(similarities):
            lists, values = _matrix(similarities, None, None, "similarities")
            self._index = _core.NeighborIndex(lists.indptr, lists.indices, values)
            return
        dense = float_rows(similarities, "similarities")
        if dense.shape[0] != dense.shape[1]:
            raise ParameterError(f"similarities must be square, got shape {dense.shape}")
        self._index = _core.NeighborIndex(dense)

    def __len__(self) -> int:
        return self._index.size

    def __repr__(self) -> str:
        return f"NeighborIndex({len(self)} items)"

    def search(
        self,
        histories: Any,
        k: int = 10,
        exclude: Any = None,
        candidates: Any = None,
        num_threads: int | None = None,
    ) -> tuple[NDArray[np.int64], Float32Array]:
        """Return the `k` best items of each history, best first, ties by the lower item.

        Parameters
        ----------
        histories : scipy sparse matrix or (indptr, indices[, values]) of q rows
            One history per row: item numbers and their values, 1 where there are none.
        k : int, default 10
            Results per history.
        exclude, candidates : (indptr, indices) or scipy sparse matrix of q rows, optional
            Items to leave out, or the only ones to consider, for each history. Pass the histories
            as `exclude` to leave out what they hold.
        num_threads : int, optional
            Default: what `penchant.show_config()` prints. The answer does not depend on it.

        Returns
        -------
        rows : int64 array of shape (q, k)
            Item numbers; -1 where fewer than `k` are left.
        scores : float32 array of shape (q, k)
            -inf where `rows` is -1.
        """
        check_k(k)
        queries = self._queries(histories)
        n_queries = len(queries[0]) - 1
        filters: dict[str, Any] = {
            "exclude": row_lists(exclude, n_queries, len(self), "exclude"),
            "candidates": row_lists(candidates, n_queries, len(self), "candidates"),
        }
        width = max(min(int(k), len(self)), 1)
        rows, scores = self._index.search(
            queries, width, num_threads=thread_count(num_threads), **filters
        )
        return pad_columns(rows, scores, k)

    def score_pairs(
        self,
        histories: Any,
        history_rows: ArrayLike,
        items: ArrayLike,
        num_threads: int | None = None,
    ) -> Float32Array:
        """Score item ``items[i]`` for history ``history_rows[i]``, as `search` would.

        Parameters
        ----------
        histories : as in `search`
        history_rows, items : int array_like of shape (p,)
            Row numbers of `histories`, and item numbers.
        num_threads : int, optional
            Default: what `penchant.show_config()` prints.

        Returns
        -------
        float32 array of shape (p,)

        Examples
        --------
        >>> import numpy as np
        >>> from penchant.retrieval import NeighborIndex
        >>> index = NeighborIndex(np.array([[0.0, 0.5], [0.25, 0.0]]))
        >>> index.score_pairs(([0, 1, 2], [0, 1]), [1, 0], [0, 1])
        array([0.25, 0.5 ], dtype=float32)
        """
        pairs = (np.ascontiguousarray(rows, dtype=np.int64) for rows in (history_rows, items))
        return self._index.score_pairs(
            self._queries(histories), *pairs, num_threads=thread_count(num_threads)
        )

    def neighbors(
        self, items: ArrayLike, k: int = 10, num_threads: int | None = None
    ) -> tuple[NDArray[np.int64], Float32Array]:
        """Return the `k` largest similarities of some items, themselves left out.

        Parameters
        ----------
        items : int array_like of shape (q,)
            Item numbers.
        k : int, default 10
            Results per item; of a sparse matrix at most what it stores.
        num_threads : int, optional
            Default: what `penchant.show_config()` prints.

        Returns
        -------
        rows, scores
            As in `search`.
        """
        check_k(k)
        width = max(min(int(k), len(self)), 1)
        rows, scores = self._index.neighbors(
            np.ascontiguousarray(items, dtype=np.int64),
            width,
            num_threads=thread_count(num_threads),
        )
        return pad_columns(rows, scores, k)

    def _queries(self, histories: Any) -> tuple[NDArray[np.int64], NDArray[np.int32], Float32Array]:
        if not _is_sparse(histories):
            raise ParameterError(
                "histories must be a scipy sparse matrix or a tuple (indptr, indices[, values]), "
                f"got {type(histories).__name__}"
            )
        lists, values = _matrix(histories, None, len(self), "histories")
        return lists.indptr, lists.indices, values


def _is_sparse(matrix: Any) -> bool:
    return hasattr(matrix, "tocsr") or hasattr(matrix, "indptr") or isinstance(matrix, tuple)


def _matrix(
    matrix: Any, n_rows: int | None, n_columns: int | None, name: str
) -> tuple[RowLists, Float32Array]:
    """Check a caller's sparse matrix; its rows are sorted, and repeats are an error."""
    if hasattr(matrix, "tocsr"):
        matrix = matrix.tocsr()
    if hasattr(matrix, "indptr"):
        parts = (matrix.indptr, matrix.indices, getattr(matrix, "data", None))
        if not isinstance(getattr(matrix, "data", None), np.ndarray):
            parts = (matrix.indptr, matrix.indices, getattr(matrix, "values", None))
    else:
        parts = (*matrix, None)[:3]
    indptr, indices, values = parts
    rows = len(np.atleast_1d(indptr)) - 1 if n_rows is None else n_rows
    columns = rows if n_columns is None else n_columns
    lists = row_lists((indptr, indices), rows, columns, name)
    assert lists is not None
    given = np.asarray(indices)
    if values is None:
        numbers = np.ones(len(given), dtype=np.float32)
    else:
        if np.shape(values) != given.shape:
            raise ParameterError(f"{name} has {np.size(values)} values for {given.size} entries")
        numbers = float_rows(np.reshape(values, (-1, 1)), f"{name}' values").ravel()
    if len(lists.indices) != len(given):
        raise DataError(f"{name}: an item appears twice in one row; add its values up first")
    if not np.array_equal(lists.indices, given):
        order = np.lexsort((given, owners_of(lists)))
        numbers = numbers[order]
    return lists, np.ascontiguousarray(numbers)
