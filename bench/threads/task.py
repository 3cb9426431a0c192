"""`python -m bench threads`: every model's bits for 1, 2, 3 and 8 threads."""

from __future__ import annotations

import argparse
import hashlib
from typing import Any

import numpy as np

import penchant as pc
from bench import events
from bench.report import Report

THREADS = (1, 2, 3, 8)
# What makes a model take another path through its kernels.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "BPR": [{"negatives": name} for name in ("uniform", "dynamic", "popular")],
    "Prod2Vec": [{"sg": sg} for sg in (1, 0)],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", choices=("ml-100k", "synthetic"), default="ml-100k")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the synthetic set")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--model", action="append", help="only this one; repeatable")


def run(options: argparse.Namespace, report: Report) -> None:
    movielens = options.data == "ml-100k"
    train = events.movielens() if movielens else events.synthetic(options.rows)
    print(train)
    names = options.model or pc.models.list()
    rows, digests = [], {}
    for name in names:
        for variant in VARIANTS.get(name, [{}]):
            title = " ".join([name, *map(str, variant.values())])
            found = [digest(name, variant, train, options.epochs, n) for n in THREADS]
            digests[title] = found
            rows.append([title, *(text[:12] for text in found)])
    report.results["sha256"] = digests
    report.table(
        f"sha256 of the weights and everybody's top 10, {options.epochs} epochs",
        ["model", *(f"{threads} threads" for threads in THREADS)],
        rows,
    )
    for title, found in digests.items():
        report.check(len(set(found)) == 1, f"{title}: equal bits for 1, 2, 3 and 8 threads")
    report.figure("share", sum(len(set(f)) == 1 for f in digests.values()) / len(digests))


def digest(
    name: str, variant: dict[str, Any], train: pc.Interactions, epochs: int, threads: int
) -> str:
    """Return the SHA-256 of what a model learns and answers with this many threads."""
    model = getattr(pc.models, name)()
    known = model.get_params()
    wanted = {"epochs": epochs, "num_threads": threads, **variant}
    model.set_params(**{key: value for key, value in wanted.items() if key in known})
    model.fit(train, progress=False)
    parts = [*model.snapshot().values(), *model.recommend_codes(k=10, num_threads=threads)]
    return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest()
