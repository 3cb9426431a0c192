"""New events, users and items for a fitted model: everything but the learning itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant.data.times import event_times
from penchant.errors import ColumnError, DataError, closest, notice
from penchant.retrieval.filters import RowLists, offsets, owners_of

if TYPE_CHECKING:
    from penchant.data.ids import IdMap
    from penchant.data.interactions import CSR, Interactions
    from penchant.models.fitted import FittedModel

Codes = NDArray[np.int32]


class Known(NamedTuple):
    """Which of a model's users and items it had before it grew; to `_grow` guesses are no items."""

    users: NDArray[np.bool_]
    items: NDArray[np.bool_]


class Growth(NamedTuple):
    """What has come to a model, in its new codes.

    Attributes
    ----------
    known : Known
    events : Interactions or None
        In an order that does not depend on that of the caller's rows.
    event_items : int32 array of shape (events.n_items,)
        The code of each of their items.
    users : int array
        Users with new events, known or not.
    items : int array
        Items with events that are not known: new ones, and those guessed so far.
    fresh : int array
        New items, with or without events.
    first : int array
        Those of `items` that had no events before: new ones, and those only described so far.
    """

    known: Known
    events: Interactions | None
    event_items: Codes
    users: NDArray[np.int64]
    items: NDArray[np.int64]
    fresh: NDArray[np.int64]
    first: NDArray[np.int64]


def in_fixed_order(events: Interactions) -> Interactions:
    """Return the events sorted by all that is known of them, oldest first.

    Of repeated pairs without a time the one with the largest value comes last.
    """
    keys: list[Any] = []
    if events.columns.value is not None:
        keys.append(events.array("value"))
    keys += [events.array("item"), events.array("user")]
    keys += [events.array(part) for part in ("order", "timestamp") if _has(events, part)]
    return events.select(np.lexsort(keys))


def _has(events: Interactions, part: str) -> bool:
    return getattr(events.columns, part) is not None


def widen(model: FittedModel, new: Interactions | None, rows: pa.Table | None) -> Known:
    """Give a model more ids: rows of the new ones are zero, or null in tables.

    Parameters
    ----------
    model : FittedModel
    new : Interactions or None
        Events of known and unknown users and items, with tables of their own perhaps.
    rows : pyarrow.Table or None
        More items with their attributes.
    """
    users = [] if new is None else [new.users.to_arrow()]
    items = [] if new is None else [new.items.to_arrow()]
    item_tables, user_tables = [], []
    if new is not None:
        item_tables.append((new.items.to_arrow(), new.item_features))
        user_tables.append((new.users.to_arrow(), new.user_features))
    if rows is not None:
        name = model.columns_.item
        items.append(rows[name])
        item_tables.append((rows[name], rows.drop_columns([name])))
    places: dict[str | int, Codes] = {}
    model.users_, places["users"] = _union(model.users_, users)
    model.items_, places["items"] = _union(model.items_, items)
    sizes = {"users": len(model.users_), "items": len(model.items_)}
    for name, weight in model._weights.items():
        array, axis = getattr(model, name), str(weight.shape[0])
        whole = "items" in weight.shape[1:]  # an item-item matrix is made anew
        if array is not None and axis in places and not whole:
            wide = np.zeros((sizes[axis], *array.shape[1:]), dtype=array.dtype)
            wide[places[axis]] = array
            setattr(model, name, wide)
    indptr, indices = model.seen_
    lengths = np.zeros(len(model.users_), dtype=np.int64)
    lengths[places["users"]] = np.diff(indptr)
    # Ids are sorted: old users and items keep their order.
    model.seen_ = RowLists(offsets(lengths), places["items"][indices])
    model.user_features_ = _spread(model.user_features_, places["users"], model.users_, user_tables)
    model.item_features_ = _spread(model.item_features_, places["items"], model.items_, item_tables)
    model.guessed_items_ = places["items"][model.guessed_items_]
    counts = np.zeros(sizes["items"], dtype=np.int64)
    counts[places["items"]] = model.item_counts_
    model.item_counts_ = counts
    if model.item_first_seen_ is not None and model.last_event_ is not None:
        # What came without a time came last.
        first = np.full(sizes["items"], model.last_event_, dtype=np.int64)
        first[places["items"]] = model.item_first_seen_
        model.item_first_seen_ = first
    known = {axis: np.zeros(size, dtype=np.bool_) for axis, size in sizes.items()}
    for axis, flags in known.items():
        flags[places[axis]] = True
    return Known(**known)


def _union(ids: IdMap, more: list[Any]) -> tuple[IdMap, Codes]:
    """Return a map with more ids, and what has become of the codes."""
    places = np.arange(len(ids), dtype=np.int32)
    for values in more:
        ids, moved = ids.union(values)
        places = moved[places]
    return ids, places


