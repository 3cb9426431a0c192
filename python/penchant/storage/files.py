"""Durable file replacement: bytes are on disk before a rename makes them visible."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from penchant import locks
from penchant.errors import ArtifactWriteError, ParameterError, PenchantError

_TEMPORARY = re.compile(r"\.penchant-[0-9a-f]{16}")


def given_path(path: os.PathLike[str] | str) -> Path:
    """Return the caller's path, unless it is none: ``""`` would mean the current directory.

    Raises
    ------
    ParameterError
        For an empty path, or something that is not one.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise ParameterError(f"path must be text or a pathlib.Path, got {path!r:.200}")
    if not os.fspath(path):
        raise ParameterError("path is empty: name a directory ('.' is the current one)")
    return Path(path)


Identity = tuple[int, ...]


def identity(status: os.stat_result) -> Identity:
    """Return what tells a file, as it is, from any other and from any other state of itself.

    The system sets the time of the last change (ctime), and no program can choose it: a file that
    is written to, replaced, restored or copied has another one.
    """
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def is_temporary(name: str) -> bool:
    """Tell whether a file's name is that of a :class:`PendingFile`."""
    return _TEMPORARY.fullmatch(name) is not None


class PendingFile:
    """A temporary file that becomes visible, complete and synced, when it is committed.

    Parameters
    ----------
    directory : path
        Where the file is made: the same file system as its final place, so that the rename
        is atomic.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / f".penchant-{secrets.token_hex(8)}"
        # O_EXCL never follows a link planted under the name; 0o666 leaves the mode to the umask,
        # which `tempfile` would not (its files are private, an artifact is for others to read).
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self.file = os.fdopen(os.open(self.path, flags, 0o666), "wb")

    def commit(self, target: Path) -> None:
        """Sync the bytes, then rename the file to ``target``, replacing what is there."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self.path, target)

    def discard(self) -> None:
        """Close the file and remove it, unless it was committed."""
        with contextlib.suppress(OSError):  # flushing what a full disk refused fails again
            self.file.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


@contextlib.contextmanager
def pending_file(directory: Path) -> Iterator[PendingFile]:
    """Open a :class:`PendingFile`; leaving the block without a commit removes it."""
    pending = PendingFile(directory)
    try:
        yield pending
    finally:
        pending.discard()


@contextlib.contextmanager
def replaced_file(path: os.PathLike[str] | str) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears at ``path`` complete, or not at all.

    A device or a pipe is written to directly, and what a link points to is replaced, not the link.

    Raises
    ------
    ArtifactWriteError
        In place of any OSError of the block that is not a Penchant error already.
    """
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():
            with open(target, "wb") as file:
                yield file
            return
        with pending_file(target.parent) as pending:
            yield pending.file
            pending.commit(target)
        sync_directory(target.parent)
    except PenchantError:
        raise
    except OSError as error:
        raise ArtifactWriteError.at(path, error) from error


def sync_directory(path: Path) -> None:
    """Make the names in a directory (not the files' bytes) survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked_directory(path: Path) -> Iterator[None]:
    """Hold a directory's advisory lock: one writer at a time, in this process or another.

    The lock is on the directory itself, so it leaves no file behind and dies with its holder.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        locks.take(descriptor)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def made_directory(path: Path) -> Iterator[None]:
    """Make ``path`` and its missing parents; take them away again if the block fails."""
    made = [p for p in (path, *path.parents) if not p.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        for directory in made:
            sync_directory(directory.parent)
        yield
    except BaseException:
        for directory in made:
            with contextlib.suppress(OSError):  # not empty: somebody else uses it by now
                directory.rmdir()
        raise
