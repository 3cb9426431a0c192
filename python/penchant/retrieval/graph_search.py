"""Search by a graph where it is quick and good, and exactly where it is not."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.errors import DataError, notice
from penchant.retrieval.filters import RowLists, take_lists
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
_SPARE = 4  # candidates beyond ten
_MARGIN = 1.25  # effort beyond the share that a filter leaves


class Distances(Protocol):
    """How distances are asked of an index of inner products, and made of its answers."""

    def asked(self, queries: Float32Array) -> Float32Array:
        """Return what the kernel's indexes take."""
        ...

    def measured(
        self, queries: Float32Array, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], Float32Array]:
        """Return rows and scores by distance, the nearest first."""
        ...


class GraphSearch:
    """An exact index with a graph in front of it; answers like either (see `protocol.Index`).

    Attributes
    ----------
    exact : Index
        Answers what the graph cannot.
    topk : _core.TopkIndex
        Scores candidates.
    graph : HnswGraph
    report : IndexReport
    """

    def __init__(
        self,
        exact: Index,
        topk: _core.TopkIndex,
        graph: HnswGraph,
        report: IndexReport,
        distances: Distances | None = None,
    ) -> None:
        self.exact, self.topk, self.graph, self.report = exact, topk, graph, report
        self._distances = distances

    @classmethod
    def build(
        cls,
        exact: Index,
        topk: _core.TopkIndex,
        vectors: Float32Array,
        biases: Float32Array | None,
        options: Options,
        queries: Float32Array,
        num_threads: int,
        distances: Distances | None = None,
    ) -> GraphSearch:
        """Make a graph, tune it and measure it.

        Parameters
        ----------
        exact : Index
            Over the same vectors.
        topk : _core.TopkIndex
            Over `vectors` and `biases`.
        vectors, biases
            float32, of shape (n, d) and (n,), n and d at least 1.
        options : Options
        queries : float32 array of shape (q, d)
            The sample, q at least 1.
        num_threads : int
            0 is the default number.
        distances : Distances, optional
            `exact` measures distances, not inner products.
        """
        began = time.perf_counter()
        deep = _exact_search(exact, queries, min(DEEP, len(vectors)), num_threads)[1]
        exact_seconds = time.perf_counter() - began
        best = deep[:, :MEASURED_AT]
        dtype = options.dtype
        if dtype is None:
            asked = queries if distances is None else distances.asked(queries)
            dtype = _precise_enough(exact, vectors, biases, queries, asked, best)
        space: Space = "ip" if distances is None else "l2"
        settings = Settings(space, dtype, options.connectivity, options.expansion_add)
        began = time.perf_counter()
        graph = HnswGraph.build(vectors, biases, settings, num_threads)
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
        self = cls(exact, topk, graph, made, distances)
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

        def measure(expansion: int) -> tuple[int, float, float]:
            began = time.perf_counter()
            efforts = np.array([[min(_width(k), max(expansion, k)), expansion]], dtype=np.int32)
            scores = self._by_graph(queries, k, efforts, num_threads=num_threads)[1]
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
        efforts = self._efforts(k, exclude, allowed)
        rows, scores = self._by_graph(queries, k, efforts, exclude=exclude, **filters)
        missing = rows[:, -1] < 0
        if missing.any():
            short = np.flatnonzero(missing)
            lists = None if exclude is None else take_lists(exclude, short)
            rows[short], scores[short] = self.exact.search(
                queries[short], k, exclude=lists, candidates=None, **filters
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

    def _efforts(
        self, k: int, exclude: RowLists | None, allowed: NDArray[np.uint8] | None
    ) -> NDArray[np.int32]:
        """Return how many candidates each query needs and the expansion for it, or one for all.

        It depends on the query alone, so that its answer does not depend on others in the batch.
        0 candidates where a scan is better.
        """
        report = self.report
        if exclude is None and allowed is None and k <= MEASURED_AT:
            return _as_measured(report.expansion_search)
        widths = np.array([float(_width(k))])
        if exclude is not None:  # in powers of two: an answer rarely changes with one more event
            lengths = np.diff(exclude.indptr)
            steps = np.exp2(np.ceil(np.log2(np.maximum(lengths, 16))))
            widths = widths + np.where(lengths > 0, steps, 0)
        if allowed is not None:
            share = np.count_nonzero(allowed) / len(allowed)
            widths = _MARGIN * widths / max(share, 1 / (2 * len(allowed)))
        widths = np.where(widths > report.widest, 0, np.ceil(widths))
        # On the line through the measured two; it falls short between them where answers are long.
        ten, hundred = _width(MEASURED_AT), _width(DEEP)
        low, high = report.expansion_search, report.expansion_deep
        slope = max(high - low, hundred - ten) / (hundred - ten)
        expansions = np.where(
            widths >= hundred,
            np.maximum(widths, high * widths // hundred),
            np.rint(low + slope * np.maximum(widths - ten, 0)),
        )
        if k > MEASURED_AT:
            expansions = np.maximum(expansions, high)
        if allowed is not None:
            expansions = np.ceil(_MARGIN * expansions)
        most = np.iinfo(np.int32).max
        return np.stack([widths, expansions], axis=1).clip(0, most).astype(np.int32)

    def _by_graph(
        self, queries: Float32Array, k: int, efforts: NDArray[np.int32], **filters: Any
    ) -> tuple[NDArray[np.int64], Float32Array]:
        if self._distances is None:
            return self.graph.search(self.topk, queries, k, efforts, **filters)
        asked = self._distances.asked(queries)
        rows, _ = self.graph.search(self.topk, asked, k, efforts, **filters)
        return self._distances.measured(queries, rows)

    # ---- state ----------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `restore` needs, as JSON and arrays."""
        links = self.graph.links
        meta = {**asdict(self.report), "entry": links.entry}
        order = self.graph.order.astype(np.int32)
        return meta, {
            "levels": links.levels,
            "base": links.base,
            "upper": links.upper,
            "order": order,
        }

    @classmethod
    def restore(
        cls,
        exact: _core.TopkIndex,
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
        order = None
        if "order" in arrays:  # early versions found it anew each time
            kinds["order"] = np.int32
            order = arrays["order"].astype(np.int64)
        for name, kind in kinds.items():
            dimensions = 2 if name in ("base", "upper") else 1
            if arrays[name].dtype != kind or arrays[name].ndim != dimensions:
                raise DataError(f"the graph's {name} are {arrays[name].dtype}")
        links = Links(arrays["levels"], arrays["base"], arrays["upper"], entry)
        settings = Settings("ip", report.dtype, report.connectivity, report.expansion_add)
        return cls(exact, exact, HnswGraph.load(vectors, biases, settings, links, order), report)


def _width(k: int) -> int:
    """Return how many candidates are scored for `k` results: rounding may swap a few."""
    return max(k, MEASURED_AT) + max(_SPARE, k // 5)


@lru_cache(maxsize=64)
def _as_measured(expansion: int) -> NDArray[np.int32]:
    """Return the effort for ten results or fewer; kept, as a single query takes microseconds."""
    narrow = min(_width(MEASURED_AT), max(expansion, MEASURED_AT))
    return np.array([[narrow, expansion]], dtype=np.int32)


def _ladder(k: int, n: int) -> list[int]:
    """Return expansions to try for `k` results: steps of a fifth or so."""
    steps = [math.ceil(k * 1.2**step) for step in range(40)]
    most = max(k, min(_MOST, n))
    return [step for step in dict.fromkeys(steps) if step < most] + [most]


def _exact_search(
    exact: Index, queries: Float32Array, k: int, num_threads: int
) -> tuple[NDArray[np.int64], Float32Array]:
    return exact.search(
        queries, k, exclude=None, candidates=None, allowed=None, num_threads=num_threads
    )


def _precise_enough(
    exact: Index,
    vectors: Float32Array,
    biases: Float32Array | None,
    queries: Float32Array,
    asked: Float32Array,
    best: Float32Array,
) -> Dtype:
    """Return the shortest dtype with which the ten best stay among the candidates of a scan."""
    queries, asked, best = (part[:_PRECISION_SAMPLE] for part in (queries, asked, best))
    k = best.shape[1]
    coarse: Dtype
    for coarse in ("i8", "bf16"):
        scan = _core.TopkIndex(rounded_vectors(vectors, coarse), biases)
        rows = scan.search(asked, min(_width(k), len(vectors)))[0].astype(np.int32)
        rows.sort(axis=1)
        offered = RowLists(np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1], rows.ravel())
        found = exact.search(
            queries, k, exclude=None, candidates=offered, allowed=None, num_threads=0
        )[1]
        if (found >= best[:, -1:]).mean() >= _KEPT:
            return coarse
    return "f32"
