"""Ids that a file holds as text."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["read_ids"]

# An integer as programs write it, or as pandas does in a column with gaps: 17850, 17850.0.
_INTEGER = r"^(0|-?[1-9][0-9]*)(\.0+)?$"


def read_ids(text: Any) -> Any:
    """Make integers of a column of text if no id loses anything by it.

    Parameters
    ----------
    text : pyarrow.ChunkedArray or pyarrow.Array of strings

    Returns
    -------
    pyarrow.ChunkedArray or pyarrow.Array
        Of int64, or as it came: one ``007`` keeps the whole column text.

    Examples
    --------
    >>> read_ids(pa.array(["17850", "13047.0"])).to_pylist()
    [17850, 13047]
    """
    trimmed = pc.utf8_trim_whitespace(text)
    if not pc.all(pc.match_substring_regex(trimmed, _INTEGER)).as_py():
        return text
    try:
        return pc.replace_substring_regex(trimmed, r"\.0+$", "").cast(pa.int64())
    except pa.ArrowInvalid:  # longer than 64 bits
        return text
