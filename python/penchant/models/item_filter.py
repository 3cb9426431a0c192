"""Which items an answer may hold: what callers of `recommend` say, as arrays for the search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
    if candidates is not None:
        lists, flags = _read_items(model, labels, candidates, "candidates")
        found = found.only(lists).flagged(flags)
    if exclude is not None:
        lists, flags = _read_items(model, labels, exclude, "exclude")
        found = found.without(lists).flagged(None if flags is None else ~flags)
    return found


def _read_items(
    model: FittedModel, labels: Any | None, given: Any, name: str
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
    if labels is None:
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
        return RowLists(np.zeros(len(labels) + 1, np.int64), np.empty(0, np.int32)), None
    users, owners = IdMap.from_column(table.column(user), user)
    lists = distinct_lists(owners[codes >= 0], codes[codes >= 0], len(users))
    return take_lists(lists, users.codes(labels)), None


def _as_table(lists: Mapping[Any, Any], user: str, item: str) -> pa.Table:
    """Return the rows (user, item) of lists of items by user."""
    items = [arrow.to_array(value, item).to_pylist() for value in lists.values()]
    owners = np.repeat(np.arange(len(items)), [len(own) for own in items])
    users = arrow.to_array(list(lists)).take(pa.array(owners))
    return pa.table({user: users, item: arrow.to_array([one for own in items for one in own])})


def _say_unknown(codes: NDArray[np.int32], name: str) -> None:
    unknown = int(np.count_nonzero(codes < 0))
    if unknown and name == "candidates":
        notice(
            f"candidates: {unknown} of {len(codes)} are not items of the training data and cannot "
            "be ranked; they are left out"
        )
