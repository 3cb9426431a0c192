"""Reading the rows of a query into one Arrow table, through whatever the connection can."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa

from penchant.data import arrow, frames
from penchant.errors import ColumnError, DataError, ParameterError

_ROWS = 65_536  # held as Python objects at a time, where the driver knows no Arrow


def read_sql(connection: Any, query: str, parameters: Any, columns: list[str]) -> Any:
    """Return columns of a query as one table.

    Raises
    ------
    DataError, ColumnError, ParameterError
        See `Interactions.from_sql`.
    """
    if not isinstance(query, str) or not query.strip():
        raise ParameterError(f"query must be an SQL text, got {query!r:.80}")
    wanted = list(dict.fromkeys(columns))
    if type(connection).__module__.partition(".")[0] in ("duckdb", "_duckdb"):
        return _read_duckdb(connection, query, parameters, wanted)
    if not callable(getattr(connection, "cursor", None)):
        raise ParameterError(
            f"connection must be a DuckDB or DB-API connection, got {type(connection).__name__}"
        )
    with closing(_cursor(connection)) as cursor:
        _run(cursor.execute, query, *(() if parameters is None else (parameters,)))
        if cursor.description is None:
            raise DataError("the query gives no rows: it must be a SELECT")
        names = [str(part[0]) for part in cursor.description]
        places = [_place(name, names) for name in wanted]
        if callable(getattr(cursor, "fetch_record_batch", None)):  # ADBC
            return _table(_run(cursor.fetch_record_batch), names, wanted)
        if callable(getattr(cursor, "fetch_arrow_batches", None)):  # Snowflake
            return _table(_run(cursor.fetch_arrow_batches), names, wanted)
        return _fetch(cursor, places, wanted)


def _cursor(connection: Any) -> Any:
    """Return a cursor; of PostgreSQL one whose rows stay with the server until they are fetched."""
    if type(connection).__module__.partition(".")[0] == "psycopg" and not connection.autocommit:
        return connection.cursor("penchant")
    return connection.cursor()


def _run(call: Any, *arguments: Any) -> Any:
    """Call a driver; its errors are of classes of its own."""
    try:
        return call(*arguments)
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise DataError(f"the database refused the query: {str(error).strip()}") from error


def _place(name: str, names: list[str]) -> int:
    if name not in names:
        raise ColumnError(frames.missing_column(name, names))
    if names.count(name) > 1:
        raise ColumnError(
            f"the query gives {names.count(name)} columns named {name!r}: rename all but one"
        )
    return names.index(name)


def _read_duckdb(connection: Any, query: str, parameters: Any, wanted: list[str]) -> Any:
    # Not a cursor: it would not see the connection's own temporary tables and registered frames.
    found = _run(lambda: connection.sql(query, params=parameters))
    if found is None:
        raise DataError("the query gives no rows: it must be a SELECT")
    names = list(found.columns)
    for name in wanted:
        _place(name, names)
    if hasattr(found, "__arrow_c_stream__"):
        return _table(_run(pa.RecordBatchReader.from_stream, found), names, wanted)
    return _table(_run(found.fetch_arrow_reader), names, wanted)  # DuckDB 1.0


def _table(batches: Iterable[Any], names: list[str], wanted: list[str]) -> Any:
    """Return some columns of record batches or tables."""
    parts = []
    iterator = iter(batches)
    while (batch := _run(next, iterator, None)) is not None:
        parts.append(pa.table({name: batch.column(names.index(name)) for name in wanted}))
    if not parts:
        schema = getattr(batches, "schema", None)
        types = {name: pa.null() for name in wanted}
        if schema is not None:
            types = {name: schema.field(names.index(name)).type for name in wanted}
        return pa.table({name: pa.array([], kind) for name, kind in types.items()})
    table = pa.concat_tables(parts, promote_options="permissive")
    arrays = [frames.readable(table[name], name) for name in wanted]
    return pa.table(arrays, names=wanted)


def _fetch(cursor: Any, places: list[int], wanted: list[str]) -> Any:
    """Return columns of rows that come as Python objects."""
    chunks: list[list[Any]] = [[] for _ in wanted]
    for rows in _parts(cursor):
        for chunk, place in zip(chunks, places, strict=True):
            chunk.append(_array([row[place] for row in rows]))
    return pa.table(
        [_joined(chunk, name) for chunk, name in zip(chunks, wanted, strict=True)], names=wanted
    )


def _parts(cursor: Any) -> Iterator[list[Any]]:
    while rows := _run(cursor.fetchmany, _ROWS):
        yield rows


def _array(values: list[Any]) -> Any:
    """Return values as one Arrow type, or as they are where they have none in common."""
    try:
        return pa.array(values)
    except arrow.CONVERSION_ERRORS:
        return values


def _joined(chunks: list[Any], name: str) -> Any:
    """Return parts of a column as one; where their types differ it is read as text, with a notice.

    A part of nulls, of whole numbers, or of decimals of another length does not differ.
    """
    if all(isinstance(chunk, pa.Array) for chunk in chunks):
        parts = [pa.table({name: chunk}) for chunk in chunks]
        try:
            joined = pa.concat_tables(parts, promote_options="permissive") if parts else None
        except arrow.CONVERSION_ERRORS:
            pass
        else:
            return pa.array([]) if joined is None else frames.readable(joined[name], name)
    values: list[Any] = []
    for chunk in chunks:
        values += chunk.to_pylist() if isinstance(chunk, pa.Array) else chunk
    return frames.objects(values, name)
