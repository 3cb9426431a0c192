"""`python -m bench prod2vec`: words per second and HitRate@100 beside gensim."""

from __future__ import annotations

import argparse
from typing import Any

from bench.prod2vec import gensim_, ours, sequences
from bench.report import Report
from bench.settings import setting
from bench.timing import Measured, Side, interleave, ratio

# What both sides train with in the comparison of speed; the rest is left to gensim's defaults.
SAME = {"vector_size": 48, "window": 10, "epochs": 30, "min_count": 3, "ns_exponent": 0.75}
SAME_OURS = {
    **{"negative": 5, "sample": 1e-3, "alpha": 0.025, "min_alpha": 0.0001},
    **{"score_vectors": "input", "popularity_weight": 0.0},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", choices=sequences.SETS, default="retail")
    parser.add_argument("--sg", type=int, choices=(0, 1), default=1, help="1 skip-gram, 0 CBOW")
    parser.add_argument(
        "--quality", action="store_true", help="the tuned setting of tuned.json, measured once"
    )
    parser.add_argument("--on", choices=("test", "valid"), default="test", help="with --quality")
    parser.add_argument("--no-rivals", action="store_true", help="our side only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of the setting's own")


def run(options: argparse.Namespace, report: Report) -> None:
    split = sequences.load(options.data)
    print(split)
    missing = "left out by --no-rivals" if options.no_rivals else gensim_.missing()
    if missing:
        report.note(missing)
    same = SAME | {"sg": options.sg}
    if options.epochs:
        same["epochs"] = options.epochs
    params = same | SAME_OURS
    if options.quality:
        params = setting("prod2vec", options.data)
    params["num_threads"] = options.threads
    report.results |= {"params": params, "rival_params": same}
    train = ours.interactions(split)
    sides = [Side(ours.NAME, run=lambda _: ours.fit(train, params))]
    if not missing:
        sides.append(Side(gensim_.NAME, run=lambda _: gensim_.fit(split, same, options.threads)))
    measured = interleave(sides, 1 if options.quality else options.repeats)
    show(report, options, split, params, measured)


def show(
    report: Report,
    options: argparse.Namespace,
    split: sequences.Split,
    params: dict[str, Any],
    measured: dict[str, Measured],
) -> None:
    rival = measured.get(gensim_.NAME)
    parts = ["valid", options.on] if options.on != "valid" else ["valid"]
    rows = []
    for side in measured.values():
        mine = side.name == ours.NAME
        hit_rate_of = ours.hit_rate_of if mine else gensim_.hit_rate_of
        found = {part: hit_rate_of(side.output, split.part(part)) for part in parts}
        epochs = params["epochs"] if mine else report.results["rival_params"]["epochs"]
        rate = split.n_words * epochs / side.median
        against = None if rival is None or not mine else ratio(side, rival)
        report.results.setdefault("sides", {})[side.name] = {
            **side.as_dict(),
            "words_per_second": rate,
            "hit_rate@100": found,
        }
        rows.append([side.name, side.median, side.spread(), rate / 1e6, *found.values(), against])
        prefix = "" if mine else "gensim "
        report.figure(f"{prefix}words/s", rate)
        for part, value in found.items():
            report.figure(f"{prefix}hit_rate@100 {part}", value)
        if against is not None:
            report.figure("ratio", against.median)
    report.table(
        f"{split.name}: {'tuned' if options.quality else 'the same work'}, {options.threads} "
        f"threads; {params}",
        ["side", "median s", "min - max", "M words/s", *(f"HR@100 {part}" for part in parts), ""],
        rows,
    )
