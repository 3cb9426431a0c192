"""`python -m bench ann`: approximate top-k over vectors like trained ones, beside hnswlib."""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from bench.ann import hnswlib_
from bench.report import Report
from bench.timing import Side, interleave, ratio
from penchant.retrieval import ApproximateIndex

OURS = "penchant ApproximateIndex"
SINGLE_QUERIES = 500
TUNING = 10_000  # both sides choose how far to look on these queries, none of which is measured
NOISE = 0.005  # of the recall of so many


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--n", type=int, nargs="+", default=[200_000])
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--queries", type=int, default=10_000, help="of a batch")
    parser.add_argument("--connectivity", type=int, default=16, help="M of both sides")
    parser.add_argument("--expansion-add", type=int, default=128, help="of both sides")
    parser.add_argument("--target-recall", type=float, default=0.95)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-rivals", action="store_true", help="our side only")


def run(options: argparse.Namespace, report: Report) -> None:
    missing = "left out by --no-rivals" if options.no_rivals else hnswlib_.missing()
    if missing:
        report.note(missing)
    for n in options.n:
        measure(report, n, options, not missing)


def trained_like(
    n: int, dim: int, n_queries: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw vectors like those of a trained model, and queries.

    They lie in 200 wide clusters, their spectrum decays and their lengths vary. Tighter clusters
    are so easy that a search for ten finds nearly all of them without looking any further.
    """
    random = np.random.default_rng(n)
    centres = np.float32(0.8) * random.standard_normal((200, dim), dtype=np.float32)
    spectrum = (np.arange(1, dim + 1) ** -0.35).astype(np.float32)

    def draw(count: int) -> NDArray[np.float32]:
        noise = random.standard_normal((count, dim), dtype=np.float32)
        drawn: NDArray[np.float32] = centres[random.integers(0, len(centres), count)] + noise
        return drawn * spectrum

    lengths = random.lognormal(0, 0.3, (n, 1)).astype(np.float32)
    return draw(n) * lengths, draw(n_queries)


def measure(report: Report, n: int, options: argparse.Namespace, rivals: bool) -> None:
    threads, k = options.threads, options.k
    vectors, queries = trained_like(n, options.dim, 2 * options.queries)
    tuning, queries = queries[: options.queries][:TUNING], queries[options.queries :]
    ours = ApproximateIndex(
        vectors,
        queries=tuning,
        connectivity=options.connectivity,
        expansion_add=options.expansion_add,
        target_recall=options.target_recall,
        num_threads=threads,
    )
    assert ours.report is not None
    built, expansion = {OURS: ours.report.seconds}, {OURS: ours.expansion_search}
    sides = {OURS: lambda part: ours.search(part, k, num_threads=threads)[0]}
    if rivals:
        began = time.perf_counter()
        theirs = hnswlib_.build(vectors, options.connectivity, options.expansion_add, threads)
        built[hnswlib_.NAME] = time.perf_counter() - began
        best = ours.exact.search(tuning, k, num_threads=threads)[0]
        target = options.target_recall
        expansion[hnswlib_.NAME] = hnswlib_.tune(theirs, tuning, best, target, threads)[0]
        sides[hnswlib_.NAME] = lambda part: hnswlib_.search(theirs, part, k, threads)
    best = ours.exact.search(queries, k, num_threads=threads)[0]
    parts = {"batch": [queries], "single": list(queries[:SINGLE_QUERIES, None])}
    for kind, pieces in parts.items():
        count = sum(map(len, pieces))
        runs = [
            Side(name, lambda given, call=call: np.concatenate([call(p) for p in given]), prepare)
            for prepare in [lambda pieces=pieces: pieces]
            for name, call in sides.items()
        ]
        interleave(runs, 1)
        measured = interleave(runs, options.repeats)
        name = f"{kind}, top {k} of {n:,} x {options.dim}"
        shares = {s.name: hnswlib_.share(s.output, best[:count]) for s in measured.values()}
        report.table(
            f"{name}: {count:,} queries, {threads} threads, M {options.connectivity}, graph of "
            f"{ours.report.dtype}, {options.repeats} runs each",
            ["side", "median s", "min - max", "queries/s", "recall", "ef", "built in s", "ours"],
            [
                [
                    side.name,
                    side.median,
                    side.spread(),
                    f"{count / side.median:,.0f}",
                    f"{shares[side.name]:.4f}",
                    expansion[side.name],
                    built[side.name],
                    None if side.name == OURS else str(ratio(measured[OURS], side)),
                ]
                for side in measured.values()
            ],
        )
        found = {s.name: {**s.as_dict(), "recall": shares[s.name]} for s in measured.values()}
        report.results.setdefault("contests", {})[name] = found
        if rivals:
            report.figure(f"{name}: ratio", ratio(measured[OURS], measured[hnswlib_.NAME]).median)
        enough = shares[OURS] >= options.target_recall - NOISE
        report.check(enough, f"{name}: recall {shares[OURS]:.4f}")
