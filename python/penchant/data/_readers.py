"""The constructors of `Interactions`: one for each kind of source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from penchant.data import _build, _features, _sources, _sql
from penchant.data._build import Content, Options
from penchant.data._columns import make_columns
from penchant.data.frames import BACKENDS, to_arrow
from penchant.errors import choose

if TYPE_CHECKING:
    from typing_extensions import Self


class Readers:
    """What `Interactions` is made by; every reader ends in the same checks."""

    def __init__(self, content: Content) -> None:
        """Take clean events."""
        raise NotImplementedError

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        user: str,
        item: str,
        value: str | None = None,
        timestamp: str | None = None,
        session: str | None = None,
        order: str | None = None,
        context: str | Sequence[str] | None = None,
        item_features: _features.Features = None,
        user_features: _features.Features = None,
        drop_missing: bool = True,
        duplicates: str = "keep",
        negative_values: str = "error",
        timestamp_unit: str | None = None,
        backend: str | None = None,
    ) -> Self:
        """Read a pandas or polars DataFrame or a pyarrow Table, one row for each event.

        Parameters
        ----------
        frame : pandas.DataFrame, polars.DataFrame or pyarrow.Table
            Never changed.
        user, item : str
            Columns of ids, of any scalar dtype.
        value : str, optional
            Column of numbers: an amount, a count or a rating.
        timestamp : str, optional
            Column of dates, times or ISO 8601 text (without a zone: UTC), or of numbers, which need
            ``timestamp_unit``.
        session : str, optional
            Column of session ids.
        order : str, optional
            Column of numbers that orders a user's events (after the timestamp).
        context : str or sequence of str, optional
            Columns kept beside each event as they are.
        item_features, user_features : str, sequence of str, or frame, optional
            Columns of ``frame`` (the latest event of an id counts), or a frame with a row per id
            whose id column has the same name as here.
        drop_missing : bool
            Drop rows whose user, item or session is null, with a `PenchantWarning`; if False such
            rows are an error.
        duplicates : {"keep", "sum", "last"}
            What happens to repeated (user, item) pairs. "sum" adds the values (without a value
            column: counts the events); "last" takes the latest. Both keep the other columns of the
            latest event, and the order in which pairs first appear.
        negative_values : {"error", "drop", "net"}
            "net" takes returns off what the user bought of the item, latest purchases first; pairs
            with nothing left vanish.
        timestamp_unit : {"s", "ms", "us", "ns"}, optional
            What a timestamp column of numbers counts since 1970.
        backend : {"pandas", "polars", "pyarrow"}, optional
            Kind of frame that results are given in; default: the kind of ``frame``.

        Returns
        -------
        Interactions

        Raises
        ------
        ColumnError
            If a column is missing.
        DataError
            If rows cannot be used; the message names the first one, counting from 0.
        ParameterError
            If an argument is not one of those above.
        """
        columns = make_columns(user, item, value, timestamp, session, order, context)
        options = Options(bool(drop_missing), duplicates, negative_values, timestamp_unit)
        wanted = _features.wanted(columns, item_features, user_features)
        table, own = to_arrow(frame, wanted)
        kind = backend or own
        choose("backend", kind, BACKENDS)
        return cls(_build.build(table, kind, columns, options, item_features, user_features))

    @classmethod
    def from_parquet(
        cls,
        source: Any,
        *,
        user: str,
        item: str,
        value: str | None = None,
        timestamp: str | None = None,
        session: str | None = None,
        order: str | None = None,
        context: str | Sequence[str] | None = None,
        item_features: _features.Features = None,
        user_features: _features.Features = None,
        drop_missing: bool = True,
        duplicates: str = "keep",
        negative_values: str = "error",
        timestamp_unit: str | None = None,
        backend: str = "pandas",
    ) -> Self:
        """Read Parquet files; only the columns named are read.

        Parameters
        ----------
        source : path, glob pattern, directory, or a list of these
            A directory stands for the ``*.parquet`` files under it.
        backend : {"pandas", "polars", "pyarrow"}
            Kind of frame that results are given in.
        user, item, value, timestamp, session, order, context, item_features, user_features, \
