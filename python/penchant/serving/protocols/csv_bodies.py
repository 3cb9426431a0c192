"""CSV bodies: columns of ids, with or without a row of names."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penchant.errors import RequestError, closest
from penchant.serving.decode import (
    COUNTS,
    DEFAULT_COUNT,
    MAX_ID_BYTES,
    Requests,
    read_count,
    show,
)
from penchant.serving.tasks import Predict, Recommend, Similar, Task

__all__ = ["decode_csv"]

_MEANINGS = {"user_id": "user", "item_id": "item", "userid": "user", "itemid": "item"}
_MEANINGS |= {name: name for name in COUNTS}
# Bytes of a row: two ids as long as they may be, in quotes, each byte of them a doubled quote.
_MAX_ROW_BYTES = 2 * (2 * MAX_ID_BYTES + 2) + 2
# What the columns ask for; pandas and spreadsheets may have put them in another order.
_BY_COLUMNS = {
    frozenset(["user"]): "recommend",
    frozenset(["user", "item"]): "predict",
    frozenset(["item"]): "similar",
}
_BY_COLUMNS |= {frozenset(["user", count]): "recommend" for count in COUNTS}
_BY_COLUMNS |= {frozenset(["item", count]): "similar" for count in COUNTS}


def decode_csv(
    body: bytes,
    task: str | None = None,
    header: bool | None = None,
    *,
    columns: tuple[str, str] = ("user_id", "item_id"),
    top_n: int = DEFAULT_COUNT,
    max_top_n: int = 1000,
    include_query: bool = False,
) -> Task:
    r"""Read columns of ids.

    Parameters
    ----------
    body : bytes
        UTF-8. One column is of users to recommend to, two are of users and items to score.
    task : {"recommend", "predict", "similar"}, optional
        Overrides that: a second column is then `top_n` of the first.
    header : bool, optional
        Whether the first row is one of names, such as ``user_id``, ``item_id`` and ``k`` (or
        ``top_n``), which then tell what the columns are; None finds out whether all of it are such
        names.
    columns : pair of str
        Other names of the user and the item column.
    top_n, max_top_n, include_query
        As of `sagemaker.decode`.

    Raises
    ------
    RequestError
        Naming the row, counting from 1 without the row of names.

    Examples
    --------
    >>> decode_csv(b"item_id,user_id\nMUG,17850\n")
    Predict(users=['17850'], items=['MUG'])
    """
    table = _read(body)
    named = None if header is False else _names(table, columns, header)
    if named is not None:
        table = [column[1:] for column in table]
    task, parts = _arrange(table, named, task)
    for name in ("user", "item"):
        if name in parts:
            _check_ids(parts[name], f"{name}_id")
    if task == "predict":
        return Predict(parts["user"].to_pylist(), parts["item"].to_pylist())
    ids = parts["item" if task == "similar" else "user"].to_pylist()
    wanted = _counts(parts, len(ids), top_n, max_top_n)
    return (
        Similar(ids, wanted, include_query)
        if task == "similar"
        else Recommend(Requests(ids, wanted))
    )


def _read(body: bytes) -> list[Any]:
    """Return the columns as text, the first row included."""
    from pyarrow import csv as arrow_csv

    names = [f"f{place}" for place in range(_count_columns(body))]
    try:
        table = arrow_csv.read_csv(
            io.BytesIO(body + b"\n"),  # Arrow does not read a lone row without its end
            # In one block, so that a row is never longer than its block.
            arrow_csv.ReadOptions(use_threads=False, block_size=len(body) + 2, column_names=names),
            arrow_csv.ParseOptions(newlines_in_values=True),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise RequestError(f"not readable as CSV: {error}") from None
    if not table.num_rows:
        raise RequestError("the body is empty; send a user id a line")
    return [column.combine_chunks() for column in table.columns]


def _count_columns(body: bytes) -> int:
    """Return how many columns the first row has, 1 or 2, having read no more than that row.

    Arrow would make a column of every field before anybody could refuse them: a row of a million
    separators costs gigabytes.
    """
    start = body.lstrip(b"\r\n")[: _MAX_ROW_BYTES + 1]
    stream = io.StringIO(start.decode("utf-8-sig", "replace"), newline="")
    try:
        fields = next(filter(None, csv.reader(stream)), [""])  # empty rows count for nothing
    except csv.Error as error:
        raise RequestError(f"not readable as CSV: {error}") from None
    if len(fields) > 2:
        raise RequestError(
            "CSV has one column (users to recommend to) or two (users and items to score), not "
            f"{len(fields)}{' or more' if len(start) > _MAX_ROW_BYTES else ''}"
        )
    if len(start) > _MAX_ROW_BYTES and not stream.read():
        raise RequestError(f"row 1 is longer than {_MAX_ROW_BYTES:,} bytes")
    return max(1, len(fields))


def _names(table: list[Any], columns: tuple[str, str], header: bool | None) -> list[str] | None:
    """Return what the names in the first row mean; None where it is not one of names."""
    meanings = _MEANINGS | {columns[0].casefold(): "user", columns[1].casefold(): "item"}
    first = [column[0].as_py().strip() for column in table]
    wrong = [name for name in first if name.casefold() not in meanings]
    if header and wrong:
        hint = closest(wrong[0], meanings) or f"; known are {', '.join(meanings)}"
        raise RequestError(f"the row of names has a column {show(wrong[0])}{hint}")
    # A lone k may well be an id, where no column of the model is called so.
    own = {name.casefold() for name in columns}
    lone = {name.casefold() for name in first} == {"k"} and "k" not in own
    if wrong or (header is None and lone):
        return None
    return [meanings[name.casefold()] for name in first]


def _arrange(
    table: list[Any], named: list[str] | None, task: str | None
) -> tuple[str, dict[str, Any]]:
    """Tell what the columns are: the task, and each column by its meaning."""
    if named is None:
        first = "item" if task == "similar" else "user"
        second = "top_n" if task in ("recommend", "similar") else "item"
        named = [first, second][: len(table)]
    parts = dict(zip(named, table, strict=True))
    found = _BY_COLUMNS.get(frozenset(parts)) if len(parts) == len(table) else None
    if found is None or found != (task or found):
        raise RequestError(
            f"cannot {task or 'tell what to do'} with the columns {', '.join(named)}: send "
            "user_id, or user_id and k, or user_id and item_id"
        )
    return found, parts


def _check_ids(ids: Any, name: str) -> None:
    sizes = np.asarray(pc.binary_length(ids))
    wrong = np.flatnonzero((sizes == 0) | (sizes > MAX_ID_BYTES))
    if len(wrong):
        row = int(wrong[0])
        size = int(sizes[row])
        problem = f"has {size} bytes, more than {MAX_ID_BYTES}" if size else "is empty"
        raise RequestError(f"row {row + 1}: {name} {problem}")


def _counts(parts: dict[str, Any], n: int, top_n: int, max_top_n: int) -> Any:
    name = next((name for name in COUNTS if name in parts), None)
    if name is None:
        return np.full(n, min(top_n, max_top_n), np.int64)
    texts = parts[name]
    distinct = texts.dictionary_encode()
    values = []
    for text in distinct.dictionary.to_pylist():
        said = {name: text} if text.strip() else {}
        try:
            values.append(read_count(said, top_n, max_top_n))
        except RequestError as error:
            row = texts.to_pylist().index(text) + 1
            raise RequestError(f"row {row}: {error}") from None
    return np.array(values, np.int64)[np.asarray(distinct.indices)]
