"""Which rows of a table a filter expression chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant.data.arrow import is_text
from penchant.errors import ColumnError, ParameterError, closest
from penchant.retrieval.column_values import elements, is_list, plain_column
from penchant.retrieval.expression_parser import (
    And,
    Compare,
    In,
    IsNull,
    Node,
    Not,
    Or,
    Parameter,
    Value,
)
from penchant.retrieval.given import date_text, is_date, plain_values
from penchant.retrieval.numeric import COMPARE, compared, held, is_exact, is_number
from penchant.retrieval.tokens import is_written_number


class Attributes:
    """A table that expressions are asked about, with what they need of its columns.

    Parameters
    ----------
    table : pyarrow.Table

    Examples
    --------
    >>> import pyarrow as pa
    >>> from penchant.retrieval.expression_parser import parse_where
    >>> films = Attributes(pa.table({"genres": ["Comedy|Drama", "Horror"]}))
    >>> matching_rows(parse_where("genres = 'Drama'"), films).tolist()
    [True, False]
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._columns: dict[str, Any] = {}
        self._elements: dict[str, tuple[Any, Any] | None] = {}

    def column(self, name: str) -> Any:
        """Return a column as a plain type, see `plain_column`.

        Raises
        ------
        ColumnError
            The table does not have it; the message lists those it has.
        """
        if name not in self._columns:
            self._columns[name] = _column(self.table, name)
        return self._columns[name]

    def elements(self, name: str) -> tuple[Any, Any] | None:
        """Return the elements of a column and the row of each; None where rows are one value."""
        if name not in self._elements:
            self._elements[name] = _split(self.column(name))
        return self._elements[name]


def matching_rows(
    node: Node, table: pa.Table | Attributes, values: Mapping[str, Any] | None = None
) -> NDArray[np.bool_]:
    """Return which rows of a table an expression chooses.

    A missing value (null, NaN) matches no comparison, ``!=`` and ``not`` included, as in SQL;
    ``is null`` finds it. A text that joins values by ``|``, as genres in MovieLens, and a list
    match ``in`` and ``==`` by any of their elements, and ``!=`` where none of them is equal.

    Parameters
    ----------
    node : Node
        From `parse_where` or a clause of `parse_personalize`.
    table : pyarrow.Table or Attributes
        `Attributes` keep what is computed of a column for the next expression.
    values : mapping of str, optional
        What ``$NAME`` stands for: a value or a sequence of values, see `plain_values`.

    Returns
    -------
    bool array of shape (table.num_rows,)

    Raises
    ------
    ColumnError
        A column that the table does not have; the message lists those it has.
    ParameterError
        A value that cannot be compared with its column, or a ``$NAME`` without a value.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from penchant.retrieval.expression_parser import parse_where
    >>> films = pa.table({"genres": ["Comedy|Drama", "Horror", None], "year": [1990, 2001, 1985]})
    >>> matching_rows(parse_where("'Comedy' in genres or year > 2000"), films).tolist()
    [True, True, False]
    >>> matching_rows(parse_where("genres not in $tired"), films, {"tired": ["Horror"]}).tolist()
    [True, False, False]
    """
    table = table if isinstance(table, Attributes) else Attributes(table)
    return _matching(node, table, plain_values(values))


def _matching(
    node: Node, table: Attributes, values: Mapping[str, Any] | None, negated: bool = False
) -> NDArray[np.bool_]:
    """Return where a node, or its contrary, is true: as in SQL neither is where a value is missing.

    The contrary of `and` and `or` is made of the contraries of their parts, so that it comes down
    to single comparisons, which know what is missing.
    """
    if isinstance(node, Not):
        return _matching(node.part, table, values, not negated)
    if isinstance(node, And | Or):
        join = np.logical_and if isinstance(node, And) != negated else np.logical_or
        chosen = _matching(node.parts[0], table, values, negated)
        for part in node.parts[1:]:
            join(chosen, _matching(part, table, values, negated), out=chosen)
        return chosen
    chosen = _leaf(node, table, values)
    if not negated:
        return chosen
    return ~chosen if isinstance(node, IsNull) else ~chosen & ~_missing(table.column(node.column))


def _leaf(
    node: Compare | In | IsNull, table: Attributes, values: Mapping[str, Any] | None
) -> NDArray[np.bool_]:
    column = table.column(node.column)
    if isinstance(node, IsNull):
        return _missing(column)
    if isinstance(node, In):
        wanted = [one for value in node.values for one in given_values(value, values)]
        return _any_element(table, node.column, wanted)
    wanted = given_values(node.value, values)
    if len(wanted) != 1:
        raise ParameterError(
            f"filter expression: {node.column} {node.operator} wants one value, not {len(wanted)}: "
            f"{node.column} in is for several"
        )
    if node.operator in ("==", "!=") and table.elements(node.column) is not None:
        equal = _any_element(table, node.column, wanted)
        return equal if node.operator == "==" else ~equal & ~_missing(column)
    return _bools(_compared(node, column, wanted[0])) & ~_missing(column)


def _column(table: pa.Table, name: str) -> Any:
    names = table.column_names
    if name not in names:
        # Personalize's schemas are in capitals, the frames behind them often are not.
        alike = [other for other in names if other.lower() == name.lower()]
        if len(alike) != 1:
            raise ColumnError(
                f"the filter names the column {name!r}, which the table does not have"
                f"{closest(name, names)}; it has {', '.join(map(repr, names)) or 'none'}"
            )
        name = alike[0]
    return plain_column(table.column(name))


