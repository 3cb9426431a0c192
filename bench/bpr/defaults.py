"""Quality and time with defaults alone: what somebody gets who tunes nothing."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import penchant as pc
from bench import data
from bench.bpr import ours
from bench.models import implicit_missing, quality
from bench.report import Report
from bench.timing import Side, interleave

METRICS = ("precision@10", "ndcg@10")


def run(options: argparse.Namespace, report: Report) -> None:
    split = data.load(options.data, options.rows)
    report.results["data"] = split.describe()
    print(split)
    own = {"num_threads": options.threads} | ({"epochs": options.epochs} if options.epochs else {})
    if options.epochs:
        report.note(f"{options.epochs} epochs instead of the defaults")
    split.train.csr("distinct")
    sides = [
        Side("penchant BPR", run=lambda _: ours.fit(split.train, own)),
        Side("popularity", run=lambda _: pc.Popularity().fit(split.train, progress=False)),
    ]
    missing = "left out by --no-rivals" if options.no_rivals else implicit_missing()
    if missing:
        report.note(missing)
    else:
        sides += rival_sides(split, options)
    values: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides}

    def measure(name: str, output: Any) -> None:
        model = output
        if name.startswith("implicit"):
            from bench.bpr import implicit_

            model = implicit_.as_ours(output, split.train)
        values[name].append(quality(model, split.test, METRICS))

    measured = interleave(sides, options.repeats, measure)
    show(report, split, measured, values)


def rival_sides(split: data.Split, options: argparse.Namespace) -> list[Side]:
    from bench.bpr import implicit_

    matrix = data.user_items(split.train)
    bpr = {"iterations": options.epochs} if options.epochs else {}
    return [
        Side("implicit BPR", run=lambda _: implicit_.fit_bpr(matrix, options.threads, bpr)),
        Side("implicit ALS", run=lambda _: implicit_.fit_als(matrix, options.threads)),
    ]


def show(
    report: Report,
    split: data.Split,
    measured: dict[str, Any],
    values: dict[str, list[dict[str, float]]],
) -> None:
    rows = []
    for name, side in measured.items():
        medians = [float(np.median([run[metric] for run in values[name]])) for metric in METRICS]
        ranges = [sorted(run[metric] for run in values[name]) for metric in METRICS]
        found = {**side.as_dict(), "quality": values[name]}
        report.results.setdefault("sides", {})[name] = found
        cells = [
            f"{median:.4f} ({low[0]:.4f} - {low[-1]:.4f})"
            for median, low in zip(medians, ranges, strict=True)
        ]
        rows.append([name, side.median, side.spread(), *cells])
    report.table(
        f"{split.name}: defaults of each side, {measured['popularity'].runs} runs each, "
        f"{values['popularity'][0]['users']:,} test users",
        ["side", "fit, median s", "min - max", *(f"{name} (min - max)" for name in METRICS)],
        rows,
    )
