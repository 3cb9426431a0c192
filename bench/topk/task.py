"""`python -m bench topk`: exact top-k over random vectors, beside faiss, in turns."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from bench import lists, machine
from bench.report import Report
from bench.timing import Measured, Side, interleave, ratio
from bench.topk import faiss_
from bench.topk.contests import KINDS, Contest, Vectors

OURS = "penchant ExactIndex"
PLAIN = "penchant, no filter"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--n", type=int, nargs="+", default=[41_000, 200_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--k", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--queries", type=int, default=10_000, help="of a batch")
    parser.add_argument("--only", choices=KINDS, nargs="+", default=list(KINDS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-rivals", action="store_true", help="our side only")


def run(options: argparse.Namespace, report: Report) -> None:
    missing = "left out by --no-rivals" if options.no_rivals else faiss_.missing()
    if missing:
        report.note(missing)
    flops = machine.gemm_flops(options.threads)
    bandwidth = machine.read_bandwidth(options.threads)
    report.results["machine"] = {"gemm_flops": flops, "read_bandwidth": bandwidth}
    print(
        f"{options.threads} threads: float32 GEMM {flops / 1e9:.0f} GFLOP/s, memory read at "
        f"{bandwidth / 1e9:.1f} GB/s. GFLOP/s and GB/s below: 2 x queries x vectors x dimensions "
        "and 4 x vectors x dimensions a query, over the time, whatever a side really does."
    )
    for n in options.n:
        vectors = Vectors(n, options.dim, options.queries, options.threads, not missing)
        for kind in options.only:
            for k in options.k if kind == "batch" else options.k[:1]:
                name = f"{kind}, top {k} of {n:,} x {options.dim}"
                measure(report, name, vectors, vectors.contest(kind, k), options.repeats)


def measure(report: Report, name: str, vectors: Vectors, contest: Contest, repeats: int) -> None:
    sides = [Side(OURS, run=lambda _: contest.ours())]
    for side, call in ((PLAIN, contest.plain), (faiss_.NAME, contest.theirs)):
        if call is not None:
            sides.append(Side(side, run=lambda _, call=call: call()))
    interleave(sides, 1)
    measured = interleave(sides, repeats)
    count = len(contest.queries)
    report.table(
        f"{name}: {count:,} queries, {vectors.threads} threads, {repeats} runs each",
        ["side", "median s", "min - max", "queries/s", "GFLOP/s", "GB/s", "against ours"],
        [row_of(side, measured[OURS], count, vectors) for side in measured.values()],
    )
    found = {side.name: side.as_dict() for side in measured.values()}
    report.results.setdefault("contests", {})[name] = found
    for rival, figure in ((faiss_.NAME, "ratio"), (PLAIN, "cost")):
        if rival in measured:
            times = ratio(measured[OURS], measured[rival]).median
            report.figure(f"{name}: {figure}", times if figure == "ratio" else 1 / times - 1)
    if faiss_.NAME in measured:
        check(report, name, vectors, contest, measured)


def row_of(side: Measured, ours: Measured, count: int, vectors: Vectors) -> list[Any]:
    products = count * vectors.n * vectors.dim / side.median
    return [
        side.name,
        side.median,
        side.spread(),
        f"{count / side.median:,.0f}",
        f"{2 * products / 1e9:.0f}",
        f"{4 * products / 1e9:.0f}",
        None if side is ours else str(ratio(ours, side)),
    ]


def check(
    report: Report, name: str, vectors: Vectors, contest: Contest, measured: dict[str, Measured]
) -> None:
    def score(rows: Any, ids: Any) -> Any:
        pairs = contest.queries[rows].astype(np.float64) * vectors.vectors[ids]
        return pairs.sum(axis=1)

    found = lists.compare(
        measured[OURS].output,
        measured[faiss_.NAME].output,
        np.arange(len(contest.queries)),
        score,
    )
    report.results.setdefault("agreement", {})[name] = found.as_dict()
    report.check(found.agrees, f"{name}: {found}")
