"""`watch`: a folder in which files are dropped and answered.

A file is first moved to a hidden folder of its job, whose name is the time: that claims it, and a
process that comes after a crash finds there what was begun. Results appear whole, by a rename.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from penchant import locks
from penchant.batch import notify as telling
from penchant.batch.personalizing import rank, recommend, related, segment
from penchant.batch.report import Report
from penchant.batch.transforming import transform
from penchant.errors import DataError, MissingFileError, ParameterError, PenchantError
from penchant.models import load

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["Outcome", "watch"]

_KIND = re.compile(r"(recommend|rank|related|segment|transform)", re.IGNORECASE)
_RUNNING = ".penchant-running"
_NAME_BYTES = 180  # of a file's name in that of its job: there is a limit to names
_AGAIN_SECONDS = 60.0  # between tries of what the system refused
_log = logging.getLogger("penchant.batch")
_OUTPUT = re.compile(r"\.(jsonl|json|ndjson|csv|parquet|pq)(\.gz)?$", re.IGNORECASE)


class Outcome(NamedTuple):
    """What became of a file.

    Attributes
    ----------
    name : str
    folder : Path or None
        Its results; None where it failed.
    report : Report or None
    error : str or None
    """

    name: str
    folder: Path | None
    report: Report | None
    error: str | None


class _Seen(NamedTuple):
    """How a file looked: one that still looks so a little later has been written."""

    size: int
    changed: int
    inode: int


def watch(
    folder: os.PathLike[str] | str,
    model: Recommender | os.PathLike[str] | str,
    *,
    once: bool = False,
    interval: float = 1.0,
    where: str | None = None,
    notify: str | None = None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Answer the files that are dropped in a folder, until SIGTERM or Ctrl-C.

    The beginning of a file's name says what it is: ``recommend``, ``rank``, ``related``,
    ``segment`` (JSON Lines, see `recommend` and the others) or ``transform`` (see `transform`).
    Results are in ``out/<time>-<name>/``, the file itself is then in ``done/``; a file that cannot
    be answered goes to ``failed/`` with the reason in ``<time>-<name>.error.json`` beside it. What
    a process was at when it ended is continued by the next one; what the system refused, by a full
    disk for example, is tried again every minute.

    Parameters
    ----------
    folder : path
    model : Recommender or path
    once : bool, default False
        Answer what is there, then return.
    interval : float, default 1.0
        Seconds between looks; a file is taken when it has not changed from one to the next.
    where : str, optional
        Filter of recommend, rank and related jobs.
    notify : str, optional
        Told of every job: a command, an ``http(s)://`` address, or ``sns:ARN``.
    on_outcome : callable, optional
        Called after every file.

    Returns
    -------
    list of Outcome
        Of all files, in order. One that the system refused is there with its error, and again
        when it is done.

    Raises
    ------
    MissingFileError
        There is no such folder.
    DataError
        Another process watches it.
    ParameterError
        `interval` is not positive.
    ArtifactError
        The model cannot be loaded.

    Examples
    --------
    >>> import tempfile, penchant as pc
    >>> from pathlib import Path
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]])
    >>> model = pc.Popularity().fit(data)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "recommend.jsonl").write_text('{"userId": "1"}')
    ...     (outcome,) = pc.batch.watch(folder, model, once=True, interval=0.01)
    ...     sorted(path.name for path in outcome.folder.iterdir())
    ['recommend.jsonl.out']
    """
    root = Path(folder)
    if not root.is_dir():
        raise MissingFileError(f"no folder {str(root)!r} to watch")
    if not interval > 0:
        raise ParameterError(f"interval must be positive, got {interval!r}")
    if notify is not None:
        telling.check_target(notify)
    if isinstance(model, str | os.PathLike):
        load(model, verify="size")  # what is wrong with it is said at once
    outcomes: list[Outcome] = []
    with _watched(root) as running, _sigterm_like_ctrl_c():
        watcher = _Watcher(root, running, model, where, notify)
        with contextlib.suppress(KeyboardInterrupt):  # each step leaves what the next run needs
            for outcome in watcher.outcomes(once, interval):
                outcomes.append(outcome)
                on_outcome(outcome)
    return outcomes


