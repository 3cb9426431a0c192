"""Search by a graph where it is quick and good, and exactly where it is not."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.errors import DataError, notice
from penchant.retrieval.filters import RowLists, offsets, take_lists
from penchant.retrieval.graph import (
    Dtype,
    HnswGraph,
    Settings,
    Space,
    check_integer,
    rounded_vectors,
)
from penchant.retrieval.graph_layout import Links
from penchant.retrieval.graph_report import IndexReport, Options
from penchant.retrieval.protocol import Index

Float32Array = NDArray[np.float32]

SAMPLE = 1000  # queries that recall is measured on
MEASURED_AT = 10  # results of each
DEEP = 100  # results of each, for long lists and for what filters take away
_MOST = 4096  # candidates that tuning may ask for
_KEPT = 0.99  # of the ten best must be among the candidates after rounding
_PRECISION_SAMPLE = 200
_LIFT = 0.35  # of the dimension that makes all vectors equally long
_SPARE = 4  # candidates beyond ten
_MARGIN = 1.25  # candidates beyond the share that a filter leaves
_ALONE = 8
_NOBODY = np.iinfo(np.int32).max


class GraphSearch:
    """An exact index with a graph in front of it; answers like either (see `protocol.Index`).

    Attributes
    ----------
    exact : Index
        Scores candidates, and answers what the graph cannot.
    graph : HnswGraph
    report : IndexReport
    """

    def __init__(self, exact: Index, graph: HnswGraph, biased: bool, report: IndexReport) -> None:
        self.exact, self.graph, self.report = exact, graph, report
        self._biased = biased

    @classmethod
    def build(
        cls,
        exact: Index,
        vectors: Float32Array,
        biases: Float32Array | None,
        space: Space,
        options: Options,
        queries: Float32Array,
        num_threads: int,
    ) -> GraphSearch:
        """Make a graph, tune it and measure it.

        Parameters
        ----------
        exact : Index
            Over the same vectors.
        vectors, biases
            float32, of shape (n, d) and (n,), n and d at least 1.
        space : {"ip", "l2"}
        options : Options
        queries : float32 array of shape (q, d)
            The sample, q at least 1.
        num_threads : int
            0 is the default number.
        """
        extended = _extended(vectors, biases, space)
        began = time.perf_counter()
        deep = _exact_search(exact, queries, min(DEEP, len(vectors)), num_threads)[1]
        exact_seconds = time.perf_counter() - began
        best = deep[:, :MEASURED_AT]
        dtype = options.dtype
        if dtype is None:
            dtype = _precise_enough(exact, extended, biases is not None, space, queries, best)
        settings = Settings(space, dtype, options.connectivity, options.expansion_add)
        began = time.perf_counter()
        graph = HnswGraph.build(extended, settings, num_threads)
        seconds = time.perf_counter() - began
        made = IndexReport(
            dtype,
            int(options.connectivity),
            int(options.expansion_add),
            0,
            float(options.target_recall),
            0.0,
            len(queries),
            0,
            0,
            seconds,
            graph.n_bytes,
        )
        self = cls(exact, graph, biases is not None, made)
        self._tune(options.expansion_search, queries, deep, exact_seconds, num_threads)
        return self

    def _tune(
        self,
        fixed: int | None,
        queries: Float32Array,
        deep: Float32Array,
        exact_seconds: float,
        num_threads: int,
    ) -> None:
        """Find the smallest expansions that reach the target; measure recall and time there."""
        target, n = self.report.target_recall, len(self.graph)
        steps = _ladder(MEASURED_AT, n) if fixed is None else [int(fixed)]
        expansion, recall, _ = self._smallest(
            steps, queries, deep[:, :MEASURED_AT], target, num_threads
        )
        steps = _ladder(deep.shape[1], n)
        expansion_deep, recall_deep, spent = self._smallest(
            steps, queries, deep, min(target, recall), num_threads
        )
        widest = _width(deep.shape[1]) * exact_seconds / max(spent, 1e-9)
        good = recall_deep >= min(target, recall)
        self.report = replace(
            self.report,
            expansion_search=expansion,
            recall=recall,
            expansion_deep=expansion_deep if good else 0,
            widest=int(min(widest, n)) if good else 0,
        )
        if recall < target:
            notice(
                f"the approximate index finds {recall:.3f} of the ten best, below "
                f"target_recall={target:g}, with expansion_search={expansion}: raise connectivity, "
                "expansion_add or expansion_search, try dtype='f32', or use index='exact'"
            )

    def _smallest(
        self,
        ladder: list[int],
        queries: Float32Array,
        best: Float32Array,
        target: float,
        num_threads: int,
    ) -> tuple[int, float, float]:
        """Return the first expansion that finds enough, or the last, its recall and seconds."""
        k = best.shape[1]
        filters = {"exclude": None, "allowed": None, "num_threads": num_threads}

        def measure(expansion: int) -> tuple[int, float, float]:
            began = time.perf_counter()
            width = min(_width(k), max(expansion, k))
            scores = self._best_of_graph(queries, k, width, expansion, filters)[1]
            spent = time.perf_counter() - began
            # Scores have the bits of the exact ones, so equally good vectors count as found.
            return expansion, float((scores >= best[:, -1:]).mean(dtype=np.float64)), spent

        low, high = 0, len(ladder) - 1
        while low < high:
            middle = (low + high) // 2
            enough = measure(ladder[middle])[1] >= target
            low, high = (low, middle) if enough else (middle + 1, high)
        return measure(ladder[low])

    # ---- answers --------------------------------------------------------------------------------

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
        """Return about the `k` best rows of each query; see `protocol.Index.search`.

        More candidates are asked for than a filter may take away. A query is left to the exact
        index where it has `candidates` or flags of its own, where the graph would need more than
        `report.widest`, and where fewer than `k` of its candidates pass the filters.
        """
        filters: dict[str, Any] = {"allowed": allowed, "num_threads": num_threads}
        if candidates is not None or allowed_rows is not None or len(queries) == 0:
            if allowed_rows is not None:
                filters["allowed_rows"] = allowed_rows
            return self.exact.search(queries, k, exclude=exclude, candidates=candidates, **filters)
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        widths = self._widths(len(queries), k, exclude, allowed)
        for width in np.unique(widths[widths > 0]):
            chosen = np.flatnonzero(widths == width)
            part: dict[str, Any] = {
                "exclude": None if exclude is None else take_lists(exclude, chosen),
                **filters,
            }
            everyone = len(chosen) == len(queries)
            rows[chosen], scores[chosen] = self._best_of_graph(
                queries if everyone else queries[chosen],
                k,
                int(width),
                self._expansion(int(width)),
                part,
            )
        short = np.flatnonzero(rows[:, -1] < 0)
        if len(short):
            part = {"exclude": None if exclude is None else take_lists(exclude, short), **filters}
            rows[short], scores[short] = self.exact.search(
                queries[short], k, candidates=None, **part
            )
        return rows, scores

    def score_pairs(
        self,
        queries: Float32Array,
        query_rows: NDArray[np.int64],
        vector_rows: NDArray[np.int64],
        *,
        num_threads: int,
    ) -> Float32Array:
        """Return the score of each pair of a query and a row."""
        return self.exact.score_pairs(queries, query_rows, vector_rows, num_threads=num_threads)

    def _widths(
        self,
        n_queries: int,
        k: int,
        exclude: RowLists | None,
        allowed: NDArray[np.uint8] | None,
    ) -> NDArray[np.int64]:
        """Return how many candidates each query needs, 0 where a scan is better.

        It depends on the query alone, so that its answer does not depend on others in the batch.
        """
        if exclude is None and allowed is None and k <= MEASURED_AT:  # as was measured
            narrow = min(_width(k), max(self.report.expansion_search, MEASURED_AT))
            return np.full(n_queries, narrow, dtype=np.int64)
        widths = np.full(n_queries, _width(k), dtype=np.float64)
        if exclude is not None:  # in powers of two, so that many queries are alike
            lengths = np.diff(exclude.indptr)
            steps = np.exp2(np.ceil(np.log2(np.maximum(lengths, 16))))
            widths += np.where(lengths > 0, steps, 0)
        if allowed is not None:
            share = np.count_nonzero(allowed) / len(allowed)
            widths = _MARGIN * widths / max(share, 1 / (2 * len(allowed)))
        return np.where(widths > self.report.widest, 0, np.ceil(widths)).astype(np.int64)

    def _expansion(self, width: int) -> int:
        """Return the expansion for that many candidates, on the line through the measured two."""
        ten, hundred = _width(MEASURED_AT), _width(DEEP)
        low, high = self.report.expansion_search, self.report.expansion_deep
        if width >= hundred:
            return max(width, high * width // hundred)
        between = max(width - ten, 0) / (hundred - ten)
        return round(low + between * max(high - low, hundred - ten))

    def _best_of_graph(
        self, queries: Float32Array, k: int, width: int, expansion: int, filters: dict[str, Any]
    ) -> tuple[NDArray[np.int64], Float32Array]:
        rows, counts = self.graph.search(
            _asked(queries, self._biased, self.graph.dimension),
            width,
            expansion,
            filters["num_threads"],
        )
        width = rows.shape[1]
        if len(queries) < _ALONE:  # threads would take longer to start than to answer
            filters = {**filters, "num_threads": 1}
        if np.any(counts < width):
            rows[np.arange(width) >= counts[:, None]] = _NOBODY
        rows.sort(axis=1)
        offered = RowLists(offsets(counts), rows.ravel()[rows.ravel() != _NOBODY])
        return self.exact.search(queries, k, candidates=offered, **filters)

    # ---- state ----------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `restore` needs, as JSON and arrays."""
        links = self.graph.links
        meta = {**asdict(self.report), "entry": links.entry}
        return meta, {"levels": links.levels, "base": links.base, "upper": links.upper}

    @classmethod
    def restore(
        cls,
        exact: Index,
        vectors: Float32Array,
        biases: Float32Array | None,
        meta: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
    ) -> GraphSearch:
        """Make the index again of its `state`, in the space "ip"; nothing in it is trusted.

        Raises
        ------
        DataError, ParameterError, KeyError, TypeError
            The parts do not fit together or are out of range.
        """
        values = dict(meta)
        entry = values.pop("entry")
        check_integer("entry", entry, 0, len(vectors) - 1)
        report = IndexReport(**values).checked()
        kinds = {"levels": np.int16, "base": np.int32, "upper": np.int32}
        for name, kind in kinds.items():
            if arrays[name].dtype != kind or arrays[name].ndim != (1 if name == "levels" else 2):
                raise DataError(f"the graph's {name} are {arrays[name].dtype}")
        links = Links(arrays["levels"], arrays["base"], arrays["upper"], entry)
        settings = Settings("ip", report.dtype, report.connectivity, report.expansion_add)
        graph = HnswGraph.load(_extended(vectors, biases, "ip"), settings, links)
        return cls(exact, graph, biases is not None, report)


