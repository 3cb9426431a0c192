"""The tuned setting: one training on everything but the held-out part, one look at that part."""

from __future__ import annotations

import argparse
import time

import penchant as pc
from bench import data
from bench.bpr import published
from bench.models import quality
from bench.report import Report
from bench.settings import setting

METRICS = ("recall@20", "ndcg@20")


def run(options: argparse.Namespace, report: Report) -> None:
    params = {**setting("ials", "quality"), "num_threads": options.threads}
    if options.epochs:
        params["epochs"] = options.epochs
    if options.factors:
        params["factors"] = options.factors[0]
    split = data.load("gowalla", part=options.on)
    split.train.csr("distinct")
    report.results |= {"data": split.describe(), "params": params}
    print(split)
    print(f"setting: {params}")
    began = time.perf_counter()
    model = pc.IALS(**params).fit(split.train, progress=False)
    seconds = time.perf_counter() - began
    found = quality(model, split.test, METRICS)
    report.results["quality"] = found
    for name in METRICS:
        report.figure(name, found[name])
    report.figure("seconds", seconds)
    rows = [["penchant IALS, tuned", seconds, *(found[name] for name in METRICS)]]
    if options.on == "test":
        rows += [[f"{n}, published", None, *v] for n, v in published.GOWALLA.items()]
    report.table(
        f"{split.name}: trained once, measured once, {options.threads} threads",
        ["model", "fit s", *METRICS],
        rows,
    )
