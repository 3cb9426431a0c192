"""Factors learnt by a rival, answered and measured like a model of ours; and rivals at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import penchant as pc
from penchant.models import Recommender
from penchant.models.factor_model import FactorModel, Factors
from penchant.models.weights import Weight


class GivenFactors(FactorModel):
    """Scores ``users[u] @ items[i]`` with factors that come from elsewhere."""

    _weights: ClassVar[Mapping[str, Weight]] = {
        "user_factors_": Weight(("users", "factors")),
        "item_factors_": Weight(("items", "factors")),
    }

    def __init__(self, users: NDArray[np.float32], items: NDArray[np.float32]) -> None:
        self._given = users, items

    def _start(self, train: pc.Interactions) -> None:
        users, items = self._given
        self.user_factors_ = np.ascontiguousarray(users, dtype=np.float32)
        self.item_factors_ = np.ascontiguousarray(items, dtype=np.float32)

    def _factors(self) -> Factors:
        return Factors(self.user_factors_, self.item_factors_, None)


def quality(
    model: Recommender, test: pc.Interactions, metrics: Sequence[str]
) -> dict[str, float | int]:
    """Return metrics of a model, ours or a rival's factors, by the same evaluation.

    "users" is how many the means are over: those of the test data that training knows.
    """
    frame = pc.evaluate(model, test, list(metrics), unknown="drop")
    found = dict(zip(frame["metric"], frame["value"].tolist(), strict=True))
    return found | {"users": int(frame["n_users"].iloc[0])}


def implicit_missing() -> str | None:
    """Say why implicit cannot take part, if it cannot."""
    try:
        import implicit  # noqa: F401
    except ImportError as error:
        return f"implicit takes no part ({error}): pip install implicit==0.7.3"
    return None


def score_pairs64(
    model: FactorModel, users: NDArray[Any], items: NDArray[Any]
) -> NDArray[np.float64]:
    """Score pairs of codes in float64."""
    factors = model._factors()
    left = factors.users[users].astype(np.float64)
    scores = np.einsum("ij,ij->i", left, factors.items[items].astype(np.float64))
    return scores if factors.biases is None else scores + factors.biases[items]
