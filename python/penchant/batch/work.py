"""Where the output of a job grows: a hidden folder beside its final place.

The folder holds the output so far, the lines that failed, and a manifest: what the job is (its
input, model and options) and how far it has come. Output is appended in the order of the input and
recorded now and then, after it has reached the disk. Whoever runs the same job again cuts the
output back to what is recorded and goes on from there; the last step is a rename.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from penchant import locks
from penchant.errors import ArtifactWriteError, DataError, notice
from penchant.storage.files import replaced_file, sync_directory

__all__ = ["Place", "Stream", "Work", "opened_work"]

CHECKPOINT_SECONDS = 1.0
Finish = Callable[[IO[bytes], IO[bytes]], None]
_MANIFEST = "manifest.json"
_FORMAT = 1


class Place(NamedTuple):
    """How far a job has come: its next block, and the next part of that block."""

    block: int = 0
    part: int = 0


class _Output:
    """What any output has: two files, and counts."""

    output: IO[bytes]
    errors: IO[bytes]

    def shown_errors(self, most: int) -> list[dict[str, Any]]:
        """Return the first lines that failed."""
        self.errors.flush()
        self.errors.seek(0)
        found = [json.loads(self.errors.readline()) for _ in range(most) if self._more()]
        self.errors.seek(0, os.SEEK_END)
        return found

    def _more(self) -> bool:
        place = self.errors.tell()
        more = bool(self.errors.read(1))
        self.errors.seek(place)
        return more

    def commit_errors(self, path: Path | None, *, own: bool) -> None:
        """Put the failed lines where they belong; without any, `own` removes an older file."""
        if path is None:
            return
        self.errors.seek(0, os.SEEK_END)
        if self.errors.tell() == 0:
            if own and path.is_file():
                path.unlink()
            return
        self.errors.seek(0)
        with replaced_file(path) as file:
            shutil.copyfileobj(self.errors, file)


class _State(NamedTuple):
    place: Place
    counts: Counter[str]
    sizes: tuple[int, int]


class Work(_Output):
    """Output that can be continued; see `opened_work`."""

    def __init__(self, folder: Path, target: Path, identity: dict[str, Any] | None) -> None:
        self.folder = folder
        self.target = target
        self._identity = identity
        # One tuple: an interrupt never finds a place with the counts of another.
        self._state = _State(Place(), Counter(), (0, 0))
        self._saved = 0.0
        self._continue()
        self.output, self.errors = (self._open(i, name) for i, name in enumerate(_FILES))
        self._save(self._state)
        self.continued = self.place != Place()

    @property
    def place(self) -> Place:
        """Before which all output is written."""
        return self._state.place

    @property
    def counts(self) -> Counter[str]:
        """What was counted up to `place`, earlier runs included."""
        return self._state.counts

    def _continue(self) -> None:
        """Take up what an earlier run has left, if it was the same job."""
        try:
            kept = json.loads((self.folder / _MANIFEST).read_text())
            progress = kept["progress"]
            place, counts = Place(*map(int, progress["place"])), Counter(progress["counts"])
            sizes = [int(size) for size in progress["sizes"]]
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError):
            notice(f"what an earlier run left for {self.target.name} cannot be read: begun afresh")
            return
        if kept.get("format") != _FORMAT or self._identity is None or self._changed(kept):
            if place != Place():
                notice(f"an earlier run of {self.target.name} is not continued: {self._why(kept)}")
            return
        for size, name in zip(sizes, _FILES, strict=True):
            path = self.folder / name
            if not path.exists() or path.stat().st_size < size:
                notice(f"output of an earlier run of {self.target.name} is lost: begun afresh")
                return
        self._state = _State(place, counts, (sizes[0], sizes[1]))

    def _changed(self, kept: dict[str, Any]) -> bool:
        return bool(kept.get("identity") != json.loads(json.dumps(self._identity)))

    def _why(self, kept: dict[str, Any]) -> str:
        old = kept.get("identity") or {}
        new = json.loads(json.dumps(self._identity or {}))
        names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        return f"changed since: {', '.join(names) or 'the input is a pipe'}; begun afresh"

    def _open(self, number: int, name: str) -> IO[bytes]:
        path = self.folder / name
        # Not opened for appending: what lies beyond the recorded end is cut off first.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        file = os.fdopen(descriptor, "r+b")
        file.truncate(self._state.sizes[number])
        file.seek(self._state.sizes[number])
        return file

    def _save(self, state: _State) -> None:
        content = {
            "format": _FORMAT,
            "identity": self._identity,
            "progress": {"place": state.place, "counts": state.counts, "sizes": state.sizes},
        }
        pending = self.folder / (_MANIFEST + ".new")
        pending.write_text(json.dumps(content))
        os.replace(pending, self.folder / _MANIFEST)
        self._saved = time.monotonic()

    def advance(self, place: Place, counts: Counter[str]) -> None:
        """Take down that all output before a place is written, and what was counted on the way."""
        sizes = self.output.tell(), self.errors.tell()
        self._state = _State(place, self._state.counts + counts, sizes)
        if time.monotonic() - self._saved >= CHECKPOINT_SECONDS:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Record how far the job has come, once its output has reached the disk."""
        state = self._state
        for file in (self.output, self.errors):
            file.flush()
            os.fsync(file.fileno())
        self._save(state)

    def commit(self, finish: Finish | None = None) -> None:
        """Make the output appear.

        Parameters
        ----------
        finish : callable, optional
            Gets the output, from its start, and a file for what it becomes.
        """
        self.output.flush()
        if finish is None:
            os.fsync(self.output.fileno())
            os.replace(self.folder / _FILES[0], self.target)
            sync_directory(self.target.parent)
        else:
            self.output.seek(0)
            with replaced_file(self.target) as file:
                finish(self.output, file)

    def close(self, *, keep: bool) -> None:
        """Close the files, and remove the folder unless it is kept for another run."""
        for file in (self.output, self.errors):
            with contextlib.suppress(OSError):  # what a full disk refused is refused again
                file.close()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


