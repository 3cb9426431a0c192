"""The edge to pandas, polars and pyarrow: Arrow columns in, a frame of the caller's kind out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from penchant.data import arrow
from penchant.errors import ColumnError, DataError, ParameterError, closest, notice

__all__ = ["BACKENDS", "column_names", "from_arrow", "to_arrow"]

BACKENDS = ("pandas", "polars", "pyarrow")

_COLUMNS_SHOWN = 20


def to_arrow(frame: Any, columns: Iterable[str] | None = None) -> tuple[Any, str]:
    """Return columns of a frame as an Arrow table, and which library the frame is from.

    Parameters
    ----------
    frame : pandas.DataFrame, polars.DataFrame or pyarrow.Table
        Never changed; columns are shared where the library allows it.
    columns : iterable of str, optional
        The columns wanted, in this order; all by default.

    Returns
    -------
    table : pyarrow.Table
        A pandas index is left out. Object columns that mix types become text, with a
        `PenchantWarning`; text and lists that are views become plain ones.
    backend : {"pandas", "polars", "pyarrow"}

    Raises
    ------
    ColumnError
        If a column is missing; the message lists those available.
    DataError
        If the frame is of another kind, has a MultiIndex or has duplicate column names, or if a
        column is of a type that cannot be read.

    Examples
    --------
    >>> import pandas as pd
    >>> table, backend = to_arrow(pd.DataFrame({"user": [1, 2], "price": [0.5, 2.5]}), ["user"])
    >>> table.column_names, backend
    (['user'], 'pandas')
    """
    backend = _backend(frame)
    names = column_names(frame)
    position = {name: place for place, name in enumerate(names)}
    wanted = names if columns is None else list(dict.fromkeys(map(str, columns)))
    index = [str(n) for n in frame.index.names if n is not None] if backend == "pandas" else []
    for name in wanted:
        if name not in position:
            if name in index:
                raise ColumnError(f"{name!r} is the index, not a column: call reset_index() first")
            raise ColumnError(missing_column(name, names))
    arrays = [readable(_column(frame, position[name], name, backend), name) for name in wanted]
    return pa.table(arrays, names=wanted), backend


def column_names(frame: Any) -> list[str]:
    """Return the names of a frame's columns.

    Raises
    ------
    DataError
        If the frame is of another kind, has a MultiIndex, or names that repeat or are not text.
    """
    backend = _backend(frame)
    if backend == "pandas":
        for axis, part in ((frame.index, "index"), (frame.columns, "columns")):
            if axis.nlevels > 1:
                advice = "call reset_index()" if part == "index" else "give each column one name"
                raise DataError(f"the frame has a MultiIndex as its {part}: {advice} first")
    names = [str(n) for n in (frame.column_names if backend == "pyarrow" else frame.columns)]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(
            f"the frame has more than one column named {', '.join(map(repr, repeated))}: "
            f"rename or drop the duplicates"
        )
    return names


def from_arrow(table: Any, backend: str) -> Any:
    """Return an Arrow table as a frame of one kind.

    Parameters
    ----------
    table : pyarrow.Table
    backend : {"pandas", "polars", "pyarrow"}

    Returns
    -------
    pandas.DataFrame, polars.DataFrame or pyarrow.Table

    Raises
    ------
    DataError
        Such frames cannot hold the type of a column; the message names it.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from_arrow(pa.table({"item": ["MUG", "CAKESTAND"], "rank": [1, 2]}), "pandas")
            item  rank
    0        MUG     1
    1  CAKESTAND     2
    """
    if backend == "pyarrow":
        return table
    if backend == "pandas":
        return _converted(table, backend, pa.Table.to_pandas, (NotImplementedError, ValueError))
    if backend == "polars":
        from penchant.errors import require

        polars = require("polars", "polars")
        failures = (polars.exceptions.PolarsError, polars.exceptions.PanicException)
        return _converted(_uuids_as_text(table), backend, polars.from_arrow, failures)
    raise ParameterError(f"backend={backend!r} is not one of {', '.join(map(repr, BACKENDS))}")


def _converted(
    table: Any,
    backend: str,
    convert: Callable[[Any], Any],
    failures: tuple[type[BaseException], ...],
) -> Any:
    failures = (*failures, pa.ArrowException)

    def fails(name: str) -> bool:
        try:
            convert(table.select([name]))
        except failures:
            return True
        return False

    try:
        return convert(table)
    except failures as error:
        name = next(filter(fails, table.column_names), None)
        if name is None:
            raise
        raise DataError(
            f"column {name!r} is {table.schema.field(name).type}, which {backend} frames cannot "
            "hold: leave it out, or give the events as a pyarrow table"
        ) from error


def _backend(frame: Any) -> str:
    from narwhals import dependencies

    if dependencies.is_pandas_dataframe(frame):
        return "pandas"
    if dependencies.is_polars_dataframe(frame):
        return "polars"
    if dependencies.is_pyarrow_table(frame):
        return "pyarrow"
    hint = ""
    if dependencies.is_polars_lazyframe(frame):
        hint = "; call .collect() on it first"
    elif hasattr(frame, "to_frame"):
        hint = "; call .to_frame() on it first"
    raise DataError(
        f"expected a pandas or polars DataFrame or a pyarrow Table, got {_type(frame)}{hint}"
    )


def _type(frame: Any) -> str:
    return f"{type(frame).__module__.partition('.')[0]}.{type(frame).__name__}".removeprefix(
        "builtins."
    )


def missing_column(name: str, names: list[str]) -> str:
    """Return the message for a missing column: the closest one and all that there are."""
    hint = closest(name, names) or "."
    shown = ", ".join(map(repr, names[:_COLUMNS_SHOWN])) or "none"
    more = f" and {len(names) - _COLUMNS_SHOWN} more" if len(names) > _COLUMNS_SHOWN else ""
    return f"column {name!r} is missing{hint} Columns available: {shown}{more}"


def _column(frame: Any, position: int, name: str, backend: str) -> Any:
    if backend == "pyarrow":
        return frame.column(position)
    if backend == "polars":
        series = frame.to_series(position)
        # A polars Object column exports its pointers, not its values.
        if str(series.dtype) == "Object":
            return objects(series.to_list(), name)
        try:
            return series.to_arrow()
        except (pa.ArrowException, _panic()) as error:
            raise DataError(
                f"column {name!r} is {series.dtype}, which cannot be read: make it another type or "
                "leave it out"
            ) from error
    series = frame.iloc[:, position]
    try:
        array = pa.array(series, from_pandas=True)
    except arrow.CONVERSION_ERRORS:
        return objects(series.tolist(), name)
    if isinstance(array.type, pa.BaseExtensionType) and not arrow.is_uuid(array.type):
        return _as_text(series.tolist(), name)  # periods, intervals
    return array


def _panic() -> type[BaseException]:
    """Return what polars raises where it cannot go on."""
    import polars

    panic: type[BaseException] = polars.exceptions.PanicException
    return panic


def readable(column: Any, name: str) -> Any:
    """Return a column whose rows Arrow can take: text, bytes and lists as such, not as views.

    Raises
    ------
    DataError
        Arrow cannot convert the column either.
    """
    kind = arrow.takeable(column.type)
    if kind == column.type:
        return column
    try:
        if pa.types.is_run_end_encoded(column.type):
            import pyarrow.compute as pc

            column = pc.run_end_decode(column)
        elif arrow.is_list_view(column.type):
            column = arrow.plain_lists(column)
        if "list_view<" in str(column.type):  # of lists: its cast would return broken lists
            raise pa.ArrowNotImplementedError("views inside lists")
        return column.cast(kind)
    except (pa.ArrowException, OverflowError) as error:
        raise DataError(
            f"column {name!r} is {column.type}, which cannot be read: make it {kind}, or leave it "
            "out"
        ) from error


def objects(values: list[Any], name: str) -> Any:
    """Return Python objects as one Arrow type if there is one, else as text with a notice.

    Raises
    ------
    DataError
        A text is no valid Unicode.
    """
    try:
        return pa.array(values, from_pandas=True)
    except arrow.CONVERSION_ERRORS:
        pass
    for row, value in enumerate(values):
        if not arrow.is_unicode(value):
            raise DataError(f"row {row}: {value!r} in column {name!r} is not valid Unicode text")
    return _as_text(values, name)


def _as_text(values: list[Any], name: str) -> Any:
    text = arrow.mixed_to_text(values)
    kinds = sorted({type(value).__name__ for value in values if value is not None})
    if kinds != ["UUID"]:
        verb = "holds" if len(kinds) == 1 else "mixes"
        notice(f"column {name!r} {verb} {' and '.join(kinds)} values: they are read as text")
    return text


def _uuids_as_text(table: Any) -> Any:
    """Polars has no UUIDs: give them as text."""
    for position, field in enumerate(table.schema):
        if arrow.is_uuid(field.type):
            text = arrow.uuid_text(arrow.combine(table.column(position)))
            table = table.set_column(position, field.name, text)
    return table
