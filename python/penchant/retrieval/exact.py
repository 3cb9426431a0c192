"""Exact top-k search over dense vectors."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from penchant import _core
from penchant.errors import DataError, ParameterError
from penchant.retrieval.filters import row_lists, take_lists

Metric = Literal["ip", "cosine", "l2"]
Float32Array = NDArray[np.float32]

MAX_THREADS = 4096
_L2_BLOCK = 1024
_L2_WIDEST = 4096  # beyond it, only vectors equally far away to float32 precision compete


class ExactIndex:
    """Finds, for each query, the vectors with the highest scores; nothing is approximated.

    Parameters
    ----------
    vectors : array_like of shape (n, d)
        Any float or integer array, also read-only, strided or Fortran-ordered. The index keeps a
        float32 copy: later changes of the array do not reach it.
    metric : {"ip", "cosine", "l2"}, default "ip"
        How a query q and a vector v are compared: the inner product q.v; the cosine of their angle
        (0 where either is all zeros); or minus the squared Euclidean distance, so that a larger
        score is nearer for every metric.
    biases : array_like of shape (n,), optional
        Added to the inner product; only with "ip".

    Raises
    ------
    DataError
        NaN, infinite or non-numeric vectors; the message names the row.
    ParameterError
        Wrong shapes or an unknown metric.

    Examples
    --------
    >>> import numpy as np
    >>> from penchant.retrieval import ExactIndex
    >>> index = ExactIndex(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]))
    >>> rows, scores = index.search([[1.0, 0.5]], k=2)
    >>> rows
    array([[2, 0]])
    >>> scores
    array([[3., 1.]], dtype=float32)
    """

    def __init__(
        self, vectors: ArrayLike, metric: Metric = "ip", biases: ArrayLike | None = None
    ) -> None:
        if metric not in get_args(Metric):
            names = ", ".join(repr(name) for name in get_args(Metric))
            raise ParameterError(f"metric must be one of {names}, got {metric!r}")
        self.metric: Metric = metric
        array = float_rows(vectors, "vectors")
        offsets: Float32Array | None = None
        if biases is not None:
            if metric != "ip":
                raise ParameterError(f"biases go with metric='ip' only, not with {metric!r}")
            offsets = float_rows(np.reshape(biases, (-1, 1)), "biases").ravel()
            if len(offsets) != len(array):
                raise ParameterError(f"biases has {len(offsets)} entries for {len(array)} vectors")
        if metric == "cosine":
            array = unit_rows(array)
        elif metric == "l2":
            # |q - v|^2 = |q|^2 - 2 (q.v - |v|^2 / 2): nearest is the largest biased inner product.
            # Moving the origin to the mean keeps |v|^2 small, and with it the rounding error.
            self._originals = array.copy()
            self._center = array.sum(axis=0, dtype=np.float64) / max(len(array), 1)
            array, offsets, self._reach = self._as_products(array)
        self._index = _core.TopkIndex(array, offsets)

    @classmethod
    def over(cls, topk: _core.TopkIndex, metric: Literal["ip", "cosine"]) -> ExactIndex:
        """Return the index whose `topk` this is."""
        index = cls.__new__(cls)
        index.metric, index._index = metric, topk
        return index

    @property
    def topk(self) -> _core.TopkIndex:
        """The kernel's index that is searched."""
        return self._index

    def __len__(self) -> int:
        return self._index.size

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._index.dim

    @property
    def n_bytes(self) -> int:
        """Memory that the index takes, its own copy of the vectors and an 8-bit one included.

        With `d` dimensions about 5 d + 28 bytes a vector, and with "l2" 4 d more.

        Examples
        --------
        >>> import numpy as np
        >>> from penchant.retrieval import ExactIndex
        >>> ExactIndex(np.ones((1000, 64))).n_bytes
        349080
        """
        kept = self._originals.nbytes if self.metric == "l2" else 0
        return self._index.n_bytes + kept

    def __repr__(self) -> str:
        return f"ExactIndex({len(self)} vectors of {self.dimension}, metric={self.metric!r})"

    def search(
        self,
        queries: ArrayLike,
        k: int = 10,
        exclude: Any = None,
        candidates: Any = None,
        num_threads: int | None = None,
    ) -> tuple[NDArray[np.int64], Float32Array]:
        """Return the `k` best vectors of each query, best first, ties by the lower row.

        Parameters
        ----------
        queries : array_like of shape (q, d) or (d,)
            One query per row.
        k : int, default 10
            Results per query.
        exclude, candidates : (indptr, indices) or scipy sparse matrix of q rows, optional
            Vector rows to leave out, or the only ones to consider, for each query.
        num_threads : int, optional
            Default: what `penchant.show_config()` prints. The answer does not depend on it.

        Returns
        -------
        rows : int64 array of shape (q, k)
            Positions in `vectors`; -1 where fewer than `k` are left.
        scores : float32 array of shape (q, k)
            -inf where `rows` is -1.
        """
        check_k(k)
        array = float_rows(np.atleast_2d(np.asarray(queries)), "queries")
        if array.shape[1] != self.dimension:
            raise ParameterError(
                f"queries have {array.shape[1]} columns, the vectors {self.dimension}"
            )
        filters: dict[str, Any] = {
            "exclude": row_lists(exclude, len(array), len(self), "exclude"),
            "candidates": row_lists(candidates, len(array), len(self), "candidates"),
        }
        threads = thread_count(num_threads)
        if len(self) == 0:
            return pad_columns(
                np.empty((len(array), 0), np.int64), np.empty((len(array), 0), np.float32), k
            )
        width = min(int(k), len(self))
        if self.metric == "l2":
            rows, scores = self._search_l2(array, width, filters, threads)
        else:
            if self.metric == "cosine":
                array = unit_rows(array)
            rows, scores = self._index.search(array, width, num_threads=threads, **filters)
        return pad_columns(rows, scores, k)

    def _search_l2(
        self,
        queries: Float32Array,
        k: int,
        filters: dict[str, Any],
        num_threads: int,
    ) -> tuple[NDArray[np.int64], Float32Array]:
        """Scan in float32, then measure the survivors in float64 and keep the k nearest.

        The scan may swap neighbours whose distances agree to its rounding error, so it returns
        more than k, and is repeated wider while that error could hide a nearer vector.
        """
        rows = np.empty((len(queries), k), dtype=np.int64)
        distances = np.empty((len(queries), k))
        # Rounding of a d-term float32 product, and of casting both sides to float32.
        unit = 2.0**-24 * (self.dimension + 8)
        for start in range(0, len(queries), _L2_BLOCK):
            part = np.arange(start, min(start + _L2_BLOCK, len(queries)))
            chosen: dict[str, Any] = {
                name: None if lists is None else take_lists(lists, part)
                for name, lists in filters.items()
            }
            centred = queries[part] - self._center
            norms = np.square(centred).sum(axis=1)
            slack = 2 * unit * self._reach * (np.sqrt(norms) + self._reach)
            width = min(len(self), k + 16)
            while True:
                found, scan = self._index.search(
                    centred.astype(np.float32), width, num_threads=num_threads, **chosen
                )
                rows[part], distances[part] = self._nearest(queries[part], found, k)
                # No vector left out of the scan is nearer than this.
                limit = norms - 2 * (scan[:, -1].astype(np.float64) + slack)
                nothing_left = np.isneginf(scan[:, -1])
                proven = nothing_left | (distances[part, -1] < limit)
                if proven.all() or width >= min(len(self), max(k + 16, _L2_WIDEST)):
                    break
                width = min(len(self), 4 * width)
        return rows, np.where(rows >= 0, -distances, -np.inf).astype(np.float32)

    def _as_products(self, array: Float32Array) -> tuple[Float32Array, Float32Array, float]:
        """Return vectors and biases with inner products for distances; the longest vector."""
        centred = array - self._center
        norms = np.square(centred).sum(axis=1)
        biases = (-0.5 * norms).astype(np.float32)
        return centred.astype(np.float32), biases, float(np.sqrt(norms.max(initial=0.0)))

    def _nearest(
        self, queries: Float32Array, rows: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        distances = np.empty(rows.shape)
        for column, chosen in enumerate(rows.T):
            gaps = queries.astype(np.float64) - self._originals[chosen]
            distances[:, column] = np.square(gaps).sum(axis=1)
        distances[rows < 0] = np.inf
        order = np.lexsort((rows, distances), axis=1)[:, :k]
        return np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)


