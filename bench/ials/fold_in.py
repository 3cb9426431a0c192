"""Time to recommend to a stranger with 50 items, and the share of solving for their vector."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

import penchant as pc
from bench import data
from bench.models import quality
from bench.report import Report
from bench.settings import setting
from penchant.models import Histories

LENGTH = 50
RUNS = 300


def run(options: argparse.Namespace, report: Report) -> None:
    split = data.load("gowalla", part=options.on)
    rows = []
    for factors in options.factors or (64, 256):
        params = setting("ials", f"race-{factors}") | {"num_threads": options.threads}
        model = pc.IALS(**params).fit(split.train, progress=False)
        items = np.random.RandomState(41).choice(split.train.n_items, LENGTH, replace=False)
        history = Histories(
            np.array([0, LENGTH], np.int64),
            np.sort(items).astype(np.int32),
            np.ones(LENGTH, np.float32),
        )
        solve = milliseconds(lambda model=model, history=history: model._fold_in(history))
        whole = milliseconds(
            lambda model=model, history=history: model.recommend_histories(history, 10)
        )
        report.figure(f"milliseconds@{factors}", solve[0])
        own = pc.IALS(**params).fit(split.train, progress=False)
        own.user_factors_ = own.fold_in_users(split.train).to_numpy()
        own._weights_changed()
        again = [quality(each, split.test, ["recall@20"])["recall@20"] for each in (model, own)]
        rows.append([f"{factors} factors", *solve, *whole, *again])
    report.table(
        f"{split.name}: a history of {LENGTH} items, {options.threads} threads, {RUNS} runs",
        ["", "solve, median ms", "99 %", "and top 10, median ms", "99 %", "recall@20", "folded in"],
        rows,
    )


def milliseconds(call: Callable[[], object]) -> tuple[float, float]:
    """Return the median and the 99th percentile, after a call that makes what is kept."""
    call()
    found = []
    for _ in range(RUNS):
        began = time.perf_counter()
        call()
        found.append((time.perf_counter() - began) * 1e3)
    return float(np.median(found)), float(np.percentile(found, 99))
