"""Requests of `transform` out of blocks of a file: JSON Lines, CSV or Parquet."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant.data import arrow
from penchant.errors import RequestError
from penchant.serving.decode import COUNTS, MAX_ID_BYTES, MAX_LINE_BYTES, Requests
from penchant.serving.json_lines import Lines, read_lines
from penchant.serving.plain_requests import BadLine, decode_lines, requests_of
from penchant.serving.questions import PLAIN_FIELDS, read_question

__all__ = ["MAX_TOP_N", "Asked", "cut", "from_lines", "from_table"]

MAX_TOP_N = 100_000
_PART_REQUESTS = 2048
_PART_RECORDS = 1_000_000
# As `decode.whole_number` reads text: Arrow alone would take "0x3" too.
_WHOLE = r"^\s*[0-9]{1,18}(\.0*)?\s*$"


class Asked(NamedTuple):
    """What a block of a file asks for."""

    requests: Requests
    bad: list[BadLine]


def from_lines(lines: Lines, top_n: int) -> Asked:
    r"""Decode lines such as ``{"user_id": "17850", "k": 10}``.

    Parameters
    ----------
    lines : Lines
    top_n : int
        For lines that do not say how many.

    Examples
    --------
    >>> from penchant.serving.json_lines import split_lines
    >>> asked = from_lines(split_lines(b'{"user_id": 1}\n{"user_id": ""}\n'), 10)
    >>> asked.requests.user_ids.to_pylist(), [bad.number for bad in asked.bad]
    (['1'], [2])
    """

    def by_columns(table: pa.Table, text: Any, part: Lines) -> Asked | None:
        if "user_id" not in table.column_names:
            return None
        users = _plain_ids(arrow.combine(table["user_id"]))
        counts = _counts(table, top_n)
        return None if users is None or counts is None else Asked(Requests(users, counts), [])

    def one_by_one(part: Lines) -> Asked:
        requests, bad = decode_lines(part, top_n=top_n, max_top_n=MAX_TOP_N)
        return Asked(Requests(_text(requests.user_ids), requests.top_n), bad)

    return _joined(read_lines(lines, PLAIN_FIELDS, MAX_LINE_BYTES, by_columns, one_by_one))


def from_table(table: pa.Table, numbers: NDArray[np.int64], top_n: int) -> Asked:
    """Decode a table with a column ``user_id`` and, perhaps, ``k`` or ``top_n``.

    Parameters
    ----------
    table : pyarrow.Table
    numbers : int64 array of shape (n,)
        Of its rows in the file, for messages.
    top_n : int
        For rows that do not say how many.

    Examples
    --------
    >>> import numpy as np, pyarrow as pa
    >>> asked = from_table(pa.table({"user_id": [7, None]}), np.array([1, 2]), 10)
    >>> asked.requests.user_ids.to_pylist(), asked.bad[0].error
    (['7'], 'user_id is missing')
    """
    ids = arrow.combine(table["user_id"])
    if pa.types.is_floating(ids.type):  # integers with gaps, as pandas has them
        whole = arrow.cast_or_none(ids, pa.int64())
        ids = ids if whole is None else whole
    users, counts = _plain_ids(ids), _counts(table, top_n)
    if users is not None and counts is not None:
        return Asked(Requests(users, counts), [])
    # Odd values are few: the others need not suffer for them.
    middle = table.num_rows // 2
    if table.num_rows > 64:
        halves = (
            from_table(table.slice(0, middle), numbers[:middle], top_n),
            from_table(table.slice(middle), numbers[middle:], top_n),
        )
        return _joined(list(halves))
    return _rows_one_by_one(table, numbers, top_n)


def cut(requests: Requests) -> list[Requests]:
    """Cut requests into parts, in order, that are answered at a time.

    Examples
    --------
    >>> requests = Requests.of([("1", 10)] * 3000)
    >>> [len(part) for part in cut(requests)]
    [2048, 952]
    """
    parts: list[Requests] = []
    for start in range(0, len(requests), _PART_REQUESTS):
        end = start + _PART_REQUESTS
        some = Requests(requests.user_ids[start:end], requests.top_n[start:end])
        parts += some.split(_PART_RECORDS)
    return parts


def _rows_one_by_one(table: pa.Table, numbers: NDArray[np.int64], top_n: int) -> Asked:
    questions, bad = [], []
    for number, row in zip(numbers.tolist(), table.to_pylist(), strict=True):
        record = {name: _decoded(value) for name, value in row.items() if value is not None}
        try:
            questions.append(
                read_question(record, "recommend", k=top_n, max_k=MAX_TOP_N, fields=PLAIN_FIELDS)
            )
        except RequestError as error:
            line = json.dumps(record, ensure_ascii=False, default=str)
            bad.append(BadLine(number, str(error), line[:MAX_LINE_BYTES]))
        except TypeError:  # no value that JSON has, such as bytes or a date
            bad.append(BadLine(number, _no_json(record), repr(record)[:MAX_LINE_BYTES]))
    requests = requests_of(questions)
    return Asked(Requests(_text(requests.user_ids), requests.top_n), bad)


def _decoded(value: Any) -> Any:
    """Return a value as JSON has it, if it has."""
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else format(value.normalize(), "f")
    with contextlib.suppress(UnicodeDecodeError):
        return value.decode() if isinstance(value, bytes) else value
    return value


def _no_json(record: dict[str, Any]) -> str:
    """Return what is wrong with the first field whose value JSON cannot hold."""
    name = next((name for name, value in record.items() if not _is_json(value)), "user_id")
    what = f"a whole number from 1 to {MAX_TOP_N}" if name in COUNTS else "text or a number"
    return f"{name} must be {what}, got {record.get(name)!r:.60}"


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def _plain_ids(ids: Any) -> Any | None:
    """Return ids as text; None where one is missing, empty, too long or of another kind."""
    if pa.types.is_dictionary(ids.type):
        ids = ids.cast(ids.type.value_type)
    if ids.null_count or pa.types.is_nested(ids.type) or pa.types.is_boolean(ids.type):
        return None
    if arrow.is_bytes(ids.type):
        ids = arrow.cast_or_none(ids, pa.large_string())
        if ids is None:
            return None
    if pa.types.is_floating(ids.type) or pa.types.is_decimal(ids.type):
        return None
    texts = arrow.to_text(ids)
    if arrow.is_text(ids.type) and len(texts):
        sizes = pc.min_max(pc.binary_length(texts)).as_py()
        if sizes["min"] < 1 or sizes["max"] > MAX_ID_BYTES:
            return None
    return texts


def _counts(table: pa.Table, top_n: int) -> NDArray[np.int64] | None:
    """Return how many are wanted; None where one is out of range, no whole number or said twice."""
    columns = [_whole(table[name]) for name in COUNTS if name in table.column_names]
    said = sum((np.asarray(column.is_valid()) for column in columns if column is not None), 0)
    if any(column is None for column in columns) or np.any(said > 1):
        return None
    counts = np.full(table.num_rows, top_n, np.int64)
    for column in columns:
        counts = np.asarray(pc.coalesce(column, pa.array(counts)))
    within = not len(counts) or (counts.min() >= 1 and counts.max() <= MAX_TOP_N)
    return counts if within else None


def _whole(column: Any) -> Any | None:
    """Return a column as integers, with gaps where it has them; None where one is no integer."""
    column = arrow.combine(column)
    if arrow.is_bytes(column.type):
        column = arrow.cast_or_none(column, pa.large_string())
    if column is None or pa.types.is_boolean(column.type):
        return None
    if arrow.is_text(column.type):
        if pc.any(pc.invert(pc.match_substring_regex(column, _WHOLE))).as_py():
            return None
        # "10.0" out of a float column
        column = pc.replace_substring_regex(pc.utf8_trim_whitespace(column), r"\.0*$", "")
    elif not arrow.holds_numbers(column.type):
        return None
    return arrow.cast_or_none(column, pa.int64())


def _joined(parts: list[Asked]) -> Asked:
    users = [part.requests.user_ids for part in parts]
    texts = pa.concat_arrays(users) if users else pa.array([], pa.large_string())
    counts = np.concatenate([np.empty(0, np.int64), *(part.requests.top_n for part in parts)])
    return Asked(Requests(texts, counts), [bad for part in parts for bad in part.bad])


def _text(texts: Any) -> Any:
    return pa.array(texts, pa.large_string())
