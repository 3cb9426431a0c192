"""Options of `python -m bench bpr`, and which comparison they ask for."""

from __future__ import annotations

import argparse

from bench.report import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", choices=("gowalla", "online-retail-ii", "synthetic"), required=True
    )
    parser.add_argument("--rows", type=int, help="of the synthetic set; 20,000,000")
    parser.add_argument(
        "--quality", action="store_true", help="the tuned setting of tuned.json, measured once"
    )
    parser.add_argument(
        "--race", action="store_true", help="time to reach recall@20 .160 on Gowalla's test part"
    )
    parser.add_argument(
        "--fold-in", action="store_true", help="strangers: recall lost, time; on Gowalla"
    )
    parser.add_argument(
        "--on",
        choices=("test", "valid"),
        default="test",
        help="with --quality and --race: valid trains without it and measures on it (for tuning)",
    )
    parser.add_argument("--no-rivals", action="store_true", help="our side only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5, help="rounds of the speed comparison")
    parser.add_argument("--factors", type=int, default=64, help="of the speed comparison")
    parser.add_argument("--epochs", type=int, help="instead of the setting's own")
    parser.add_argument("--learning-rate", type=float, default=0.05, help="ours, for speed")
    parser.add_argument(
        "--rival-learning-rate",
        type=float,
        default=0.01,
        help="implicit's, for speed; its default, at which it ranks better than at ours",
    )
    parser.add_argument("--regularization", type=float, default=0.01, help="both sides, for speed")


def run(options: argparse.Namespace, report: Report) -> None:
    if options.race:
        from bench.bpr import race as kind
    elif options.fold_in:
        from bench.bpr import fold_in as kind
    elif options.quality:
        from bench.bpr import tuned as kind
    elif options.data == "online-retail-ii":
        from bench.bpr import defaults as kind
    else:
        from bench.bpr import speed as kind
    kind.run(options, report)
