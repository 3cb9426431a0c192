"""The command ``penchant-sagemaker``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from penchant._version import __version__

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``train`` or ``serve`` and exit: 0 when it went well, 1 when not, 2 for wrong usage.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.
    """
    parser = argparse.ArgumentParser(
        prog="penchant-sagemaker",
        description="Train a model, or serve one, by SageMaker's contract for containers.",
        epilog="Example: penchant-sagemaker train --root ./ml",
    )
    parser.add_argument("--version", action="version", version=f"penchant {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="train|serve")
    for name, text in (
        ("train", "learn from ROOT/input, write ROOT/model; ROOT/output/failure says what failed"),
        ("serve", "answer HTTP requests with the model in ROOT/model"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--root",
            metavar="DIR",
            help="the tree of input, model and output [default: $PENCHANT_ML_ROOT or /opt/ml]",
        )
    chosen = parser.parse_args(arguments)
    if chosen.command == "train":
        from penchant.container.training import train

        sys.exit(train(chosen.root))
    from penchant.container.web import serve

    sys.exit(serve(chosen.root))
