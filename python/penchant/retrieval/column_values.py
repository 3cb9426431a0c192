"""The values of a table's column: one of a row, a list, or a text that joins values by ``|``."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant.data import arrow
from penchant.data.arrow import is_text
from penchant.errors import ParameterError


def is_list(kind: Any) -> bool:
    """Return whether a column of a type holds lists."""
    listed = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(kind) for is_kind in listed)


def plain_column(column: Any) -> Any:
    """Return a column, or an array, as a type that Arrow can compare, look up and tell apart.

    Categories become their values, half floats floats, narrow decimals ones of 128 bits, UUIDs
    text, values of other extension types what they are stored as, and -0.0 is 0.0, as it is in
    comparisons. `elements` does the same with what lists hold.

    Examples
    --------
    >>> import pyarrow as pa
    >>> str(plain_column(pa.array(["a", "b", "a"]).dictionary_encode()).type)
    'string'
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return plain_column(column.cast(kind.value_type))
    if isinstance(kind, pa.BaseExtensionType):
        if arrow.is_uuid(kind):
            return pa.chunked_array([arrow.uuid_text(arrow.combine(column))])
        return plain_column(column.cast(kind.storage_type))
    if pa.types.is_float16(kind):  # early versions have no cast of them either
        return plain_column(pa.chunked_array([np.asarray(column).astype(np.float32)]))
    if pa.types.is_floating(kind):
        return pc.add(column, pa.scalar(0.0, kind))
    if pa.types.is_decimal(kind) and kind.bit_width < 128:
        return column.cast(pa.decimal128(kind.precision, kind.scale))
    return column


def elements(column: Any) -> tuple[Any, NDArray[np.int64]]:
    """Return the elements of lists, or of texts joined by ``|``, and the row of each."""
    if not is_list(column.type):
        column = pc.split_pattern(column, "|")
    lists = arrow.combine(column)
    values = arrow.combine(plain_column(pc.list_flatten(lists)))
    return values, np.asarray(pc.list_parent_indices(lists)).astype(np.int64)


class ColumnValues(NamedTuple):
    """The values of a column, several of a row perhaps.

    Attributes
    ----------
    rows : int64 array of shape (m,)
        The row of each value.
    codes : int64 array of shape (m,)
        Equal values have the same code, from 0.
    n_values : int
        Number of codes.
    """

    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    n_values: int


def column_entries(column: Any, name: str, owner: str) -> tuple[NDArray[np.int64], Any]:
    """Return the row of each value of a column, and the values as a pyarrow column.

    See `column_values`, which returns codes in the place of the values.
    """
    column = plain_column(column)
    if is_text(column.type) or is_list(column.type):
        values, rows = elements(column)
    else:
        rows = np.arange(len(column), dtype=np.int64)
        values = arrow.combine(column)
    if pa.types.is_nested(values.type):
        raise ParameterError(
            f"{owner}: the values of column {name!r} are {values.type}: use a column of single "
            "values, of lists of them, or of text that joins them by '|'"
        )
    missing = pc.is_null(values, nan_is_null=True)
    if is_text(values.type):
        missing = pc.or_(missing, pc.fill_null(pc.equal(values, ""), True))
    there = ~np.asarray(missing).astype(bool)
    return rows[there], values.filter(pa.array(there))


def column_values(column: Any, name: str, owner: str) -> ColumnValues:
    """Return the values of a column: those of lists, of texts that join some by ``|``, or the rows.

    Missing values (null, NaN, empty text) are none. A row may hold the same value twice.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
    name, owner : str
        Of the column and of who asks, for messages.

    Raises
    ------
    ParameterError
        Values that cannot be told apart, such as structs.

    Examples
    --------
    >>> import pyarrow as pa
    >>> kinds = pa.chunked_array([["a|b", None, "b"]])
    >>> rows, codes, n_values = column_values(kinds, "kind", "test")
    >>> rows.tolist(), codes.tolist(), n_values
    ([0, 0, 2], [0, 1, 1], 2)
    """
    rows, values = column_entries(column, name, owner)
    encoded = values.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    codes = np.asarray(encoded.indices).astype(np.int64)
    return ColumnValues(rows, codes, len(encoded.dictionary))
