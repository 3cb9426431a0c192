"""`to_parquet`: the answers of a recommendation job as a table that people can read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant.batch.sources import text_blocks
from penchant.data import arrow
from penchant.data.csv_width import check_first_row
from penchant.data.frames import to_arrow
from penchant.data.ids import IdMap
from penchant.errors import ColumnError, DataError, ParameterError, closest
from penchant.models import load
from penchant.serving.json_lines import Lines, read_lines, run_together, split_lines
from penchant.storage.files import replaced_file

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["to_parquet"]

_MAX_LINE_BYTES = 2**26
_INTEGER = r"^(0|-?[1-9][0-9]{0,18})$"
_ID_NAMES = ("item_id", "itemid", "id", "movie_id", "movieid")
Path_ = os.PathLike[str] | str


_IDS = pa.struct([("userId", pa.string()), ("itemId", pa.string())])
_LISTS = pa.struct(
    [(name, pa.list_(pa.string())) for name in ("recommendedItems", "recommendedUsers")]
)
_SCHEMA = pa.schema([("input", _IDS), ("output", _LISTS)])


class _Answers(NamedTuple):
    """Of some lines.

    Attributes
    ----------
    users, items : pyarrow.Array of large_string, shape (n,)
        Who or what was asked about; null where nothing is.
    starts : int64 array of shape (n + 1,)
        Where the answers of each line start.
    texts : pyarrow.Array of large_string
        All answers, one after the other.
    failed : pyarrow.Array of bool, shape (n,)
    """

    users: Any
    items: Any
    starts: NDArray[np.int64]
    texts: Any
    failed: Any


def to_parquet(
    source: Path_,
    out: Path_,
    *,
    model: Recommender | Path_ | None = None,
    items: Any = None,
) -> int:
    """Turn the ``.out`` of a job into a Parquet file (snappy): a row for each line.

    The columns are ``userId`` (``itemId`` where items were asked about), integers where all of
    them are, and ``Recommendations``: ``"Title (year) (first genre) | ..."``, best first; null
    where a line failed. Items without a title are shown by their id, as are users.

    Parameters
    ----------
    source : path
        JSON Lines as `recommend` and the others write them, Amazon's own too.
    out : path
    model : Recommender or path, optional
        Its item table has the titles.
    items : path or frame, optional
        A table (Parquet or CSV) instead, with a column of ids (of the model's name, or
        ``item_id``, or the first one) and ``title``, ``year`` and ``genres``, in any case; the year
        may stand in the title already, genres be joined by ``|``.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    ParameterError
        Neither a model nor a table, or both.
    ColumnError
        The table has no titles.
    DataError
        The source cannot be read, or a line is no answer of a job.
    ArtifactError
        The output cannot be written; what was there is intact.

    Examples
    --------
    >>> import tempfile, pandas as pd, penchant as pc
    >>> from pathlib import Path
    >>> films = pd.DataFrame({"id": [1], "title": ["Heat"], "year": [1995], "genres": ["Crime|X"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     answers, out = Path(folder, "in.jsonl.out"), Path(folder, "out.parquet")
    ...     _ = answers.write_text('{"input":{"userId":"7"},"output":{"recommendedItems":["1"]}}')
    ...     rows = pc.batch.to_parquet(answers, out, items=films)
    ...     pd.read_parquet(out).to_dict("records")
    [{'userId': 7, 'Recommendations': 'Heat (1995) (Crime)'}]
    """
    from pyarrow import parquet

    if (model is None) == (items is None):
        raise ParameterError("give model or items: one of them has the titles")
    if Path(source).resolve() == Path(out).resolve():
        raise ParameterError(f"source and out are the same file: {os.fspath(source)!r}")
    ids, titles = _of_model(model) if model is not None else _of_table(items)
    name, kind = _key(source)
    schema = pa.schema([(name, kind), ("Recommendations", pa.string())])
    rows = 0
    with (
        replaced_file(out) as file,
        parquet.ParquetWriter(file, schema, compression="snappy") as writer,
    ):
        for some in _answers(source):
            keys = some.users if name == "userId" else some.items
            shown = run_together(_titled(some.texts, ids, titles), some.starts, " | ")
            shown = pc.if_else(some.failed, pa.scalar(None, pa.large_string()), shown)
            columns = [keys.cast(kind), shown.cast(pa.string())]
            writer.write_table(pa.table(columns, schema=schema))
            rows += len(keys)
    return rows


def _key(source: Path_) -> tuple[str, Any]:
    """Return what the lines of a file ask about, and the type of a column of it."""
    users = items = 0
    integers = True
    for some in _answers(source):
        users += len(some.users) - some.users.null_count
        items += len(some.items) - some.items.null_count
        for keys in (some.users, some.items):
            integers = integers and _are_integers(keys.drop_null())
    kind = pa.int64() if integers and users + items else pa.string()
    return ("itemId" if items > users else "userId"), kind


def _are_integers(keys: Any) -> bool:
    if not pc.all(pc.match_substring_regex(keys, _INTEGER), min_count=0).as_py():
        return False
    try:
        keys.cast(pa.int64())
    except pa.ArrowInvalid:  # of 19 digits, and too many
        return False
    return True


def _answers(source: Path_) -> Iterator[_Answers]:
    try:
        with open(source, "rb") as file:
            first = 1
            for block in text_blocks(file, _MAX_LINE_BYTES):
                lines = split_lines(block, first)
                yield from read_lines(lines, _SCHEMA, _MAX_LINE_BYTES, _by_columns, _one_by_one)
                first += block.count(b"\n")
    except OSError as error:
        raise DataError(f"cannot read {os.fspath(source)!r}: {error.strerror}") from error


def _by_columns(table: pa.Table, text: Any, lines: Lines) -> _Answers | None:
    asked, given = arrow.combine(table["input"]), arrow.combine(table["output"])
    users, items = (_text(pc.struct_field(asked, name)) for name in ("userId", "itemId"))
    found = [pc.struct_field(given, name) for name in ("recommendedItems", "recommendedUsers")]
    lists = found[0] if found[1].null_count == len(lines) else found[1]
    if found[0].null_count < len(lines) and found[1].null_count < len(lines):
        return None
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
    texts = _text(pc.list_flatten(lists))
    if texts.null_count or pc.coalesce(users, items).null_count:
        return None
    return _Answers(users, items, np.append(0, np.cumsum(lengths)), texts, lists.is_null())


def _one_by_one(lines: Lines) -> _Answers:
    users, items, lengths, failed = [], [], [], []
    texts: list[str] = []
    for number, line in lines:
        try:
            record = json.loads(line)
            asked, given = record["input"], record["output"]
            asked = asked if isinstance(asked, dict) else {}
            given = given or {}
            listed = given.get("recommendedItems", given.get("recommendedUsers"))
            texts += map(str, listed or [])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise DataError(f"line {number} is no answer of a batch job: {line[:60]!r}") from None
        users.append(_id(asked.get("userId")))
        items.append(_id(asked.get("itemId")))
        lengths.append(len(listed or []))
        failed.append(listed is None)
    columns = (pa.array(ids, pa.large_string()) for ids in (users, items, texts))
    own_users, own_items, all_texts = columns
    starts = np.append(0, np.cumsum(lengths, dtype=np.int64)).astype(np.int64)
    return _Answers(own_users, own_items, starts, all_texts, pa.array(failed))


def _id(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _text(values: Any) -> Any:
    return values.cast(pa.large_string())


def _titled(texts: Any, ids: IdMap, titles: Any) -> Any:
    """Return the titles of items; the id where there is none."""
    codes = ids.codes(texts)
    found = titles.take(pa.array(codes, pa.int64(), mask=codes < 0))
    return pc.coalesce(found, texts)


def _of_model(model: Recommender | Path_) -> tuple[IdMap, Any]:
    read = load(model) if isinstance(model, str | os.PathLike) else model
    if read.item_features_ is None:
        raise ColumnError("the model has no table of items, so no titles: give items instead")
    return read.items_, _titles(read.item_features_)


def _of_table(given: Any) -> tuple[IdMap, Any]:
    table = _read(Path(given)) if isinstance(given, str | os.PathLike) else to_arrow(given)[0]
    names = {name.lower(): name for name in reversed(table.column_names)}
    own = next((names[name] for name in _ID_NAMES if name in names), table.column_names[0])
    titles = _titles(table)
    known = table[own].is_valid()
    ids, codes = IdMap.from_column(arrow.combine(table[own].filter(known)), own)
    first = np.zeros(len(ids), np.int64)
    first[codes[::-1]] = np.flatnonzero(np.asarray(known))[::-1]  # of ids that repeat, the first
    return ids, titles.take(pa.array(first))


def _read(path: Path) -> pa.Table:
    from pyarrow import csv, parquet

    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return parquet.read_table(path)
        with pa.input_stream(path) as file:  # unpacked by suffix, as below
            check_first_row(file, ",", repr(str(path)))
        return csv.read_csv(path)
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except pa.ArrowInvalid as error:
        raise DataError(f"{str(path)!r} is no table of items: {error}") from error


def _titles(table: pa.Table) -> Any:
    """Return 'Title (year) (first genre)' for each row of a table of items."""
    names = {name.lower(): name for name in reversed(table.column_names)}
    if "title" not in names:
        hint = closest("title", table.column_names) or ""
        raise ColumnError(
            f"the table of items has no column 'title'{hint}: its columns are "
            f"{', '.join(map(repr, table.column_names[:20]))}"
        )
    title = _plain_text(table[names["title"]])
    if "year" in names:
        year = _plain_text(table[names["year"]])
        dated = pc.match_substring_regex(title, r"\(\d{4}\)\s*$")
        title = _with(title, pc.if_else(dated, pa.scalar(None, pa.large_string()), year))
    genre = next((names[name] for name in ("genres", "genre") if name in names), None)
    if genre is not None:
        title = _with(title, _first_genre(table[genre]))
    return title


def _with(title: Any, part: Any) -> Any:
    """Add a part in brackets where there is one."""
    none, nothing = pa.scalar(" ()", pa.large_string()), pa.scalar("", pa.large_string())
    opening, closing = (pa.scalar(text, pa.large_string()) for text in (" (", ")"))
    part = pc.binary_join_element_wise(opening, pc.fill_null(part, ""), closing, nothing)
    part = pc.if_else(pc.equal(part, none), nothing, part)
    return pc.binary_join_element_wise(title, part, nothing)


def _first_genre(column: Any) -> Any:
    genres = arrow.combine(column)
    if pa.types.is_dictionary(genres.type):
        genres = genres.cast(genres.type.value_type)
    if pa.types.is_list(genres.type) or pa.types.is_large_list(genres.type):
        some = pc.greater(pc.fill_null(pc.list_value_length(genres), 0), 0)
        firsts = pc.list_element(genres.filter(some), 0)
        return pc.replace_with_mask(
            pa.nulls(len(genres), pa.large_string()), some, _plain_text(firsts)
        )
    text = _plain_text(genres)
    first = pc.utf8_trim_whitespace(pc.replace_substring_regex(text, r"(?s)\|.*$", ""))
    return pc.if_else(
        pc.equal(first, "(no genres listed)"), pa.scalar("", pa.large_string()), first
    )


def _plain_text(column: Any) -> Any:
    """Return a column as text, whole numbers without a fraction."""
    values = arrow.combine(column)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_floating(values.type):
        values = arrow.cast_or_none(values, pa.int64()) or values
    return arrow.to_text(values)
