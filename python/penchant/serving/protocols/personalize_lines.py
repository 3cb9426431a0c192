"""Lines of Amazon Personalize's batch jobs: JSON Lines in, one line of answer for each.

``{"userId": "4638"}`` is answered by ``{"input": {"userId": "4638"}, "output": {"recommendedItems":
[...], "scores": [...]}, "error": null}``, a line that cannot be answered by ``"output": null`` and
the reason. Columns of Arrow all the way: lines of one form take no Python loop.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant.data import arrow
from penchant.errors import RequestError, closest
from penchant.serving.decode import MAX_ID_BYTES, id_text
from penchant.serving.json_lines import Lines, quoted, read_lines, run_together
from penchant.serving.protocols.personalize import filter_values

__all__ = ["KINDS", "MAX_LINE_BYTES", "BatchLines", "Kind", "decode_lines", "encode_lines"]

Kind = Literal["recommend", "rank", "related", "segment"]

KINDS: tuple[Kind, ...] = ("recommend", "rank", "related", "segment")
MAX_LINE_BYTES = 2**20
MAX_RESULTS = 5_000_000
_SHOWN_BYTES = 1000  # of a line that is no JSON
_FIELDS = {
    "recommend": ("userId", "numResults", "filterValues", "context"),
    "rank": ("userId", "itemList", "filterValues", "context"),
    "related": ("itemId", "numResults", "filterValues", "context"),
    "segment": ("itemId", "numResults", "filterValues", "context"),
}


@dataclasses.dataclass(frozen=True)
class BatchLines:
    """Lines of a job that have been read.

    Attributes
    ----------
    inputs : pyarrow.Array of large_string, shape (n,)
        Each as JSON, to be repeated in the answer.
    ids : pyarrow.Array of large_string, shape (n,)
        The user or item asked about; empty where a line is in error.
    errors : pyarrow.Array of large_string, shape (n,)
        Why a line cannot be answered, null where it can.
    wanted : int64 array of shape (n,)
        How many results.
    items : pyarrow.Array of large_string
        What to rank, of all lines one after the other.
    starts : int64 array of shape (n + 1,)
        Where the items of each line start.
    groups : int64 array of shape (n,)
        Lines with equal filter values have the same number,
    values : tuple of (dict or None)
        and these are the values of each number.
    numbers : int64 array of shape (n,)
        Of the lines in the file.
    """

    inputs: Any
    ids: Any
    errors: Any
    wanted: NDArray[np.int64]
    items: Any
    starts: NDArray[np.int64]
    groups: NDArray[np.int64]
    values: tuple[dict[str, Any] | None, ...]
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    def part(self, start: int, end: int) -> BatchLines:
        """Return the lines from one place to another."""
        first, last = int(self.starts[start]), int(self.starts[end])
        return BatchLines(
            self.inputs[start:end],
            self.ids[start:end],
            self.errors[start:end],
            self.wanted[start:end],
            self.items[first:last],
            self.starts[start : end + 1] - first,
            self.groups[start:end],
            self.values,
            self.numbers[start:end],
        )


def decode_lines(lines: Lines, kind: Kind, num_results: int) -> BatchLines:
    r"""Read lines of a batch job.

    Parameters
    ----------
    lines : Lines
    kind : {"recommend", "rank", "related", "segment"}
    num_results : int
        For lines that do not say how many.

    Examples
    --------
    >>> from penchant.serving.json_lines import split_lines
    >>> found = decode_lines(split_lines(b'{"userId": "7"}\n{"userID": 8}\n'), "recommend", 25)
    >>> found.ids.to_pylist(), found.errors.to_pylist()
    (['7', ''], [None, "unknown field 'userID', did you mean 'userId'?"])
    """

    def by_columns(table: pa.Table, text: Any, part: Lines) -> BatchLines | None:
        return _from_columns(table, text, part, kind, num_results)

    def one_by_one(part: Lines) -> BatchLines:
        return _one_by_one(part, kind, num_results)

    parts = read_lines(lines, _FIELDS[kind], MAX_LINE_BYTES, by_columns, one_by_one)
    return _joined(parts)


def _from_columns(
    table: pa.Table, text: Any, lines: Lines, kind: Kind, num_results: int
) -> BatchLines | None:
    n, names = len(lines), table.column_names
    own = _FIELDS[kind][0]
    if own not in names or (kind == "rank") != ("itemList" in names):
        return None
    ids = _texts(arrow.combine(table[own]))
    wanted = np.full(n, num_results, np.int64)
    if "numResults" in names:
        column = arrow.combine(table["numResults"])
        if not pa.types.is_integer(column.type):
            return None
        wanted = np.asarray(pc.fill_null(column, num_results)).astype(np.int64)
        if wanted.min() < 1 or wanted.max() > MAX_RESULTS:
            return None
    items, starts = pa.array([], pa.large_string()), np.zeros(n + 1, np.int64)
    if kind == "rank":
        lists = arrow.combine(table["itemList"])
        if not pa.types.is_list(lists.type) or lists.null_count:
            return None
        lengths = np.asarray(pc.list_value_length(lists)).astype(np.int64)
        items, starts = _texts(lists.flatten()), np.append(0, np.cumsum(lengths))
        if items is None or lengths.min() < 1:
            return None
    if "context" in names and not pa.types.is_struct(table.schema.field("context").type):
        return None
    groups = _groups(arrow.combine(table["filterValues"])) if "filterValues" in names else _one(n)
    if ids is None or groups is None:
        return None
    nothing = pa.nulls(n, pa.large_string())
    return BatchLines(text, ids, nothing, wanted, items, starts, *groups, lines.numbers)


def _one(n: int) -> tuple[NDArray[np.int64], tuple[dict[str, Any] | None, ...]]:
    return np.zeros(n, np.int64), (None,)


def _texts(ids: Any) -> Any | None:
    """Return ids as text; None where one is missing, empty, too long or of another kind."""
    if ids.null_count or not (arrow.is_text(ids.type) or pa.types.is_integer(ids.type)):
        return None
    texts = ids.cast(pa.large_string())
    sizes = pc.min_max(pc.binary_length(texts)).as_py()
    fits = not len(texts) or (sizes["min"] >= 1 and sizes["max"] <= MAX_ID_BYTES)
    return texts if fits else None


def _groups(
    values: Any,
) -> tuple[NDArray[np.int64], tuple[dict[str, Any] | None, ...]] | None:
    """Return a number for each line, the same where filter values are, and the values of each."""
    if not pa.types.is_struct(values.type):
        return None
    fields = [values.field(i) for i in range(values.type.num_fields)]
    if any(pa.types.is_nested(field.type) for field in fields):
        return None
    codes = [np.asarray(pc.fill_null(field.dictionary_encode().indices, -1)) for field in fields]
    codes.append(np.asarray(values.is_valid()))
    table = np.stack([code.astype(np.int64) for code in codes], axis=1)
    _, firsts, groups = np.unique(table, axis=0, return_index=True, return_inverse=True)
    try:
        found = [filter_values(values[int(first)].as_py()) for first in firsts]
    except RequestError:
        return None
    return groups.reshape(-1).astype(np.int64), tuple(one or None for one in found)


def _one_by_one(lines: Lines, kind: Kind, num_results: int) -> BatchLines:
    inputs, ids, errors, wanted, lengths, groups = [], [], [], [], [], []
    items: list[str] = []
    listed: list[str]
    values: dict[str, tuple[int, dict[str, Any] | None]] = {}
    for _, line in lines:
        user, count, listed, given = "", num_results, [], None
        record, shown, error = _record(line)
        if error is None:
            try:
                user, count, listed, given = _check(record, kind, num_results)
            except RequestError as wrong:
                error = str(wrong)
        number, _ = values.setdefault(repr(given), (len(values), given))
        inputs.append(shown.decode())
        ids.append(user)
        errors.append(error)
        wanted.append(count)
        items += listed
        lengths.append(len(listed))
        groups.append(number)
    return BatchLines(
        pa.array(inputs, pa.large_string()),
        pa.array(ids, pa.large_string()),
        pa.array(errors, pa.large_string()),
        np.array(wanted, np.int64),
        pa.array(items, pa.large_string()),
        np.append(0, np.cumsum(lengths, dtype=np.int64)).astype(np.int64),
        np.array(groups, np.int64),
        tuple(one for _, one in values.values()),
        lines.numbers,
    )


def _record(line: bytes) -> tuple[Any, bytes, str | None]:
    """Return what a line holds, how it is repeated, and what is wrong with it as JSON.

    What is no JSON is repeated as a JSON string of its beginning.
    """
    error = f"longer than {MAX_LINE_BYTES} bytes"
    if len(line) <= MAX_LINE_BYTES:
        try:
            record = json.loads(line.decode("utf-8-sig"), parse_constant=_refuse)
        except UnicodeDecodeError as wrong:
            error = f"not UTF-8 text: {wrong.reason} at byte {wrong.start}"
        except json.JSONDecodeError as wrong:
            error = f"not JSON: {wrong.msg} at character {wrong.pos + 1}"
        except (ValueError, RecursionError) as wrong:  # a number of 5,000 digits, 10,000 brackets
            error = f"not usable JSON: {wrong}"
        else:
            return record, line.removeprefix(b"\xef\xbb\xbf"), None
    shown = line[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return None, json.dumps(shown, ensure_ascii=False).encode(), error


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _check(
    record: Any, kind: Kind, num_results: int
) -> tuple[str, int, list[str], dict[str, Any] | None]:
    """Return id, number of results, items to rank, and filter values of a line."""
    fields = _FIELDS[kind]
    if not isinstance(record, dict):
        raise RequestError(f"expected an object with the field {fields[0]}")
    for field in record:
        if field not in fields:
            hint = closest(field, fields) or f"; fields: {', '.join(fields)}"
            raise RequestError(f"unknown field {field!r:.60}{hint}")
    if record.get(fields[0]) is None:
        raise RequestError(f"{fields[0]} is missing")
    wanted = num_results if record.get("numResults") is None else record["numResults"]
    if type(wanted) is not int or not 1 <= wanted <= MAX_RESULTS:
        raise RequestError(f"numResults must be a whole number from 1 to {MAX_RESULTS}")
    listed = record.get("itemList", [])
    if kind == "rank" and (not isinstance(listed, list) or not listed):
        raise RequestError("itemList must be a list of item ids")
    if not isinstance(record.get("context") or {}, dict):
        raise RequestError("context must be an object")
    items = [id_text(item, "itemList") for item in listed]
    values = filter_values(record.get("filterValues"))
    return id_text(record[fields[0]], fields[0]), wanted, items, values or None


def _joined(parts: list[BatchLines]) -> BatchLines:
    if len(parts) == 1:
        return parts[0]
    values: dict[str, int] = {}
    kept: list[dict[str, Any] | None] = []
    groups = []
    for part in parts:
        own = np.empty(len(part.values), np.int64)
        for number, value in enumerate(part.values):
            own[number] = values.setdefault(repr(value), len(values))
            if own[number] == len(kept):
                kept.append(value)
        groups.append(own[part.groups])
    lengths = _together([np.diff(part.starts) for part in parts])
    return BatchLines(
        _texts_together([part.inputs for part in parts]),
        _texts_together([part.ids for part in parts]),
        _texts_together([part.errors for part in parts]),
        _together([part.wanted for part in parts]),
        _texts_together([part.items for part in parts]),
        np.append(0, np.cumsum(lengths)).astype(np.int64),
        _together(groups),
        tuple(kept),
        _together([part.numbers for part in parts]),
    )


def _together(arrays: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *arrays])


def _texts_together(arrays: list[Any]) -> Any:
    return pa.concat_arrays([pa.array([], pa.large_string()), *arrays])


def encode_lines(
    lines: BatchLines,
    users: bool,
    starts: NDArray[np.int64],
    ids: Any,
    scores: NDArray[np.float32] | None,
    errors: Any,
) -> bytes:
    r"""Return the lines that answer a job.

    Parameters
    ----------
        lines : BatchLines
        users : bool
        The answers are users ("recommendedUsers"), not items ("recommendedItems").
        starts : int64 array of shape (n + 1,)
            Where the answers of each line start.
        ids : pyarrow.Array of large_string, shape (m,)
            Of all lines, one after the other, as JSON strings.
        scores : float32 array of shape (m,), or None
            Finite; None for answers without scores.
        errors : pyarrow.Array of large_string, shape (n,)
            Why a line has no answer, null where it has.

    Examples
    --------
        >>> from penchant.serving.json_lines import split_lines
        >>> lines = decode_lines(split_lines(b'{"itemId": "a"}'), "related", 25)
        >>> ids = pa.array(['"b"', '"c"'], pa.large_string())
        >>> encode_lines(lines, False, np.array([0, 2]), ids, None, lines.errors)
        b'{"input":{"itemId": "a"},"output":{"recommendedItems":["b","c"]},"error":null}\n'
    """
    if not len(lines):
        return b""
    field = "recommendedUsers" if users else "recommendedItems"
    output = [f'{{"{field}":[', run_together(ids, starts, ","), "]"]
    if scores is not None:
        numbers = pa.array(scores).cast(pa.large_string())
        output += [',"scores":[', run_together(numbers, starts, ","), "]"]
    answered = _join([*output, "}"])
    failed = errors.is_valid()
    text = _join(
        [
            '{"input":',
            lines.inputs,
            ',"output":',
            pc.if_else(failed, "null", answered).cast(pa.large_string()),
            ',"error":',
            pc.if_else(failed, quoted(pc.fill_null(errors, "")), "null").cast(pa.large_string()),
            "}\n",
        ]
    )
    _, data = arrow.text_buffers(text)  # joined end to end is how Arrow holds them already
    return bytes(data)


def _join(parts: list[Any]) -> Any:
    columns = [pa.scalar(p, pa.large_string()) if isinstance(p, str) else p for p in parts]
    return pc.binary_join_element_wise(*columns, pa.scalar("", pa.large_string()))
