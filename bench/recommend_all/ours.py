"""Our side: the search alone, the index with it, and `recommend` with the frame it returns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import penchant as pc
from penchant import _core
from penchant.retrieval import ExactIndex

KERNEL = "penchant TopkIndex.search"
INDEX = "penchant ExactIndex + search"
FRAME = "penchant model.recommend"


def kernel_index(model: pc.BPR) -> _core.TopkIndex:
    return _core.TopkIndex(model.item_factors_, model.item_biases_)


def search_kernel(index: _core.TopkIndex, model: pc.BPR, k: int, threads: int) -> NDArray[np.int64]:
    """Search an index that is there already, as a model does from its second answer on."""
    rows, _ = index.search(model.user_factors_, k, exclude=model.seen_, num_threads=threads)
    return rows


def search_index(model: pc.BPR, k: int, threads: int) -> NDArray[np.int64]:
    """Build an index over the item factors, search it once."""
    index = ExactIndex(model.item_factors_, biases=model.item_biases_)
    rows, _ = index.search(model.user_factors_, k, exclude=model.seen_, num_threads=threads)
    return rows


def forget_index(model: pc.BPR) -> pc.BPR:
    """Make the model build its index anew, as in its first answer after training."""
    model.restore(model.snapshot())
    return model


def recommend(model: pc.BPR, k: int, threads: int) -> Any:
    return model.recommend(k=k, num_threads=threads)


def lists_of(frame: Any, model: pc.BPR, k: int) -> NDArray[np.int64]:
    """Turn the frame of `recommend` for everybody back into a matrix of codes."""
    rows = np.full((len(model.users_), k), -1, np.int64)
    users = model.users_.codes(frame[model.columns_.user])
    rows[users, frame["rank"].to_numpy() - 1] = model.items_.codes(frame[model.columns_.item])
    return rows
