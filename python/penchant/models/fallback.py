"""What stands in for users and items that the training data do not have: those like them.

Where an attribute has several values a row, such as the genres of a film, those are alike who share
any of them, in whatever order they stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant import _core
from penchant.data.arrow import is_text
from penchant.data.frames import to_arrow
from penchant.data.ids import IdMap
from penchant.errors import ColumnError, ParameterError, closest
from penchant.retrieval.column_values import column_entries
from penchant.retrieval.filters import RowLists, distinct_lists, offsets, owners_of, take_lists
from penchant.retrieval.kept import keep

if TYPE_CHECKING:
    from penchant.models.fitted import FittedModel

_STAND_INS = 10  # known items that an unknown one is replaced by
_ENTRIES_KEPT = 1 << 22  # items of the favourites that are kept, over all groups

Counts = NDArray[np.int64]


class Favourites(NamedTuple):
    """What a group takes most.

    Attributes
    ----------
    counts : int64 array of shape (n_items,)
        How many of the group took each item.
    topk : TopkIndex
        A query of zeros finds the items by those counts, ties by the number of all users and then
        by the lower code. Its scores are places in this order, which float32 tells apart for
        catalogues of up to 2^24 items.
    """

    counts: Counts
    topk: _core.TopkIndex

    @classmethod
    def by(cls, counts: Counts, everybody: Counts) -> Favourites:
        """Make them of how many users of the group, and of all users, took each item."""
        order = np.lexsort((-everybody, -counts))
        places = np.empty(len(order), dtype=np.float32)
        places[order] = np.arange(len(order), 0, -1)
        return cls(counts, _core.TopkIndex(np.zeros((len(order), 1), np.float32), places))

    def search(
        self, n: int, k: int, **filters: Any
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the best items of `n` queries and how many of the group took them."""
        rows, _ = self.topk.search(np.zeros((n, 1), dtype=np.float32), k, **filters)
        counts = self.counts[rows].astype(np.float32)
        return rows, np.where(rows >= 0, counts, np.float32(-np.inf))


