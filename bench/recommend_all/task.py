"""`python -m bench recommend_all`: every user's top k on the same factors, in turns."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

import penchant as pc
from bench import data, lists, machine
from bench.models import implicit_missing, score_pairs64
from bench.recommend_all import ours
from bench.report import Report
from bench.timing import Measured, Side, interleave, ratio
from penchant import _core
from penchant.evaluation.metrics import find_truth

PLAIN = "numpy, products alone"
RATE = (
    "GFLOP/s: 2 x users x items x factors over the time, whatever a side really computes. Our scan "
    "rules most items out by bounds and 8-bit products and scores the rest in float32, so it can "
    "pass the GEMM, which is the most that a plain float32 scan could reach."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", choices=data.SETS, default="gowalla")
    parser.add_argument("--rows", type=int, help="of the synthetic set; 20,000,000")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--epochs", type=int, help="of the training beforehand; BPR's own default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--no-rivals", action="store_true", help="our side only")


def run(options: argparse.Namespace, report: Report) -> None:
    split = data.load(options.data, options.rows)
    print(split)
    own = {"epochs": options.epochs} if options.epochs else {}
    model = pc.BPR(factors=options.factors, num_threads=options.threads, **own)
    model.fit(split.train, progress=False)
    report.results |= {"data": split.describe(), "params": model.get_params()}
    missing = "left out by --no-rivals" if options.no_rivals else implicit_missing()
    if missing:
        report.note(missing)
    sides = make_sides(split, model, options, rivals=missing is None)
    peak = machine.gemm_flops(options.threads)
    interleave(sides, 1)
    measured = interleave(sides, options.repeats)
    peak = max(peak, machine.gemm_flops(options.threads))  # a busy moment must not lower it
    report.results["gemm_flops"] = peak
    print(f"float32 GEMM (1024 x 1024), {options.threads} threads: {peak / 1e9:.0f} GFLOP/s")
    print(RATE)
    answers = answers_of(measured, model, options.k)
    show(report, split, model, measured, answers, peak)
    check(report, model, answers)


def make_sides(
    split: data.Split, model: pc.BPR, options: argparse.Namespace, rivals: bool
) -> list[Side]:
    k, threads = options.k, options.threads
    index = ours.kernel_index(model)
    sides = [
        Side(ours.KERNEL, run=lambda _: ours.search_kernel(index, model, k, threads)),
        Side(ours.INDEX, run=lambda _: ours.search_index(model, k, threads)),
        Side(
            ours.FRAME,
            prepare=lambda: ours.forget_index(model),
            run=lambda fresh: ours.recommend(fresh, k, threads),
        ),
    ]
    if rivals:
        from bench.recommend_all import implicit_

        matrix = data.user_items(split.train)
        rival = implicit_.with_factors(model, threads)
        sides.append(Side(implicit_.NAME, run=lambda _: implicit_.recommend(rival, matrix, k)))
    users, items = model.user_factors_, model.item_factors_
    sides.append(Side(PLAIN, run=lambda _: machine.all_products(users, items, threads)))
    return sides


def answers_of(
    measured: dict[str, Measured], model: pc.BPR, k: int
) -> dict[str, NDArray[np.int64]]:
    """Return the lists of every side that makes some, as codes."""
    answers = {}
    for name, side in measured.items():
        if name == ours.FRAME:
            answers[name] = ours.lists_of(side.output, model, k)
        elif name.startswith("implicit"):
            from bench.recommend_all import implicit_

            answers[name] = implicit_.lists_of(side.output)
        elif name != PLAIN:
            answers[name] = side.output
    return answers


def show(
    report: Report,
    split: data.Split,
    model: pc.BPR,
    measured: dict[str, Measured],
    answers: dict[str, NDArray[np.int64]],
    peak: float,
) -> None:
    n_users, n_items = len(model.users_), len(model.items_)
    flops = 2.0 * n_users * n_items * model.factors
    k, runs = next(iter(answers.values())).shape[1], measured[ours.KERNEL].runs
    rival = next((side for side in measured.values() if side.name.startswith("implicit")), None)
    rows = []
    for name, side in measured.items():
        rate = flops / side.median
        found: dict[str, Any] = {**side.as_dict(), "flops": rate, "share_of_gemm": rate / peak}
        against, recall = None, None
        if rival is not None and side is not rival and name != PLAIN:
            against = ratio(side, rival)
            found["times_faster_than_rival"] = against.as_dict()
        if name in answers:
            recall = found["recall"] = recall_of(model, split.test, answers[name])
        report.results.setdefault("sides", {})[name] = found
        speed = [f"{n_users / side.median:,.0f}", f"{rate / 1e9:.0f}", f"{100 * rate / peak:.0f} %"]
        rows.append([name, side.median, side.spread(), *speed, recall, against])
    report.table(
        f"{split.name}: top {k} of {n_items:,} items for {n_users:,} users, "
        f"{model.factors} factors, {model.num_threads} threads, {runs} runs each",
        ["side", "median s", "min - max", "users/s", "GFLOP/s", "of GEMM", f"recall@{k}", "ratio"],
        rows,
    )


def recall_of(model: pc.BPR, test: pc.Interactions, rows: NDArray[np.int64]) -> float:
    """Mean recall of given lists over the test users that the model knows."""
    truth = find_truth(model, test, exclude_seen=True, unknown="drop")
    found = _core.ranking_metrics(
        np.ascontiguousarray(rows[truth.users]),
        truth.relevant.indptr,
        truth.relevant.indices,
        truth.n_relevant,
        [("recall", rows.shape[1])],
    )
    return float(found.mean())


def check(report: Report, model: pc.BPR, answers: dict[str, NDArray[np.int64]]) -> None:
    """All our ways give the same lists; implicit's differ at most where float64 scores agree."""
    reference = answers[ours.KERNEL]
    users = np.arange(len(reference))
    for name, rows in answers.items():
        if name == ours.KERNEL:
            continue
        agreement = lists.compare(
            reference, rows, users, lambda row, item: score_pairs64(model, row, item)
        )
        report.results.setdefault("agreement", {})[name] = agreement.as_dict()
        ours_too = not name.startswith("implicit")
        passed = agreement.identical_lists == len(users) if ours_too else agreement.agrees
        report.check(passed, f"{name} against {ours.KERNEL}: {agreement}")
