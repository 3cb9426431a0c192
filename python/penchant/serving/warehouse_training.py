"""From a table of ratings to a table of recommendations, inside a warehouse."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from penchant.errors import DataError, ParameterError, RequestError, closest
from penchant.models.named import find_class
from penchant.models.results import distinct_names
from penchant.warehouse.tables import Table, Tables, parse_name, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from penchant.data.interactions import Interactions
    from penchant.models import Recommender

__all__ = ["TrainingRun"]

_OPTIONS = ("params", "timestamp_col", "timestamp_unit", "exclude_seen", "negative_values")
_MAX_K = 1000
_BLOCK_CELLS = 2**20  # recommendations held at a time


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """What one call of ``train_and_get_recommendations`` asks for.

    Attributes
    ----------
    input_table, output_table : Table
    model : Recommender
        Not fitted.
    k : int
    user, item : str
        Columns, as `parse_name` gives them.
    value, timestamp : str or None
    exclude_seen : bool
    timestamp_unit, negative_values : str
        See `penchant.Interactions.from_frame`.

    Examples
    --------
    >>> import sqlite3, tempfile, os
    >>> folder = tempfile.TemporaryDirectory()
    >>> connect = lambda: sqlite3.connect(os.path.join(folder.name, "shop.db"))
    >>> connection = connect()
    >>> _ = connection.executescript(
    ...     "CREATE TABLE likes (who TEXT, what TEXT);"
    ...     "INSERT INTO likes VALUES ('ann', 'tea'), ('ann', 'jam'), ('bob', 'tea')"
    ... )
    >>> run = TrainingRun.of(["likes", "recs", "popularity", 1, "who", "what", None])
    >>> run.work(connect)["rows"]
    1
    >>> connection.execute("SELECT * FROM recs").fetchall()
    [('bob', 'jam', 1.0, 1)]
    >>> connection.close()
    >>> folder.cleanup()
    """

    input_table: Table
    output_table: Table
    model: Recommender
    k: int
    user: str
    item: str
    value: str | None
    timestamp: str | None
    timestamp_unit: str | None
    exclude_seen: bool
    negative_values: str

    @classmethod
    def of(cls, arguments: list[Any]) -> TrainingRun:
        """Check the arguments of a row.

        Parameters
        ----------
        arguments : list
            ``input_table, output_table, model, k, user_col, item_col, value_col`` and, optionally,
            an object of options: ``params`` (of the model), ``timestamp_col``, ``timestamp_unit``
            (of numbers: "s"), ``exclude_seen`` (true), ``negative_values`` ("error").

        Raises
        ------
        RequestError, ParameterError
            Naming the argument.
        """
        if len(arguments) not in (7, 8):
            raise RequestError(
                "expected input_table, output_table, model, k, user_col, item_col, value_col and, "
                f"optionally, an object of options; got {len(arguments)} arguments"
            )
        source, target, model, k, user, item, value, options = [*arguments, None][:8]
        options = _check_options(options)
        tables = (
            Table(parse_name(source, "input_table", parts=3)),
            Table(parse_name(target, "output_table", parts=3)),
        )
        if tables[0].may_be(tables[1]):
            raise ParameterError(
                f"output_table {target!r} is the input_table: its ratings would be lost"
            )
        when = options.get("timestamp_col")
        run = cls(
            *tables,
            model=_make_model(model, options.get("params")),
            k=_check_k(k),
            user=parse_name(user, "user_col")[0],
            item=parse_name(item, "item_col")[0],
            value=None if value is None else parse_name(value, "value_col")[0],
            timestamp=None if when is None else parse_name(when, "timestamp_col")[0],
            timestamp_unit=options.get("timestamp_unit"),
            exclude_seen=_flag(options.get("exclude_seen"), "exclude_seen", True),
            negative_values=options.get("negative_values") or "error",
        )
        given = [name for name in (run.user, run.item, run.value, run.timestamp) if name]
        if len({plain(name).casefold() for name in given}) < len(given):
            raise ParameterError(f"the columns must differ, got {', '.join(given)}")
        return run

    def work(self, connect: Callable[[], Any]) -> dict[str, Any]:
        """Read, train, recommend and write.

        Parameters
        ----------
        connect : callable
            Returns a DB-API connection, which is closed again.

        Returns
        -------
        dict
            What was done: tables, model, numbers of ratings, users, items and rows, seconds.

        Raises
        ------
        PenchantError
            The ratings cannot be used, or the warehouse refuses; nothing is written then.
        """
        start = perf_counter()
        with closing(connect()) as connection:
            warehouse = Tables(connection)
            self._check_output(warehouse)
            ids = [self.user, self.item]
            n_rows = warehouse.count(self.input_table)
            if not warehouse.count(self.input_table, ids):
                raise DataError(f"table {self.input_table} has no ratings with a user and an item")
            data = self._read(warehouse, connection)
            model = self.model.fit(data, progress=False)
            trained = perf_counter()
            rows = warehouse.replace(self.output_table, self.input_table, ids, self._answers(model))
        return {
            "output_table": str(self.output_table),
            "model": type(model).__name__,
            "ratings": len(data),
            "rows_left_out": n_rows - len(data),
            "users": len(model.users_),
            "items": len(model.items_),
            "rows": rows,
            "train_seconds": round(trained - start, 3),
            "total_seconds": round(perf_counter() - start, 3),
        }

    def _read(self, warehouse: Tables, connection: Any) -> Interactions:
        from penchant.data.interactions import Interactions

        query = warehouse.query(
            self.input_table,
            ids=[self.user, self.item],
            numbers=[name for name in (self.value,) if name],
            others=[name for name in (self.timestamp,) if name],
        )
        return Interactions.from_sql(
            connection,
            query,
            user=plain(self.user),
            item=plain(self.item),
            value=self.value and plain(self.value),
            timestamp=self.timestamp and plain(self.timestamp),
            timestamp_unit=self.timestamp_unit,
            negative_values=self.negative_values,
            backend="pyarrow",
        )

    def _answers(self, model: Recommender) -> Iterator[pa.Table]:
        everyone = np.arange(len(model.users_), dtype=np.int32)
        step = max(1, _BLOCK_CELLS // self.k)
        for first in range(0, len(everyone), step):
            users = model.users_.take(everyone[first : first + step])
            yield model.recommend(users, k=self.k, exclude_seen=self.exclude_seen)

    def _check_output(self, warehouse: Tables) -> None:
        """Refuse to replace a table that is no earlier answer of this function."""
        present = warehouse.columns(self.output_table)
        wanted = distinct_names([plain(self.user), plain(self.item), "score", "rank"])
        names = [name.casefold() for name in wanted]
        if present is not None and [name.casefold() for name in present] != names:
            raise ParameterError(
                f"output_table {self.output_table} exists and is no table of recommendations: it "
                f"has the columns {', '.join(present)}, not {', '.join(wanted)}; name another one, "
                "or drop it first"
            )


def _check_options(options: Any) -> dict[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise RequestError(f"options must be an object, got {options!r:.60}")
    for name in options:
        if name not in _OPTIONS:
            hint = closest(name, _OPTIONS) or f"; options: {', '.join(_OPTIONS)}"
            raise RequestError(f"unknown option {name!r}{hint}")
    return options


def _make_model(name: Any, params: Any) -> Recommender:
    if not isinstance(name, str):
        raise RequestError(f"model must be text, got {name!r:.60}")
    if not isinstance(params, dict | None):
        raise RequestError(f"params must be an object, got {params!r:.60}")
    model = find_class(name)()
    return model.set_params(
        **{key: tuple(own) if isinstance(own, list) else own for key, own in (params or {}).items()}
    )


def _check_k(k: Any) -> int:
    number = int(k) if isinstance(k, float) and k.is_integer() else k
    if type(number) is not int or not 1 <= number <= _MAX_K:
        raise RequestError(f"k must be a whole number from 1 to {_MAX_K}, got {k!r:.60}")
    return number


def _flag(value: Any, name: str, default: bool) -> bool:
    if value is None:
        return default
    if not isinstance(value, bool):
        raise RequestError(f"{name} must be true or false, got {value!r:.60}")
    return value
