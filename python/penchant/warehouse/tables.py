"""Tables of a warehouse behind a DB-API connection: ratings are read, recommendations replaced.

DuckDB and SQLite are the embedded ones; Snowflake and PostgreSQL are reached by the same calls.
Names of tables and columns come from strangers: each is parsed as an SQL identifier and quoted, so
that nothing else can be said with it.
"""

from __future__ import annotations

import dataclasses
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa

from penchant.data import arrow
from penchant.errors import ColumnError, DataError, ParameterError, closest

__all__ = ["Table", "Tables", "parse_name", "plain", "quoted"]

_BLOCK = 50_000  # rows written by one call
_NAME = re.compile(r'"(?:[^"]|"")+"|[^\W\d][\w$]*')
_MAX_NAME = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclasses.dataclass(frozen=True)
class _Dialect:
    """What differs between databases."""

    begins: bool = False  # a transaction wants BEGIN; elsewhere the connection opens one itself
    fold: Callable[[str], str] = str  # what the database makes of a name without quotes
    changes_tables_in_transactions: bool = True


_DIALECTS = {
    "duckdb": _Dialect(begins=True),
    "sqlite3": _Dialect(begins=True),
    "psycopg": _Dialect(fold=str.lower),
    "psycopg2": _Dialect(fold=str.lower),
    "snowflake": _Dialect(fold=str.upper, changes_tables_in_transactions=False),
}
_MARKS = {"qmark": "?", "format": "%s", "pyformat": "%s"}


def parse_name(name: object, what: str, *, parts: int = 1) -> tuple[str, ...]:
    """Read an SQL name: ``ratings``, ``shop.public.ratings``, ``"Order Lines"``.

    Parameters
    ----------
    name : object
        What a caller sent.
    what : str
        For messages.
    parts : int, default 1
        At most so many, with dots between them.

    Returns
    -------
    tuple of str
        The parts as they are written; quotes are kept.

    Raises
    ------
    ParameterError
        It is no SQL identifier.

    Examples
    --------
    >>> parse_name('shop."Order Lines"', "input_table", parts=3)
    ('shop', '"Order Lines"')
    >>> parse_name("ratings; DROP TABLE users", "input_table")
    Traceback (most recent call last):
    ...
    penchant.errors.ParameterError: input_table must be an SQL name, such as ratings or \
"Order Lines", got 'ratings; DROP TABLE users'
    """
    if isinstance(name, str) and not _CONTROL.search(name):
        found = _NAME.findall(name)
        fits = 0 < len(found) <= parts and all(len(part) <= _MAX_NAME for part in found)
        if fits and ".".join(found) == name and arrow.is_unicode(name):
            return tuple(found)
    dotted = ", with at most two dots" if parts > 1 else ""
    shown = repr(name) if len(repr(name)) <= 80 else repr(name)[:77] + "..."
    raise ParameterError(
        f'{what} must be an SQL name, such as ratings or "Order Lines"{dotted}, got {shown}'
    )


@dataclasses.dataclass(frozen=True)
class Table:
    """A table's name: as parts, the last of them the table's own."""

    parts: tuple[str, ...]

    def may_be(self, other: Table) -> bool:
        """Tell whether two names can mean one table, whichever the current schema is."""
        pairs = zip(reversed(self.parts), reversed(other.parts), strict=False)
        return all(plain(one).casefold() == plain(two).casefold() for one, two in pairs)

    def beside(self, name: str) -> Table:
        """Return a table of another name in the same schema."""
        return Table((*self.parts[:-1], name))

    def __str__(self) -> str:
        return ".".join(self.parts)


def plain(part: str) -> str:
    """Return a part of a name without its quotes.

    Examples
    --------
    >>> plain("ratings"), plain('"Order Lines"')
    ('ratings', 'Order Lines')
    """
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def quoted(name: str) -> str:
    """Return a name in quotes, as it is to be read.

    Examples
    --------
    >>> print(quoted('4" nails'))
    "4"" nails"
    """
    return '"' + name.replace('"', '""') + '"'