class _Watcher:
    def __init__(
        self, root: Path, running: Path, model: Any, where: str | None, notify: str | None
    ) -> None:
        self._root = root
        self._running = running
        self._model = model
        self._where = where
        self._notify = notify
        self._refused: set[Path] = set()  # jobs that wait for the system

    def outcomes(self, once: bool, interval: float) -> Iterator[Outcome]:
        """Answer what was begun, then what comes."""
        for job in sorted(self._running.iterdir()):
            if job.is_dir():
                yield self._finish(job)
        tried = time.monotonic()
        seen: dict[str, _Seen] = {}
        while True:
            now = self._look()
            ready = [name for name, how in now.items() if seen.get(name) == how]
            seen = now
            for name in ready:
                claimed = self._claim(name)
                if claimed is not None:
                    yield self._finish(claimed)
                seen.pop(name, None)
            if self._refused and time.monotonic() - tried >= _AGAIN_SECONDS:
                yield from self._again()
                tried = time.monotonic()
            if once and not ready and not seen:
                return
            time.sleep(interval)

    def _again(self) -> Iterator[Outcome]:
        """Try the jobs that the system refused; told is of those that it does not refuse now."""
        self._refused = {job for job in self._refused if job.is_dir()}
        for job in sorted(self._refused):
            outcome = self._finish(job)
            if job not in self._refused:
                yield outcome

    def _look(self) -> dict[str, _Seen]:
        """Return the files that are there, oldest first."""
        found = []
        with os.scandir(self._root) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    about = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(about.st_mode) and not entry.name.startswith("."):
                        how = _Seen(about.st_size, about.st_mtime_ns, about.st_ino)
                        found.append((about.st_mtime_ns, entry.name, how))
        return {name: how for _, name, how in sorted(found)}

    def _claim(self, name: str) -> Path | None:
        """Move a file to the folder of its job; None if it is gone."""
        job = self._running / _free(self._root, name)
        job.mkdir()
        try:
            os.rename(self._root / name, job / name)
        except FileNotFoundError:
            job.rmdir()
            return None
        return job

    def _finish(self, job: Path) -> Outcome:
        """Do a job, or what is left of it; what the system refuses stays for another try."""
        try:
            outcome = self._do(job)
        except OSError as error:
            self._refused.add(job)
            reason = f"{_reason(error, job)}; it will be tried again"
            _log.warning("job %s: %s", job.name, reason)
            return Outcome(job.name, None, None, reason)
        self._refused.discard(job)
        return outcome

    def _do(self, job: Path) -> Outcome:
        sources = [path for path in job.iterdir() if path.is_file()]
        final = self._root / "out" / job.name
        if not sources:  # ended between the last two steps
            shutil.rmtree(job, ignore_errors=True)
            return Outcome(job.name, final if final.exists() else None, None, None)
        (source,) = sources
        report, error, kind = None, None, ""
        if not final.exists():
            try:
                kind = _kind(source.name)
                (job / "out").mkdir(exist_ok=True)
                report = self._answer(kind, source, job / "out")
            except Exception as wrong:
                if isinstance(wrong, OSError) and wrong.errno is not None:
                    raise
                if not isinstance(wrong, PenchantError):  # a bug; the folder goes on
                    _log.exception("job %s failed", job.name)
                error = wrong
        reason = None if error is None else _reason(error, source)
        self._put_away(job, source, final, reason)
        if self._notify is not None:
            content = telling.payload(kind, str(source), str(final), report, error)
            content |= {"input": source.name, "error": reason}
            telling.notify(self._notify, content)
        if reason is not None:
            return Outcome(source.name, None, None, reason)
        return Outcome(source.name, final, report, None)

    def _answer(self, kind: str, source: Path, results: Path) -> Report:
        if kind == "transform":
            name = source.name if _OUTPUT.search(source.name) else f"{source.name}.csv"
            form = re.sub(r"\.(json|ndjson)(\.gz)?$", r".jsonl\2", name, flags=re.IGNORECASE)
            return transform(self._model, source, results / form, header=True)
        if source.suffix.lower() not in (".jsonl", ".json", ".ndjson", ".gz"):
            raise DataError(
                f"{source.name!r} is no JSON Lines file (.jsonl), as a {kind} job wants"
            )
        out = results / f"{source.name}.out"
        if kind == "segment":
            return segment(self._model, source, out)
        job = {"recommend": recommend, "rank": rank, "related": related}[kind]
        return job(self._model, source, out, where=self._where)

    def _put_away(self, job: Path, source: Path, final: Path, reason: str | None) -> None:
        """Move the results, then the file, to where they belong."""
        place = self._root / ("done" if reason is None else "failed")
        place.mkdir(exist_ok=True)
        if reason is not None:
            content = {"file": source.name, "error": reason}
            text = json.dumps(content) + "\n"
            note = place / f"{job.name}.error.json"
            try:
                note.write_text(text, encoding="utf8")
            except OSError as wrong:  # the file itself can still be moved
                _log.warning("%s cannot be written: %s", note.name, wrong.strerror)
        elif not final.exists():
            final.parent.mkdir(exist_ok=True)
            os.rename(job / "out", final)
        os.rename(source, place / job.name)
        shutil.rmtree(job, ignore_errors=True)


def _reason(error: BaseException, path: Path) -> str:
    """Return what is wrong with a file, by the name it was dropped with."""
    said = str(error) or type(error).__name__
    if not isinstance(error, PenchantError | OSError):
        said = f"internal error: {type(error).__name__}: {error}"
    said = said.replace(str(path), path.name)
    return said.encode("utf-8", "backslashreplace").decode()


def _kind(name: str) -> str:
    found = _KIND.match(name)
    if found is None:
        raise DataError(
            f"{name!r} does not say what it is: begin the name with recommend, rank, related, "
            "segment or transform"
        )
    return found[1].lower()


def _free(root: Path, name: str) -> str:
    """Return a name of a job that no other has, from the time and the file's name."""
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    short = os.fsdecode(os.fsencode(name)[:_NAME_BYTES])
    places = [root / folder for folder in (_RUNNING, "out", "done", "failed")]
    number = 1
    while True:
        job = f"{now}-{short}" if number == 1 else f"{now}.{number}-{short}"
        if not any((place / job).exists() for place in places):
            return job
        number += 1


@contextlib.contextmanager
def _sigterm_like_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt at SIGTERM too, where signals arrive: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _watched(root: Path) -> Iterator[Path]:
    """Make the folder of running jobs, and hold its lock."""
    running = root / _RUNNING
    running.mkdir(exist_ok=True)
    descriptor = locks.open_directory(running)
    try:
        if not locks.take(descriptor, wait=False):
            raise DataError(f"another process watches {str(root)!r}")
        yield running
    finally:
        os.close(descriptor)
