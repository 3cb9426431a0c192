"""The whole fit of EASE against the inverse alone of NumPy and SciPy (LAPACK, OpenBLAS)."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

import penchant as pc
from bench.report import Report
from bench.timing import Side, interleave, ratio

_PENALTY = 300.0


def run(options: argparse.Namespace, report: Report) -> None:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(options.threads):  # both sides get the same threads
        for n_items in options.items:
            compare(options, report, n_items)


def synthetic(n_items: int) -> pc.Interactions:
    """Twice as many users as items with 40 items each, popular ones more often."""
    import pyarrow as pa

    rng = np.random.default_rng(0)
    n = 80 * n_items
    users = rng.integers(0, 2 * n_items, n)
    items = (n_items * rng.random(n) ** 2).astype(np.int64)
    items[:n_items] = np.arange(n_items)  # none is missing
    table = pa.table({"user": users, "item": items})
    return pc.Interactions.from_frame(table, user="user", item="item")


def lapack_cholesky(gram: NDArray[np.float64]) -> Any:
    from scipy.linalg import lapack

    factor, _ = lapack.dpotrf(gram, lower=1)
    inverse, _ = lapack.dpotri(factor, lower=1)
    return inverse


def compare(options: argparse.Namespace, report: Report, n_items: int) -> None:
    train = synthetic(n_items)
    matrix = train.to_csr("distinct")
    gram = (matrix.T @ matrix).toarray().astype(np.float64) + _PENALTY * np.eye(n_items)
    model = pc.EASE(regularization=_PENALTY, num_threads=options.threads)
    fit = "penchant EASE.fit, Gram matrix and weights too"
    sides = [
        Side(fit, run=lambda _: model.fit(train, progress=False)),
        Side("numpy.linalg.inv, float64", run=lambda _: np.linalg.inv(gram)),
        Side("numpy.linalg.inv, float32", run=lambda _: np.linalg.inv(gram.astype(np.float32))),
        Side("scipy potrf + potri, float64, a triangle", run=lambda _: lapack_cholesky(gram)),
    ]
    measured = interleave(sides, options.repeats)
    inverse = measured["numpy.linalg.inv, float64"].output
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    gap = float(np.abs(model.item_weights_ - expected).max() / np.abs(expected).max())
    report.check(gap < 1e-6, f"{n_items:,} items: weights differ by {gap:.1e} of the largest")
    rows = []
    for name, side in measured.items():
        against = None if name != fit else ratio(side, measured["numpy.linalg.inv, float64"])
        found = side.as_dict() | {"flops": n_items**3 / side.median}
        report.results.setdefault(f"{n_items} items", {})[name] = found
        rate = f"{n_items**3 / side.median / 1e9:.1f}"
        rows.append([name, side.median, side.spread(), rate, against])
    report.table(
        f"{n_items:,} items, {options.threads} threads, {options.repeats} runs each",
        ["side", "median s", "min - max", "n^3 GFLOP/s", "against numpy float64"],
        rows,
    )