def _width(k: int) -> int:
    """Return how many candidates are scored for `k` results: rounding may swap a few."""
    return max(k, MEASURED_AT) + max(_SPARE, k // 5)


def _ladder(k: int, n: int) -> list[int]:
    """Return expansions to try for `k` results: steps of a fifth or so."""
    steps = [math.ceil(k * 1.2**step) for step in range(40)]
    most = max(k, min(_MOST, n))
    return [step for step in dict.fromkeys(steps) if step < most] + [most]


def _extended(vectors: Float32Array, biases: Float32Array | None, space: Space) -> Float32Array:
    """Return what the graph is made of: biases, and for inner products a lift, as dimensions.

    By inner products alone short vectors are near nobody and hard to reach: a walk finds the ten
    best, but not the hundred best, or what is left of them by a filter. Bachrach et al. 2014 add
    sqrt(M^2 - |v|^2), M the length of the longest vector, and search the nearest; a query has 0
    there. That makes a graph in which all are reached, but slowly. A part of it does best.
    """
    if biases is not None:
        vectors = np.hstack([vectors, biases[:, None]])
    if space == "l2":
        return vectors
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    missing = np.sqrt(np.maximum(squares.max(initial=0.0) - squares, 0))
    return np.hstack([vectors, (_LIFT * missing).astype(np.float32)[:, None]])


def _asked(queries: Float32Array, biased: bool, dimension: int) -> Float32Array:
    """Return queries for what `_extended` made: 1 meets the bias, 0 the lift."""
    width = queries.shape[1]
    if width == dimension:
        return queries
    asked = np.zeros((len(queries), dimension), dtype=np.float32)
    asked[:, :width] = queries
    if biased:
        asked[:, width] = 1
    return asked


def _exact_search(
    exact: Index, queries: Float32Array, k: int, num_threads: int
) -> tuple[NDArray[np.int64], Float32Array]:
    return exact.search(
        queries, k, exclude=None, candidates=None, allowed=None, num_threads=num_threads
    )


def _precise_enough(
    exact: Index,
    vectors: Float32Array,
    biased: bool,
    space: Space,
    queries: Float32Array,
    best: Float32Array,
) -> Dtype:
    """Return the shortest dtype with which the ten best stay among the candidates of a scan."""
    asked, best = queries[:_PRECISION_SAMPLE], best[:_PRECISION_SAMPLE]
    k = best.shape[1]
    extended = _asked(asked, biased, vectors.shape[1])
    coarse: Dtype
    for coarse in ("i8", "bf16"):
        stored = rounded_vectors(vectors, coarse)
        norms = -0.5 * np.einsum("ij,ij->i", stored, stored) if space == "l2" else None
        scan = _core.TopkIndex(stored, norms)
        rows = scan.search(extended, min(_width(k), len(vectors)))[0].astype(np.int32)
        rows.sort(axis=1)
        offered = RowLists(np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1], rows.ravel())
        found = exact.search(
            asked, k, exclude=None, candidates=offered, allowed=None, num_threads=0
        )[1]
        if (found >= best[:, -1:]).mean() >= _KEPT:
            return coarse
    return "f32"
