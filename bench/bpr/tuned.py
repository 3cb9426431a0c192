"""The tuned setting: one training on everything but the held-out part, one look at that part."""

from __future__ import annotations

import argparse
from typing import Any

from bench import data
from bench.bpr import ours, published, traffic
from bench.models import implicit_missing, quality
from bench.report import Report
from bench.settings import setting
from bench.timing import Side, interleave

METRICS = ("recall@20", "ndcg@20")


def run(options: argparse.Namespace, report: Report) -> None:
    params = setting("bpr", options.data) | {"num_threads": options.threads}
    if options.epochs:
        params["epochs"] = options.epochs
    split = data.load(options.data, options.rows, options.on)
    split.train.csr("distinct")
    report.results |= {"data": split.describe(), "params": params}
    print(split)
    print(f"setting: {params}")
    rows = [our_row(report, split, params)]
    if options.on == "test":
        missing = "left out by --no-rivals" if options.no_rivals else implicit_missing()
        if missing:
            report.note(missing)
        else:
            rows += rival_rows(report, split, options.threads)
        if options.data == "gowalla":
            rows += [[f"{n}, published", None, *v] for n, v in published.GOWALLA.items()]
    report.table(
        f"{split.name}: trained once, measured once, {options.threads} threads",
        ["model", "fit s", *METRICS],
        rows,
    )


def our_row(report: Report, split: data.Split, params: dict[str, Any]) -> list[Any]:
    name = "penchant BPR, tuned"
    side = interleave([Side(name, run=lambda _: ours.fit(split.train, params))], 1)[name]
    found = quality(side.output, split.test, METRICS)
    updates = split.n_pairs * side.output.epochs / side.median
    dynamic = side.output.negatives == "dynamic"
    per_update = traffic.bytes_per_update(
        side.output.factors, side.output.n_candidates if dynamic else 0
    )
    print(f"trained in {side.median:.1f} s: {updates / 1e6:.2f} M updates/s")
    print(f"{traffic.MODEL} {per_update} bytes here: {updates * per_update / 1e9:.1f} GB/s")
    report.results.setdefault("sides", {})[name] = {
        **side.as_dict(),
        "quality": found,
        "updates_per_second": updates,
        "bytes_per_update": per_update,
    }
    report.figure("seconds", side.median)
    for metric in METRICS:
        report.figure(metric, found[metric])
    return [name, side.median, *(found[metric] for metric in METRICS)]


def rival_rows(report: Report, split: data.Split, threads: int) -> list[list[Any]]:
    from bench.bpr import implicit_

    matrix = data.user_items(split.train)
    fits = [(implicit_.fit_bpr, n, p) for n, p in published.IMPLICIT_BPR.items()]
    fits += [(implicit_.fit_als, n, p) for n, p in published.IMPLICIT_ALS.items()]
    rows = []
    for fit, name, params in fits:
        side = Side(name, run=lambda _, fit=fit, params=params: fit(matrix, threads, params))
        measured = interleave([side], 1)[name]
        found = quality(implicit_.as_ours(measured.output, split.train), split.test, METRICS)
        report.results["sides"][name] = {**measured.as_dict(), "params": params, "quality": found}
        rows.append([name, measured.median, *(found[metric] for metric in METRICS)])
    return rows
