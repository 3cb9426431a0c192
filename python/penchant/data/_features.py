"""Features of users and items: one row for each id, from event columns or a frame of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from penchant.data import _repeats, frames
from penchant.data._columns import Columns, name_list
from penchant.data.ids import IdMap
from penchant.errors import DataError, notice

# Names of columns of the event frame, a frame with a row for each id, or nothing.
Features: TypeAlias = "str | Sequence[str] | Any | None"


def feature_columns(features: Features) -> tuple[str, ...]:
    """Return the columns of the event frame that hold features."""
    return name_list(features) if _are_names(features) else ()


def align(
    features: Features, table: Any, ids: IdMap, codes: np.ndarray, oldest_first: np.ndarray | None
) -> Any | None:
    """Return features as a table with a row for each code.

    From event columns each id gets the values of its latest event; from a frame, those of its row
    (ids without a row get nulls, rows of other ids are left out).
    """
    if features is None:
        return None
    if _are_names(features):
        rows = _repeats.group(oldest_first, codes).last
        return table.select(name_list(features)).take(pa.array(rows))
    frame, _ = frames.to_arrow(features)
    if ids.name not in frame.column_names:
        raise DataError(
            f"a frame of features needs the column {ids.name!r}; "
            f"it has {', '.join(map(repr, frame.column_names))}"
        )
    if frame.column(ids.name).null_count:
        row = int(np.flatnonzero(np.asarray(frame.column(ids.name).is_null()))[0])
        raise DataError(
            f"the frame of features has no {ids.name} in row {row}: every row needs an id"
        )
    found = ids.codes(frame.column(ids.name))
    rows = np.flatnonzero(found >= 0)
    place = np.full(len(ids), -1, np.int64)
    place[found[rows]] = rows
    if len(rows) == 0 and len(ids) > 0:
        theirs = (
            f"its first is {frame.column(ids.name)[0].as_py()!r}" if len(frame) else "it is empty"
        )
        notice(
            f"no {ids.name} of the events has a row in the frame of features ({theirs}, the first "
            f"of the events {ids[0]!r}): check that both write ids alike"
        )
    if len(np.unique(found[rows])) < len(rows):
        repeated = rows[place[found[rows]] != rows][0]
        raise DataError(
            f"the frame of features has more than one row for {ids.name} "
            f"{frame.column(ids.name)[int(repeated)].as_py()!r}"
        )
    rest = frame.drop_columns([ids.name])
    if not rest.column_names:  # a table without columns would have no rows either
        return None
    return rest.take(pa.array(place, mask=place < 0))


def _are_names(features: Features) -> bool:
    return isinstance(features, str) or (
        isinstance(features, list | tuple) and all(isinstance(name, str) for name in features)
    )


def wanted(columns: Columns, *features: Features) -> list[str]:
    """Return the columns of a table that are to be read."""
    names = [name for _, name in columns]
    for some in features:
        names.extend(feature_columns(some))
    return names
