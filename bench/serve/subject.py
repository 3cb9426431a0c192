"""What is served: artifacts, users to ask for, and what the answers must be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import penchant as pc
from bench import data
from penchant.errors import ParameterError

SETS = ("gowalla", "generated")
USERS = 1_000
TOP = 10
_EVENTS_PER_USER = 30
_LARGE_USERS = 20_000


@dataclass(frozen=True)
class Subject:
    """A saved model and the users that are asked for.

    Attributes
    ----------
    path : pathlib.Path
        The artifact.
    model : penchant.BPR
    users : list
        Ids, in the order in which they are asked for.
    codes : int32 array of shape (n,)
    """

    path: Path
    model: Any
    users: list[Any]
    codes: Any

    def bodies(self) -> list[bytes]:
        """Return one request body a user."""
        return [json.dumps({"user_id": user}).encode() for user in self.users]

    def expected(self, *, exclude_seen: bool = True) -> list[list[Any]]:
        """Return the ids of the items that each user must be given, as JSON has them."""
        rows, _ = self.model.recommend_codes(self.codes, k=TOP, exclude_seen=exclude_seen)
        found = self.model.items_.take(rows.ravel()).to_pylist()
        return [found[start : start + TOP] for start in range(0, len(found), TOP)]


def training_data(name: str, n_items: int) -> pc.Interactions:
    """Return Gowalla's training part, or generated pairs with text as ids."""
    if name == "gowalla":
        return data.gowalla().train
    if n_items < 2 * TOP:
        raise ParameterError(f"--items {n_items}: {2 * TOP} at least")
    return generated(n_items, max(2 * USERS, n_items // 2), text=True)


def generated(n_items: int, n_users: int, *, text: bool) -> pc.Interactions:
    """Return power-law pairs in which every item and user occurs."""
    random = np.random.default_rng(n_items)
    n = _EVENTS_PER_USER * n_users
    users = np.concatenate([np.arange(n_users), random.integers(0, n_users, n + n_items)])
    popular = (n_items * random.random(n_users + n) ** 2.5).astype(np.int64)
    items = np.concatenate([popular, np.arange(n_items)])
    frame = pd.DataFrame({"user_id": users, "item_id": items}).drop_duplicates()
    if text:
        frame["user_id"] = [f"user-{user}" for user in frame["user_id"].tolist()]
        frame["item_id"] = [f"B{item:09d}" for item in frame["item_id"].tolist()]
    return pc.Interactions.from_frame(frame, user="user_id", item="item_id")


def make(
    events: pc.Interactions, path: Path, *, epochs: int, factors: int = 64, seed: int = 0
) -> Subject:
    """Train, save, and choose the users; the same ones for every seed."""
    model = pc.BPR(factors=factors, epochs=epochs, random_state=seed)
    model.fit(events, progress=False)
    model.save(path)
    random = np.random.default_rng(41)
    chosen = random.permutation(len(model.users_))[:USERS].astype(np.int32)
    return Subject(path, model, model.users_.take(chosen).to_pylist(), chosen)


def make_large(path: Path, megabytes: int) -> Path:
    """Save a model whose item factors alone take so many megabytes; it learns next to nothing."""
    factors = 64
    n_items = megabytes * 1_000_000 // (4 * factors)
    random = np.random.default_rng(0)
    users = random.integers(0, _LARGE_USERS, n_items)
    users[:_LARGE_USERS] = np.arange(min(_LARGE_USERS, n_items))
    frame = pd.DataFrame({"user_id": users, "item_id": np.arange(n_items)})
    events = pc.Interactions.from_frame(frame, user="user_id", item="item_id")
    pc.BPR(factors=factors, epochs=1, random_state=0).fit(events, progress=False).save(path)
    return path


def items_of(answer: bytes) -> list[Any]:
    """Return the ids of the items of an answer."""
    return [item["item_id"] for item in json.loads(answer)["items"]]
