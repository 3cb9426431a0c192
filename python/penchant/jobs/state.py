"""The state directory, and processes that are known by the lock they hold."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from penchant import locks
from penchant.errors import JobError, ParameterError
from penchant.serving import catalog

__all__ = ["check_name", "is_running", "kill", "send", "spawn"]

_LOCK = "lock"
# Processes that this one has started and not laid to rest, by their folders. Not by their numbers:
# the system gives the number of a process that somebody else has laid to rest to another child.
_children: dict[str, int] = {}


def check_name(name: object) -> str:
    """Return a job's name, if it is one: by the rule of endpoints, which are named for jobs.

    Raises
    ------
    ParameterError
        Also for names that could lead out of a folder, such as ``..`` or ``a/b``.

    Examples
    --------
    >>> check_name("bpr-2024-05-01")
    'bpr-2024-05-01'
    """
    try:
        return catalog.check_name(name if isinstance(name, str) else "")
    except ParameterError:
        raise ParameterError(
            "a name must be letters, digits, '-', '_' and '.', 63 at most and no '.' first, "
            f"got {name!r:.80}"
        ) from None


def spawn(folder: Path, module: str, arguments: list[str], environment: Mapping[str, str]) -> int:
    """Start a Python module in a process of its own, which outlives this one.

    Parameters
    ----------
    folder : Path
        Gets the file ``log``, which takes what the process prints, and ``lock``, on which the
        process holds a lock as long as it lives. The kernel takes the lock back however it ends.
    module : str
    arguments : list of str
    environment : mapping of str to str

    Returns
    -------
    int
        The process's number.

    Raises
    ------
    JobError
        A process of this folder is running.
    """
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        if not locks.take(lock, wait=False):
            raise JobError(f"a process of {folder} is running")
        command = [sys.executable, "-m", module, *arguments]
        # `subprocess` would complain when this process forgets about a child that goes on.
        pid = os.posix_spawn(
            sys.executable,
            command,
            dict(environment),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
                # A copy that is not closed as the program begins: it carries the lock on.
                (os.POSIX_SPAWN_DUP2, lock, _free_descriptor(lock, log)),
            ],
            setsid=True,
        )
        with contextlib.suppress(OSError):  # else it is laid to rest when this process ends
            _children[str(folder.absolute())] = os.pidfd_open(pid)
        return pid
    finally:
        os.close(lock)
        os.close(log)


def _free_descriptor(*taken: int) -> int:
    return next(number for number in range(3, 16) if number not in taken)


def is_running(folder: Path) -> bool:
    """Tell whether the process of a folder is alive; a child that has ended is laid to rest."""
    _lay_to_rest(folder, os.WNOHANG)
    return locks.is_held(folder / _LOCK)


def _lay_to_rest(folder: Path, options: int = 0) -> None:
    child = _children.get(str(folder.absolute()))
    if child is None:
        return
    try:
        if os.waitid(os.P_PIDFD, child, os.WEXITED | options) is None:
            return
    except ChildProcessError:  # somebody else did, or this process was forked from its parent
        pass
    except OSError:  # another thread was first, and has closed it
        return
    if _children.pop(str(folder.absolute()), None) is not None:
        os.close(child)


def send(folder: Path, pid: int, number: int) -> None:
    """Send a signal to the process of a folder, and to no other that has got its number since.

    Parameters
    ----------
    folder : Path
    pid : int
        As `spawn` returned it.
    number : int
        Of the signal.
    """
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            # It lives: if that is so after it was opened, the number is still its own.
            if is_running(folder):
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


def kill(folder: Path) -> None:
    """End the process of a folder at once, if this process has started one there, and wait."""
    child = _children.get(str(folder.absolute()))
    if child is not None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(child, signal.SIGKILL)
        _lay_to_rest(folder)
