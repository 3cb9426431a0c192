"""implicit's side, on our factors; import it only where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from implicit.cpu.bpr import BayesianPersonalizedRanking
from numpy.typing import NDArray

import penchant as pc

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NAME = "implicit BPR.recommend"


def with_factors(model: pc.BPR, threads: int) -> Any:
    """Put our factors into implicit's model: its last column is 1 for users, the bias for items."""
    rival = BayesianPersonalizedRanking(factors=model.factors, num_threads=threads)
    ones = np.ones((len(model.user_factors_), 1), np.float32)
    biases = model.item_biases_
    if biases is None:
        biases = np.zeros(len(model.item_factors_), np.float32)
    rival.user_factors = np.hstack([model.user_factors_, ones])
    rival.item_factors = np.hstack([model.item_factors_, biases[:, None]])
    return rival


def recommend(rival: Any, matrix: csr_matrix, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    users = np.arange(matrix.shape[0])
    return rival.recommend(users, matrix, N=k, filter_already_liked_items=True)


def lists_of(answer: tuple[NDArray[Any], NDArray[Any]]) -> NDArray[np.int64]:
    """Return implicit's ids with -1 where it pads a short list (with the lowest float as score)."""
    ids, scores = answer
    return np.where(scores > -1e37, ids, -1).astype(np.int64)
