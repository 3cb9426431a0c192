"""What is searched: the same queries and vectors for both sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.topk import faiss_
from penchant.retrieval import ExactIndex
from penchant.retrieval.filters import RowLists

KINDS = ("batch", "single", "exclude", "candidates")
SINGLE_QUERIES = 100
CANDIDATES = 1_000
CANDIDATE_QUERIES = 1_000
EXCLUDED = 50

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Contest:
    """One search on both sides; `plain` is ours without the filter."""

    queries: NDArray[np.float32]
    ours: Callable[[], Rows]
    theirs: Callable[[], Rows] | None = None
    plain: Callable[[], Rows] | None = None


class Vectors:
    """Random normal vectors, the worst case for bounds: all are nearly equally long."""

    def __init__(self, n: int, dim: int, n_queries: int, threads: int, rivals: bool) -> None:
        random = np.random.default_rng(n)
        self.n, self.dim, self.threads = n, dim, threads
        self.vectors = random.standard_normal((n, dim), dtype=np.float32)
        self.queries = random.standard_normal((n_queries, dim), dtype=np.float32)
        self.index = ExactIndex(self.vectors)
        self.rival: Any = faiss_.build(self.vectors, threads) if rivals else None
        self._random = random

    def contest(self, kind: str, k: int) -> Contest:
        made: Contest = getattr(self, f"_{kind}")(k)
        return made

    def _search(self, queries: NDArray[np.float32], k: int, **filters: RowLists) -> Rows:
        return self.index.search(queries, k, num_threads=self.threads, **filters)[0]

    def _batch(self, k: int) -> Contest:
        theirs = None
        if self.rival is not None:
            theirs = lambda: faiss_.search(self.rival, self.queries, k)  # noqa: E731
        return Contest(self.queries, lambda: self._search(self.queries, k), theirs)

    def _single(self, k: int) -> Contest:
        """Search one query after the other, as a server without batching does."""
        queries = self.queries[:SINGLE_QUERIES]
        theirs = None
        if self.rival is not None:
            theirs = lambda: np.concatenate(  # noqa: E731
                [faiss_.search(self.rival, query[None], k) for query in queries]
            )
        return Contest(
            queries,
            lambda: np.concatenate([self._search(query[None], k) for query in queries]),
            theirs,
        )

    def _exclude(self, k: int) -> Contest:
        """Leave out some vectors of each query, as seen items or a deny list."""
        lists = self._lists(len(self.queries), EXCLUDED)
        return Contest(
            self.queries,
            lambda: self._search(self.queries, k, exclude=lists),
            plain=lambda: self._search(self.queries, k),
        )

    def _candidates(self, k: int) -> Contest:
        queries = self.queries[:CANDIDATE_QUERIES]
        lists = self._lists(len(queries), CANDIDATES)
        theirs = None
        if self.rival is not None:
            own = np.split(lists.indices.astype(np.int64), lists.indptr[1:-1])
            theirs = lambda: faiss_.search_candidates(self.rival, queries, k, own)  # noqa: E731
        return Contest(queries, lambda: self._search(queries, k, candidates=lists), theirs)

    def _lists(self, n_lists: int, length: int) -> RowLists:
        length = min(length, self.n)
        chosen = [
            np.sort(self._random.choice(self.n, length, replace=False, shuffle=False))
            for _ in range(n_lists)
        ]
        indptr = np.arange(n_lists + 1, dtype=np.int64) * length
        return RowLists(indptr, np.concatenate(chosen).astype(np.int32))