drop_missing, duplicates, negative_values, timestamp_unit
            As in `from_frame`.

        Returns
        -------
        Interactions

        Raises
        ------
        MissingFileError
            If there is no such file.
        DataError
            If a file is not Parquet, or as in `from_frame`.
        """
        choose("backend", backend, BACKENDS)
        columns = make_columns(user, item, value, timestamp, session, order, context)
        options = Options(bool(drop_missing), duplicates, negative_values, timestamp_unit)
        table = _sources.read_parquet(
            source, _features.wanted(columns, item_features, user_features)
        )
        return cls(_build.build(table, backend, columns, options, item_features, user_features))

    @classmethod
    def from_sql(
        cls,
        connection: Any,
        query: str,
        *,
        user: str,
        item: str,
        value: str | None = None,
        timestamp: str | None = None,
        session: str | None = None,
        order: str | None = None,
        context: str | Sequence[str] | None = None,
        item_features: _features.Features = None,
        user_features: _features.Features = None,
        parameters: Any = None,
        drop_missing: bool = True,
        duplicates: str = "keep",
        negative_values: str = "error",
        timestamp_unit: str | None = None,
        backend: str = "pandas",
    ) -> Self:
        """Read the rows of a query; only the columns named are kept.

        Rows are read part by part, as Arrow where the driver can (DuckDB, ADBC, Snowflake).

        Parameters
        ----------
        connection : DuckDB or DB-API 2.0 connection
            Such as those of `duckdb`, `sqlite3`, `psycopg` or `snowflake.connector`; left open.
        query : str
            Names in it and in the arguments are spelt as the database gives them back.
        parameters : sequence or mapping, optional
            What the query's placeholders stand for, in the driver's own style.
        backend : {"pandas", "polars", "pyarrow"}
            Kind of frame that results are given in.
        user, item, value, timestamp, session, order, context, item_features, user_features, \
drop_missing, duplicates, negative_values, timestamp_unit
            As in `from_frame`.

        Returns
        -------
        Interactions

        Raises
        ------
        DataError
            If the database refuses the query, or as in `from_frame`.
        ColumnError
            If the query has no such column.
        ParameterError
            `connection` is none.

        Examples
        --------
        >>> import sqlite3, penchant as pc
        >>> shop = sqlite3.connect(":memory:")
        >>> _ = shop.execute("CREATE TABLE sales (customer, product)")
        >>> _ = shop.execute("INSERT INTO sales VALUES (1, 'MUG'), (2, 'MUG'), (2, 'TRAY')")
        >>> query = "SELECT * FROM sales WHERE product <> ?"
        >>> names = {"user": "customer", "item": "product"}
        >>> pc.Interactions.from_sql(shop, query, parameters=["TRAY"], **names)
        Interactions(2 events, 2 users 'customer', 1 item 'product')
        >>> shop.close()
        """
        choose("backend", backend, BACKENDS)
        columns = make_columns(user, item, value, timestamp, session, order, context)
        options = Options(bool(drop_missing), duplicates, negative_values, timestamp_unit)
        wanted = _features.wanted(columns, item_features, user_features)
        table = _sql.read_sql(connection, query, parameters, wanted)
        return cls(_build.build(table, backend, columns, options, item_features, user_features))

    @classmethod
    def from_sequences(
        cls,
        sequences: Iterable[Iterable[Any]],
        *,
        users: Any = None,
        user: str = "sequence",
        item: str = "item",
        order: str = "position",
        backend: str = "pandas",
    ) -> Self:
        """Read lists of items in order, such as baskets, playlists or sessions.

        Parameters
        ----------
        sequences : iterable of iterables
            The items of each user.
        users : sequence, optional
            The user of each sequence; numbers from 0 by default.
        user, item, order : str
            Names of the columns of the result; order counts from 0 within a sequence.
        backend : {"pandas", "polars", "pyarrow"}

        Returns
        -------
        Interactions

        Examples
        --------
        >>> import penchant as pc
        >>> pc.Interactions.from_sequences([["a", "b", "c"], ["b", "c"]])
        Interactions(5 events, 2 users 'sequence', 3 items 'item'; order 'position')
        """
        choose("backend", backend, BACKENDS)
        columns = make_columns(user, item, order=order)
        table = _sources.from_sequences(sequences, users, columns)
        return cls(_build.build(table, backend, columns, Options(), None, None))
