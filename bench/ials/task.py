"""Options of `python -m bench ials`, and which comparison they ask for."""

from __future__ import annotations

import argparse

from bench.report import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        "--quality", action="store_true", help="the tuned setting of tuned.json, measured once"
    )
    kinds.add_argument(
        "--solvers", action="store_true", help="quality against time of every solver"
    )
    kinds.add_argument("--fold-in", action="store_true", help="time to take a stranger in")
    parser.add_argument(
        "--on",
        choices=("test", "valid"),
        default="test",
        help="valid trains without it and measures on it (for tuning)",
    )
    parser.add_argument(
        "--factors", type=int, choices=(64, 128, 256), action="append", help="repeatable"
    )
    parser.add_argument("--epochs", type=int, help="instead of the setting's own")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of the race with implicit")
    parser.add_argument("--threads", type=int, default=2)


def run(options: argparse.Namespace, report: Report) -> None:
    if options.quality:
        from bench.ials import tuned as kind
    elif options.solvers:
        from bench.ials import solvers as kind
    elif options.fold_in:
        from bench.ials import fold_in as kind
    else:
        from bench.ials import race as kind
    kind.run(options, report)