_FILES = ("output", "errors.jsonl")


class Stream(_Output):
    """Output that goes to a pipe or a device at once, and cannot be continued."""

    def __init__(self, output: IO[bytes]) -> None:
        self.output = output
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the job
        self.counts: Counter[str] = Counter()
        self.place = Place()
        self.continued = False

    def advance(self, place: Place, counts: Counter[str]) -> None:
        """Take down how far the job has come."""
        self.place = place
        self.counts += counts

    def commit(self, finish: Finish | None = None) -> None:
        """Hand on what is left."""
        self.output.flush()

    def close(self) -> None:
        """Forget the failed lines; the output is the caller's."""
        self.errors.close()


@contextlib.contextmanager
def opened_work(out: str, identity: dict[str, Any] | None) -> Iterator[Work]:
    """Open the folder of a job; after a failure it is left for the next run where that can help.

    Parameters
    ----------
    out : str
        The final place of the output; a link is followed.
    identity : dict, optional
        What the job is, as JSON; only a run with an equal one continues it, None never.

    Raises
    ------
    ArtifactWriteError
        In place of any OSError of the block that is not a Penchant error already.
    DataError
        Another process runs a job with the same output.
    """
    target = Path(os.path.realpath(out))
    folder = target.parent / f".{target.name}.penchant-batch"
    work: Work | None = None
    try:
        with _locked(folder):
            work = Work(folder, target, identity)
            keep = False
            try:
                yield work
            except (KeyboardInterrupt, OSError):
                with contextlib.suppress(OSError):
                    work.checkpoint()
                keep = identity is not None and work.place != Place()
                raise
            finally:
                work.close(keep=keep)
    except OSError as error:
        if isinstance(error, ArtifactWriteError | DataError) or error.errno is None:
            raise
        if work is None:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise ArtifactWriteError.at(out, error) from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make a folder and hold its lock, which dies with this process."""
    while True:
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
        descriptor = locks.open_directory(folder)
        if not locks.take(descriptor, wait=False):
            os.close(descriptor)
            raise DataError(f"another process is writing this output (see {folder})")
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
                break
        os.close(descriptor)  # removed meanwhile by the one who held the lock
    try:
        yield
    finally:
        os.close(descriptor)
