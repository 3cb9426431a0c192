"""Which items an answer may hold: what callers of `recommend` say, as arrays for the search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant.data import arrow
from penchant.data.frames import to_arrow
from penchant.data.ids import IdMap
from penchant.errors import DataError, ParameterError, notice
from penchant.models import results
from penchant.models.expression_filters import Asker, check_values, item_filter
from penchant.retrieval.filters import ItemFilter, RowLists, distinct_lists, take_lists

if TYPE_CHECKING:
    from penchant.models.fitted import FittedModel

__all__ = ["ItemFilter", "read_filter"]


class _Asked(NamedTuple):
    """Who is asked about, one label for each query: users of the model, or strangers."""

    labels: Any
    are_users: bool


def read_filter(
    model: FittedModel,
    labels: Any | None,
    asker: Asker,
    *,
    candidates: Any,
    exclude: Any,
    where: str | None,
    where_values: Mapping[str, Any] | None,
) -> ItemFilter:
    """Read what the caller of `recommend` says about items.

    Parameters
    ----------
    model : FittedModel
    labels : pyarrow.Array or None
        The users asked about, one for each query; None for a single stranger.
    asker : Asker
        What the model knows of them.
    candidates, exclude, where, where_values
        See `Recommender.recommend`.
    """
    check_values(where_values, where)
    found = ItemFilter()
    if where is not None:
        found = item_filter(model, where, where_values, asker)
    asked = None if labels is None else _Asked(labels, bool((asker.codes >= 0).any()))
    if candidates is not None:
        lists, flags = _read_items(model, asked, candidates, "candidates")
        found = found.only(lists).flagged(flags)
    if exclude is not None:
        lists, flags = _read_items(model, asked, exclude, "exclude")
        found = found.without(lists).flagged(None if flags is None else ~flags)
    return found


def _read_items(
    model: FittedModel, asked: _Asked | None, given: Any, name: str
) -> tuple[RowLists | None, NDArray[np.bool_] | None]:
    """Return a list for each query from a frame or mapping, or flags of items from a sequence."""
    if isinstance(given, Mapping):
        given = _as_table(given, model.columns_.user, model.columns_.item)
    if not hasattr(given, "columns"):
        codes = results.resolve(model.items_, given, "item", "keep", ("error", "keep")).codes
        _say_unknown(codes, name)
        flags = np.zeros(len(model.items_), dtype=np.bool_)
        flags[codes[codes >= 0]] = True
        return None, flags
    if asked is None:
        raise ParameterError(
            f"{name} has items for each user, but there is only one history: "
            "give a sequence of items"
        )
    user, item = model.columns_.user, model.columns_.item
    table, _ = to_arrow(given, (user, item))
    if table.column(user).null_count:
        raise DataError(f"{name}: column {user!r} has nulls: every row needs a user")
    codes = model.items_.codes(table.column(item))
    _say_unknown(codes, name)
    if table.num_rows == 0:
        return RowLists(np.zeros(len(asked.labels) + 1, np.int64), np.empty(0, np.int32)), None
    owners = table.column(user)
    if asked.are_users:  # spelled like the labels, as text "2.0" is user 2 there too
        owners = results.resolve(model.users_, owners, "user", "keep", ("error", "keep")).labels
    users, rows = IdMap.from_column(owners, user)
    lists = distinct_lists(rows[codes >= 0], codes[codes >= 0], len(users))
    return take_lists(lists, users.codes(asked.labels)), None


def _as_table(lists: Mapping[Any, Any], user: str, item: str) -> pa.Table:
    """Return the rows (user, item) of lists of items by user."""
    items, lengths = arrow.joined(lists.values(), item)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    return pa.table({user: arrow.to_array(list(lists)).take(pa.array(owners)), item: items})


def _say_unknown(codes: NDArray[np.int32], name: str) -> None:
    unknown = int(np.count_nonzero(codes < 0))
    if unknown and name == "candidates":
        notice(
            f"candidates: {unknown} of {len(codes)} are not items of the training data and cannot "
            "be ranked; they are left out"
        )