def _spread(
    table: pa.Table | None, places: Codes, ids: IdMap, more: list[tuple[Any, pa.Table | None]]
) -> pa.Table | None:
    """Return a table with a row for each id: those it has at their places, then those of `more`.

    `more` are ids, whatever the name of their column, and their tables.
    """
    if table is None:
        if any(part is not None and part.num_columns for _, part in more):
            notice(
                f"partial_fit: the attributes of each {ids.name} are left out, since the model was "
                "trained without such a table"
            )
        return None
    rows = np.full(len(ids), -1, dtype=np.int64)
    rows[places] = np.arange(len(places))
    table = table.take(pa.array(rows, mask=rows < 0))
    for owners, part in more:
        if part is not None:
            table = _filled(table, part, ids.codes(owners))
    return table


def _filled(table: pa.Table, more: pa.Table, codes: Codes) -> pa.Table:
    """Return the table with the values of `more`, whose rows are those of `codes`.

    Null says nothing: a known row keeps what it has, for the tables of `Interactions` have a row
    for everyone with events.
    """
    for name in more.column_names:
        if name not in table.column_names:
            raise ColumnError(
                f"partial_fit: the table of the training data has no column {name!r}"
                f"{closest(name, table.column_names)}; it has "
                f"{', '.join(map(repr, table.column_names))}"
            )
    columns = []
    for field in table.schema:
        column = table[field.name]
        if field.name in more.column_names:
            try:
                new = more[field.name].cast(field.type)
            except pa.ArrowException as error:
                raise DataError(
                    f"partial_fit: the table of the training data holds {field.type} in column "
                    f"{field.name!r}, and the new one does not: {error}"
                ) from error
            there = np.flatnonzero(new.is_valid().to_numpy())
            rows = np.arange(table.num_rows)
            rows[codes[there]] = table.num_rows + there
            column = pa.chunked_array([*column.chunks, *new.chunks], field.type).take(
                pa.array(rows)
            )
        columns.append(column)
    return pa.table(columns, schema=table.schema)


def merge_times(model: FittedModel, events: Interactions, items: Codes, known: Known) -> None:
    """Note when new items appeared, and the last event; `items` are the codes of the events'."""
    times = event_times(events)
    if times is None or model.item_first_seen_ is None or model.last_event_ is None:
        return
    fresh = ~known.items[items]
    model.item_first_seen_[items[fresh]] = times.first_seen[fresh]
    model.last_event_ = max(model.last_event_, times.last)


def own_codes(ids: IdMap, others: IdMap) -> Codes:
    """Return the codes of ids that are all known, under whatever dtype."""
    codes = ids.codes(others.to_arrow())
    if len(np.unique(codes)) < len(codes):
        raise DataError(
            f"several ids of the column {others.name!r} are the same {ids.name} in the dtype of "
            f"the training data, {ids.dtype}: convert the column to that first"
        )
    return codes


class Entries(NamedTuple):
    """Entries of a users x items matrix, sorted by user and item."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    values: NDArray[np.float32]


def in_own_codes(matrix: CSR, users: Codes, items: Codes) -> Entries:
    """Return the entries of a matrix whose row r and column c are `users[r]` and `items[c]`."""
    rows, columns = users[matrix.rows()].astype(np.int64), items[matrix.indices].astype(np.int64)
    order = np.lexsort((columns, rows))
    return Entries(rows[order], columns[order], np.asarray(matrix.values)[order])


def merge_events(model: FittedModel, new: Entries, reduction: str) -> None:
    """Add entries to what the model's users have seen.

    Of a pair that is there already "last" replaces the value, whatever its time (that of the value
    there is not kept); "sum" and "count" add to it.
    """
    own = owners_of(model.seen_) << 32 | model.seen_.indices
    added = new.users << 32 | new.items
    place = np.searchsorted(own, added)
    there = np.zeros(len(added), dtype=np.bool_)
    there[place < len(own)] = own[place[place < len(own)]] == added[place < len(own)]
    if model.history_values_ is not None:
        values = np.array(model.history_values_)
        repeated = values[place[there]] if reduction != "last" else np.float32(0)
        values[place[there]] = new.values[there] + repeated
        model.history_values_ = np.insert(values, place[~there], new.values[~there])
    pairs = np.insert(own, place[~there], added[~there])
    lengths = np.bincount(pairs >> 32, minlength=len(model.users_))
    model.seen_ = RowLists(offsets(lengths), (pairs & 0xFFFFFFFF).astype(np.int32))
    counts = np.bincount(model.seen_.indices, minlength=len(model.items_))
    model.item_counts_ = counts.astype(np.int64)
