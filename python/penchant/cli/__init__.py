"""The `penchant` command."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line on `sys.argv` and exit with its status."""
    from penchant.cli.app import app

    app(prog_name="penchant")