def check_k(k: object) -> None:
    """Raise a ParameterError unless `k` is a positive integer."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ParameterError(f"k must be an integer >= 1, got {k!r}")


def thread_count(num_threads: int | None) -> int:
    """Return the number the kernels take: 0 stands for the default.

    Raises
    ------
    ParameterError
        Unless `num_threads` is None or an integer from 1 to 4096.
    """
    if num_threads is None:
        return 0
    whole = isinstance(num_threads, (int, np.integer)) and not isinstance(num_threads, bool)
    if not whole or not 1 <= int(num_threads) <= MAX_THREADS:
        raise ParameterError(
            f"num_threads must be None or an integer from 1 to {MAX_THREADS}, got {num_threads!r}"
        )
    return int(num_threads)


def worker_count(num_threads: int | None) -> int:
    """Return how many threads the kernels use: the default is by cores, quotas and environment.

    Examples
    --------
    >>> worker_count(3), worker_count(None) >= 1
    (3, True)
    """
    return thread_count(num_threads) or int(_core.default_num_threads())


def pad_columns(
    rows: NDArray[np.int64], scores: Float32Array, k: int
) -> tuple[NDArray[np.int64], Float32Array]:
    """Widen search results to `k` columns with row -1 and score -inf."""
    missing = k - rows.shape[1]
    if missing <= 0:
        return rows, scores
    return (
        np.pad(rows, ((0, 0), (0, missing)), constant_values=-1),
        np.pad(scores, ((0, 0), (0, missing)), constant_values=-np.inf),
    )


def float_rows(values: ArrayLike, name: str) -> Float32Array:
    """Return a finite, C-contiguous float32 matrix; copies only where it must."""
    array = np.asarray(values)
    if array.ndim != 2:
        raise ParameterError(f"{name} must be 2-d (one vector per row), got {array.ndim}-d")
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name} must be numbers, got dtype {array.dtype}")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    finite = np.isfinite(array)
    if not finite.all():
        bad = np.flatnonzero(~finite.all(axis=1))
        row = int(bad[0])
        column = int(np.flatnonzero(~finite[row])[0])
        others = f", and so are values in {len(bad) - 1} other rows" if len(bad) > 1 else ""
        raise DataError(
            f"{name} row {row}, column {column} is {array[row, column]} in float32{others}; every "
            "value must be finite"
        )
    return array


def unit_rows(array: Float32Array) -> Float32Array:
    """Return rows of length 1, computed in float64; zero rows stay zero."""
    unit = np.empty_like(array)
    for start in range(0, len(array), 65_536):
        part = array[start : start + 65_536].astype(np.float64)
        lengths = np.sqrt(np.square(part).sum(axis=1))
        lengths[lengths == 0] = 1.0
        unit[start : start + 65_536] = part / lengths[:, None]
    return unit
