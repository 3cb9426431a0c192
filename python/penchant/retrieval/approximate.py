"""Approximate top-k search: candidates from a graph of neighbours, scored exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from penchant.errors import ParameterError
from penchant.retrieval.exact import (
    ExactIndex,
    Float32Array,
    Metric,
    check_k,
    float_rows,
    pad_columns,
    thread_count,
    unit_rows,
)
from penchant.retrieval.filters import RowLists, row_lists
from penchant.retrieval.graph import Dtype
from penchant.retrieval.graph_report import IndexReport, Options
from penchant.retrieval.graph_search import SAMPLE, GraphSearch


class ApproximateIndex:
    """Finds most of the vectors with the highest scores, in far less time than `ExactIndex`.

    A graph of near neighbours (HNSW, Malkov and Yashunin 2018, built by usearch; the extra ``ann``)
    offers candidates, and these are scored by the exact search: a score has the same bits as
    `ExactIndex` gives it, and ties go to the lower row. What is approximate is which vectors are
    candidates.

    How much is found is measured when the index is made, on queries whose exact answers are
    computed too: `recall` is the share of the true ten best that are found. Unlike everything
    else in Penchant, an index made on several threads may differ from one time to the next; one
    that is made gives the same answers for any number of threads, alone or in a batch.

    Parameters
    ----------
    vectors, metric, biases
        As in `ExactIndex`.
    queries : array_like of shape (q, d), optional
        What will be asked, such as user vectors; 1,000 of them are used for tuning and measuring.
        Default: some of the vectors, which says little where queries lie elsewhere.
    connectivity : int, default 16
        Neighbours of a vector on every level of the graph but the lowest, which has twice as many
        (M).
    expansion_add : int, default 128
        Candidates looked at when a vector is added (efConstruction); more make a better graph.
    expansion_search : int, optional
        Candidates looked at in a search (ef); default: as few as reach `target_recall`.
    target_recall : float, default 0.95
        A notice says so if `recall` is below it.
    dtype : {"i8", "bf16", "f32"}, optional
        What the graph rounds components to. Default: the first of "i8", "bf16" and "f32" that
        keeps 99 % of the ten best among the candidates.
    num_threads : int, optional
        Default: what `penchant.show_config()` prints.

    Attributes
    ----------
    recall : float
        Recall at 10 on the sample of queries; 1 for an empty index.
    report : IndexReport or None
        Everything measured; None for an empty index.

    Raises
    ------
    MissingExtraError
        usearch is not installed: ``pip install 'penchant[ann]'``.
    DataError, ParameterError
        As `ExactIndex`; options out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from penchant.retrieval import ApproximateIndex
    >>> vectors = np.random.default_rng(0).normal(size=(500, 8))
    >>> index = ApproximateIndex(vectors, "cosine")
    >>> rows, scores = index.search(vectors[:2], k=3)
    >>> rows[:, 0]
    array([0, 1])
    >>> index.recall >= 0.95
    True
    """

    def __init__(
        self,
        vectors: ArrayLike,
        metric: Metric = "ip",
        biases: ArrayLike | None = None,
        *,
        queries: ArrayLike | None = None,
        connectivity: int = 16,
        expansion_add: int = 128,
        expansion_search: int | None = None,
        target_recall: float = 0.95,
        dtype: Dtype | None = None,
        num_threads: int | None = None,
    ) -> None:
        options = Options(
            connectivity, expansion_add, expansion_search, target_recall, dtype
        ).checked()
        threads = thread_count(num_threads)
        self.exact = ExactIndex(vectors, metric, biases)
        self._search: GraphSearch | None = None
        array = float_rows(vectors, "vectors")
        if self.exact.dimension == 0:
            raise ParameterError("vectors have no columns: there is nothing to search by")
        asked = array if queries is None else float_rows(queries, "queries")
        if asked.shape[1] != array.shape[1]:
            raise ParameterError(f"queries have {asked.shape[1]} columns, not {array.shape[1]}")
        if len(array) == 0:
            return
        if len(asked) == 0:
            raise ParameterError("queries are empty: leave them out to measure on the vectors")
        chosen = np.random.default_rng(0).permutation(len(asked))[:SAMPLE]
        asked = asked[np.sort(chosen)]
        if metric == "cosine":
            array, asked = unit_rows(array), unit_rows(asked)
        offsets = None if biases is None else np.asarray(biases, dtype=np.float32).ravel()
        by_distance = _ByDistance(self.exact) if metric == "l2" else None
        if by_distance is not None:
            array, offsets, _ = self.exact._as_products(array)
        topk = self.exact._index
        self._search = GraphSearch.build(
            by_distance or topk, topk, array, offsets, options, asked, threads, by_distance
        )

    def __len__(self) -> int:
        return len(self.exact)

    @property
    def metric(self) -> Metric:
        """How vectors are compared."""
        return self.exact.metric

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self.exact.dimension

    @property
    def report(self) -> IndexReport | None:
        """What was measured when the index was made."""
        return None if self._search is None else self._search.report

    @property
    def recall(self) -> float:
        """Share of the true ten best that are found, on the sample of queries."""
        return 1.0 if self.report is None else self.report.recall

    @property
    def expansion_search(self) -> int:
        """Candidates looked at in a search for ten."""
        return 0 if self.report is None else self.report.expansion_search

    def __repr__(self) -> str:
        return (
            f"ApproximateIndex({len(self)} vectors of {self.dimension}, metric={self.metric!r}, "
            f"recall={self.recall:.3f}, expansion_search={self.expansion_search})"
        )

    def search(
        self,
        queries: ArrayLike,
        k: int = 10,
        exclude: Any = None,
        candidates: Any = None,
        num_threads: int | None = None,
    ) -> tuple[NDArray[np.int64], Float32Array]:
        """Return about the `k` best vectors of each query, best first, ties by the lower row.

        A query is answered exactly, by a scan, where `candidates` are given, where `exclude` is so
        long or `k` so large that the graph would be slower, and where the graph found fewer than
        `k`: an answer is never shorter than the exact one.

        Parameters
        ----------
        queries, k, exclude, candidates, num_threads
            As in `ExactIndex.search`.

        Returns
        -------
        rows, scores
            As in `ExactIndex.search`.
        """
        check_k(k)
        if self._search is None:
            return self.exact.search(queries, k, exclude, candidates, num_threads)
        array = np.asarray(queries)
        array = float_rows(array[None] if array.ndim == 1 else array, "queries")
        if array.shape[1] != self.dimension:
            raise ParameterError(
                f"queries have {array.shape[1]} columns, the vectors {self.dimension}"
            )
        if self.metric == "cosine":
            array = unit_rows(array)
        rows, scores = self._search.search(
            array,
            min(int(k), len(self)),
            exclude=row_lists(exclude, len(array), len(self), "exclude"),
            candidates=row_lists(candidates, len(array), len(self), "candidates"),
            allowed=None,
            num_threads=thread_count(num_threads),
        )
        return pad_columns(rows, scores, k)


class _ByDistance:
    """An `ExactIndex` of distances with the methods of the kernel's index."""

    def __init__(self, index: ExactIndex) -> None:
        self._exact = index

    def search(
        self,
        queries: Float32Array,
        k: int,
        *,
        exclude: RowLists | None,
        candidates: RowLists | None,
        allowed: NDArray[np.uint8] | None,
        allowed_rows: NDArray[np.int32] | None = None,
        num_threads: int,
    ) -> tuple[NDArray[np.int64], Float32Array]:
        return self._exact.search(queries, k, exclude, candidates, num_threads or None)

    def score_pairs(
        self,
        queries: Float32Array,
        query_rows: NDArray[np.int64],
        vector_rows: NDArray[np.int64],
        *,
        num_threads: int,
    ) -> Float32Array:
        raise NotImplementedError

    def asked(self, queries: Float32Array) -> Float32Array:
        asked: Float32Array = (queries - self._exact._center).astype(np.float32)
        return asked

    def measured(
        self, queries: Float32Array, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], Float32Array]:
        rows, distances = self._exact._nearest(queries, rows, rows.shape[1])
        return rows, np.where(rows >= 0, -distances, -np.inf).astype(np.float32)
