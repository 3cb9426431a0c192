"""How many columns a CSV file may have.

pyarrow takes kilobytes for each, and with over 4 million of them some versions write past their
memory (apache/arrow#50275).
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import IO

from penchant.errors import DataError

__all__ = ["check_first_row", "check_width", "open_unpacked"]

_MOST_COLUMNS = 100_000
_PIECE_BYTES = 2**16


def check_width(n_columns: int, where: str) -> None:
    """Raise DataError if a first row has too many columns; `where` begins the message."""
    if n_columns > _MOST_COLUMNS:
        raise DataError(
            f"{where} has over {_MOST_COLUMNS:,} columns in its first row: is this a CSV file of "
            "rows, separated as was said?"
        )


def check_first_row(path: Path, delimiter: str, where: str) -> None:
    """Raise DataError if the first row of a CSV file, packed by gzip or not, is too wide."""
    n_quotes, n_delimiters = 0, 0
    try:
        with open_unpacked(path) as file:
            while line := file.readline(_PIECE_BYTES):
                n_quotes += line.count(b'"')
                n_delimiters += line.count(delimiter.encode())
                check_width(n_delimiters + 1, where)
                if line.endswith(b"\n") and n_quotes % 2 == 0:
                    return
    except (OSError, EOFError, zlib.error):
        return  # whoever reads the file tells of it


def open_unpacked(path: Path) -> IO[bytes]:
    """Open a file, unpacked if it begins as one of gzip does."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else open(path, "rb")  # type: ignore[return-value]
