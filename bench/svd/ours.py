"""Our side: SVD and SVDpp with the settings that Surprise has by default."""

from __future__ import annotations

from typing import Any

import penchant as pc
from bench.ratings import SCALE

# Surprise's name of a parameter -> ours.
NAMES = {"n_factors": "factors", "n_epochs": "epochs", "lr_all": "learning_rate"} | {
    "reg_all": "regularization",
    "init_std_dev": "init_std",
    "random_state": "random_state",
}


def fit(kind: str, train: pc.Interactions, params: dict[str, Any], threads: int) -> Any:
    """Fit a model with parameters under Surprise's names."""
    own = {NAMES[name]: value for name, value in params.items()}
    model = getattr(pc, kind)(**own, rating_scale=SCALE, num_threads=threads)
    return model.fit(train, progress=False)


def estimates(model: Any, test: Any) -> Any:
    return model.predict(test, unknown="average")
