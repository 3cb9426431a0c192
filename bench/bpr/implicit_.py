"""implicit's side (https://github.com/benfred/implicit); import it only where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import penchant as pc
from bench.models import GivenFactors
from bench.recommend_all.implicit_ import lists_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

NAME = "implicit BPR.fit"


def fit_bpr(matrix: csr_matrix, threads: int, params: dict[str, Any] | None = None) -> Any:
    """Fit BPR to a users x items matrix; implicit's own defaults but for `params`."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    model = BayesianPersonalizedRanking(num_threads=threads, random_state=0, **(params or {}))
    model.fit(matrix, show_progress=False)
    return model


def fit_als(matrix: csr_matrix, threads: int, params: dict[str, Any] | None = None) -> Any:
    """Fit ALS to a users x items matrix; implicit's own defaults but for `params`."""
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(num_threads=threads, random_state=0, **(params or {}))
    model.fit(matrix, show_progress=False)
    return model


def as_ours(model: Any, train: pc.Interactions) -> GivenFactors:
    """Wrap implicit's factors, biases among them, for the evaluation that all sides share."""
    return GivenFactors(model.user_factors, model.item_factors).fit(train, progress=False)


def recommend(
    model: Any, matrix: csr_matrix, users: NDArray[np.int64], k: int
) -> NDArray[np.int64]:
    """Recommend with implicit's own top-k; -1 where it pads."""
    return lists_of(model.recommend(users, matrix[users], N=k, filter_already_liked_items=True))
