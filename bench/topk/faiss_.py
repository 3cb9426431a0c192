"""faiss: IndexFlatIP, and candidate lists through IDSelectorBatch."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAME = "faiss IndexFlatIP"


def missing() -> str | None:
    if importlib.util.find_spec("faiss") is not None:
        return None
    return "faiss is not installed: pip install faiss-cpu"


def build(vectors: NDArray[np.float32], threads: int) -> Any:
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return index


def search(index: Any, queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    rows: NDArray[np.int64] = index.search(queries, k)[1]
    return rows


def search_candidates(
    index: Any, queries: NDArray[np.float32], k: int, candidates: list[NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Search each query among candidates of its own: a selector serves one call only."""
    import faiss

    found = []
    for query, own in zip(queries, candidates, strict=True):
        parameters = faiss.SearchParameters(sel=faiss.IDSelectorBatch(own))
        found.append(index.search(query[None], k, params=parameters)[1])
    return np.concatenate(found)
