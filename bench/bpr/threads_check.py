"""The same bits for any number of threads."""

from __future__ import annotations

import argparse
import hashlib

from bench import data
from bench.bpr import ours
from bench.report import Report

THREADS = (1, 2, 3, 8)
NEGATIVES = ("uniform", "dynamic", "popular")


def run(options: argparse.Namespace, report: Report) -> None:
    split = data.load(options.data, options.rows)
    report.results["data"] = split.describe()
    print(split)
    epochs = options.epochs or 3
    rows = []
    for negatives in NEGATIVES:
        digests = {}
        for threads in THREADS:
            params = {
                "factors": options.factors,
                "epochs": epochs,
                "negatives": negatives,
                "num_threads": threads,
            }
            model = ours.fit(split.train, params)
            lists = b"".join(part.tobytes() for part in model.recommend_codes(k=10))
            bits = b"".join(ours.arrays_of(model).bits()) + lists
            digests[threads] = hashlib.sha256(bits).hexdigest()
        report.results.setdefault("sha256", {})[negatives] = digests
        rows.append([negatives, *(digest[:12] for digest in digests.values())])
    report.table(
        f"{split.name}: sha256 of factors, biases and everybody's top 10, {epochs} epochs",
        ["negatives", *(f"{threads} threads" for threads in THREADS)],
        rows,
    )
    for negatives, digests in report.results["sha256"].items():
        equal = len(set(digests.values())) == 1
        report.check(equal, f"{negatives}: equal bits for {', '.join(map(str, THREADS))} threads")
