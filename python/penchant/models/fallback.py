"""What stands in for users and items that the training data do not have: those like them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant.data.frames import to_arrow
from penchant.errors import ColumnError, ParameterError, closest
from penchant.retrieval.attributes import column_values
from penchant.retrieval.filters import RowLists, distinct_lists, offsets, take_lists

if TYPE_CHECKING:
    from penchant.models.fitted import FittedModel

_STAND_INS = 10  # known items that an unknown one is replaced by


class Among(NamedTuple):
    """Popularity among some of the users, for queries whose user is unknown.

    Attributes
    ----------
    groups : int64 array of shape (q,)
        The group of each query; the last stands for everybody.
    counts : float32 array of shape (n_items, n_groups)
        How many users of a group took an item.
    """

    groups: NDArray[np.int64]
    counts: NDArray[np.float32]

    def take(self, rows: NDArray[np.integer[Any]]) -> Among:
        """Return that of some of the queries."""
        return self._replace(groups=self.groups[rows])

    def vectors(self) -> NDArray[np.float32]:
        """Return the counts with a fraction added that orders equal ones by all users."""
        everybody = self.counts[:, -1:]
        most = np.float32(everybody.max(initial=0))
        found: NDArray[np.float32] = self.counts + everybody / (2 * most + 2)
        return found

    def queries(self) -> NDArray[np.float32]:
        """Return what picks each query's group out of `vectors`."""
        return np.eye(self.counts.shape[1], dtype=np.float32)[self.groups]

    def shares(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the share that items have of the counts of each query's group; q x k."""
        counts: NDArray[np.float32] = self.counts[rows, self.groups[:, None]]
        return counts / self.totals()[:, None]

    def totals(self) -> NDArray[np.float32]:
        """Return the sum of the counts of each query's group."""
        sums: NDArray[np.float32] = np.maximum(self.counts.sum(axis=0), 1)[self.groups]
        return sums


def read_among(model: FittedModel, users: Any, column: str) -> tuple[Any, Among]:
    """Read a frame of users with an attribute, such as their country.

    Returns
    -------
    ids : pyarrow column of users
    among : Among
    """
    table, kind = model.user_features_, "user"
    _check(table, column, kind)
    assert table is not None
    if not hasattr(users, "columns"):
        raise ParameterError(
            f"popular_within={column!r} is about an attribute of unknown users: pass users as a "
            f"frame with the columns {model.columns_.user!r} and {column!r}"
        )
    asked, _ = to_arrow(users, (model.columns_.user, column))
    known = len(model.users_)
    rows, codes, _ = _shared_values(table[column], asked[column], column)
    wanted = np.full(asked.num_rows, -1, dtype=np.int64)
    theirs = rows >= known
    wanted[rows[theirs] - known] = codes[theirs]
    wanted[~np.isin(wanted, codes[~theirs])] = -1  # of nobody that is known
    present = np.unique(wanted[wanted >= 0])
    place = np.searchsorted(present, codes)
    place[place == len(present)] = 0
    member = ~theirs & np.isin(codes, present)
    members = distinct_lists(place[member], rows[member], len(present))
    counts = np.empty((len(model.items_), len(present) + 1), dtype=np.float32)
    for group in range(len(present)):
        own = members.indices[members.indptr[group] : members.indptr[group + 1]]
        taken = take_lists(model.seen_, own).indices
        counts[:, group] = np.bincount(taken, minlength=len(model.items_))
    counts[:, -1] = model.item_counts_
    groups = np.where(wanted >= 0, np.searchsorted(present, wanted), len(present))
    return asked[model.columns_.user], Among(groups, counts)


def stand_ins(model: FittedModel, values: Any, column: str) -> RowLists:
    """Return, for each value of an attribute of items, the known items that are taken most.

    Parameters
    ----------
    model : FittedModel
    values : pyarrow column of shape (n,)
        Such as the artists of unknown tracks.
    column : str
        Of the item table.
    """
    table = model.item_features_
    _check(table, column, "item")
    assert table is not None
    rows, codes, n_values = _shared_values(table[column], values, column)
    known = len(model.items_)
    own = rows < known
    order = np.lexsort((rows[own], -model.item_counts_[rows[own]], codes[own]))
    lengths = np.bincount(codes[own], minlength=n_values)
    lists = RowLists(offsets(lengths), rows[own][order].astype(np.int32))
    place = np.arange(len(lists.indices)) - np.repeat(lists.indptr[:-1], lengths)
    kept = place < _STAND_INS
    most = RowLists(offsets(np.minimum(lengths, _STAND_INS)), lists.indices[kept])
    asked = np.full(len(values), -1, dtype=np.int64)
    asked[rows[~own] - known] = codes[~own]
    return take_lists(most, asked)


def _check(table: pa.Table | None, column: str, kind: str) -> None:
    if table is None or column not in table.column_names:
        names = [] if table is None else table.column_names
        raise ColumnError(
            f"popular_within names {column!r}{closest(column, names)}; the {kind} table has "
            f"{', '.join(map(repr, names)) or 'no columns'}"
        )


def _shared_values(own: Any, others: Any, name: str) -> Any:
    """Return the values of both columns, the rows of `others` after those of `own`."""
    if pa.types.is_dictionary(own.type):
        own = own.cast(own.type.value_type)
    if pa.types.is_dictionary(others.type):
        others = others.cast(others.type.value_type)
    try:
        both = [*own.chunks, *others.cast(own.type).chunks]
    except pa.ArrowException as error:
        raise ParameterError(
            f"popular_within={name!r}: the table of the training data holds {own.type}, and what "
            f"was passed {others.type}: {error}"
        ) from error
    return column_values(pa.chunked_array(both, own.type), name, "popular_within")
