"""Files that follow from an artifact: made once, by whoever needs them first, and mapped by all.

An index takes seconds to make and as much memory as the vectors; made once and mapped, it costs
every further process neither. Such files lie beside the artifact, or where its directory cannot be
written to in a cache (``PENCHANT_HOME``, ``XDG_CACHE_HOME`` or ``~/.cache``). They belong to no
artifact: saving over it removes them, and an archive leaves them out.

What is trusted
    An artifact may come from anybody, and so may a file beside it that looks like ours. A note
    tells which files this system's user has made or verified, by what the system says of each:
    device, inode, size, and the times of the last modification and change. A file that was copied,
    unpacked or written to since has other ones, and counts for nothing. The note itself must
    belong to this user (or root), and be writable by nobody else.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import mmap
import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from penchant._version import __version__
from penchant.errors import ArtifactError
from penchant.home import given_home, make_private
from penchant.storage.artifact import MappedArtifact, opened, read_manifest
from penchant.storage.files import identity, is_temporary, locked_directory, pending_file
from penchant.storage.manifest import is_derived
from penchant.storage.tensors import decode_array, encode_array

if TYPE_CHECKING:
    import numpy as np

__all__ = ["DerivedFiles"]

_MAX_NOTE_BYTES = 2**20
_OTHERS_WRITE = 0o022
# File systems tell times no finer than this: a change right after another may not show.
_TICK_SECONDS = 0.05


class DerivedFiles:
    """What was made from one version of an artifact.

    Parameters
    ----------
    artifact : MappedArtifact
    variant : str
        Lower-case letters, digits and ``-``: files of another variant, such as those for another
        instruction set, are neither looked at nor touched.
    """

    def __init__(self, artifact: MappedArtifact, variant: str) -> None:
        self._artifact = artifact
        self._directory = Path(os.path.realpath(artifact.directory))
        self._key = _key(artifact.manifest)
        self._suffix = f"{self._key}.{variant}"
        self._lock = threading.RLock()
        self._depth = 0
        self._held = contextlib.ExitStack()
        self._alone = False
        self._settled = False
        self._checking: Future[bool] | None = None

    # ---- verified once --------------------------------------------------------------------------

    def check_content(self) -> bool:
        """Verify the artifact in full, unless a note says that somebody has: then return True.

        Raises
        ------
        ArtifactError
            A file's content does not match its checksum.
        """
        if self._is_known():
            return True
        newest = max((file.identity[-1] for file in self._artifact.files), default=0)
        # So that what changes from here on has another time than what is noted.
        time.sleep(min(max(0.0, newest / 1e9 + _TICK_SECONDS - time.time()), _TICK_SECONDS))
        self._settled = newest / 1e9 + _TICK_SECONDS <= time.time()
        self._artifact.check_content()
        return False

    @contextlib.contextmanager
    def checking_content(self) -> Iterator[bool]:
        """Do what is in the block while the content is verified, and take down that it is sound.

        The block gets what `check_content` would return, and must be safe for any content: what it
        makes of a damaged artifact never reaches a file, nor the caller.

        Raises
        ------
        ArtifactError
            At the end of the block, in place of whatever that raises: a file's content does not
            match its checksum.
        """
        if self._is_known():
            yield True
            return
        with ThreadPoolExecutor(1) as pool:
            self._checking = pool.submit(self.check_content)
            try:
                yield False
            finally:
                self._checking.result()
        self.remember()

    def _is_known(self) -> bool:
        mapped = {file.entry.file: list(file.identity) for file in self._artifact.files}
        return any(self._note(home)["verified"] == mapped for home in self._homes())

    def remember(self) -> None:
        """Take down that the files verified by `check_content` are sound, where that is possible.

        Whatever else is to be checked should have been: `check_content` then says so to others.
        """
        mapped = {file.entry.file: file.identity for file in self._artifact.files}
        for home in self._homes(make=True):
            with contextlib.suppress(ArtifactError, OSError), self.locked():
                on_disk = {
                    file: identity(os.stat(self._directory / file, follow_symlinks=False))
                    for file in mapped
                }
                if self._settled and on_disk == mapped and self._is_current():
                    self._write_note(home, verified=mapped)
                return

    # ---- arrays ---------------------------------------------------------------------------------

    def get(self, name: str) -> np.ndarray[Any, Any] | None:
        """Return an array that `put` has stored, mapped and read-only; None without one."""
        file = f"{name}.{self._suffix}.prepared"
        for home in self._homes():
            known = self._note(home)["files"].get(file)
            if known is None:
                continue
            with contextlib.suppress(ArtifactError, OSError, ValueError):
                with opened(home, file) as (descriptor, status):
                    if list(identity(status)) != known:
                        continue
                    buffer = mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_READ)
                return decode_array(memoryview(buffer), str(home / file))
        return None

    def put(self, name: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Store an array and return it mapped; where nothing can be written, return it as it is.

        Raises
        ------
        ArtifactError
            In the block of `checking_content`: the artifact that it was made from is damaged.
        """
        if self._checking is not None:
            self._checking.result()
        file = f"{name}.{self._suffix}.prepared"
        for home in self._homes(make=True):
            with contextlib.suppress(ArtifactError, OSError), self.locked():
                if not self._is_current():
                    return array
                self._remove_stale(home)
                with pending_file(home) as pending:
                    os.fchmod(pending.file.fileno(), 0o644)
                    encode_array(array, name, cast(io.RawIOBase, pending.file))
                    pending.commit(home / file)
                made = identity(os.stat(home / file, follow_symlinks=False))
                self._write_note(home, files={file: made})
                stored = self.get(name)
                if stored is not None:
                    return stored
        return array

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others, in this process or another, from making the same.

        Calls of a thread may overlap: others wait until the last one ends.
        """
        with self._lock:
            if self._depth == 0:
                with contextlib.suppress(OSError):  # not every file system has locks
                    self._held.enter_context(locked_directory(self._directory))
                    self._alone = True
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._alone = False
                    self._held.close()

    # ---- where they lie -------------------------------------------------------------------------

    def _homes(self, *, make: bool = False) -> Iterator[Path]:
        """Yield the folders that files may lie in, the first choice first."""
        yield self._directory
        cache = _cache()
        if cache is None:
            return
        home = cache / hashlib.sha256(os.fsencode(self._directory)).hexdigest()[:16]
        if make and not home.is_dir():
            with contextlib.suppress(OSError):
                make_private(cache)
                _sweep(cache)
                make_private(home)
        if home.is_dir():
            yield home

    def _is_current(self) -> bool:
        """Return whether the directory still holds this version of the artifact."""
        return _key(read_manifest(self._directory)) == self._key

    def _remove_stale(self, home: Path) -> None:
        """Remove what was made from versions that are gone; who has it mapped keeps it.

        Under the lock nobody else is writing: an incomplete file was left by who was killed.
        """
        for name in os.listdir(home):
            stale = is_derived(name) and name.split(".")[1] != self._key
            if stale or (self._alone and is_temporary(name)):
                with contextlib.suppress(OSError):
                    (home / name).unlink()

    # ---- notes ----------------------------------------------------------------------------------

    def _note(self, home: Path) -> _Note:
        """Return what a folder's note says; nothing unless it is ours and of this version."""
        nothing: _Note = {"artifact": "", "penchant": "", "files": {}, "verified": None}
        note = _read_note(home / f"note.{self._suffix}.json")
        if note is None or note["penchant"] != __version__:
            return nothing
        return note

    def _write_note(self, home: Path, **news: Any) -> None:
        note = self._note(home)
        files = {**note["files"], **news.pop("files", {})}
        head = {"artifact": str(self._directory), "penchant": __version__}
        text = json.dumps({**note, **head, **news, "files": files})
        with pending_file(home) as pending:
            os.fchmod(pending.file.fileno(), 0o644)
            pending.file.write(text.encode())
            pending.commit(home / f"note.{self._suffix}.json")


