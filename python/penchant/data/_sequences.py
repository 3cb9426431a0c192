"""The items of each user, or of each session, in time order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from penchant.data import _repeats


class Sequences(NamedTuple):
    """Sequences of items, oldest first; items may repeat.

    Attributes
    ----------
    indptr : ndarray of int64, shape (n_sequences + 1,)
        Sequence ``s`` is ``items[indptr[s]:indptr[s + 1]]``.
    items : ndarray of int32, shape (n_events,)
        Item codes.
    values : ndarray of float32, shape (n_events,)
        What the value column says of each event, 1 without one.
    """

    indptr: np.ndarray
    items: np.ndarray
    values: np.ndarray


def make_sequences(
    events: Any, sessions: np.ndarray | None, n_users: int, oldest_first: np.ndarray | None
) -> Sequences:
    """Group an event table by user, and by session within a user where sessions are given.

    Without them, sequence ``u`` is that of user ``u``; with them, a user's sessions follow one
    another by session code.
    """
    users = np.asarray(events.column("user"))
    if sessions is None:
        order = _repeats.order_by(users, oldest_first)
        lengths = np.bincount(users, minlength=n_users)
    else:
        groups = _repeats.group(oldest_first, users, sessions)
        order, lengths = groups.order, groups.counts
    indptr = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=indptr[1:])
    items = np.asarray(events.column("item")).astype(np.int32, copy=False)[order]
    if "value" not in events.column_names:
        return Sequences(indptr, items, np.ones(len(order), np.float32))
    values = np.asarray(events.column("value")).astype(np.float32, copy=False)
    return Sequences(indptr, items, values[order])