class Among(NamedTuple):
    """Popularity among some of the users, for queries whose user is unknown.

    Attributes
    ----------
    groups : int64 array of shape (q,)
        The group of each query; -1 stands for everybody.
    values : RowLists
        The values of the attribute that make each group: who has any of them belongs to it.
    owners : RowLists
        The users who have each value.
    seen : RowLists
        The items of each user.
    everybody : int64 array of shape (n_items,)
        How many users took an item.
    shelf : dict
        The favourites of some groups, by their values: making them takes longer than a search.
    """

    groups: NDArray[np.int64]
    values: RowLists
    owners: RowLists
    seen: RowLists
    everybody: Counts
    shelf: dict[bytes, Favourites]

    def take(self, rows: NDArray[np.integer[Any]]) -> Among:
        """Return that of some of the queries."""
        return self._replace(groups=self.groups[rows])

    def favourites(self, group: int) -> Favourites:
        """Return what a group takes most."""
        values = take_lists(self.values, np.array([group])).indices
        at_most = max(1, _ENTRIES_KEPT // max(len(self.everybody), 1))
        return keep(self.shelf, values.tobytes(), lambda: self._favourites_of(values), at_most)

    def _favourites_of(self, values: NDArray[np.int32]) -> Favourites:
        if not len(values):
            return Favourites.by(self.everybody, self.everybody)
        users = np.unique(take_lists(self.owners, values).indices)
        taken = take_lists(self.seen, users).indices
        counts = np.bincount(taken, minlength=len(self.everybody)).astype(np.int64)
        return Favourites.by(counts, self.everybody)

    def shares(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the share that items have of the counts of each query's group; q x k."""
        found = np.zeros(rows.shape, dtype=np.float32)
        for group in np.unique(self.groups):
            counts = self.favourites(int(group)).counts
            own = self.groups == group
            found[own] = counts[rows[own]] / max(int(counts.sum()), 1)
        return found


class Attribute(NamedTuple):
    """The values that the known users or items have of an attribute.

    Attributes
    ----------
    values : IdMap or pyarrow column of shape (n_values,)
        Distinct. Text and integers are sorted once, in a map, so that a query need not hash them
        all; other kinds hardly have many values that users or items share.
    kind : pyarrow.DataType
        Of the values.
    owners : RowLists
        The users or items that have each value.
    """

    values: Any
    kind: Any
    owners: RowLists

    @classmethod
    def of(cls, model: FittedModel, side: Literal["user", "item"], column: str) -> Attribute:
        """Read a column of a model's user or item table; kept until the table changes."""
        kept: Attribute | None = model._derived.get(f"{side}s by {column}")
        if kept is not None:
            return kept
        table = model.user_features_ if side == "user" else model.item_features_
        if table is None or column not in table.column_names:
            names = [] if table is None else table.column_names
            raise ColumnError(
                f"popular_within names {column!r}{closest(column, names)}; the {side} table has "
                f"{', '.join(map(repr, names)) or 'no columns'}"
            )
        made = model._derived[f"{side}s by {column}"] = _read(table[column], column)
        return made

    def lists(self, column: Any, name: str) -> RowLists:
        """Return the known values, as codes, that each row of a caller's column has."""
        rows, entries = column_entries(column, name, "popular_within")
        try:
            entries = entries.cast(self.kind)
        except pa.ArrowException as error:
            raise ParameterError(
                f"popular_within={name!r}: the table of the training data holds "
                f"{self.kind}, and what was passed {column.type}: {error}"
            ) from error
        codes = _codes(entries, self.values)
        known = codes >= 0
        return distinct_lists(rows[known], codes[known], len(column))


def _read(column: Any, name: str) -> Attribute:
    rows, entries = column_entries(column, name, "popular_within")
    if is_text(entries.type) or pa.types.is_integer(entries.type):
        values, codes = IdMap.from_column(entries, name)
    else:
        values = pc.unique(entries)
        codes = _codes(entries, values)
    return Attribute(values, entries.type, distinct_lists(codes, rows, len(values)))


def _codes(entries: Any, values: Any) -> NDArray[np.integer[Any]]:
    """Return the place of each entry among the values, -1 where it is none of them."""
    if isinstance(values, IdMap):
        return values.codes(entries)
    return np.asarray(pc.fill_null(pc.index_in(entries, value_set=values), -1)).astype(np.int64)


def read_among(model: FittedModel, users: Any, column: str) -> tuple[Any, Among]:
    """Read a frame of users with an attribute, such as their country.

    Returns
    -------
    ids : pyarrow column of users
    among : Among
    """
    attribute = Attribute.of(model, "user", column)
    if not hasattr(users, "columns"):
        raise ParameterError(
            f"popular_within={column!r} is about an attribute of unknown users: pass users as a "
            f"frame with the columns {model.columns_.user!r} and {column!r}"
        )
    asked, _ = to_arrow(users, (model.columns_.user, column))
    groups, values = _equal_lists(attribute.lists(asked[column], column))
    shelf: dict[bytes, Favourites] = model._derived.setdefault(f"favourites by {column}", {})
    among = Among(groups, values, attribute.owners, model.seen_, model.item_counts_, shelf)
    return asked[model.columns_.user], among


def _equal_lists(lists: RowLists) -> tuple[NDArray[np.int64], RowLists]:
    """Return which of the distinct lists each list is, -1 where it is empty, and those."""
    n = len(lists.indptr) - 1
    width = lists.indices.itemsize
    buffers = [None, pa.py_buffer(lists.indptr * width), pa.py_buffer(lists.indices)]
    encoded = pa.Array.from_buffers(pa.large_binary(), n, buffers).dictionary_encode()
    groups = np.asarray(encoded.indices).astype(np.int64)
    distinct = take_lists(lists, np.unique(groups, return_index=True)[1])
    return np.where(np.diff(lists.indptr) > 0, groups, -1), distinct


def stand_ins(model: FittedModel, values: Any, column: str) -> RowLists:
    """Return the known items that are taken most, of those that share an attribute.

    Parameters
    ----------
    model : FittedModel
    values : pyarrow column of shape (n,)
        Such as the artists of unknown tracks.
    column : str
        Of the item table.

    Returns
    -------
    RowLists
        For each of `values` at most ten items, those with the most users first.
    """
    attribute = Attribute.of(model, "item", column)
    best: RowLists | None = model._derived.get(f"best by {column}")
    if best is None:
        best = _most_taken(attribute.owners, model.item_counts_)
        model._derived[f"best by {column}"] = best
    # The best of several values are among the best of each.
    asked = attribute.lists(values, column)
    items = take_lists(best, asked.indices)
    owners = owners_of(asked)[owners_of(items)]
    return _most_taken(distinct_lists(owners, items.indices, len(values)), model.item_counts_)


def _most_taken(lists: RowLists, counts: Counts) -> RowLists:
    """Return the items of each list that have the most users, ties by the lower code."""
    owners, lengths = owners_of(lists), np.diff(lists.indptr)
    order = np.lexsort((lists.indices, -counts[lists.indices], owners))
    kept = np.arange(len(order)) - np.repeat(lists.indptr[:-1], lengths) < _STAND_INS
    return RowLists(offsets(np.minimum(lengths, _STAND_INS)), lists.indices[order][kept])
