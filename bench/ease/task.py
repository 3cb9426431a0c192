"""Options of `python -m bench ease`, and which comparison they ask for."""

from __future__ import annotations

import argparse

from bench.report import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--items", type=int, nargs="+", default=[1682, 5000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quality", action="store_true", help="ndcg@10 on MovieLens 100k")
    parser.add_argument("--splits", type=int, default=5, help="with --quality")
    parser.add_argument(
        "--validation",
        action="store_true",
        help="with --quality: on splits of the first training part, as for tuning",
    )


def run(options: argparse.Namespace, report: Report) -> None:
    if options.quality:
        from bench.ease import quality as kind
    else:
        from bench.ease import speed as kind
    kind.run(options, report)