class Tables:
    """A DB-API connection, used by one thread.

    Parameters
    ----------
    connection : DB-API connection
        Of DuckDB, SQLite, Snowflake, PostgreSQL (psycopg), or any whose parameters are written
        ``?`` or ``%s`` and whose transactions hold changes of tables.

    Examples
    --------
    >>> import sqlite3
    >>> connection = sqlite3.connect(":memory:")
    >>> _ = connection.execute("CREATE TABLE ratings (who TEXT, what TEXT)")
    >>> _ = connection.execute("INSERT INTO ratings VALUES ('ann', 'tea'), ('bob', NULL)")
    >>> warehouse = Tables(connection)
    >>> warehouse.query(Table(("ratings",)), ids=["who"])
    'SELECT "who" AS "who" FROM "ratings" WHERE "who" IS NOT NULL'
    >>> warehouse.count(Table(("ratings",))), warehouse.count(Table(("ratings",)), ["what"])
    (2, 1)
    >>> connection.close()
    """

    def __init__(self, connection: Any) -> None:
        driver = type(connection).__module__.partition(".")[0].lstrip("_")
        module = sys.modules.get(driver)
        style = getattr(module, "paramstyle", "pyformat" if driver == "snowflake" else "qmark")
        if style not in _MARKS:
            raise DataError(f"the driver {driver} writes parameters as {style}, which is not known")
        self._mark = _MARKS[style]
        self._dialect = _DIALECTS.get(driver, _Dialect())
        self._connection = connection
        self._cursor = connection.cursor()
        self._is_duckdb = driver == "duckdb"

    def quote(self, part: str) -> str:
        """Return one part of a name in quotes."""
        name = plain(part) if part.startswith('"') else self._dialect.fold(part)
        return quoted(name)

    def query(
        self,
        table: Table,
        *,
        ids: Sequence[str],
        numbers: Sequence[str] = (),
        others: Sequence[str] = (),
    ) -> str:
        """Return the query of a table's columns; rows without an id are left out.

        Parameters
        ----------
        table : Table
        ids, numbers, others : sequence of str
            Names as `parse_name` gives them. Numbers are made float64.

        Returns
        -------
        str
            Its columns are named as asked for, without quotes, in any database.

        Raises
        ------
        DataError
            The database refuses: no such table.
        ColumnError
            The table has no such column.
        """
        self._check_columns(table, [*ids, *numbers, *others])
        columns = [(self.quote(name), name) for name in (*ids, *others)]
        columns += [(f"CAST({self.quote(name)} AS DOUBLE PRECISION)", name) for name in numbers]
        titled = ", ".join(f"{column} AS {quoted(plain(name))}" for column, name in columns)
        return f"SELECT {titled} FROM {self._name(table)} WHERE {self._there(ids)}"

    def _there(self, ids: Sequence[str]) -> str:
        return " AND ".join(f"{self.quote(name)} IS NOT NULL" for name in ids)

    def _check_columns(self, table: Table, names: Sequence[str]) -> None:
        # SQLite takes a name in quotes that is no column for a text.
        present = self._describe(table)
        same = str.casefold if self._dialect.fold is str else str
        for name in names:
            if same(plain(self.quote(name))) not in map(same, present):
                hint = closest(plain(name), present) or f"; it has {', '.join(present)}"
                raise ColumnError(f"table {table} has no column {plain(name)!r}{hint}")

    def count(self, table: Table, ids: Sequence[str] = ()) -> int:
        """Return the number of rows, or of those that have all of some ids."""
        self._check_columns(table, ids)
        where = f" WHERE {self._there(ids)}" if ids else ""
        self._run(f"SELECT count(*) FROM {self._name(table)}{where}")
        return int(self._call(self._cursor.fetchone)[0])

    def columns(self, table: Table) -> list[str] | None:
        """Return the names of a table's columns, or None where there is no such table."""
        try:
            return self._describe(table)
        except DataError:
            with suppress(Exception):  # PostgreSQL refuses everything else until then
                self._connection.rollback()
            return None

    def _describe(self, table: Table) -> list[str]:
        self._run(f"SELECT * FROM {self._name(table)} WHERE 1 = 0")
        return [column[0] for column in self._cursor.description]

    def replace(
        self, table: Table, like: Table, ids: Sequence[str], blocks: Iterable[pa.Table]
    ) -> int:
        """Put rows in the place of a table, all at once: readers see the old ones or the new ones.

        Parameters
        ----------
        table : Table
            Made, or replaced.
        like : Table
            Where the types of the ids are taken from.
        ids : sequence of str
            Its columns of ids, the first two of the new table.
        blocks : iterable of pyarrow.Table
            The rows: ids, score, rank.

        Returns
        -------
        int
            The number of rows written.

        Raises
        ------
        DataError
            The database refuses; the old table is as it was.
        """
        staged = table.beside(f"penchant_{secrets.token_hex(8)}")
        started = False
        rows = 0
        with self._transaction():
            for block in blocks:
                if not started:
                    self._create(staged, like, ids, block.column_names)
                    started = True
                self._insert(staged, block)
                rows += len(block)
            if started:
                self._take_the_place(staged, table)
        return rows

    def _create(self, staged: Table, like: Table, ids: Sequence[str], names: Sequence[str]) -> None:
        own = [self.quote(name) for name in ids] + ["CAST(0 AS REAL)", "CAST(0 AS BIGINT)"]
        titles = [*ids, *names[len(ids) :]]
        columns = ", ".join(
            f"{own} AS {self.quote(name)}" for own, name in zip(own, titles, strict=True)
        )
        self._run(
            f"CREATE TABLE {self._name(staged)} AS "
            f"SELECT {columns} FROM {self._name(like)} WHERE 1 = 0"
        )

    def _insert(self, staged: Table, block: pa.Table) -> None:
        if self._is_duckdb:
            self._call(self._cursor.register, "penchant_block", block)
            self._run(f"INSERT INTO {self._name(staged)} SELECT * FROM penchant_block")
            self._call(self._cursor.unregister, "penchant_block")
            return
        marks = ", ".join([self._mark] * block.num_columns)
        statement = f"INSERT INTO {self._name(staged)} VALUES ({marks})"
        for part in block.to_batches(_BLOCK):
            rows = list(zip(*(column.to_pylist() for column in part.columns), strict=True))
            self._call(self._cursor.executemany, statement, rows)

    def _take_the_place(self, staged: Table, table: Table) -> None:
        if self._dialect.changes_tables_in_transactions:
            self._run(f"DROP TABLE IF EXISTS {self._name(table)}")
            own = self.quote(table.parts[-1])
            self._run(f"ALTER TABLE {self._name(staged)} RENAME TO {own}")
            return
        # Snowflake commits at each change of a table, but this one is atomic.
        self._run(
            f"CREATE OR REPLACE TABLE {self._name(table)} COPY GRANTS AS "
            f"SELECT * FROM {self._name(staged)}"
        )
        self._run(f"DROP TABLE {self._name(staged)}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._dialect.begins:
            self._run("BEGIN")
        try:
            yield
            if self._dialect.begins:
                self._run("COMMIT")
            else:
                self._call(self._connection.commit)
        except BaseException:
            with suppress(Exception):
                self._cursor.execute("ROLLBACK")
            raise

    def _name(self, table: Table) -> str:
        return ".".join(self.quote(part) for part in table.parts)

    def _run(self, statement: str) -> None:
        self._call(self._cursor.execute, statement)

    def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return method(*arguments)
        except Exception as error:  # whatever the driver's own errors are
            text = " ".join(str(error).split())
            raise DataError(f"the warehouse refused: {text[:500]}") from error
