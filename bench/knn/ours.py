"""Our side: the kernel alone, and the model as a user fits it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import penchant as pc
from penchant import _core

KERNEL = "penchant kernel"


def name(similarity: str) -> str:
    return f"penchant ItemKNN({similarity!r}).fit"


def fit(train: pc.Interactions, similarity: str, neighbors: int, threads: int) -> pc.ItemKNN:
    model = pc.ItemKNN(similarity=similarity, neighbors=neighbors, num_threads=threads)
    return model.fit(train, progress=False)


def fit_kernel(train: pc.Interactions, neighbors: int, threads: int) -> Any:
    """Find the cosine neighbours with the kernel that `fit` calls, and nothing around it."""
    indptr, indices, _ = train.csr("distinct")
    options = {"k1": 1.2, "b": 0.75, "alpha": 1.0, "beta": 0.6, "shrinkage": 0.0}
    return _core.fit_knn(
        indptr,
        indices,
        None,
        train.n_items,
        similarity="cosine",
        neighbors=neighbors,
        num_threads=threads,
        **options,
    )


def lists_of(model: pc.ItemKNN, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the neighbours of every item, best first, and their similarities."""
    rows, scores = model._neighbors(np.arange(len(model.items_)), k, 0)
    return rows, scores
