"""What is known of a managed process: files in a folder, and a lock that it holds while it lives.

==================  ==============================================================================
``endpoint.json``   what was asked for: written by whoever deploys, under the name's lock
``runtime.json``    what became of it: written by the process that watches over the server
``alive``           locked by that process; the lock, unlike a process id, is never anyone else's
``log``             what the server says
``admin-token``     lets its owner swap the model
``versions/``       the artifact being served, a folder named by its version
==================  ==============================================================================
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from penchant import locks
from penchant.errors import EndpointError
from penchant.home import home, make_private

__all__ = ["Folder", "Status", "locked_name"]

_TAIL_BYTES = 1 << 20
_NOTE_SECONDS = 1.0  # until it is worth saying that a name is awaited
_POLL_SECONDS = 0.02


@contextlib.contextmanager
def locked_name(kind: str, name: str, *, wait: bool = True) -> Iterator[None]:
    """Hold the right to change what has a name; it is lost with the process at the latest.

    Whoever waits for it for longer than a second is told on stderr for what.

    Raises
    ------
    EndpointError
        Someone else holds it, and `wait` is false.
    """
    # Outside of the folder, which comes and goes.
    path = make_private(home() / "locks") / f"{kind}-{name}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + _NOTE_SECONDS
        while not locks.take(descriptor, wait=False):
            if not wait:
                raise EndpointError(
                    f"{kind} {name!r} is being changed by another process just now: wait for it, "
                    "or choose another name"
                )
            if time.monotonic() >= until:
                _tell_of_wait(descriptor, f"{kind} {name!r}")
                locks.take(descriptor)
                break
            time.sleep(_POLL_SECONDS)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _tell_of_wait(descriptor: int, what: str) -> None:
    holder = os.pread(descriptor, 20, 0).decode("ascii", "replace")
    print(
        f"{what} is being started or changed by process {holder or '?'}: waiting for that "
        "(Ctrl-C waits no longer)",
        file=sys.stderr,
        flush=True,
    )


class Status(NamedTuple):
    """How a managed process is doing.

    Attributes
    ----------
    state : {"Creating", "InService", "Stopped", "Failed"}
    reason : str
        Why it is not in service.
    url : str or None
        Where it answers.
    pid : int or None
        The watching process.
    server_pid : int or None
        The process it watches.
    """

    state: str
    reason: str = ""
    url: str | None = None
    pid: int | None = None
    server_pid: int | None = None


@dataclass(frozen=True)
class Folder:
    """The folder of a managed process.

    Attributes
    ----------
    path : Path
    """

    path: Path

    @classmethod
    def of(cls, kind: str, name: str) -> Folder:
        """Return that of an endpoint (kind "endpoints"), or of a router ("routers")."""
        return cls(home() / kind / name)

    @property
    def log(self) -> Path:
        """The log's path."""
        return self.path / "log"

    @property
    def token(self) -> Path:
        """Path of the admin token."""
        return self.path / "admin-token"

    @property
    def versions(self) -> Path:
        """Folder of the artifacts."""
        return self.path / "versions"

    @property
    def runtime(self) -> Path:
        """Path of what the watching process writes."""
        return self.path / "runtime.json"

    def exists(self) -> bool:
        """Tell whether something of this name has been deployed."""
        return (self.path / "endpoint.json").exists()

    def settings(self) -> dict[str, Any]:
        """Return what was asked for; empty where there is nothing."""
        return _read(self.path / "endpoint.json")

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Replace what was asked for."""
        write_json(self.path / "endpoint.json", settings)

    def write_runtime(self, **fields: Any) -> None:
        """Replace what is known of the process."""
        write_json(self.runtime, fields | {"since": time.time()})

    def alive(self) -> bool:
        """Tell whether the watching process lives."""
        return locks.is_held(self.path / "alive")

    def status(self) -> Status:
        """Return how the process is doing."""
        alive = self.alive()
        found = _read(self.runtime)
        state = found.get("state")
        if alive:
            if state is None:
                return Status("Creating")
        elif state not in ("Stopped", "Failed"):
            reason = "its process was killed, or the machine restarted" if found else "not started"
            return Status("Failed", reason)
        return Status(
            state,
            found.get("reason", ""),
            found.get("url"),
            found.get("pid"),
            found.get("server_pid"),
        )

    def tail(self, lines: int, *, start: int = 0) -> str:
        """Return the last lines of the log, none from before byte `start`."""
        try:
            with open(self.log, "rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(start, end - _TAIL_BYTES))
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:]) if lines > 0 else ""


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Replace a small file as a whole, for this user alone.

    Not synced to disk as artifacts are: after a power cut no process is left to be described. The
    watching process writes with it, so it does without what `storage` brings along.
    """
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o600), "w") as file:
            json.dump(document, file)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError:  # a power cut
        return {}
    return document if isinstance(document, dict) else {}
