"""Time to reach the recall@20 that implicit's ALS reaches, both sides in turns."""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

import penchant as pc
from bench import data
from bench.models import implicit_missing, quality
from bench.report import Report
from bench.settings import setting
from bench.watch import watch

METRIC = "recall@20"
FACTORS = (64, 128, 256)


def run(options: argparse.Namespace, report: Report) -> None:
    missing = implicit_missing()
    if missing:
        report.note(missing)
        return
    split = data.load("gowalla", part=options.on)
    split.train.csr("distinct")  # made once and kept: converting is not part of the comparison
    report.results["data"] = split.describe()
    print(split)
    rows = []
    for factors in options.factors or FACTORS:
        rounds = [one_round(split, factors, options) for _ in range(options.repeats)]
        report.results.setdefault("rounds", {})[factors] = rounds
        ratios = [entry["ratio"] for entry in rounds]
        report.figure(f"ratio@{factors}", float(np.median(ratios)))
        middle = {name: float(np.median([entry[name] for entry in rounds])) for name in rounds[0]}
        rows.append(
            [
                f"{factors} factors",
                *(middle[name] for name in ("their_recall", "their_seconds")),
                *(middle[name] for name in ("recall", "seconds", "epochs")),
                f"{middle['ratio']:.1f}x ({min(ratios):.1f} - {max(ratios):.1f})",
            ]
        )
        report.check(
            all(entry["recall"] >= entry["their_recall"] for entry in rounds),
            f"{factors} factors: implicit's {METRIC} was reached in every round",
        )
    report.table(
        f"{split.name}: time to reach implicit's {METRIC}, {options.threads} threads, medians of "
        f"{options.repeats} rounds",
        ["", "implicit", "fit s", "penchant IALS", "s", "epochs", "ratio (rounds)"],
        rows,
    )


def one_round(split: data.Split, factors: int, options: argparse.Namespace) -> dict[str, Any]:
    from bench.ials import implicit_

    matrix = data.user_items(split.train)
    began = time.perf_counter()
    rival = implicit_.fit_als(matrix, options.threads, implicit_.settings(factors))
    their_seconds = time.perf_counter() - began
    wrapped = implicit_.as_ours(rival, split.train)
    target = quality(wrapped, split.test, [METRIC])[METRIC]
    params = setting("ials", f"race-{factors}") | {"num_threads": options.threads}
    seen = watch(pc.IALS(**params), split.train, split.test, METRIC, target)
    return {
        "their_recall": target,
        "their_seconds": their_seconds,
        "recall": seen.values[-1],
        "seconds": seen.seconds[-1],
        "epochs": len(seen.values),
        "ratio": their_seconds / seen.seconds[-1],
    }
