"""The state directory, and processes that are known by the lock they hold."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from penchant.errors import ParameterError

__all__ = ["check_name", "is_running", "spawn"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LOCK = "lock"


def check_name(name: object) -> str:
    """Return a job's name, if it is one.

    Raises
    ------
    ParameterError
        Also for names that could lead out of a folder, such as ``..`` or ``a/b``.

    Examples
    --------
    >>> check_name("bpr-2024-05-01")
    'bpr-2024-05-01'
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ParameterError(
            "a name must be letters, digits, '.', '_' and '-', beginning with a letter or digit, "
            f"got {name!r:.80}"
        )
    return name


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
    """
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        command = [sys.executable, "-m", module, *arguments]
        # `subprocess` would complain when this process forgets about a child that goes on.
        return os.posix_spawn(
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
    finally:
        os.close(lock)
        os.close(log)


def _free_descriptor(*taken: int) -> int:
    return next(number for number in range(3, 16) if number not in taken)


def is_running(folder: Path, pid: int | None = None) -> bool:
    """Tell whether the process of a folder is alive.

    Parameters
    ----------
    folder : Path
    pid : int, optional
        Its number: where it is a child of this process that has ended, it is laid to rest.
    """
    if pid is not None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who ask at once do not take each other for the process.
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
