"""Surprise's side, as its documentation has it: an anti-testset, estimates, the ten best."""

from __future__ import annotations

from collections import defaultdict
from heapq import nlargest
from typing import Any

import numpy as np

import penchant as pc

NAME = "Surprise anti-testset"


def with_factors(model: pc.SVD, trainset: Any) -> Any:
    """Put our factors into Surprise's SVD, so that both sides give the same answers."""
    import surprise

    users = [trainset.to_raw_uid(u) for u in trainset.all_users()]
    items = [trainset.to_raw_iid(i) for i in trainset.all_items()]
    rows, columns = model.users_.codes(users), model.items_.codes(items)
    rival = surprise.SVD(n_factors=model.factors, n_epochs=0)
    rival.fit(trainset)
    rival.pu = model.user_factors_[rows].astype(np.float64)
    rival.qi = model.item_factors_[columns].astype(np.float64)
    assert model.user_biases_ is not None
    assert model.item_biases_ is not None
    rival.bu = model.user_biases_[rows].astype(np.float64)
    rival.bi = model.item_biases_[columns].astype(np.float64)
    rival.trainset._global_mean = float(model.mean_[0])
    return rival


def best(rival: Any, trainset: Any, k: int) -> dict[Any, list[Any]]:
    """Return the k best unrated items of each user, best first."""
    found: dict[Any, list[tuple[float, Any]]] = defaultdict(list)
    for user, item, _, estimate, _ in rival.test(trainset.build_anti_testset()):
        found[user].append((estimate, item))
    return {
        user: [item for _, item in nlargest(k, items, key=lambda pair: pair[0])]
        for user, items in found.items()
    }
