"""Advisory locks on files and directories: the kernel takes them back however a process ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

__all__ = ["is_held", "open_directory", "take"]


def take(descriptor: int, *, shared: bool = False, wait: bool = True) -> bool:
    """Lock an open file or directory, until it is closed in all processes that inherited it.

    Parameters
    ----------
    descriptor : int
    shared : bool, default False
        Others may hold it at the same time, if they share it too.
    wait : bool, default True
        Until it is free.

    Returns
    -------
    bool
        Whether it is held now: False only where someone else holds it, and `wait` is false.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(path: Path) -> bool:
    """Tell whether some process holds the lock of a file for itself; False without the file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who ask at once do not take each other for the holder.
        return not take(descriptor, shared=True, wait=False)
    finally:
        os.close(descriptor)


def open_directory(path: Path) -> int:
    """Open a directory, and no link to one, to be locked: that leaves no file behind."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