def given_values(value: Value, values: Mapping[str, Any] | None) -> list[Any]:
    """Return what a value of an expression stands for: itself, or what ``$NAME`` was given.

    Raises
    ------
    ParameterError
        A ``$NAME`` without a value.

    Examples
    --------
    >>> from penchant.retrieval.expression_parser import Parameter
    >>> given_values(Parameter("GENRES"), {"GENRES": ["Comedy", "Drama"]})
    ['Comedy', 'Drama']
    """
    if not isinstance(value, Parameter):
        return [value]
    if values is None or value.name not in values:
        known = ", ".join(values or ()) or "none"
        raise ParameterError(f"the filter wants a value for ${value.name}; given are: {known}")
    given = values[value.name]
    return list(given) if isinstance(given, list | tuple) else [given]


def _missing(column: Any) -> NDArray[np.bool_]:
    return _bools(pc.is_null(column, nan_is_null=True))


def _bools(column: Any) -> NDArray[np.bool_]:
    return np.asarray(column.fill_null(False)).astype(np.bool_)


def _split(column: Any) -> tuple[Any, NDArray[np.int64]] | None:
    """Return the elements of a column and the row of each; None where rows are one value."""
    if is_list(column.type):
        return elements(column)
    joined = is_text(column.type) and pc.any(pc.match_substring(column, "|")).as_py()
    return elements(column) if joined else None


def _any_element(table: Attributes, name: str, wanted: list[Any]) -> NDArray[np.bool_]:
    """Return where the column, or any of its elements, is one of some values."""
    column, parts = table.column(name), table.elements(name)
    if parts is None:
        return _bools(pc.is_in(column, value_set=_set(name, column.type, wanted)))
    elements, rows = parts
    chosen = np.zeros(len(column), dtype=np.bool_)
    found = _bools(pc.is_in(elements, value_set=_set(name, elements.type, wanted)))
    chosen[rows[found]] = True
    if not is_list(column.type):  # the text as a whole counts too
        chosen |= _bools(pc.is_in(column, value_set=_set(name, column.type, wanted)))
    return chosen


def _compared(node: Compare, column: Any, value: Any) -> Any:
    kind = column.type
    if pa.types.is_null(kind):
        return column.cast(pa.bool_())
    if is_exact(kind) and not is_number(value):
        _refuse(node.column, kind, value)
    try:
        if is_exact(kind):
            return compared(column, node.operator, value)
        return COMPARE[node.operator](column, _as(node.column, kind, [value])[0])
    except pa.ArrowException:
        _refuse(node.column, kind, value)


def _set(name: str, kind: Any, values: list[Any]) -> Any:
    """Return values as an array of a column's type; numbers that it cannot hold are left out."""
    if not is_exact(kind):
        return _as(name, kind, values)
    for value in values:
        if not is_number(value):
            _refuse(name, kind, value)
    return held(kind, values)


def _as(name: str, kind: Any, values: list[Any]) -> Any:
    """Return values as an array that compares with a column of some type."""
    if pa.types.is_null(kind):  # nothing is known of it, and nothing is equal to null
        return pa.array([], kind)
    if pa.types.is_temporal(kind):
        day = pa.types.is_date(kind)
        values = [date_text(value, day=day) if is_date(value) else value for value in values]
    for value in values:
        if not _fits(kind, value):
            _refuse(name, kind, value)
    if pa.types.is_floating(kind):
        values = [float(value) + 0.0 for value in values]  # of -0.0, as `plain_column` has it
    try:
        return pa.array(values).cast(kind) if values else pa.array([], kind)
    except (pa.ArrowException, OverflowError):
        _refuse(name, kind, values[0])


def _fits(kind: Any, value: Any) -> bool:
    if pa.types.is_floating(kind):
        return is_number(value)
    if pa.types.is_boolean(kind):
        return isinstance(value, bool)
    if is_text(kind) or pa.types.is_temporal(kind):  # dates are text by now
        return isinstance(value, str)
    return not is_date(value)


def _refuse(name: str, kind: Any, value: Any) -> NoReturn:
    raise ParameterError(
        f"filter expression: column {name!r} is {kind} and cannot be compared with "
        f"{value!r:.100}{_advice(name, kind, value)}"
    )


def _advice(name: str, kind: Any, value: Any) -> str:
    """Return what to write instead."""
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return f": write a date in quotes, such as {name} > '2020-01-31'"
    if pa.types.is_temporal(kind):
        return ": give item_features= or user_features= with a column of numbers, such as seconds"
    if is_exact(kind) or pa.types.is_floating(kind):
        if isinstance(value, str) and is_written_number(value):
            return f": write the number without quotes, such as {name} > {value.strip()}"
        return f": it holds numbers, such as in {name} > 0"
    if pa.types.is_boolean(kind):
        return f": write true or false without quotes, such as {name} = true"
    if is_list(kind):
        return f": a list has no order; ask for what it holds, such as {name} in (...)"
    if pa.types.is_nested(kind):
        return ": use a column of single values, or of lists of them"
    return f": write text in quotes, such as {name} = 'some text'"
