"""The folds of MovieLens 100k, generated ratings, and what all sides' estimates are measured by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

import penchant as pc

SCALE = (1.0, 5.0)
FOLDS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Fold:
    """Training and test ratings; frames with the columns user, item, rating."""

    number: int
    train: pd.DataFrame
    test: pd.DataFrame


def movielens_folds() -> list[Fold]:
    """Return the five canonical folds of MovieLens 100k."""
    splits = ((n, pc.datasets.load("ml-100k", fold=n)) for n in FOLDS)
    return [Fold(number, split.train, split.test) for number, split in splits]


def synthetic(rows: int, seed: int = 41) -> pd.DataFrame:
    """Return distinct pairs of power-law users and items, about 70 ratings to a user."""
    random = np.random.RandomState(seed)
    n_users, n_items = max(200, rows // 70), max(200, rows // 480)
    keys = np.empty(0, np.int64)
    while len(keys) < rows:
        users = (n_users * random.rand(2 * rows) ** 1.5).astype(np.int64)
        items = (n_items * random.rand(2 * rows) ** 2).astype(np.int64)
        keys = np.unique(np.concatenate([keys, users * n_items + items]))
    keys = np.sort(random.permutation(keys)[:rows])
    users, items = keys // n_items, keys % n_items
    ratings = 1 + (users % 3 + items % 3 + random.randint(0, 2, rows)).clip(0, 4)
    return pd.DataFrame({"user": users, "item": items, "rating": ratings.astype(np.float64)})


def interactions(frame: pd.DataFrame) -> pc.Interactions:
    return pc.Interactions.from_frame(
        frame[["user", "item", "rating"]], user="user", item="item", value="rating"
    )


def errors(estimates: Any, test: pd.DataFrame) -> dict[str, float]:
    """Return RMSE and MAE of estimates for the rows of `test`."""
    difference = np.asarray(estimates, np.float64) - test["rating"].to_numpy()
    return {
        "rmse": float(np.sqrt(np.mean(difference**2))),
        "mae": float(np.mean(np.abs(difference))),
    }
