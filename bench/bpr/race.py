"""Time to reach a recall@20 that users of BPR know, from the call of `fit`."""

from __future__ import annotations

import argparse

import numpy as np

import penchant as pc
from bench import data
from bench.report import Report
from bench.settings import setting
from bench.watch import watch

METRIC = "recall@20"
TARGET = 0.160  # on Gowalla's test part


def run(options: argparse.Namespace, report: Report) -> None:
    params = setting("bpr", f"{options.data}-race") | {"num_threads": options.threads}
    split = data.load(options.data, part=options.on)
    split.train.csr("distinct")  # made once and kept
    report.results |= {"data": split.describe(), "params": params}
    print(split)
    print(f"setting: {params}")
    rounds = [
        watch(pc.BPR(**params), split.train, split.test, METRIC, TARGET)
        for _ in range(options.repeats)
    ]
    same = all(seen.values == rounds[0].values for seen in rounds)
    report.check(same, "every round learnt the same model")
    seconds = [seen.seconds[-1] for seen in rounds]
    reached = rounds[0].reached
    report.results["rounds"] = [{"seconds": s.seconds, METRIC: s.values} for s in rounds]
    report.table(
        f"{split.name}: time to reach {METRIC} {TARGET}, {options.threads} threads, "
        f"{options.repeats} rounds",
        ["", METRIC, "epochs", "median s", "min - max"],
        [
            [
                f"penchant BPR, {params['factors']} factors",
                rounds[0].values[-1],
                len(rounds[0].values),
                float(np.median(seconds)),
                f"{min(seconds):.2f} - {max(seconds):.2f}",
            ]
        ],
    )
    report.check(reached, f"{METRIC} {TARGET} was reached")
    if reached:
        report.figure("seconds to target", float(np.median(seconds)))
