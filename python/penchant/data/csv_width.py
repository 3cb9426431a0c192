"""How many columns a CSV file may have.

pyarrow takes kilobytes for each, and with over 4 million of them some versions write past their
memory (apache/arrow#50275).
"""

from __future__ import annotations

import re
from typing import IO

from penchant.errors import DataError

__all__ = ["check_first_row", "check_width"]

_MOST_COLUMNS = 100_000
_MOST_BYTES = 2**24
_PEEK_BYTES = 2**16


def check_width(n_columns: int, where: str) -> None:
    """Raise DataError if a first row has too many columns; `where` begins the message."""
    if n_columns > _MOST_COLUMNS:
        raise DataError(
            f"{where} has over {_MOST_COLUMNS:,} columns in its first row: is this a CSV file of "
            "rows, separated as was said?"
        )


def check_first_row(file: IO[bytes], delimiter: str, where: str, encoding: str = "utf-8") -> None:
    """Refuse a CSV file whose first row is too wide.

    Parameters
    ----------
    file : binary file
        Read from where it stands, not much further than the first row that is not empty.
    delimiter : str
    where : str
        Begins the message.
    encoding : str, default "utf-8"

    Raises
    ------
    DataError
        It has over 100,000 columns, or is over 16 MB long.
    """
    data = b""
    while more := file.read(max(len(data), _PEEK_BYTES)):
        data += more
        text = data.decode(encoding, "replace").lstrip("\ufeff\r\n")
        n_columns, whole = _count_columns(text, delimiter)
        check_width(n_columns, where)
        if whole:
            return
        if len(data) > _MOST_BYTES:
            raise DataError(f"the first row of {where} is over 16 MB long: is a quote not closed?")


def _count_columns(text: str, delimiter: str) -> tuple[int, bool]:
    """Return how many fields the first row has, as pyarrow cuts it, and whether its end is here."""
    special = re.compile(f'["\r\n{re.escape(delimiter)}]')
    n_columns, start, place, quoted = 1, 0, 0, False
    while found := special.search(text, place):
        place, character = found.end(), found[0]
        if quoted:
            if character == '"' and text[place : place + 1] == '"':
                place += 1  # a doubled quote is one of the text
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = found.start() == start  # elsewhere it is a character like others
        elif character == delimiter:
            n_columns, start = n_columns + 1, place
            if n_columns > _MOST_COLUMNS:
                break
        else:
            return n_columns, True
    return n_columns, False
