"""Item-item neighbourhoods: time to build them, the same neighbours, and growth."""

from __future__ import annotations

import argparse
import resource
from typing import Any

import numpy as np

from bench import data
from bench.knn import ours
from bench.models import implicit_missing, quality
from bench.report import Report
from bench.timing import Measured, Side, interleave, ratio

METRICS = ("recall@20", "ndcg@20")
SIMILARITIES = ("cosine", "bm25")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", choices=data.SETS, default="gowalla")
    parser.add_argument("--rows", type=int, help="of the synthetic set; 20,000,000")
    parser.add_argument("--growth", type=int, nargs="+", metavar="ROWS", help="synthetic sizes")
    parser.add_argument("--neighbors", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-rivals", action="store_true", help="our side only")


def run(options: argparse.Namespace, report: Report) -> None:
    if options.growth:
        growth(options, report)
        return
    split = data.load(options.data, options.rows)
    report.results["data"] = split.describe()
    print(split)
    lengths = np.diff(split.train.csr("distinct").indptr)
    additions = int(np.square(lengths, dtype=np.int64).sum())
    report.results["additions"] = additions
    missing = "left out by --no-rivals" if options.no_rivals else implicit_missing()
    if missing:
        report.note(missing)
    measured = interleave(make_sides(split, options, rivals=missing is None), options.repeats)
    show(report, split, options, measured, additions)
    same = measured[ours.KERNEL].output
    model = measured[ours.name("cosine")].output
    found = (model.neighbor_indptr_, model.neighbor_indices_, model.neighbor_values_)
    equal = all(np.array_equal(a, b) for a, b in zip(same, found, strict=True))
    report.check(equal, "the kernel alone and ItemKNN.fit find the same bits")
    if missing is None:
        compare(report, measured, options.neighbors)


def make_sides(split: data.Split, options: argparse.Namespace, rivals: bool) -> list[Side]:
    train, neighbors, threads = split.train, options.neighbors, options.threads
    sides = [Side(ours.KERNEL, run=lambda _: ours.fit_kernel(train, neighbors, threads))]

    def add(similarity: str) -> None:
        sides.append(
            Side(
                ours.name(similarity),
                run=lambda _: ours.fit(train, similarity, neighbors, threads),
            )
        )
        if rivals:
            from bench.knn import implicit_

            matrix = data.user_items(train)
            sides.append(
                Side(
                    implicit_.NAMES[similarity],
                    run=lambda _: implicit_.fit(matrix, similarity, neighbors, threads),
                )
            )

    for similarity in SIMILARITIES:
        add(similarity)
    return sides


def rival_of(name: str, measured: dict[str, Measured]) -> Measured | None:
    kind = "BM25" if "bm25" in name else "Cosine"
    found = (side for side in measured.values() if side.name.startswith(f"implicit {kind}"))
    return None if name.startswith("implicit") else next(found, None)


def show(
    report: Report,
    split: data.Split,
    options: argparse.Namespace,
    measured: dict[str, Measured],
    additions: int,
) -> None:
    rows = []
    for name, side in measured.items():
        rival = rival_of(name, measured)
        found: dict[str, Any] = side.as_dict()
        found["additions_per_second"] = additions / side.median
        against = None
        if rival is not None:
            against = ratio(side, rival)
            found["times_faster_than_rival"] = against.as_dict()
            report.figure(name, against.median)
        values = None
        if name.startswith("penchant ItemKNN"):
            values = found["quality"] = quality(side.output, split.test, METRICS)
        report.results.setdefault("sides", {})[name] = found
        shown = [None if values is None else values[metric] for metric in METRICS]
        rate = f"{additions / side.median / 1e6:,.0f}"
        rows.append([name, side.median, side.spread(), rate, *shown, against])
    report.table(
        f"{split.name}: {options.neighbors} neighbours of {split.train.n_items:,} items, "
        f"{options.threads} threads, {measured[ours.KERNEL].runs} runs each",
        ["side", "median s", "min - max", "M additions/s", *METRICS, "ratio (rounds)"],
        rows,
    )


def compare(report: Report, measured: dict[str, Measured], k: int) -> None:
    """Both sides find the same neighbours, place by place, but for pairs that are as similar."""
    from bench.knn import implicit_

    for similarity in SIMILARITIES:
        mine, own = ours.lists_of(measured[ours.name(similarity)].output, k)
        theirs, exact = implicit_.lists_of(measured[implicit_.NAMES[similarity]].output, k)
        filled = (mine >= 0) & (theirs >= 0)
        gaps = np.abs(own[filled] - exact[filled]) / exact[filled]
        # idf is log((1 + n) / (1 + count)) with us, log(n / (1 + count)) with implicit.
        tolerance = 1e-6 if similarity == "cosine" else 8 / len(mine)
        same = np.count_nonzero(mine == theirs) / mine.size
        passed = np.array_equal(mine >= 0, theirs >= 0) and gaps.max(initial=0.0) <= tolerance
        report.results.setdefault("agreement", {})[similarity] = {
            "same_items": same,
            "largest_gap": float(gaps.max(initial=0.0)),
        }
        report.check(
            passed,
            f"{similarity}: similarities agree place by place within {gaps.max(initial=0.0):.1e}; "
            f"{100 * same:.2f} % of the places hold the same item (the others are ties)",
        )


def growth(options: argparse.Namespace, report: Report) -> None:
    """Time and memory over the size of the synthetic set, whose histories do not grow."""
    rows = []
    for size in sorted(options.growth):
        train = data.synthetic(size).train
        train.csr("distinct")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        fit = lambda _, train=train: ours.fit_kernel(train, options.neighbors, options.threads)  # noqa: E731
        side = interleave([Side(str(size), run=fit)], options.repeats)[str(size)]
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        found = side.as_dict() | {"microseconds_per_row": 1e6 * side.median / size}
        report.results.setdefault("growth", {})[size] = found | {"peak_growth_kib": grown}
        rows.append([f"{size:,}", side.median, side.spread(), 1e6 * side.median / size])
    report.table(
        f"synthetic, {options.neighbors} neighbours, {options.threads} threads",
        ["rows", "median s", "min - max", "us a row"],
        rows,
    )
