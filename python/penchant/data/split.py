"""Cutting interactions into a training and a test part.

Every function returns ``(train, test)``, two `Interactions` whose ids are numbered anew: each knows
only its own users and items. Events are split, not pairs: with ``duplicates="keep"`` a pair that
repeats may land in both parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from penchant.data import _repeats
from penchant.data._times import show, to_moment
from penchant.data.interactions import Interactions
from penchant.errors import DataError, ParameterError

__all__ = ["leave_last", "random", "temporal"]


def random(
    data: Interactions, *, test_size: float = 0.3, random_state: int = 0
) -> tuple[Interactions, Interactions]:
    """Put each event into the test part with the same probability.

    Event ``i`` is a training event if ``numpy.random.RandomState(random_state).rand(n)[i]`` is
    below ``1 - test_size``. That generator's bits are frozen, so a split stays the same for ever.

    Parameters
    ----------
    data : Interactions
    test_size : float
        Share of the events to expect in the test part, between 0 and 1.
    random_state : int
        Seed, from 0 to 2**32 - 1.

    Returns
    -------
    train, test : Interactions

    Raises
    ------
    ParameterError
        If ``test_size`` or ``random_state`` is out of range.
    DataError
        If a part would be empty.

    Examples
    --------
    >>> from penchant.data import Interactions
    >>> data = Interactions.from_sequences([["a", "b", "c", "d"]] * 25)
    >>> train, test = random(data, test_size=0.3, random_state=41)
    >>> len(train), len(test)
    (76, 24)
    """
    _check_share(test_size)
    check_seed(random_state)
    uniform = np.random.RandomState(int(random_state)).rand(len(data))
    return _cut(data, uniform < 1 - test_size)


def leave_last(data: Interactions, n: int = 1) -> tuple[Interactions, Interactions]:
    """Put the last events of each user into the test part.

    Events are ordered by timestamp, then by the order column, then by row. A user with ``n`` events
    or fewer stays in the training part.

    Parameters
    ----------
    data : Interactions
    n : int
        Events of each user to put into the test part.

    Returns
    -------
    train, test : Interactions

    Raises
    ------
    ParameterError
        If ``n`` is not a positive integer.
    DataError
        If no user has more than ``n`` events.

    Examples
    --------
    >>> from penchant.data import Interactions
    >>> train, test = leave_last(Interactions.from_sequences([["a", "b", "c"], ["b", "a"]]))
    >>> test.to_frame()["item"].to_list()
    ['c', 'a']
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ParameterError(f"n={n!r} must be a positive integer")
    users = data.array("user")
    by_user = _repeats.group(data.chronological(), users)
    from_end = np.repeat(np.append(by_user.starts[1:], len(users)), by_user.counts)
    from_end -= np.arange(len(users))  # 1 for a user's last event
    test = (from_end <= n) & np.repeat(by_user.counts > n, by_user.counts)
    train = np.ones(len(data), bool)
    train[by_user.order[test]] = False
    return _cut(data, train)


def temporal(
    data: Interactions, *, test_size: float | None = None, cutoff: Any = None
) -> tuple[Interactions, Interactions]:
    """Put the newest events into the test part.

    Parameters
    ----------
    data : Interactions
        Read with ``timestamp=``.
    test_size : float, optional
        Share of the events in the test part. Events of one moment stay together, so the part may
        be larger.
    cutoff : str, datetime, date, numpy.datetime64 or pandas.Timestamp, optional
        First moment of the test part (without a zone: UTC). Give this or ``test_size``.

    Returns
    -------
    train, test : Interactions

    Raises
    ------
    ParameterError
        If not exactly one of ``test_size`` and ``cutoff`` is given, or it is out of range.
    DataError
        If the data have no timestamps, or a part would be empty.

    Examples
    --------
    >>> import pandas as pd
    >>> from penchant.data import Interactions
    >>> df = pd.DataFrame({"user": [1, 1, 2], "item": ["a", "b", "a"],
    ...                    "day": ["2011-01-01", "2011-03-01", "2011-02-01"]})
    >>> data = Interactions.from_frame(df, user="user", item="item", timestamp="day")
    >>> train, test = temporal(data, cutoff="2011-02-01")
    >>> len(train), len(test)
    (1, 2)
    """
    if (test_size is None) == (cutoff is None):
        raise ParameterError("give either test_size= or cutoff=, and not both")
    if data.columns.timestamp is None:
        raise DataError("the data have no timestamps: read them with timestamp='<column>'")
    time = data.array("timestamp")
    if test_size is not None:
        _check_share(test_size)
        place = min(max(round(len(time) * (1 - test_size)), 0), len(time) - 1)
        first = int(np.partition(time, place)[place])
    else:
        first = to_moment(cutoff, "cutoff")
    if not time.min() < first <= time.max():
        raise DataError(
            f"events run from {show(time.min())} to {show(time.max())}; cutting them at "
            f"{show(first)} leaves one part empty"
        )
    return _cut(data, time < first)


def check_seed(random_state: Any) -> None:
    """Refuse what is no seed of `numpy.random.RandomState`."""
    integer = isinstance(random_state, int | np.integer) and not isinstance(random_state, bool)
    if not integer or not 0 <= random_state < 2**32:
        raise ParameterError(
            f"random_state={random_state!r} must be an integer from 0 to 2**32 - 1"
        )


def _check_share(test_size: Any) -> None:
    number = isinstance(test_size, int | float | np.number) and not isinstance(test_size, bool)
    if not number or not 0 < test_size < 1:
        raise ParameterError(f"test_size={test_size!r} must be between 0 and 1")


def _cut(data: Interactions, train: np.ndarray) -> tuple[Interactions, Interactions]:
    n_train = int(train.sum())
    if n_train in (0, len(data)):
        part = "training" if n_train == 0 else "test"
        raise DataError(f"the split of {len(data):,} events leaves the {part} part empty")
    return data.select(train), data.select(~train)
