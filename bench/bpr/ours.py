"""Our side: the model as a user fits it, and the kernel alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import penchant as pc
from penchant import _core

NAME = "penchant BPR.fit"
KERNEL = "penchant kernel"


class Arrays(NamedTuple):
    """What the kernel trains in place."""

    users: NDArray[np.float32]
    items: NDArray[np.float32]
    biases: NDArray[np.float32] | None

    def bits(self) -> tuple[bytes, ...]:
        return tuple(part.tobytes() for part in self if part is not None)


def fit(train: pc.Interactions, params: dict[str, Any]) -> pc.BPR:
    return pc.BPR(**params).fit(train, progress=False)


def arrays_of(model: pc.BPR) -> Arrays:
    return Arrays(model.user_factors_, model.item_factors_, model.item_biases_)


def same_work(
    factors: int, epochs: int, learning_rate: float, regularization: float, threads: int
) -> dict[str, Any]:
    """Return the parameters of a training that does what implicit does, none left to a default."""
    sides = ("user", "positive", "negative", "bias")
    return {
        "factors": factors,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "learning_rate_decay": 0.0,
        **{f"{side}_regularization": regularization for side in sides},
        "use_biases": True,
        "negatives": "uniform",
        "optimizer": "sgd",
        "init_scale": 0.1,
        "random_state": 0,
        "num_threads": threads,
    }


def start(train: pc.Interactions, params: dict[str, Any]) -> Arrays:
    """Return the factors that `fit` starts from with parameters of `same_work`."""
    factors, seed = params["factors"], params["random_state"]
    scale = params["init_scale"] / np.sqrt(factors)
    users, items = (
        _core.random_normal(rows, factors, scale=scale, seed=seed, stream=stream)
        for stream, rows in enumerate((train.n_users, train.n_items))
    )
    return Arrays(users, items, np.zeros(train.n_items, np.float32))


def fit_kernel(train: pc.Interactions, params: dict[str, Any], arrays: Arrays) -> Arrays:
    """Train with the kernel that `fit` calls, and nothing around it."""
    not_for_kernel = ("factors", "use_biases", "init_scale", "random_state")
    matrix = train.csr("distinct")
    _core.fit_bpr(
        matrix.indptr,
        matrix.indices,
        *arrays,
        **{name: value for name, value in params.items() if name not in not_for_kernel},
        seed=params["random_state"],
        popularity_exponent=0.0,
        n_candidates=1,
        on_epoch=lambda epoch, loss, auc: True,
    )
    return arrays
