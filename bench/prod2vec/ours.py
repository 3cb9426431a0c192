"""Our side: the model as a user fits it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import penchant as pc
from bench.prod2vec.sequences import K, Split, hit_rate
from penchant.models import Histories

NAME = "penchant Prod2Vec.fit"


def interactions(split: Split) -> pc.Interactions:
    return pc.Interactions.from_sequences(split.train)


def fit(train: pc.Interactions, params: dict[str, Any]) -> pc.Prod2Vec:
    return pc.Prod2Vec(**params).fit(train, progress=False)


def hit_rate_of(model: pc.Prod2Vec, held_out: list[list[str]]) -> float:
    """HitRate@100; an item the model does not know is answered with the popular ones."""

    def answers(items: list[str]) -> NDArray[np.int64]:
        codes = model.items_.codes(items)
        known = codes >= 0
        indptr = np.concatenate([[0], np.cumsum(known)]).astype(np.int64)
        histories = Histories(indptr, codes[known], np.ones(int(known.sum()), np.float32))
        rows, _ = model.recommend_histories(histories, K)
        return rows

    return hit_rate(held_out, answers, model.items_.code)
