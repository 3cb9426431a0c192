"""Loss and quality against time of every solver, on the validation part unless asked otherwise."""

from __future__ import annotations

import argparse
from typing import Any

import penchant as pc
from bench import data
from bench.report import Report
from bench.settings import setting
from bench.watch import watch

METRIC = "recall@20"
SOLVERS: dict[str, dict[str, Any]] = {
    "auto": {"solver": "auto"},
    "cholesky": {"solver": "cholesky"},
    **{f"cg, {n} steps": {"solver": "cg", "cg_steps": n} for n in (1, 2, 3, 5)},
    **{
        f"subspace, {size} factors": {"solver": "subspace", "block_size": size}
        for size in (16, 32, 64, 128)
    },
}


def run(options: argparse.Namespace, report: Report) -> None:
    split = data.load("gowalla", part=options.on)
    split.train.csr("distinct")
    print(split)
    for factors in options.factors or (64, 256):
        rows = []
        for name, solver in SOLVERS.items():
            params = setting("ials", f"race-{factors}") | solver
            params |= {"num_threads": options.threads, "epochs": options.epochs or 5}
            model = pc.IALS(**params)
            seen = watch(model, split.train, split.test, METRIC)
            losses = [float(row["loss"]) for row in model._history]
            entry = {"seconds": seen.seconds, "values": seen.values, "losses": losses}
            report.results.setdefault(str(factors), {})[name] = entry
            rows.append([name, seen.seconds[-1] / len(losses), *seen.values, losses[-1]])
        epochs = (f"epoch {e + 1}" for e in range(len(seen.values)))
        report.table(
            f"{split.name}: {METRIC} of {factors} factors, {options.threads} threads",
            ["solver", "s an epoch", *epochs, "last loss"],
            rows,
        )