class _Note(TypedDict):
    artifact: str
    penchant: str
    files: dict[str, list[int]]
    verified: dict[str, list[int]] | None


def _read_note(path: Path) -> _Note | None:
    with contextlib.suppress(ArtifactError, OSError, ValueError, RecursionError):
        with opened(path.parent, path.name) as (descriptor, status):
            ours = status.st_uid in (os.geteuid(), 0) and not status.st_mode & _OTHERS_WRITE
            if not ours or status.st_size > _MAX_NOTE_BYTES:
                return None
            note = json.loads(os.read(descriptor, _MAX_NOTE_BYTES))
        keys = {"artifact", "penchant", "files", "verified"}
        if isinstance(note, dict) and set(note) == keys and isinstance(note["files"], dict):
            return cast("_Note", note)
    return None


def _key(manifest: bytes) -> str:
    return hashlib.sha256(manifest).hexdigest()[:16]


def _cache() -> Path | None:
    """Return the folder of what belongs to artifacts in directories that cannot be written to."""
    if home := given_home():
        return home / "prepared"
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "penchant" / "prepared"
    with contextlib.suppress(RuntimeError):  # a user without a home
        return Path.home() / ".cache" / "penchant" / "prepared"
    return None


def _sweep(cache: Path) -> None:
    """Remove what was made from artifacts that are gone."""
    for home in cache.iterdir():
        notes = [_read_note(path) for path in home.glob("note.*.json")]
        if notes and not any(note and os.path.isdir(note["artifact"]) for note in notes):
            shutil.rmtree(home, ignore_errors=True)
