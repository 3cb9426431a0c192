"""What stands in for users and items that the training data do not have: those like them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant import _core
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
        The group of each query; -1 stands for everybody.
    members : RowLists
        The users of each group.
    seen : RowLists
        The items of each user.
    everybody : int64 array of shape (n_items,)
        How many users took an item.
    """

    groups: NDArray[np.int64]
    members: RowLists
    seen: RowLists
    everybody: NDArray[np.int64]

    def take(self, rows: NDArray[np.integer[Any]]) -> Among:
        """Return that of some of the queries."""
        return self._replace(groups=self.groups[rows])

    def counts(self, group: int) -> NDArray[np.int64]:
        """Return how many users of a group took each item."""
        if group < 0:
            return self.everybody
        own = self.members.indices[self.members.indptr[group] : self.members.indptr[group + 1]]
        taken = take_lists(self.seen, own).indices
        return np.bincount(taken, minlength=len(self.everybody)).astype(np.int64)

    def favourites(self, group: int) -> _core.TopkIndex:
        """Return an index of which a query of zeros finds what a group takes most.

        A fraction, less than one, orders items that equally many took by all users.
        """
        most = int(self.everybody.max(initial=0))
        values = self.counts(group) + self.everybody / (2 * most + 2)
        nothing = np.zeros((len(values), 1), dtype=np.float32)
        return _core.TopkIndex(nothing, values.astype(np.float32))

    def shares(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the share that items have of the counts of each query's group; q x k."""
        found = np.zeros(rows.shape, dtype=np.float32)
        for group in np.unique(self.groups):
            counts = self.counts(int(group))
            own = self.groups == group
            found[own] = counts[rows[own]] / max(int(counts.sum()), 1)
        return found


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
    groups = np.where(wanted >= 0, np.searchsorted(present, wanted), -1)
    among = Among(groups.astype(np.int64), members, model.seen_, model.item_counts_)
    return asked[model.columns_.user], among


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
