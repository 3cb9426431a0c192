"""Our side: the job itself, on an artifact or on a model that is loaded already."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import penchant as pc

NAME = "penchant batch.transform"


def transform(model: Any, users: Path, out: Path, k: int, threads: int) -> Path:
    pc.batch.transform(model, users, out, top_n=k, num_threads=threads)
    return out


def lists_of(path: Path, model: pc.BPR, k: int) -> NDArray[np.int64]:
    """Read a file of user,item,score into a matrix of codes; best first, as it is written."""
    with open(path, newline="", encoding="utf8") as file:
        pairs = [(row[0], row[1]) for row in csv.reader(file)]
    users = model.users_.codes([user for user, _ in pairs])
    rows = np.full((len(model.users_), k), -1, np.int64)
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    lengths = np.diff(np.append(starts, len(users)))
    place = np.arange(len(users)) - np.repeat(starts, lengths)
    rows[users, place] = model.items_.codes([item for _, item in pairs])
    return rows
