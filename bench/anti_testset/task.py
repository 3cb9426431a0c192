"""`python -m bench anti_testset`: the ten best films for every user, beside Surprise, in turns."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd

import penchant as pc
from bench import ratings, surprise_
from bench.anti_testset import surprise_ as rival_side
from bench.report import Report
from bench.timing import Side, interleave, ratio

OURS = "penchant model.recommend"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--factors", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-rivals", action="store_true", help="our side only")


def run(options: argparse.Namespace, report: Report) -> None:
    films = pc.datasets.load("ml-latest-small")
    frame = films.rename(columns={"userId": "user", "movieId": "item"})[["user", "item", "rating"]]
    # Whole numbers in single precision would tie; a scale wider than the estimates cuts none off.
    model = pc.SVD(
        factors=options.factors, rating_scale=(-100.0, 100.0), num_threads=options.threads
    ).fit(ratings.interactions(frame), progress=False)
    missing = "left out by --no-rivals" if options.no_rivals else surprise_.missing()
    sides = [
        Side(
            OURS,
            prepare=lambda: model.restore(model.snapshot()),
            run=lambda _: model.recommend(k=options.k),
        )
    ]
    if missing:
        report.note(missing)
    else:
        trainset = surprise_.trainset(frame, (-100.0, 100.0))
        rival = rival_side.with_factors(model, trainset)
        sides.append(
            Side(rival_side.NAME, run=lambda _: rival_side.best(rival, trainset, options.k))
        )
    interleave(sides[:1], 1)
    measured = interleave(sides, options.repeats)
    pairs = len(model.users_) * len(model.items_)
    report.table(
        f"{len(model.users_):,} users x {len(model.items_):,} films, unrated ones, top "
        f"{options.k}, {options.threads} threads, {options.repeats} runs each, the same factors",
        ["side", "median s", "min - max", "M scores/s", "against ours"],
        [
            [
                side.name,
                side.median,
                side.spread(),
                f"{pairs / side.median / 1e6:,.1f}",
                None if side.name == OURS else str(ratio(measured[OURS], side)),
            ]
            for side in measured.values()
        ],
    )
    if missing:
        return
    report.figure("ratio", ratio(measured[OURS], measured[rival_side.NAME]).median)
    check(report, model, measured[OURS].output, measured[rival_side.NAME].output)


def check(report: Report, model: pc.SVD, frame: Any, theirs: dict[Any, list[Any]]) -> None:
    """Compare the lists; where they differ, the estimates must be the same."""
    ours = frame.groupby("user")["item"].apply(list).to_dict()
    differing = [user for user in ours if ours[user] != theirs[user]]
    furthest = 0.0
    for user in differing:
        scores = [
            np.sort(
                np.float64(
                    model.predict(pd.DataFrame({"user": user, "item": items}), unknown="error")
                )
            )
            for items in (ours[user], theirs[user])
        ]
        furthest = max(furthest, float(np.abs(scores[0] - scores[1]).max()))
    report.check(
        furthest < 1e-5,
        f"{len(ours) - len(differing):,} of {len(ours):,} lists are the same; in the others the "
        f"estimates differ by {furthest:.1e} at most",
    )
