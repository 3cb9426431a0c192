"""The data sets of the tasks, as training and test interactions with one numbering of ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import penchant as pc
from penchant.errors import ParameterError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SETS = ("gowalla", "online-retail-ii", "synthetic")
SYNTHETIC_ROWS = 20_000_000
_GROUPS = 16  # tastes of the synthetic users
_TEST_USERS = 10_000


@dataclass(frozen=True)
class Split:
    """Training and test interactions of one data set."""

    name: str
    train: pc.Interactions
    test: pc.Interactions

    @property
    def n_pairs(self) -> int:
        return len(self.train.csr("distinct").indices)

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "users": self.train.n_users,
            "items": self.train.n_items,
            "train_pairs": self.n_pairs,
            "test_events": len(self.test),
        }

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.n_pairs:,} training pairs, {self.train.n_users:,} users, "
            f"{self.train.n_items:,} items, {len(self.test):,} test events"
        )


def load(name: str, rows: int | None = None, part: str = "test") -> Split:
    """Load a set by name; `rows` is for "synthetic", `part` for "gowalla"."""
    if rows is not None and name != "synthetic":
        raise ParameterError(f"--rows is for the synthetic set, not for {name!r}")
    if part != "test" and name != "gowalla":
        raise ParameterError(f"--on {part} is for gowalla, the only set that has such a part")
    if name == "gowalla":
        return gowalla(part)
    if name == "online-retail-ii":
        return online_retail()
    return synthetic(SYNTHETIC_ROWS if rows is None else rows)


def gowalla(part: str = "test") -> Split:
    """Gowalla with the LightGCN split.

    With "test": all of train against test. With "valid": train without valid against valid, which
    is what settings may be tuned on.
    """
    frames = pc.datasets.load("gowalla")
    columns = {"user": "user_id", "item": "item_id"}
    train, held_out = frames.train, frames.test
    if part == "valid":
        keys = [frame["user_id"] * 2**32 + frame["item_id"] for frame in _wide(frames)]
        train, held_out = train[~keys[0].isin(keys[1])], frames.valid
    return Split(
        f"gowalla ({part})",
        pc.Interactions.from_frame(train, **columns),
        pc.Interactions.from_frame(held_out, **columns),
    )


def _wide(frames: Any) -> list[pd.DataFrame]:
    return [frame.astype("int64") for frame in (frames.train, frames.valid)]


def online_retail() -> Split:
    """Online Retail II: distinct (customer, description) pairs, 70 % of them for training."""
    purchases = pc.datasets.load("online-retail-ii")[["CustomerID", "Description"]]
    pairs = purchases.dropna(subset=["CustomerID"]).drop_duplicates()
    train = np.random.RandomState(41).rand(len(pairs)) < 0.7
    columns = {"user": "CustomerID", "item": "Description"}
    return Split(
        "online-retail-ii",
        pc.Interactions.from_frame(pairs[train], **columns),
        pc.Interactions.from_frame(pairs[~train], **columns),
    )


def synthetic(rows: int, seed: int = 41) -> Split:
    """Distinct pairs with power-law users and items and a taste to learn, from `seed` alone.

    `rows` pairs to train on, and a twentieth more to test on, of which those of 10,000 users at
    most are kept.
    """
    if rows < 1000:
        raise ParameterError(f"--rows {rows}: the synthetic set wants 1,000 at least")
    random = np.random.RandomState(seed)
    n_users, n_items = max(64, rows // 40), max(32 * _GROUPS, rows // 200)
    wanted = rows + rows // 20
    keys = np.empty(0, np.int64)
    while len(keys) < wanted:
        missing = wanted - len(keys)
        drawn = _draw_pairs(random, missing + missing // 5 + 1000, n_users, n_items)
        keys = np.sort(np.concatenate([keys, drawn]))
        keys = keys[np.diff(keys, prepend=-1) > 0]  # much faster than numpy.unique here
    order = random.permutation(len(keys))
    # Numbers say nothing about popularity or taste, as in real data.
    names = random.permutation(n_users).astype(np.int32), random.permutation(n_items)
    train, test = np.sort(keys[order[:rows]]), np.sort(keys[order[rows:wanted]])
    tested = np.unique(test // n_items)
    tested = tested[random.permutation(len(tested))[:_TEST_USERS]]
    test = test[np.isin(test // n_items, tested)]
    parts = [_pairs_frame(part, n_items, *names) for part in (train, test)]
    columns = {"user": "user", "item": "item"}
    return Split("synthetic", *(pc.Interactions.from_frame(part, **columns) for part in parts))


def _draw_pairs(random: Any, n: int, n_users: int, n_items: int) -> np.ndarray:
    """Draw users with density rank**-0.4 and items with rank**-0.6, 3 in 4 of the user's taste."""
    users = (n_users * random.rand(n) ** (1 / 0.6)).astype(np.int64)
    items = (n_items * random.rand(n) ** (1 / 0.4)).astype(np.int64)
    of_taste = np.minimum(items // _GROUPS * _GROUPS + users % _GROUPS, n_items - 1)
    return users * n_items + np.where(random.rand(n) < 0.75, of_taste, items)


def _pairs_frame(
    keys: np.ndarray, n_items: int, users: np.ndarray, items: np.ndarray
) -> pd.DataFrame:
    return pd.DataFrame(
        {"user": users[keys // n_items], "item": items[keys % n_items].astype(np.int32)}
    )


def user_items(train: pc.Interactions) -> csr_matrix:
    """Return the training matrix as implicit takes it: float32 ones, 32-bit offsets."""
    from scipy.sparse import csr_matrix

    indptr, indices, values = train.csr("distinct")
    parts = values.copy(), indices.copy(), indptr.astype(np.int32)
    return csr_matrix(parts, shape=(train.n_users, train.n_items))
