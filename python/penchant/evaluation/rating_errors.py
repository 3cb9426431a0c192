"""Errors of estimated ratings on held-out ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from penchant.errors import DataError, ParameterError
from penchant.models.ratings import RatingModel

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models.base import Recommender

RATING_ERRORS = ("rmse", "mae")


class HeldOutRatings(NamedTuple):
    """Pairs to estimate, as a frame, and what their ratings are."""

    pairs: Any
    ratings: NDArray[np.float64]


def held_out_ratings(model: Recommender, test: Interactions) -> HeldOutRatings:
    """Return the ratings of test data for a model of ratings.

    Raises
    ------
    ParameterError
        The model does not estimate ratings.
    DataError
        The data have no value column.
    """
    if not isinstance(model, RatingModel):
        raise ParameterError(
            f"{type(model).__name__} does not estimate ratings: measure it by the order of its "
            "answers, as with 'ndcg@10', or use SVD, SVDpp or BayesianSVD"
        )
    if test.columns.value is None:
        raise DataError("the held-out data have no ratings: name their column with value=...")
    frame = test.to_frame()
    return HeldOutRatings(frame, test.array("value").astype(np.float64))


def rating_error(model: Recommender, held_out: HeldOutRatings, metric: str) -> float:
    """Return the rmse or mae of a model's estimates; unknown ids get the fall-back of `predict`."""
    estimates = model.predict(held_out.pairs, unknown="average")  # type: ignore[arg-type]
    gaps = estimates.astype(np.float64) - held_out.ratings
    if metric == "mae":
        return float(np.abs(gaps).mean())
    return float(np.sqrt(np.square(gaps).mean()))
