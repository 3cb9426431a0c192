"""Which rows of a table a filter expression chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant.errors import ColumnError, ParameterError, closest
from penchant.retrieval.expressions import And, Compare, In, IsNull, Node, Not, Or, Parameter, Value

_COMPARE = {
    **{"==": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal},
    **{">": pc.greater, ">=": pc.greater_equal},
}


def matching_rows(
    node: Node, table: pa.Table, values: Mapping[str, Any] | None = None
) -> NDArray[np.bool_]:
    """Return which rows of a table an expression chooses.

    A missing value (null, NaN) matches no comparison, ``!=`` included; ``is null`` finds it. A
    text that joins values by ``|``, as genres in MovieLens, and a list match ``in`` and ``==`` by
    any of their elements.

    Parameters
    ----------
    node : Node
        From `parse_where` or a clause of `parse_personalize`.
    table : pyarrow.Table
    values : mapping of str, optional
        What ``$NAME`` stands for: a value or a sequence of values.

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
    >>> from penchant.retrieval.expressions import parse_where
    >>> films = pa.table({"genres": ["Comedy|Drama", "Horror", None], "year": [1990, 2001, 1985]})
    >>> matching_rows(parse_where("'Comedy' in genres or year > 2000"), films).tolist()
    [True, True, False]
    >>> matching_rows(parse_where("genres not in $tired"), films, {"tired": ["Horror"]}).tolist()
    [True, False, False]
    """
    if isinstance(node, And):
        return _joined(np.logical_and, node.parts, table, values)
    if isinstance(node, Or):
        return _joined(np.logical_or, node.parts, table, values)
    if isinstance(node, Not):
        chosen = ~matching_rows(node.part, table, values)
        if isinstance(node.part, In | Compare):
            chosen &= ~_missing(_column(table, node.part.column))
        return chosen
    column = _column(table, node.column)
    if isinstance(node, IsNull):
        return _missing(column)
    if isinstance(node, In):
        wanted = [one for value in node.values for one in _given(value, values)]
        return _any_element(node.column, column, wanted)
    wanted = _given(node.value, values)
    if len(wanted) != 1:
        raise ParameterError(
            f"filter expression: {node.column} {node.operator} wants one value, not {len(wanted)}"
        )
    if node.operator == "==" and _has_elements(column):
        return _any_element(node.column, column, wanted)
    return _bools(_compared(node, column, wanted[0]))


def _joined(
    join: np.ufunc, parts: tuple[Node, ...], table: pa.Table, values: Mapping[str, Any] | None
) -> NDArray[np.bool_]:
    chosen = matching_rows(parts[0], table, values)
    for part in parts[1:]:
        join(chosen, matching_rows(part, table, values), out=chosen)
    return chosen


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
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column


def _given(value: Value, values: Mapping[str, Any] | None) -> list[Any]:
    if not isinstance(value, Parameter):
        return [value]
    if values is None or value.name not in values:
        known = ", ".join(values or ()) or "none"
        raise ParameterError(f"the filter wants a value for ${value.name}; given are: {known}")
    given = values[value.name]
    return [given] if isinstance(given, str | int | float | bool) else list(given)


def _missing(column: Any) -> NDArray[np.bool_]:
    return _bools(pc.is_null(column, nan_is_null=True))


def _bools(column: Any) -> NDArray[np.bool_]:
    return np.asarray(column.fill_null(False)).astype(np.bool_)


def _is_list(column: Any) -> bool:
    kind = column.type
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _has_elements(column: Any) -> bool:
    if _is_list(column):
        return True
    return _is_text(column.type) and bool(pc.any(pc.match_substring(column, "|")).as_py())


def _any_element(name: str, column: Any, wanted: list[Any]) -> NDArray[np.bool_]:
    """Return where the column, or any of its elements, is one of some values."""
    chosen = np.zeros(len(column), dtype=np.bool_)
    if not _has_elements(column):
        return _bools(pc.is_in(column, value_set=_as(name, column.type, wanted)))
    whole = column if _is_list(column) else pc.split_pattern(column, "|")
    lists = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    elements = pc.list_flatten(lists)
    found = _bools(pc.is_in(elements, value_set=_as(name, elements.type, wanted)))
    chosen[np.asarray(pc.list_parent_indices(lists))[found]] = True
    if not _is_list(column):  # the text as a whole counts too
        chosen |= _bools(pc.is_in(column, value_set=_as(name, column.type, wanted)))
    return chosen


def _compared(node: Compare, column: Any, value: Any) -> Any:
    wanted = _as(node.column, column.type, [value])
    try:
        return _COMPARE[node.operator](column, wanted[0])
    except pa.ArrowException:
        _refuse(node.column, column.type, value)


def _as(name: str, kind: Any, values: list[Any]) -> Any:
    """Return values as an array that compares with a column of some type."""
    if pa.types.is_integer(kind) and all(_is_number(value) for value in values):
        # Not cast to the column's own type: year < 1990.5 and numbers beyond it are fair questions.
        whole = all(isinstance(value, int) and abs(value) < 2**63 for value in values)
        return pa.array(values if whole else np.array(values, dtype=np.float64))
    for value in values:
        fits = _is_number(value) if pa.types.is_floating(kind) else True
        if pa.types.is_boolean(kind):
            fits = isinstance(value, bool)
        elif _is_text(kind):
            fits = isinstance(value, str)
        if not fits or pa.types.is_integer(kind):
            _refuse(name, kind, value)
    try:
        return pa.array(values).cast(kind) if values else pa.array([], kind)
    except (pa.ArrowException, OverflowError):
        _refuse(name, kind, values[0])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse(name: str, kind: Any, value: Any) -> NoReturn:
    raise ParameterError(
        f"filter expression: column {name!r} is {kind} and cannot be compared with {value!r}"
    )
