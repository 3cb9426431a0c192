"""`python -m bench batch_transform`: users from one file, their top k to another, in turns."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import penchant as pc
from bench import data, lists
from bench.batch_transform import ours
from bench.models import implicit_missing, score_pairs64
from bench.report import Report
from bench.timing import Measured, Side, interleave, ratio

FORMATS = ("csv", "jsonl", "parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", choices=data.SETS, default="gowalla")
    parser.add_argument("--rows", type=int, help="of the synthetic set; 20,000,000")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--epochs", type=int, help="of the training beforehand; BPR's own default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
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
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        users = write_users(model, place / "users.jsonl", options.k)
        model.save(place / "artifact")
        sides = make_sides(split, model, options, place, users, rivals=missing is None)
        interleave(sides, 1)
        measured = interleave(sides, options.repeats)
        show(report, split, model, measured, options)
        check(report, model, measured, options.k)


def write_users(model: pc.BPR, path: Path, k: int) -> Path:
    lines = (json.dumps({"user_id": str(user), "top_n": str(k)}) for user in model.users_)
    path.write_text("\n".join(lines) + "\n", encoding="utf8")
    return path


def make_sides(
    split: data.Split,
    model: pc.BPR,
    options: argparse.Namespace,
    place: Path,
    users: Path,
    *,
    rivals: bool,
) -> list[Side]:
    """Both sides have their model in memory; the last of ours loads and verifies it too."""

    def ours_to(name: str, given: Any, file: str) -> Side:
        out = place / file
        return Side(
            name, run=lambda _: ours.transform(given, users, out, options.k, options.threads)
        )

    sides = [ours_to(f"{ours.NAME}, {form}", model, f"ours.{form}") for form in FORMATS]
    sides.append(ours_to(f"{ours.NAME}, csv, load too", place / "artifact", "loaded.csv"))
    if rivals:
        from bench.batch_transform import implicit_

        matrix = data.user_items(split.train)
        rival = implicit_.with_factors(model, options.threads)
        out = place / "implicit.csv"
        sides.append(
            Side(
                implicit_.NAME,
                run=lambda _: implicit_.transform(rival, model, matrix, users, out, options.k),
            )
        )
    return sides


def show(
    report: Report,
    split: data.Split,
    model: pc.BPR,
    measured: dict[str, Measured],
    options: argparse.Namespace,
) -> None:
    n_users = len(model.users_)
    rival = next((side for side in measured.values() if side.name.startswith("implicit")), None)
    rows = []
    for name, side in measured.items():
        against = ratio(side, rival) if rival is not None and side is not rival else None
        found: dict[str, Any] = side.as_dict() | {"users_per_second": n_users / side.median}
        if against is not None:
            found["times_faster_than_rival"] = against.as_dict()
        report.results.setdefault("sides", {})[name] = found
        rows.append([name, side.median, side.spread(), f"{n_users / side.median:,.0f}", against])
    report.table(
        f"{split.name}: file in, file out, top {options.k} of {len(model.items_):,} items for "
        f"{n_users:,} users, {model.factors} factors, {options.threads} threads, "
        f"{options.repeats} runs each",
        ["side", "median s", "min - max", "users/s", "ratio"],
        rows,
    )
    if rival is not None:
        csv_side = next(iter(measured.values()))
        report.figure("batch transform, times faster than implicit", rival.median / csv_side.median)


def check(report: Report, model: pc.BPR, measured: dict[str, Measured], k: int) -> None:
    """Files hold the lists that the model gives; implicit's differ where scores agree."""
    users = np.arange(len(model.users_))
    reference, _ = model.recommend_codes(users, k=k)
    for name, side in measured.items():
        if side.output.suffix != ".csv":
            continue
        found = ours.lists_of(side.output, model, k)
        agreement = lists.compare(
            reference, found, users, lambda row, item: score_pairs64(model, row, item)
        )
        same = agreement.identical_lists == len(users)
        passed = agreement.agrees if name.startswith("implicit") else same
        report.check(passed, f"{name} against model.recommend_codes: {agreement}")
