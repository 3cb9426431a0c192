"""Starting, awaiting and ending managed processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import site
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import penchant
from penchant.endpoints.state import Folder, Status
from penchant.errors import EndpointError

__all__ = ["await_ready", "end", "launch", "remove"]

_POLL_SECONDS = 0.03
_NOTE_SECONDS = 1.0  # until it is worth saying that something is awaited
_END_SECONDS = 40.0  # more than the watching process gives the server
_TAIL_LINES = 15


def launch(folder: Folder, arguments: list[str], variables: dict[str, str] | None = None) -> int:
    """Start ``python ARGUMENTS...`` in the background, watched over.

    Parameters
    ----------
    folder : Folder
        Its caller holds the lock of the name, and the old process has ended.
    arguments : list of str
    variables : dict of str to str, optional
        More of them for the environment.

    Returns
    -------
    int
        Where in the log this start begins.

    Raises
    ------
    EndpointError
        The watching process did not start.
    """
    folder.runtime.unlink(missing_ok=True)
    descriptor = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with open(descriptor, "ab") as log:
        start = os.fstat(descriptor).st_size
        done = subprocess.run(
            [sys.executable, "-m", "penchant.endpoints.watchdog", str(folder.path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder.path,  # python -m looks there for modules first
            env={**os.environ, **_python_path(), **(variables or {})},
            start_new_session=True,  # Ctrl-C in a notebook, or its end, is not for this one
            check=False,
        )
    if done.returncode != 0:
        tail = folder.tail(_TAIL_LINES, start=start)
        raise EndpointError(f"the process that watches over the server did not start:\n{tail}")
    return start


def _python_path() -> dict[str, str]:
    """Let the new process, which starts in another folder, find the same packages."""
    given = [
        os.path.abspath(one) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one
    ]
    root = str(Path(penchant.__file__).resolve().parent.parent)
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    on_path = {os.path.realpath(one) for one in sys.path}
    if root in on_path - {os.path.realpath(one) for one in (*given, *installed)}:
        given.append(root)
    return {"PYTHONPATH": os.pathsep.join(given)} if given else {}


def await_ready(folder: Folder, what: str, *, start: int, timeout: float, progress: bool) -> None:
    """Wait until a process that was launched is in service.

    Parameters
    ----------
    folder : Folder
    what : str
        For messages: ``endpoint 'shop'``.
    start : int
        As `launch` returned it.
    timeout : float
        Seconds.
    progress : bool
        Tell on stderr that it takes a while.

    Raises
    ------
    EndpointError
        It ended instead; the message has the end of its log. Or the time is up.
    """
    with _note(progress) as note:
        deadline = time.monotonic() + timeout
        while True:
            status = folder.status()
            if status.state == "InService":
                return
            if status.state != "Creating":
                tail = folder.tail(_TAIL_LINES, start=start)
                raise EndpointError(f"{what} did not start: {status.reason}; its log says:\n{tail}")
            if time.monotonic() > deadline:
                raise EndpointError(
                    f"{what} is not ready after {timeout:.0f} s; its log says:\n"
                    f"{folder.tail(_TAIL_LINES, start=start) or '(nothing)'}"
                )
            note(f"{what} is starting")
            time.sleep(_POLL_SECONDS)


class _Note:
    """A line on stderr that says how long something takes, if it takes long enough."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._start = time.monotonic()
        self._shown = 0

    def __call__(self, text: str) -> None:
        seconds = int(time.monotonic() - self._start)
        if self._wanted and seconds >= max(_NOTE_SECONDS, self._shown + 1):
            self._shown = seconds
            print(f"\r{text} ... {seconds} s", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self._shown:
            print(file=sys.stderr, flush=True)


@contextlib.contextmanager
def _note(wanted: bool) -> Iterator[_Note]:
    note = _Note(wanted)
    try:
        yield note
    finally:
        note.end()


def end(folder: Folder) -> None:
    """Let a process answer what it has been asked, and wait for its end; nothing if it has ended.

    Raises
    ------
    EndpointError
        It does not end.
    """
    deadline = time.monotonic() + _END_SECONDS
    told = None
    while folder.alive():
        pid = folder.status().pid
        if pid is not None and pid != told and _tell(folder, pid):
            told = pid
        if time.monotonic() > deadline:
            raise EndpointError(f"process {pid} does not end; see {folder.log}")
        time.sleep(_POLL_SECONDS)


def _tell(folder: Folder, pid: int) -> bool:
    """Send SIGTERM to the watching process, and to no other that has got its number since."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        # Whoever holds the lock wrote the number: if that is so after it was opened, it is theirs.
        status: Status = folder.status()
        if not folder.alive() or status.pid != pid:
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def remove(folder: Folder) -> None:
    """Remove a folder; others see all of it or nothing."""
    end(folder)
    doomed = folder.path.with_name(f".{folder.path.name}-{time.time_ns()}")
    try:
        folder.path.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)
