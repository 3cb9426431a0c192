"""Values of item columns as sets: one value a row, a list, or a text that joins values by ``|``."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant.errors import ParameterError
from penchant.retrieval.filters import RowLists, offsets, take_lists
from penchant.retrieval.rerank.lists import Catalogue


class AttributeSets(NamedTuple):
    """The values of each item: codes from 0 to `n_values` - 1."""

    lists: RowLists
    n_values: int

    def take(self, items: NDArray[np.int64]) -> AttributeSets:
        """Return the sets of some items."""
        return self._replace(lists=take_lists(self.lists, items))


def attribute_sets(catalogue: Catalogue, columns: tuple[str, ...], owner: str) -> AttributeSets:
    """Return the values that items have in some columns of the item table.

    Missing values (null, NaN, empty text) are none; the same value in two columns counts as two.

    Raises
    ------
    ColumnError
        A column that the table does not have.
    ParameterError
        A column whose values cannot be told apart, such as one of structs.
    """
    return catalogue.cached(("sets", columns), lambda: _read(catalogue, columns, owner))


def _read(catalogue: Catalogue, columns: tuple[str, ...], owner: str) -> AttributeSets:
    pairs, n_values = [], 0
    for name in columns:
        items, codes, n_own = _values(catalogue.column(name, owner), name, owner)
        pairs.append(items << 32 | (codes + n_values))
        n_values += n_own
    unique = np.unique(np.concatenate(pairs))
    lengths = np.bincount(unique >> 32, minlength=len(catalogue))
    return AttributeSets(
        RowLists(offsets(lengths), (unique & 0xFFFFFFFF).astype(np.int32)), n_values
    )


def _values(column: Any, name: str, owner: str) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return the items that have values, the codes of those, and how many values there are."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = pc.split_pattern(column, "|")
    listed = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if any(is_kind(column.type) for is_kind in listed):
        lists = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        items = np.asarray(pc.list_parent_indices(lists)).astype(np.int64)
        values = pc.list_flatten(lists)
    else:
        items = np.arange(len(column), dtype=np.int64)
        values = column.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_nested(values.type):
        raise ParameterError(
            f"{owner}: the values of column {name!r} are {values.type}: use a column of single "
            "values, of lists of them, or of text that joins them by '|'"
        )
    missing = pc.is_null(values, nan_is_null=True)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        missing = pc.or_(missing, pc.fill_null(pc.equal(values, ""), True))
    there = ~np.asarray(missing).astype(bool)
    encoded = values.filter(pa.array(there)).dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    return items[there], np.asarray(encoded.indices).astype(np.int64), len(encoded.dictionary)
