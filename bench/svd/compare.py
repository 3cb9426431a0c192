"""Surprise and penchant in turns: seconds of a fit, and the errors of both beside them."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import numpy as np

import penchant as pc
from bench import ratings, surprise_, timing
from bench.report import Report
from bench.svd import ours

# Surprise 1.1.5's own defaults, spelled out.
DEFAULTS: dict[str, dict[str, Any]] = {
    "SVD": {"n_factors": 100, "n_epochs": 20, "lr_all": 0.005, "reg_all": 0.02},
    "SVDpp": {"n_factors": 20, "n_epochs": 20, "lr_all": 0.007, "reg_all": 0.02},
}
# A fold of SVD++ takes Surprise ten seconds and more.
RIVAL_SEEDS = {"SVD": 5, "SVDpp": 1}


def add_arguments(parser: argparse.ArgumentParser, repeats: int) -> None:
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=repeats, help="rounds of the comparison")
    parser.add_argument("--no-rivals", action="store_true", help="our side only")


def rivals(options: argparse.Namespace, report: Report) -> bool:
    """Whether Surprise takes part; says why not."""
    why = "left out by --no-rivals" if options.no_rivals else surprise_.missing()
    if why:
        report.note(why)
    return why is None


def movielens(kind: str, options: argparse.Namespace, report: Report) -> None:
    """Fit all five folds, once for each seed."""
    params = DEFAULTS[kind] | {"init_std_dev": 0.1}
    folds = ratings.movielens_folds()
    mine = [ratings.interactions(fold.train) for fold in folds]
    names = [f"penchant {kind}"]
    if rivals(options, report):
        theirs = [surprise_.trainset(fold.train, ratings.SCALE) for fold in folds]
        names.append(f"Surprise {kind}")
    errors: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for seed in range(options.repeats):
        own = params | {"random_state": seed}
        for n, fold in enumerate(folds):
            sides = [timing.Side(names[0], partial(fit_ours, kind, mine[n], own, options.threads))]
            if len(names) > 1 and seed < RIVAL_SEEDS[kind]:
                sides.append(timing.Side(names[1], partial(fit_theirs, kind, theirs[n], own)))
            for name, measured in timing.interleave(sides, 1).items():
                estimate = ours.estimates if name == names[0] else surprise_.estimates
                found = ratings.errors(estimate(measured.output, fold.test), fold.test)
                errors[name].append(found)
                seconds[name] += measured.seconds
    show(kind, report, names, errors, seconds)


def fit_ours(
    kind: str, train: pc.Interactions, params: dict[str, Any], threads: int, _: None
) -> Any:
    return ours.fit(kind, train, params, threads)


def fit_theirs(kind: str, train: Any, params: dict[str, Any], _: None) -> Any:
    return surprise_.fit(kind, train, params)


def show(
    kind: str,
    report: Report,
    names: list[str],
    errors: dict[str, list[dict[str, float]]],
    seconds: dict[str, list[float]],
) -> None:
    rows = []
    medians = {name: float(np.median(seconds[name])) for name in names}
    for name in names:
        means = {m: float(np.mean([e[m] for e in errors[name]])) for m in ("rmse", "mae")}
        faster = f"{medians[names[-1]] / medians[name]:.0f}x" if len(names) > 1 else "-"
        spread = f"{min(seconds[name]):.3g} - {max(seconds[name]):.3g}"
        rows.append([name, medians[name], spread, means["rmse"], means["mae"], faster])
        report.results.setdefault("sides", {})[name] = {**means, "seconds": seconds[name]}
    report.table(
        f"MovieLens 100k, u1-u5, means over folds and seeds; seconds of a fit of {kind}",
        ["side", "median s", "min - max", "RMSE", "MAE", "times as fast"],
        rows,
    )
    report.figure("rmse", rows[0][3])
    report.figure("seconds", medians[names[0]])
    if len(names) > 1:
        report.figure("ratio", medians[names[1]] / medians[names[0]])
        report.check(rows[0][3] <= rows[1][3] + 0.002, "RMSE at most Surprise's + .002")
