"""`penchant config`: what is installed."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["config"]


def config(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Print what is installed: version, instruction set, packages."""
    from penchant.config import read_config

    found = read_config()
    typer.echo(found.to_json() if json else repr(found))
