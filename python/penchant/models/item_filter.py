"""Which items an answer may hold: what callers of `recommend` say, as arrays for the search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant.data.frames import to_arrow
from penchant.data.ids import IdMap
from penchant.errors import DataError, ParameterError, UnsupportedError, notice
from penchant.models import results
from penchant.retrieval.expressions import Clause, parse_personalize, parse_where
from penchant.retrieval.filters import RowLists, offsets, take_lists
from penchant.retrieval.matching import matching_rows

if TYPE_CHECKING:
    from penchant.models.fitted import FittedModel

Flags = NDArray[np.bool_]

_KEPT = 64  # flags of so many expressions are kept


class ItemFilter(NamedTuple):
    """Which items answers may hold.

    Attributes
    ----------
    allowed : bool array of shape (n_items,), or None
        Of all queries.
    exclude, candidates : RowLists or None
        For each query, items left out, and the only ones considered.
    """

    allowed: Flags | None = None
    exclude: RowLists | None = None
    candidates: RowLists | None = None

    def take(self, rows: NDArray[np.integer[Any]]) -> ItemFilter:
        """Return the filter of some of the queries."""
        lists = (
            None if part is None else take_lists(part, rows)
            for part in (self.exclude, self.candidates)
        )
        return ItemFilter(self.allowed, *lists)

    def without(self, seen: RowLists | None) -> ItemFilter:
        """Leave these items of each query out as well."""
        if seen is None:
            return self
        return self._replace(exclude=seen if self.exclude is None else merged(seen, self.exclude))


def read_filter(
    model: FittedModel,
    labels: Any | None,
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
    candidates, exclude, where, where_values
        See `Recommender.recommend`.
    """
    found = ItemFilter()
    if where is not None:
        found = found._replace(allowed=allowed_by(model, where, where_values))
    elif where_values:
        raise ParameterError("where_values are for $NAMES of an expression: give where=... too")
    if candidates is not None:
        lists, flags = _read_items(model, labels, candidates, "candidates")
        found = found._replace(candidates=lists, allowed=_both(found.allowed, flags))
    if exclude is not None:
        lists, flags = _read_items(model, labels, exclude, "exclude")
        unwanted = None if flags is None else ~flags
        found = found._replace(exclude=lists, allowed=_both(found.allowed, unwanted))
    return found


def allowed_by(model: FittedModel, where: str, values: Mapping[str, Any] | None) -> Flags:
    """Return which items an expression allows; computed once for each expression and values."""
    kept: dict[tuple[str, str], Flags] = model._derived.setdefault("where", {})
    # Lists, since the repr of a long array leaves its middle out.
    given = {name: v if np.isscalar(v) else list(v) for name, v in (values or {}).items()}
    key = (where, repr(sorted(given.items())))
    if key not in kept:
        table = item_table(model)
        if where.lstrip()[:7].lower() in ("include", "exclude"):
            flags = np.ones(table.num_rows, dtype=np.bool_)
            for clause in parse_personalize(where):
                chosen = matching_rows(_condition(clause), table, values)
                flags &= chosen if clause.include else ~chosen
        else:
            flags = matching_rows(parse_where(where), table, values)
        if len(kept) >= _KEPT:
            kept.pop(next(iter(kept)))
        kept[key] = flags
    return kept[key]


def _condition(clause: Clause) -> Any:
    if clause.about != "items" or clause.user is not None or clause.condition is None:
        raise UnsupportedError(
            "filters of recommend are about columns of the item table: "
            "INCLUDE or EXCLUDE ItemID WHERE Items.COLUMN ... without IF"
        )
    return clause.condition


def item_table(model: FittedModel) -> pa.Table:
    """Return the item table, with the ids as a column of their own name."""
    everyone = np.arange(len(model.items_), dtype=np.int32)
    table = model.item_features_
    ids = model.items_.take(everyone)
    name = model.columns_.item
    if table is None:
        return pa.table({name: ids})
    return table if name in table.column_names else table.append_column(name, ids)


def restricted(wanted: ItemFilter, flags: Flags | None) -> ItemFilter:
    """Return a filter that allows, of what it did, only the items flagged."""
    return wanted._replace(allowed=_both(wanted.allowed, flags))


def _both(a: Flags | None, b: Flags | None) -> Flags | None:
    if a is None or b is None:
        return b if a is None else a
    return a & b


def _read_items(
    model: FittedModel, labels: Any | None, given: Any, name: str
) -> tuple[RowLists | None, Flags | None]:
    """Return a list for each query from a frame, or flags of items from a sequence."""
    if not hasattr(given, "columns"):
        codes = results.resolve(model.items_, given, "item", "keep", ("error", "keep")).codes
        _say_unknown(codes, name)
        flags = np.zeros(len(model.items_), dtype=np.bool_)
        flags[codes[codes >= 0]] = True
        return None, flags
    if labels is None:
        raise ParameterError(
            f"{name} is a frame, with items for each user, but there is only one history: "
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
    lists = _lists(owners[codes >= 0], codes[codes >= 0], len(users))
    return take_lists(lists, users.codes(labels)), None


def _say_unknown(codes: NDArray[np.int32], name: str) -> None:
    unknown = int(np.count_nonzero(codes < 0))
    if unknown and name == "candidates":
        notice(
            f"candidates: {unknown} of {len(codes)} are not items of the training data and cannot "
            "be ranked; they are left out"
        )


def _lists(owners: NDArray[Any], items: NDArray[np.int32], n: int) -> RowLists:
    """Return the sorted distinct items of each owner."""
    pairs = np.unique(owners.astype(np.int64) << 32 | items.astype(np.int64))
    lengths = np.bincount(pairs >> 32, minlength=n)
    return RowLists(offsets(lengths), (pairs & 0xFFFFFFFF).astype(np.int32))


def merged(a: RowLists, b: RowLists) -> RowLists:
    """Return lists with the items of both."""
    n = len(a.indptr) - 1
    owners = [np.repeat(np.arange(n), np.diff(part.indptr)) for part in (a, b)]
    return _lists(np.concatenate(owners), np.concatenate([a.indices, b.indices]), n)
