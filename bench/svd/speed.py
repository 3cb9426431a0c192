"""Updates per second on generated ratings, both sides in turns."""

from __future__ import annotations

import argparse
from typing import Any

from bench import ratings, surprise_, timing
from bench.report import Report
from bench.svd import ours
from bench.svd.compare import DEFAULTS, rivals


def run(options: argparse.Namespace, report: Report) -> None:
    frame = ratings.synthetic(options.rows)
    params: dict[str, Any] = DEFAULTS["SVD"] | {
        "n_factors": options.factors,
        "init_std_dev": 0.1,
        "random_state": 0,
    }
    train = ratings.interactions(frame)
    train.csr("last")  # made once and kept: converting is not part of the comparison
    print(train)
    mine = params | {"n_epochs": options.epochs}
    sides = [timing.Side("penchant SVD", lambda _: ours.fit("SVD", train, mine, options.threads))]
    epochs = {"penchant SVD": options.epochs}
    if rivals(options, report):
        theirs = surprise_.trainset(frame, ratings.SCALE)
        short = params | {"n_epochs": 1}  # its time is a multiple of its epochs
        sides.append(timing.Side("Surprise SVD", lambda _: surprise_.fit("SVD", theirs, short)))
        epochs["Surprise SVD"] = 1
    measured = timing.interleave(sides, options.repeats)
    test = frame.sample(min(len(frame), 20_000), random_state=0)
    rows, speeds = [], {}
    for name, side in measured.items():
        speeds[name] = len(frame) * epochs[name] / side.median
        estimate = ours.estimates if name == "penchant SVD" else surprise_.estimates
        found = ratings.errors(estimate(side.output, test), test)
        rows.append([name, epochs[name], side.median, speeds[name] / 1e6, found["rmse"]])
        report.results.setdefault("sides", {})[name] = {
            **side.as_dict(),
            "updates_per_second": speeds[name],
            "training_rmse": found["rmse"],
        }
    report.table(
        f"{len(frame):,} ratings, {options.factors} factors, {options.threads} threads",
        ["side", "epochs", "median s", "M updates/s", "RMSE of 20,000 training ratings"],
        rows,
    )
    explain(report, options.factors, speeds["penchant SVD"])
    report.figure("updates_per_second", speeds["penchant SVD"])
    if "Surprise SVD" in speeds:
        report.figure("ratio", speeds["penchant SVD"] / speeds["Surprise SVD"])


def explain(report: Report, factors: int, speed: float) -> None:
    """State what an update needs of the machine: rows are padded to 16 floats."""
    padded = (factors + 15) // 16 * 16
    # The dot product, and for either row its decay and its step: 2 flops each.
    flops, state = 2 * padded * 5, 2 * 2 * padded * 4
    print(
        f"an update: {flops} flops, {state} bytes read and written, of which the item's half lies "
        f"in the second-level cache and the user's in registers; {speed * flops / 1e9:.1f} Gflop/s"
    )
    report.results["per_update"] = {"flops": flops, "state_bytes": state}
