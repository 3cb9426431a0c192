"""Strangers: what recall folding them in loses against training on them, and what it takes."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd

import penchant as pc
from bench import data
from bench.ials.fold_in import LENGTH, RUNS, milliseconds
from bench.report import Report
from penchant.models import Histories

STRANGERS = 3_000
K = 20


def run(options: argparse.Namespace, report: Report) -> None:
    split = data.load("gowalla", part=options.on)
    chosen = np.random.default_rng(0).choice(split.train.n_users, STRANGERS, replace=False)
    own = np.isin(split.train.array("user"), chosen)
    params = {"factors": options.factors, "num_threads": options.threads}
    params["epochs"] = options.epochs or 60
    whole = pc.BPR(**params).fit(split.train, progress=False)
    without = pc.BPR(**params).fit(split.train.select(~own), progress=False)
    theirs = split.train.select(own).to_frame()
    users = theirs[split.train.columns.user].unique()
    trained = recall(whole.recommend(users, k=K), split.test, users)
    folded = recall(without.recommend(history=theirs, k=K, unknown="drop"), split.test, users)
    items = np.sort(np.random.RandomState(41).choice(len(without.items_), LENGTH, replace=False))
    history = Histories(
        np.array([0, LENGTH], np.int64), items.astype(np.int32), np.ones(LENGTH, np.float32)
    )
    solve = milliseconds(lambda: without._fold_in(history))
    report.results |= {"params": params, "recall": {"trained": trained, "folded in": folded}}
    report.figure("lost", 1 - folded / trained)
    report.figure("milliseconds", solve[0])
    report.table(
        f"{split.name}: {STRANGERS:,} users left out of the training, recall@{K}; a history of "
        f"{LENGTH} items, {options.threads} threads, {RUNS} runs",
        ["", "trained on", "folded in", "lost", "solve, median ms", "99 %"],
        [[f"BPR, {options.factors} factors", trained, folded, 1 - folded / trained, *solve]],
    )


def recall(frame: pd.DataFrame, test: pc.Interactions, users: Any) -> float:
    """Return the mean recall of those of `users` who have test items."""
    names = [test.columns.user, test.columns.item]
    relevant = test.to_frame()[names].drop_duplicates()
    relevant = relevant[relevant[names[0]].isin(users)]
    hits = relevant.merge(frame[names], on=names).groupby(names[0]).size()
    counts = relevant.groupby(names[0]).size()
    return float((hits.reindex(counts.index, fill_value=0) / counts).mean())
