"""From a raw Arrow table to clean events: the steps behind `Interactions.from_frame`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from penchant.data import _features, _limits, _repeats, arrow
from penchant.data._columns import Columns, context_part, missing, read_numbers
from penchant.data._times import TimeFormat, read_times
from penchant.data.ids import IdMap
from penchant.errors import DataError, ParameterError, choose, notice

_REASONS = {"missing_user": "user", "missing_item": "item", "missing_session": "session"}
_COUNT = "count"


@dataclass(frozen=True)
class Options:
    """How rows are cleaned; see `Interactions.from_frame`."""

    drop_missing: bool = True
    duplicates: str = "keep"
    negative_values: str = "error"
    timestamp_unit: str | None = None

    def __post_init__(self) -> None:
        choose("duplicates", self.duplicates, ("keep", "sum", "last"))
        choose("negative_values", self.negative_values, ("error", "drop", "net"))


@dataclass
class Parts:
    """The columns of clean events as arrays, all of the same length."""

    user: np.ndarray
    item: np.ndarray
    rows: np.ndarray
    value: np.ndarray | None = None
    timestamp: np.ndarray | None = None
    session: np.ndarray | None = None
    order: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Parts:
        """Return some of the events."""
        arrays = {name: array for name, array in vars(self).items() if array is not None}
        return Parts(**{name: array[rows] for name, array in arrays.items()})

    def pairs(self) -> _repeats.Groups:
        """Group the events by (user, item)."""
        oldest_first = _repeats.chronological(self.timestamp, self.order)
        return _repeats.group(oldest_first, self.user, self.item)


@dataclass(frozen=True)
class Content:
    """All that an `Interactions` holds."""

    events: Any
    users: IdMap
    items: IdMap
    columns: Columns
    backend: str
    sessions: IdMap | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    number_types: dict[str, Any] = field(default_factory=dict)
    time_format: TimeFormat | None = None
    item_features: Any = None
    user_features: Any = None


def build(
    table: Any,
    backend: str,
    columns: Columns,
    options: Options,
    item_features: _features.Features,
    user_features: _features.Features,
) -> Content:
    """Clean a table of raw rows."""
    n_rows = table.num_rows
    if n_rows == 0:
        raise DataError("the frame is empty: it has columns but no rows")
    _limits.check_rows(n_rows)
    table, rows, dropped = _drop_missing(table, columns, options.drop_missing)
    value = None
    if columns.value is not None:
        value = read_numbers(_part(table, columns.value), columns.value, "value", rows)
        negative = value < 0
        if negative.any():
            _refuse_negative(value, negative, columns.value, rows, options)
            if options.negative_values == "drop":
                dropped["negative_value"] = int(negative.sum())
                kept = ~negative
                table, rows, value = table.filter(pa.array(kept)), rows[kept], value[kept]
                _refuse_nothing(len(rows), n_rows, f"all values of {columns.value!r} are negative")
    users, user_codes = IdMap.from_column(table.column(columns.user), columns.user)
    items, item_codes = IdMap.from_column(table.column(columns.item), columns.item)
    parts = Parts(user_codes, item_codes, rows, value=value)
    content = Content(None, users, items, columns, backend, dropped=dropped)
    content = _read_rest(content, parts, table, options)

    positions = np.arange(len(rows))
    if value is not None and options.negative_values == "net" and (value <= 0).any():
        positions, amounts = _repeats.net(value, parts.pairs())
        _count_returns(dropped, value, len(positions))
        _refuse_nothing(len(positions), n_rows, "everything that was bought was returned")
        parts = replace(parts.take(positions), value=amounts)
    if options.duplicates != "keep":
        content, kept, merged = _merge(content, parts, options.duplicates)
        positions, parts = positions[kept], replace(parts.take(kept), value=merged)
    return _assemble(content, parts, table, positions, item_features, user_features)


def compact(ids: IdMap, codes: np.ndarray) -> tuple[IdMap, np.ndarray, np.ndarray | None]:
    """Give new numbers to the ids that some codes use.

    Returns
    -------
    ids : IdMap
    codes : ndarray of int32
    kept : ndarray of int64 or None
        The old codes kept; None if all are.
    """
    used = np.zeros(len(ids), bool)
    used[codes] = True
    if used.all():
        return ids, codes, None
    kept = np.flatnonzero(used)
    renumber = np.cumsum(used, dtype=np.int32) - 1
    return ids.subset(kept), renumber[codes].astype(np.int32, copy=False), kept


def _part(table: Any, name: str) -> Any:
    return arrow.combine(table.column(name))


def _drop_missing(
    table: Any, columns: Columns, drop: bool
) -> tuple[Any, np.ndarray, dict[str, int]]:
    n_rows = table.num_rows
    keep = np.ones(n_rows, bool)
    dropped: dict[str, int] = {}
    for reason, part in _REASONS.items():
        name = getattr(columns, part)
        if name is None:
            continue
        null = np.asarray(missing(table.column(name))) & keep
        count = int(null.sum())
        if count and not drop:
            raise DataError(
                f"row {int(null.argmax())}: {part} column {name!r} is null ({count:,} such rows); "
                f"drop_missing=True drops them"
            )
        if count:
            keep &= ~null
            dropped[reason] = count
            _refuse_nothing(
                int(keep.sum()), n_rows, f"column {name!r} is null in {count:,} of them"
            )
            notice(f"dropped {count:,} of {n_rows:,} rows without {name}")
    if not dropped:
        return table, np.arange(n_rows), dropped
    return table.filter(pa.array(keep)), np.flatnonzero(keep), dropped


def _refuse_nothing(n_left: int, n_rows: int, why: str) -> None:
    if n_left == 0:
        raise DataError(f"no rows are left of {n_rows:,}: {why}")


def _refuse_negative(
    value: np.ndarray, negative: np.ndarray, name: str, rows: np.ndarray, options: Options
) -> None:
    if options.negative_values == "error":
        first = int(negative.argmax())
        raise DataError(
            f"row {rows[first]}: value column {name!r} is {value[first]:g} "
            f"({int(negative.sum()):,} rows are negative); negative_values='drop' drops such rows, "
            f"negative_values='net' takes returns off what the user bought of the item"
        )


def _read_rest(content: Content, parts: Parts, table: Any, options: Options) -> Content:
    """Read times, order and session into ``parts``."""
    columns, types = content.columns, dict(content.number_types)
    time_format, sessions = None, None
    if columns.value is not None:
        types["value"] = table.schema.field(columns.value).type
    if columns.timestamp is not None:
        column = _part(table, columns.timestamp)
        parts.timestamp, time_format = read_times(
            column, columns.timestamp, options.timestamp_unit, parts.rows
        )
    if columns.order is not None:
        types["order"] = table.schema.field(columns.order).type
        column = _part(table, columns.order)
        parts.order = read_numbers(column, columns.order, "order", parts.rows)
    if columns.session is not None:
        sessions, parts.session = IdMap.from_column(table.column(columns.session), columns.session)
    return replace(content, number_types=types, time_format=time_format, sessions=sessions)


def _count_returns(dropped: dict[str, int], value: np.ndarray, n_left: int) -> None:
    returns = int((value < 0).sum())
    if returns:
        dropped["negative_value"] = returns
    if len(value) - returns > n_left:
        dropped["returned"] = len(value) - returns - n_left


def _merge(
    content: Content, parts: Parts, duplicates: str
) -> tuple[Content, np.ndarray, np.ndarray | None]:
    """Choose one row for each pair; return those rows and their values."""
    pairs = parts.pairs()
    kept, place = _repeats.merge(pairs)
    columns, types, value = content.columns, content.number_types, parts.value
    if duplicates == "last":
        merged = None if value is None else value[kept]
    elif value is not None:
        merged = np.add.reduceat(value[pairs.order], pairs.starts)[place]
    else:
        merged = pairs.counts[place].astype(np.float64)
        columns, types = replace(columns, value=_COUNT), {**types, "value": pa.int64()}
    dropped = dict(content.dropped)
    if len(kept) < len(parts.user):
        dropped["repeated"] = len(parts.user) - len(kept)
    content = replace(content, columns=columns, number_types=types, dropped=dropped)
    return content, kept, merged


def _assemble(
    content: Content,
    parts: Parts,
    table: Any,
    positions: np.ndarray,
    item_features: _features.Features,
    user_features: _features.Features,
) -> Content:
    users, parts.user, _ = compact(content.users, parts.user)
    items, parts.item, _ = compact(content.items, parts.item)
    sessions = content.sessions
    if sessions is not None and parts.session is not None:
        sessions, parts.session, _ = compact(sessions, parts.session)
    arrays = {
        part: pa.array(getattr(parts, part)) for part, _ in content.columns if hasattr(parts, part)
    }
    everything = len(positions) == table.num_rows and bool((np.diff(positions) == 1).all())
    rest = table if everything else table.take(pa.array(positions))
    for name in content.columns.context:
        arrays[context_part(name)] = rest.column(name)
    newest = _repeats.chronological(parts.timestamp, parts.order)
    return replace(
        content,
        events=pa.table(arrays),
        users=users,
        items=items,
        sessions=sessions,
        item_features=_features.align(item_features, rest, items, parts.item, newest),
        user_features=_features.align(user_features, rest, users, parts.user, newest),
    )


def row_numbers(rows: np.ndarray, n_events: int) -> np.ndarray:
    """Return the row numbers that a mask or row numbers choose, checked."""
    if rows.dtype == bool:
        if rows.shape != (n_events,):
            raise ParameterError(
                f"the mask has shape {rows.shape}; it needs one value for each of the "
                f"{n_events:,} events"
            )
        rows = np.flatnonzero(rows)
    elif rows.size and (rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer)):
        raise ParameterError(f"rows must be a mask or row numbers, not {rows.dtype} values")
    elif rows.size and (rows.min() < 0 or rows.max() >= n_events):
        raise ParameterError(f"row numbers must be from 0 to {n_events - 1}")
    if rows.size == 0:
        raise DataError("no events are selected")
    return rows
