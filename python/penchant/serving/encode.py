"""The one encoder of recommendations: records as JSON or CSV, a column at a time.

Both are built as Arrow text columns joined row by row in native code, so encoding a million rows
takes no Python loop, and the JSON and CSV of one answer cannot differ in ids or digits.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant.data.arrow import text_buffers
from penchant.serving.json_lines import quoted

__all__ = ["CSV_HEADER", "Ids", "Records", "to_csv", "to_json", "to_json_lines"]

CSV_HEADER = b"user_id,item_id,score\n"

_JSON_RECORD = ('{"user_id": ', ', "item_id": ', ', "score": ')
_CSV_SPECIAL = r'[",\r\n]'


@dataclasses.dataclass(frozen=True)
class Ids:
    """Ids on their way out.

    Attributes
    ----------
    text : pyarrow.Array of large_string, shape (n,)
    literal : pyarrow.Array of bool, shape (n,)
        True where the text is a JSON number (or true, false) and is not quoted.
    """

    text: Any
    literal: Any

    def take(self, positions: NDArray[np.int64]) -> Ids:
        """Return the ids at some positions."""
        indices = pa.array(positions)
        return Ids(self.text.take(indices), self.literal.take(indices))


@dataclasses.dataclass(frozen=True)
class Records:
    """Recommendations, a row each: columns that share dictionaries of distinct ids.

    Attributes
    ----------
    users, items : Ids
        Distinct ids, of the users and of the items.
    user_rows, item_rows : int64 array of shape (n,)
        Positions in them.
    scores : float32 array of shape (n,)
        Finite.
    unknown : int
        How many of the requests were for users the model does not know.
    """

    users: Ids
    items: Ids
    user_rows: NDArray[np.int64]
    item_rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    unknown: int

    def __len__(self) -> int:
        return len(self.scores)


def to_json(records: Records) -> bytes:
    """Return a JSON list of ``{"user_id", "item_id", "score"}`` objects.

    Scores have the fewest digits that give the same float32 back.
    """
    return b"[" + _rows(records, _quote_json, (*_JSON_RECORD, "}, "))[:-2] + b"]"


def to_json_lines(records: Records) -> bytes:
    """Return the objects of `to_json`, one a line."""
    return _rows(records, _quote_json, (*_JSON_RECORD, "}\n"))


def to_csv(records: Records) -> bytes:
    """Return ``user_id,item_id,score`` lines without a header (which is `CSV_HEADER`).

    Fields are quoted where RFC 4180 wants it; lines end with a line feed.
    """
    return _rows(records, _quote_csv, ("", ",", ",", "\n"))


def _rows(records: Records, quote: Any, punctuation: tuple[str, str, str, str]) -> bytes:
    if not len(records):
        return b""
    before, first, second, after = (pa.scalar(text, pa.large_string()) for text in punctuation)
    lines = pc.binary_join_element_wise(
        before,
        quote(records.users).take(pa.array(records.user_rows)),
        first,
        quote(records.items).take(pa.array(records.item_rows)),
        second,
        pa.array(records.scores).cast(pa.large_string()),
        after,
        pa.scalar("", pa.large_string()),  # the separator
    )
    _, text = text_buffers(lines)  # joined end to end is how Arrow holds them already
    return bytes(text)


def _quote_json(ids: Ids) -> Any:
    return pc.if_else(ids.literal, ids.text, quoted(ids.text))


def _quote_csv(ids: Ids) -> Any:
    special = pc.match_substring_regex(ids.text, _CSV_SPECIAL)
    if not pc.any(special, min_count=0).as_py():
        return ids.text
    return pc.if_else(special, _wrap(pc.replace_substring(ids.text, '"', '""')), ids.text)


def _wrap(text: Any) -> Any:
    mark, nothing = pa.scalar('"', pa.large_string()), pa.scalar("", pa.large_string())
    return pc.binary_join_element_wise(mark, text, mark, nothing)
