"""Events with ratings and times, which every model can learn from."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

import penchant as pc


def movielens() -> pc.Interactions:
    """All of MovieLens 100k."""
    return pc.Interactions.from_frame(
        pc.datasets.load("ml-100k"),
        user="user",
        item="item",
        value="rating",
        timestamp="timestamp",
        timestamp_unit="s",
    )


def synthetic(rows: int, n_items: int | None = None, seed: int = 41) -> pc.Interactions:
    """Power-law users and items; pairs may repeat. Quick to draw at any size.

    The catalogue grows with the rows unless `n_items` fixes it.
    """
    random = np.random.RandomState(seed)
    n_users, n_items = max(16, rows // 50), n_items or max(16, rows // 500)
    users = (n_users * random.rand(rows) ** (1 / 0.6)).astype(np.int32)
    items = (n_items * random.rand(rows) ** (1 / 0.4)).astype(np.int32)
    stars = 1 + (users % 3 + items % 3 + random.randint(0, 2, rows)).clip(0, 4)
    table = pa.table(
        {
            "user": users,
            "item": items,
            "rating": stars.astype(np.float32),
            "time": np.arange(rows, dtype=np.int64),
        }
    )
    return pc.Interactions.from_frame(
        table, user="user", item="item", value="rating", timestamp="time", timestamp_unit="s"
    )
