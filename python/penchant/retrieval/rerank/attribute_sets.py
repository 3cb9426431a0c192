"""Values of item columns as sets: one value a row, a list, or a text that joins values by ``|``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from penchant.retrieval.column_values import column_values
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
        items, codes, n_own = column_values(catalogue.column(name, owner), name, owner)
        pairs.append(items << 32 | (codes + n_values))
        n_values += n_own
    unique = np.unique(np.concatenate(pairs))
    lengths = np.bincount(unique >> 32, minlength=len(catalogue))
    return AttributeSets(
        RowLists(offsets(lengths), (unique & 0xFFFFFFFF).astype(np.int32)), n_values
    )
