"""Times of columns and of events, as microseconds of UTC since 1970."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from penchant.data._times import read_times, to_moment

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions

__all__ = ["EventTimes", "event_times", "read_times", "to_moment"]


class EventTimes(NamedTuple):
    """When items appeared, and when the data end.

    Attributes
    ----------
    first_seen : int64 array of shape (n_items,)
        Time of each item's first event.
    last : int
        Time of the latest event of all.
    """

    first_seen: NDArray[np.int64]
    last: int


def event_times(data: Interactions) -> EventTimes | None:
    """Return when the items appeared; None without timestamps.

    Examples
    --------
    >>> import pandas as pd, penchant as pc
    >>> days = ["1970-01-03", "1970-01-02", "1970-01-01"]
    >>> events = pd.DataFrame({"u": [1, 1, 2], "i": ["a", "b", "a"], "t": days})
    >>> data = pc.Interactions.from_frame(events, user="u", item="i", timestamp="t")
    >>> event_times(data).first_seen // 86_400_000_000
    array([0, 1])
    """
    if data.columns.timestamp is None:
        return None
    times = data.array("timestamp")
    first = np.full(data.n_items, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(first, data.array("item"), times)
    return EventTimes(first, int(times.max()))
