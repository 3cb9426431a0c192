"""Updates per second with uniform negatives, both sides in turns."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from bench import data, lists
from bench.bpr import ours, traffic
from bench.models import implicit_missing, quality, score_pairs64
from bench.report import Report
from bench.timing import Measured, Side, interleave, ratio

METRICS = ("recall@20", "ndcg@20")
EPOCHS = {"gowalla": 100, "synthetic": 3}  # unless --epochs says otherwise
_CHECKED_USERS = 1000


def run(options: argparse.Namespace, report: Report) -> None:
    split = data.load(options.data, options.rows)
    split.train.csr("distinct")  # made once and kept: converting is not part of the comparison
    report.results["data"] = split.describe()
    print(split)
    params = ours.same_work(
        options.factors,
        options.epochs or EPOCHS[options.data],
        options.learning_rate,
        options.regularization,
        options.threads,
    )
    theirs = {
        "factors": options.factors,
        "iterations": params["epochs"],
        "learning_rate": options.rival_learning_rate,
        "regularization": options.regularization,
    }
    report.results |= {"params": params, "rival_params": theirs}
    missing = "left out by --no-rivals" if options.no_rivals else implicit_missing()
    if missing:
        report.note(missing)
        theirs = None
    sides = make_sides(split, params, theirs)
    before = traffic.measure_limits(options.threads)
    short = None if theirs is None else theirs | {"iterations": 1}
    interleave(make_sides(split, params | {"epochs": 1}, short), 1)
    measured = interleave(sides, options.repeats)
    after = traffic.measure_limits(options.threads)
    limits = traffic.show_limits(report, options.threads, before, after)
    show_speed(report, split, params, measured, limits)
    check_outputs(report, split, measured)


def make_sides(
    split: data.Split, params: dict[str, Any], theirs: dict[str, Any] | None
) -> list[Side]:
    """Return our two sides, and implicit's with its parameters `theirs` unless it takes no part."""
    train = split.train
    sides = [
        Side(
            ours.KERNEL,
            run=lambda arrays: ours.fit_kernel(train, params, arrays),
            prepare=lambda: ours.start(train, params),
        ),
        Side(ours.NAME, run=lambda _: ours.fit(train, params)),
    ]
    if theirs is not None:
        from bench.bpr import implicit_

        matrix = data.user_items(train)
        threads = params["num_threads"]
        sides.append(Side(implicit_.NAME, run=lambda _: implicit_.fit_bpr(matrix, threads, theirs)))
    return sides


def show_speed(
    report: Report,
    split: data.Split,
    params: dict[str, Any],
    measured: dict[str, Measured],
    limits: dict[str, float],
) -> None:
    updates = split.n_pairs * params["epochs"]
    per_update = traffic.bytes_per_update(params["factors"])
    report.results["bytes_per_update"] = per_update
    print(f"{traffic.MODEL} {per_update} bytes here.")
    rival = next((side for side in measured.values() if side.name.startswith("implicit")), None)
    rows = []
    for side in measured.values():
        found = {
            **side.as_dict(),
            "updates_per_second": updates / side.median,
            "bytes_per_second": updates / side.median * per_update,
            "quality": side_quality(side, split),
        }
        against = None
        if rival is not None and side is not rival:
            against = ratio(side, rival)
            found["times_faster_than_rival"] = against.as_dict()
            if side.name == ours.NAME:
                report.figure("ratio", against.median)
        report.results.setdefault("sides", {})[side.name] = found
        cells = traffic.columns(updates / side.median, per_update, limits)
        shown = [found["quality"].get(name) for name in METRICS]
        rows.append([side.name, side.median, side.spread(), *cells, *shown, against])
    report.table(
        f"{split.name}: {params['factors']} factors, {params['epochs']} epochs, "
        f"{params['num_threads']} threads, {measured[ours.NAME].runs} runs each",
        ["side", "median s", "min - max", *traffic.HEADERS, *METRICS, "ratio (rounds)"],
        rows,
    )


def side_quality(side: Measured, split: data.Split) -> dict[str, float]:
    """Metrics of what the last run of a side learnt; none for the kernel's bare arrays."""
    if side.name == ours.KERNEL:
        return {}
    if side.name == ours.NAME:
        return quality(side.output, split.test, METRICS)
    from bench.bpr import implicit_

    return quality(implicit_.as_ours(side.output, split.train), split.test, METRICS)


def check_outputs(report: Report, split: data.Split, measured: dict[str, Measured]) -> None:
    """The kernel and `fit` agree to the bit; implicit's own top-k agrees with our evaluation's."""
    model = ours.arrays_of(measured[ours.NAME].output)
    same = model.bits() == measured[ours.KERNEL].output.bits()
    report.check(same, "the kernel alone and BPR.fit learn the same bits")
    rival = next((side for side in measured.values() if side.name.startswith("implicit")), None)
    if rival is None:
        return
    from bench.bpr import implicit_

    users = np.arange(min(_CHECKED_USERS, split.train.n_users))
    wrapped = implicit_.as_ours(rival.output, split.train)
    mine, _ = wrapped.recommend_codes(users, k=20)
    theirs = implicit_.recommend(rival.output, data.user_items(split.train), users, 20)
    agreement = lists.compare(
        mine, theirs, users, lambda rows, items: score_pairs64(wrapped, rows, items)
    )
    report.results["evaluation_check"] = agreement.as_dict()
    report.check(
        agreement.agrees, f"the evaluation ranks implicit's factors as implicit does: {agreement}"
    )
