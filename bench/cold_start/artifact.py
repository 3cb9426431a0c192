"""A fitted model of a given size, made of random numbers: nothing is trained."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa

import penchant as pc
from penchant import _core
from penchant.data.ids import IdMap
from penchant.models.history import history_table
from penchant.models.state import State, restore

_EVENTS = 4  # of each user


def write(folder: Path, n_users: int, n_items: int, factors: int) -> pc.IALS:
    """Save a model with text ids; return it."""
    model = pc.IALS(factors=factors)
    rng = np.random.default_rng(0)
    parts, about = {}, {}
    for side, n in (("user", n_users), ("item", n_items)):
        names = pa.array([f"{side}-{code:08}" for code in range(n)], pa.large_string())
        parts[f"{side}s"] = pa.table({"id": names})
        about[f"{side}s"] = IdMap.from_column(names[:1], side)[0].to_state()[1]
    # One item of each quarter of the catalogue: sorted and different.
    quarter = n_items // _EVENTS
    seen = rng.integers(0, quarter, (n_users, _EVENTS), np.int32)
    seen += np.arange(_EVENTS, dtype=np.int32) * quarter
    arrays = {
        "seen_indptr": np.arange(n_users + 1, dtype=np.int64) * _EVENTS,
        "seen_indices": seen.reshape(-1),
        "item_counts": np.bincount(seen.reshape(-1), minlength=n_items).astype(np.int64),
        "user_factors": _core.random_normal(n_users, factors, scale=0.1, seed=1, stream=1),
        "item_factors": _core.random_normal(n_items, factors, scale=0.1, seed=1, stream=2),
    }
    meta = {"columns": {"user": "user", "item": "item"}, "backend": "pandas", **about}
    restore(model, State(meta, arrays, {**parts, "history": history_table([])}))
    model.save(folder)
    return model


def forget(folder: Path) -> None:
    """Ask the system to drop the files from its page cache: the next start reads the disk."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def n_bytes(folder: Path, *, derived: bool) -> int:
    """Return the size of the artifact, or of what was made from it."""
    return sum(
        path.stat().st_size for path in folder.iterdir() if (path.suffix == ".prepared") == derived
    )
