"""Options of `python -m bench svd`, and which comparison they ask for."""

from __future__ import annotations

import argparse

from bench.report import Report
from bench.svd import compare


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", choices=("synthetic", "ml-100k"), required=True)
    parser.add_argument("--rows", type=int, default=4_790_000, help="of the synthetic set")
    parser.add_argument("--factors", type=int, default=100, help="of the synthetic set")
    parser.add_argument("--epochs", type=int, default=20, help="ours, on the synthetic set")
    parser.add_argument(
        "--best",
        action="store_true",
        help="ml-100k: BayesianSVD, its setting chosen inside each training fold",
    )
    parser.add_argument("--fold-in", action="store_true", help="ml-100k: users left out")
    compare.add_arguments(parser, repeats=5)


def run(options: argparse.Namespace, report: Report) -> None:
    if options.fold_in:
        from bench.svd import fold_in

        fold_in.run(options, report)
    elif options.best:
        from bench.svd import best

        best.run(options, report)
    elif options.data == "ml-100k":
        compare.movielens("SVD", options, report)
    else:
        from bench.svd import speed

        speed.run(options, report)
