"""`python -m penchant`: the command line, for when the `penchant` script is not on the PATH."""

from __future__ import annotations

from penchant.cli import main

if __name__ == "__main__":
    main()
