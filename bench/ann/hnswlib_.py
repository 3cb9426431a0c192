"""hnswlib: inner product, as its own default `add_items` and `knn_query`."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAME = "hnswlib"


def missing() -> str | None:
    if importlib.util.find_spec("hnswlib") is not None:
        return None
    return "hnswlib is not installed: pip install hnswlib==0.8.0"


def build(vectors: NDArray[np.float32], connectivity: int, expansion: int, threads: int) -> Any:
    import hnswlib

    index = hnswlib.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), M=connectivity, ef_construction=expansion)
    index.add_items(vectors, num_threads=threads)
    return index


def search(index: Any, queries: NDArray[np.float32], k: int, threads: int) -> NDArray[np.int64]:
    rows: NDArray[np.uint64] = index.knn_query(queries, k, num_threads=threads)[0]
    return rows.astype(np.int64)


def tune(
    index: Any, queries: NDArray[np.float32], best: NDArray[np.int64], target: float, threads: int
) -> tuple[int, float]:
    """Return the smallest ef that reaches the target, and its recall."""
    k = best.shape[1]
    ef = k
    while True:
        index.set_ef(ef)
        found = share(search(index, queries, k, threads), best)
        if found >= target or ef > 4000:
            return ef, found
        ef = max(ef + 1, ef * 11 // 10)


def share(rows: NDArray[np.int64], best: NDArray[np.int64]) -> float:
    """Return how many of the best are among the rows: recall."""
    return float((rows[:, :, None] == best[:, None, :]).any(axis=1).mean())
