"""Baskets, purchase histories and playlists, and the HitRate@100 of next-item prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import penchant as pc

SETS = ("retail", "toys", "wfmu")
K = 100


@dataclass(frozen=True)
class Split:
    """70 % of the sequences to train on, 20 % to choose settings by, 10 % to measure on.

    Training takes whole sequences; a held-out one asks for its last item, given the one before.
    """

    name: str
    train: list[list[str]]
    valid: list[list[str]]
    test: list[list[str]]

    @property
    def n_words(self) -> int:
        return sum(map(len, self.train))

    def part(self, name: str) -> list[list[str]]:
        parts: list[list[str]] = getattr(self, name)
        return parts

    def __str__(self) -> str:
        return (
            f"{self.name}: {len(self.train):,} sequences of {self.n_words:,} words to train on, "
            f"{len(self.valid):,} for validation, {len(self.test):,} for the test"
        )


def load(name: str) -> Split:
    """Split the sequences of more than two items at random, as `pandas.DataFrame.sample` does."""
    found = [sequence for sequence in _READERS[name]() if len(sequence) > 2]
    order = pd.Series(range(len(found))).sample(frac=1, random_state=42).to_numpy()
    first, second = int(0.7 * len(found)), int(0.9 * len(found))
    parts = np.split(order, [first, second])
    return Split(name, *([found[i] for i in part] for part in parts))


def retail() -> list[list[str]]:
    """One basket per customer and invoice time: the different items, in the table's order."""
    table = pc.datasets.load("online-retail-ii")
    bought = table[table["CustomerID"].notna() & (table["Quantity"] > 0)]
    keys = ["CustomerID", "InvoiceDate"]
    bought = bought.drop_duplicates([*keys, "Description"])
    return [list(items) for items in bought.groupby(keys, sort=True)["Description"].agg(list)]


def toys() -> list[list[str]]:
    """Read purchase histories of Amazon Toys & Games; the first number of a line is the user's."""
    lines = (_folder("amazon-toys") / "sequences.txt").read_text(encoding="utf8").splitlines()
    return [line.split()[1:] for line in lines]


def wfmu() -> list[list[str]]:
    """Read radio playlists, one per date."""
    table = pd.read_parquet(_folder("wfmu") / "playlists.parquet")
    tracks = table["Artist"].astype(str) + "|||" + table["Title"].astype(str)
    return [list(items) for items in tracks.groupby(table["AirDate"], sort=True).agg(list)]


def _folder(name: str) -> Path:
    import os

    root = os.environ.get("PENCHANT_DATA")
    if not root or not (Path(root) / name).is_dir():
        raise pc.errors.MissingFileError(f"set PENCHANT_DATA to the folder that holds {name}/")
    return Path(root) / name


_READERS: dict[str, Callable[[], list[list[str]]]] = {"retail": retail, "toys": toys, "wfmu": wfmu}


def hit_rate(
    held_out: list[list[str]], answers: Callable[[list[str]], NDArray[np.int64]], code: Any
) -> float:
    """Share of sequences whose last item is among the 100 that `answers` gives for the one before.

    `answers` maps items to codes of their best 100, one row an item; `code` maps an item to its
    code, or to -1 where the model has never seen it, which never counts as found.
    """
    given = answers([sequence[-2] for sequence in held_out])[:, :K]
    wanted = np.array([code(sequence[-1]) for sequence in held_out])
    return float(((given == wanted[:, None]) & (wanted >= 0)[:, None]).any(axis=1).mean())
