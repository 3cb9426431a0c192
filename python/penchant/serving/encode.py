"""The one encoder of recommendations: records as JSON or CSV, a column at a time.

Both are built as Arrow text columns joined row by row in native code, so encoding a million rows
takes no Python loop, and the JSON and CSV of one answer cannot differ in ids or digits.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant.data.arrow import text_buffers
from penchant.errors import require
from penchant.serving.json_lines import quoted

__all__ = [
    "CSV_HEADER",
    "Fragments",
    "Ids",
    "Records",
    "score_texts",
    "scores_to_csv",
    "to_columns",
    "to_csv",
    "to_flat_json_lines",
    "to_json",
    "to_json_lines",
    "to_objects",
    "with_query",
]

CSV_HEADER = b"user_id,item_id,score\n"

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

    def json(self) -> Any:
        """Return each id as JSON: a pyarrow.Array of large_string."""
        return pc.if_else(self.literal, self.text, quoted(self.text))


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
        Finite; NaN where there is none to predict.
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


def with_query(records: Records, known: NDArray[np.bool_], top_n: NDArray[np.int64]) -> Records:
    """Put what was asked about before what is like it, with the score 1.0.

    Parameters
    ----------
    records : Records
        The neighbours of items: those asked about are its ``users``.
    known : bool array of shape (len(records.users.text),)
        Which of them the model knows; the others stay without an answer.
    top_n : int64 array of the same shape
        The length at which each list is cut.
    """
    owners = records.user_rows
    n_items, asked = len(records.items.text), np.flatnonzero(known)
    rank = np.arange(len(owners)) - np.searchsorted(owners, owners)
    kept = rank < top_n[owners] - 1
    user_rows = np.concatenate([asked, owners[kept]])
    order = np.argsort(user_rows, kind="stable")
    items = Ids(
        pa.concat_arrays([records.items.text, records.users.text]),
        pa.concat_arrays([records.items.literal, records.users.literal]),
    )
    item_rows = np.concatenate([n_items + asked, records.item_rows[kept]])
    scores = np.concatenate([np.ones(len(asked), np.float32), records.scores[kept]])
    return dataclasses.replace(
        records,
        items=items,
        user_rows=user_rows[order],
        item_rows=item_rows[order],
        scores=scores[order],
    )


class Fragments:
    """The beginnings of answers, ``{"item_id": "tea", "score": ``, one for each id.

    They lie end to end in one buffer, of which an answer takes slices.

    Parameters
    ----------
    ids : Ids
    name : str
        What the id is called.
    """

    def __init__(self, ids: Ids, name: str) -> None:
        lines = pc.binary_join_element_wise(
            _text(f'{{"{name}": '), ids.json(), _text(', "score": '), _text("")
        )
        self._offsets, text = text_buffers(lines)
        self._text = bytes(text)  # whose slices are made faster than those of a view

    def of(self, positions: NDArray[np.int64]) -> list[bytes]:
        """Return the beginnings for ids at some positions."""
        starts = self._offsets[positions].tolist()
        ends = self._offsets[positions + 1].tolist()
        text = self._text
        return [text[start:end] for start, end in zip(starts, ends, strict=True)]


def to_objects(
    beginnings: list[bytes],
    scores: NDArray[np.float32],
    ends: list[int],
    columns: list[dict[str, Any]] | None = None,
) -> list[bytes]:
    """Return the ``{"item_id": id, "score": s}`` objects of several answers, joined by commas.

    Scores have the fewest digits that give the same float32 back.

    Parameters
    ----------
    beginnings : list of bytes, length n
        Of each object, see `Fragments`.
    scores : float32 array of shape (n,)
        Finite.
    ends : list of int, length q + 1
        Answer ``a`` consists of the objects ``ends[a]`` to ``ends[a + 1]``.
    columns : list of dict, optional
        More fields of each object.

    Examples
    --------
    >>> ids = Ids(pa.array(["tea", "7"], pa.large_string()), pa.array([False, True]))
    >>> beginnings = Fragments(ids, "item_id").of(np.array([0, 1]))
    >>> to_objects(beginnings, np.float32([1.5, 0.1]), [0, 2])
    [b'{"item_id": "tea", "score": 1.5}, {"item_id": 7, "score": 0.1}']
    """
    orjson = require("orjson", "serve")
    digits = orjson.dumps(np.ascontiguousarray(scores), option=orjson.OPT_SERIALIZE_NUMPY)
    parts: list[Any] = [b"}, "] * (3 * len(beginnings))
    parts[0::3] = beginnings
    if beginnings:
        parts[1::3] = digits[1:-1].split(b",")
    if columns is not None:
        more = [orjson.dumps(one, default=str) for one in columns]  # NaN becomes null
        parts[2::3] = [b", " + text[1:] + b", " for text in more]
    return [b"".join(parts[3 * start : 3 * end])[:-2] for start, end in pairwise(ends)]


def to_json(records: Records, names: tuple[str, str] = ("user_id", "item_id")) -> bytes:
    """Return a JSON list of ``{"user_id", "item_id", "score"}`` objects.

    Scores have the fewest digits that give the same float32 back; NaN is null. `names` are those
    of the first two fields.
    """
    return b"[" + _json_rows(records, names, "}, ")[:-2] + b"]"


def to_flat_json_lines(records: Records) -> bytes:
    """Return the objects of `to_json`, one a line."""
    return _json_rows(records, ("user_id", "item_id"), "}\n")


def _json_rows(records: Records, names: tuple[str, str], end: str) -> bytes:
    fields = (f'{{"{names[0]}": ', f', "{names[1]}": ', ', "score": ', end)
    return _rows(records, Ids.json, fields, "null")


def to_json_lines(
    records: Records,
    name: str = "user_id",
    *,
    unknown: NDArray[np.bool_] | None = None,
    about: str = "",
) -> bytes:
    """Return a line ``{"user_id", "items": [{"item_id", "score"}, ...]}`` for each of the users.

    Those without an answer have an empty list, so that lines match the requests one by one.

    Parameters
    ----------
    records : Records
    name : str
        What the users are called.
    unknown : bool array of shape (len(records.users.text),), optional
        Users who are told to be, by ``"unknown": true``.
    about : str
        Fields at the end of each line, such as ``"model": "shop"``.
    """
    end = f"], {about}}}\n" if about else "]}\n"
    before, middle, after, nothing = map(_text, ('{"item_id": ', ', "score": ', "}", ""))
    marks = nothing
    if unknown is not None:
        marks = pc.if_else(pa.array(unknown), _text(', "unknown": true'), nothing)
    items = records.items.json().take(pa.array(records.item_rows))
    entries = pc.binary_join_element_wise(
        before, items, middle, score_texts(records.scores, "null"), after, nothing
    )
    lists = pc.binary_join(_lists(records, entries), _text(", "))
    lines = pc.binary_join_element_wise(
        _text(f'{{"{name}": '),
        records.users.json(),
        marks,
        _text(', "items": ['),
        lists,
        _text(end),
        nothing,
    )
    return bytes(text_buffers(lines)[1])


def to_columns(records: Records) -> tuple[list[str], list[str]]:
    """Return the scores and the items of each of the users, as JSON lists.

    Returns
    -------
    scores, items : list of str
        JSON such as ``[0.5, 0.25]`` and ``["tea", "jam"]``.
    """
    items = records.items.json().take(pa.array(records.item_rows))
    scores = score_texts(records.scores, "null")
    joined = (pc.binary_join(_lists(records, column), _text(", ")) for column in (scores, items))
    first, second = ([f"[{text}]" for text in column.to_pylist()] for column in joined)
    return first, second


def scores_to_csv(records: Records) -> bytes:
    """Return a line for each score and nothing else: what predictions look like in CSV."""
    texts = score_texts(records.scores, "nan")
    return bytes(text_buffers(pc.binary_join_element_wise(texts, _text("\n"), _text("")))[1])


def to_csv(records: Records) -> bytes:
    """Return ``user_id,item_id,score`` lines without a header (which is `CSV_HEADER`).

    Fields are quoted where RFC 4180 wants it; lines end with a line feed.
    """
    return _rows(records, _quote_csv, ("", ",", ",", "\n"), "nan")


def _rows(
    records: Records, quote: Any, punctuation: tuple[str, str, str, str], missing: str
) -> bytes:
    if not len(records):
        return b""
    before, first, second, after = map(_text, punctuation)
    lines = pc.binary_join_element_wise(
        before,
        quote(records.users).take(pa.array(records.user_rows)),
        first,
        quote(records.items).take(pa.array(records.item_rows)),
        second,
        score_texts(records.scores, missing),
        after,
        _text(""),  # the separator
    )
    _, text = text_buffers(lines)  # joined end to end is how Arrow holds them already
    return bytes(text)


def _text(value: str) -> Any:
    return pa.scalar(value, pa.large_string())


def score_texts(scores: NDArray[np.float32], missing: str) -> Any:
    """Return scores as Arrow text: the fewest digits that give them back; `missing` for NaN."""
    texts = pa.array(scores).cast(pa.large_string())
    known = np.isfinite(scores)
    return texts if known.all() else pc.if_else(pa.array(known), texts, _text(missing))


def _lists(records: Records, rows: Any) -> Any:
    """Return a list for each of the users: its part of a column that has an entry a row."""
    starts = np.searchsorted(records.user_rows, np.arange(len(records.users.text) + 1))
    return pa.ListArray.from_arrays(pa.array(starts, pa.int32()), rows)


def _quote_csv(ids: Ids) -> Any:
    special = pc.match_substring_regex(ids.text, _CSV_SPECIAL)
    if not pc.any(special, min_count=0).as_py():
        return ids.text
    return pc.if_else(special, _wrap(pc.replace_substring(ids.text, '"', '""')), ids.text)


def _wrap(text: Any) -> Any:
    return pc.binary_join_element_wise(_text('"'), text, _text('"'), _text(""))
