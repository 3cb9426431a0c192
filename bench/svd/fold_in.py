"""Strangers: the error of their ratings when folded in, and when trained on."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

import penchant as pc
from bench import ratings
from bench.ials.fold_in import RUNS, milliseconds
from bench.report import Report
from penchant.models.histories import read_histories

# Surprise's defaults, and a longer training that is closer to what the data allow.
MODELS: list[tuple[str, dict[str, Any]]] = [
    ("SVD", {}),
    ("SVD", {"epochs": 60, "learning_rate": 0.01, "regularization": 0.08}),
    ("SVDpp", {}),
    ("BayesianSVD", {}),
]
COLUMNS = ["user", "item", "rating"]


def run(options: argparse.Namespace, report: Report) -> None:
    split = pc.datasets.load("ml-100k", fold=1)
    frame = pd.concat([split.train, split.test], ignore_index=True)
    random = np.random.default_rng(0)
    users = frame["user"].unique()
    strange = frame["user"].isin(random.choice(users, len(users) // 5, replace=False))
    test = random.random(len(frame)) < 0.2
    history, held_out = frame[strange & ~test][COLUMNS], frame[strange & test]
    rows = []
    for name, params in MODELS:
        model = getattr(pc, name)(**params, num_threads=options.threads)
        model.fit(ratings.interactions(frame[~strange]), progress=False)
        asked = held_out[held_out["item"].isin(model.items_.to_list())]
        found = model.recommend(history=history, k=len(model.items_), exclude_seen=False,
                                unknown="popular")  # fmt: skip
        folded = asked[["user", "item"]].merge(found, how="left")["score"]
        whole = getattr(pc, name)(**params, num_threads=options.threads)
        whole.fit(ratings.interactions(frame[~(strange & test)]), progress=False)
        errors = [ratings.errors(e, asked)["rmse"] for e in (whole.predict(asked), folded)]
        one = history[history["user"] == history["user"].iloc[0]].head(50)
        own = read_histories(one, model.items_, model.columns_, "popular")[1]
        solve = partial(model._fold_in, own)
        rows.append([f"{name} {params or ''}", *errors, milliseconds(solve)[0]])
        report.results.setdefault("rmse", {})[f"{name} {params}"] = errors
    report.table(
        "MovieLens 100k: a fifth of the users left out, RMSE of a fifth of their "
        f"{strange.sum():,} ratings; {options.threads} threads, {RUNS} runs",
        ["", "trained on", "folded in", "one history of at most 50, ms"],
        rows,
    )
