"""The lowest RMSE on MovieLens 100k; nothing is chosen by looking at a test fold.

For each fold, every candidate is trained on nine tenths of the training ratings and measured on
the other tenth. The best one is then trained on all of them and measured once on the test fold.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd

import penchant as pc
from bench import ratings
from bench.report import Report

CANDIDATES: list[dict[str, Any]] = [
    {"factors": 8},
    {"factors": 16},
    {"factors": 24},
]


def run(options: argparse.Namespace, report: Report) -> None:
    rows, chosen = [], {}
    for fold in ratings.movielens_folds():
        params, validation = choose(fold.train, fold.number, options.threads)
        began = time.perf_counter()
        model = train(fold.train, params, options.threads)
        seconds = time.perf_counter() - began
        found = ratings.errors(model.predict(fold.test, unknown="average"), fold.test)
        chosen[f"u{fold.number}"] = params
        rows.append(
            [f"u{fold.number}", str(params), validation, found["rmse"], found["mae"], seconds]
        )
        print(f"u{fold.number}: {params}: {found['rmse']:.4f} in {seconds:.1f} s")
    means = [float(np.mean([row[column] for row in rows])) for column in (2, 3, 4, 5)]
    rows.append(["mean", "", *means])
    report.results |= {"chosen": chosen, "folds": rows}
    report.table(
        "MovieLens 100k, BayesianSVD, setting chosen inside each training fold",
        ["fold", "setting", "RMSE inside", "RMSE", "MAE", "fit s"],
        rows,
    )
    report.figure("rmse", means[1])
    report.figure("seconds", means[3])


def choose(frame: pd.DataFrame, fold: int, threads: int) -> tuple[dict[str, Any], float]:
    """Return the candidate with the lowest error on a tenth of the training ratings."""
    held_out = np.random.RandomState(fold).rand(len(frame)) < 0.1
    part, rest = frame[~held_out], frame[held_out]
    found = [
        ratings.errors(train(part, params, threads).predict(rest, unknown="average"), rest)["rmse"]
        for params in CANDIDATES
    ]
    return CANDIDATES[int(np.argmin(found))], min(found)


def train(frame: pd.DataFrame, params: dict[str, Any], threads: int) -> pc.BayesianSVD:
    model = pc.BayesianSVD(**params, rating_scale=ratings.SCALE, num_threads=threads)
    return model.fit(ratings.interactions(frame), progress=False)
