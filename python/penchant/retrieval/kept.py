"""What is made once and kept for a while, such as the flags of an expression."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
Kept = TypeVar("Kept")

_lock = threading.Lock()  # a server asks from several threads


def keep(shelf: dict[Key, Kept], key: Key, make: Callable[[], Kept], at_most: int) -> Kept:
    """Return what a shelf has for a key, or make it; the oldest go where there are too many.

    Two threads may make the same thing; both get what was stored first.

    Examples
    --------
    >>> shelf = {}
    >>> keep(shelf, "a", lambda: 1, 2), keep(shelf, "a", lambda: 2, 2), keep(shelf, "b", int, 2)
    (1, 1, 0)
    >>> keep(shelf, "c", lambda: 3, 2), list(shelf)
    (3, ['b', 'c'])
    """
    with _lock:
        if key in shelf:
            return shelf[key]
    made = make()
    with _lock:
        if key not in shelf:
            while len(shelf) >= at_most:
                del shelf[next(iter(shelf))]
            shelf[key] = made
        return shelf[key]
