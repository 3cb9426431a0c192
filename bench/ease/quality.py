"""MovieLens 100k, every rating a positive, 75/25 at random within each user: ndcg@10.

The settings of tuned.json were chosen on splits of the training part of split 0 (`--validation`);
the test parts served to measure them once.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd

import penchant as pc
from bench.report import Report
from bench.settings import tuned

METRICS = ("ndcg@10", "precision@10", "recall@10")


def cut(frame: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put a quarter of every user's rows into the second part; rows are sorted by user and item."""
    random = np.random.RandomState(seed)
    test = np.zeros(len(frame), bool)
    for rows in frame.groupby("user", sort=True).indices.values():
        test[random.permutation(rows)[: round(len(rows) / 4)]] = True
    return frame[~test].reset_index(drop=True), frame[test].reset_index(drop=True)


def ratings() -> pd.DataFrame:
    frame = pc.datasets.load("ml-100k")[["user", "item"]]
    return frame.sort_values(["user", "item"], ignore_index=True)


def interactions(frame: pd.DataFrame) -> pc.Interactions:
    return pc.Interactions.from_frame(frame, user="user", item="item")


def splits(options: argparse.Namespace) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    if not options.validation:
        return [cut(ratings(), seed) for seed in range(options.splits)]
    train, _ = cut(ratings(), 0)
    return [cut(train, 1000 + seed) for seed in range(options.splits)]


def run(options: argparse.Namespace, report: Report) -> None:
    values: dict[str, list[dict[str, float]]] = {}
    for train_frame, test_frame in splits(options):
        train, test = interactions(train_frame), interactions(test_frame)
        for name, setting in tuned("ease").items():
            params: dict[str, Any] = dict(setting["params"])
            model = getattr(pc, setting["model"])(**params).fit(train, progress=False)
            frame = pc.evaluate(model, test, list(METRICS), unknown="drop")
            found = dict(zip(frame["metric"], frame["value"].tolist(), strict=True))
            values.setdefault(name, []).append(found)
    report.results["quality"] = values
    for name, found in values.items():
        report.figure(name, float(np.mean([run["ndcg@10"] for run in found])))
    rows = []
    for name, found in values.items():
        cells = []
        for metric in METRICS:
            each = [run[metric] for run in found]
            cells.append(f"{np.mean(each):.4f} ({min(each):.4f} - {max(each):.4f})")
        rows.append([name, *cells])
    part = "validation parts of split 0's training part" if options.validation else "test parts"
    report.table(
        f"MovieLens 100k, {options.splits} splits, {part}: mean (min - max)",
        ["model", *METRICS],
        rows,
    )
