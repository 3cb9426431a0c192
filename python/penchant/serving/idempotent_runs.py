"""Work that is started once per id, however often it is asked for, and whose answer is kept.

A caller that repeats a request (the answer was lost on the way, or it polls) must not start the
work again. What was asked and answered is kept in SQLite: in memory, or in a file that several
server processes share, so that a retry may reach another one than the request did, or the same
after a restart.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from penchant.errors import DataError

__all__ = ["Run", "Runs"]

_TABLE = """
CREATE TABLE IF NOT EXISTS runs (
  kind TEXT NOT NULL, id TEXT NOT NULL, digest TEXT NOT NULL, owner TEXT NOT NULL,
  status INTEGER, body BLOB, ended REAL, PRIMARY KEY (kind, id))
"""
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Run:
    """What is known of a run.

    Attributes
    ----------
    digest : str
        Of what was asked.
    status : int or None
        How it ended; None while it works.
    body : bytes
        Its answer.
    """

    digest: str
    status: int | None
    body: bytes


class Runs:
    """Starts work in threads, once for each kind and id; safe to use from several threads.

    Parameters
    ----------
    limits : mapping of str to int
        Each kind of work, and how many of it may go on at once, in all processes together.
    lost : bytes
        The answer, with status 400, of a run whose process is gone.
    state : path, optional
        A file shared by the processes of one server. Default: this object's memory.
    keep : int, default 1000
        Answers kept, the latest.
    keep_seconds : float, default 86400
        How long, at most. Whatever is older counts as never asked.

    Raises
    ------
    DataError
        `state` is no file that this can be kept in.

    Examples
    --------
    >>> runs = Runs({"sum": 1}, lost=b"?")
    >>> run = runs.start("sum", "id-1", "what was asked", lambda: (200, b"3"))
    >>> runs.wait("sum", "id-1", 60)
    >>> runs.find("sum", "id-1")
    Run(digest='what was asked', status=200, body=b'3')
    """

    def __init__(
        self,
        limits: Mapping[str, int],
        *,
        lost: bytes,
        state: os.PathLike[str] | str | None = None,
        keep: int = 1000,
        keep_seconds: float = 86400.0,
    ) -> None:
        self._limits = dict(limits)
        self._lost = lost
        self._path = None if state is None else Path(state)
        self._keep = keep
        self._keep_seconds = keep_seconds
        self._lock = threading.Lock()
        self._opened: tuple[int, sqlite3.Connection] | None = None
        self._ended: dict[tuple[str, str], threading.Event] = {}
        # Status, body and time of runs that have ended, until the database has them.
        self._unwritten: dict[tuple[str, str], tuple[int, bytes, float]] = {}
        if self._path is not None:
            self._check(self._path)

    def find(self, kind: str, run_id: str) -> Run | None:
        """Return a run that was started, or None."""
        with self._database() as database:
            return _find(database, kind, run_id)

    def start(
        self, kind: str, run_id: str, digest: str, work: Callable[[], tuple[int, bytes]]
    ) -> Run | None:
        """Start work unless it was started before.

        Parameters
        ----------
        kind, run_id : str
        digest : str
            Of what is asked, to be found again in `Run`.
        work : callable
            Called in a thread of its own; returns a status and a body. What it raises is logged,
            and answered with 500.

        Returns
        -------
        Run or None
            The run, new or known; None where too many of its kind go on already.
        """
        with self._database() as database:
            found = _find(database, kind, run_id)
            if found is not None:
                return found
            going = "SELECT count(*) FROM runs WHERE kind = ? AND status IS NULL"
            if database.execute(going, (kind,)).fetchone()[0] >= self._limits[kind]:
                return None
            row = (kind, run_id, digest, _owner(os.getpid()))
            database.execute("INSERT INTO runs (kind, id, digest, owner) VALUES (?, ?, ?, ?)", row)
            self._ended[kind, run_id] = threading.Event()

        def run() -> None:
            try:
                status, body = work()
                body = bytes(body)
            except BaseException:  # a run without an end would be polled for ever
                _log.exception("%s %s failed", kind, run_id)
                status, body = 500, b'{"error": "internal error; the server\'s log says more"}'
            self._end(kind, run_id, status, body)

        # A daemon: a server that is told to stop does not wait for a training of hours.
        thread = threading.Thread(target=run, name=f"{kind} {run_id}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads
            self._end(kind, run_id, 500, b'{"error": "the server has no thread to spare"}')
            raise
        return Run(digest, None, b"")

    def wait(self, kind: str, run_id: str, seconds: float | None = None) -> None:
        """Wait until a run of this process has ended, or so long."""
        ended = self._ended.get((kind, run_id))
        if ended is not None:
            ended.wait(seconds)

    def drain(self, seconds: float | None = None) -> None:
        """Wait for all runs of this process, at most so long for each."""
        for kind, run_id in list(self._ended):
            self.wait(kind, run_id, seconds)

    def close(self) -> None:
        """Close the file; what is kept in memory is lost."""
        with self._lock:
            if self._opened is not None and self._opened[0] == os.getpid():
                self._opened[1].close()
            self._opened = None

    def _end(self, kind: str, run_id: str, status: int, body: bytes) -> None:
        self._unwritten[kind, run_id] = status, body, time.time()
        try:
            with self._database():
                pass
        except sqlite3.Error:  # such as a full disk: the next call tries again
            _log.exception("the answer of %s %s cannot be written yet", kind, run_id)
        finally:
            self._ended.pop((kind, run_id)).set()

    def _check(self, path: Path) -> None:
        """Find out at once whether the file can be used, not when the first answer is lost."""
        try:
            with self._database():
                pass
        except (OSError, sqlite3.Error) as error:
            raise DataError(
                f"{path} cannot keep the answers of external functions: {error}"
            ) from error
        finally:
            self.close()

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """Yield the database inside a transaction that no other process can come between."""
        with self._lock:
            database = self._connection()
            database.execute("BEGIN IMMEDIATE")
            try:
                written = self._write_ended(database)
                self._tidy(database)
                yield database
                database.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # SQLite may have rolled back itself
                    database.execute("ROLLBACK")
                raise
            for run in written:
                del self._unwritten[run]

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None or self._opened[0] != os.getpid():  # SQLite must not be forked
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(
                self._path or ":memory:",
                timeout=60,
                isolation_level=None,
                check_same_thread=False,
            )
            database.execute(_TABLE)
            self._opened = os.getpid(), database
        return self._opened[1]

    def _write_ended(self, database: sqlite3.Connection) -> list[tuple[str, str]]:
        ended = list(self._unwritten.items())
        for run, (status, body, when) in ended:
            database.execute(
                "UPDATE runs SET status = ?, body = ?, ended = ? WHERE kind = ? AND id = ?",
                (status, body, when, *run),
            )
        return [run for run, _ in ended]

    def _tidy(self, database: sqlite3.Connection) -> None:
        """End the runs of processes that are gone; forget what is old or too much."""
        now = time.time()
        going = database.execute("SELECT DISTINCT owner FROM runs WHERE status IS NULL").fetchall()
        for (owner,) in going:
            if _owner(int(owner.partition(" ")[0])) != owner:
                database.execute(
                    "UPDATE runs SET status = 400, body = ?, ended = ? "
                    "WHERE status IS NULL AND owner = ?",
                    (self._lost, now, owner),
                )
        database.execute("DELETE FROM runs WHERE ended < ?", (now - self._keep_seconds,))
        database.execute(
            "DELETE FROM runs WHERE rowid IN (SELECT rowid FROM runs WHERE ended IS NOT NULL "
            "ORDER BY ended DESC, rowid DESC LIMIT -1 OFFSET ?)",
            (self._keep,),
        )


def _find(database: sqlite3.Connection, kind: str, run_id: str) -> Run | None:
    asked = "SELECT digest, status, body FROM runs WHERE kind = ? AND id = ?"
    row = database.execute(asked, (kind, run_id)).fetchone()
    return None if row is None else Run(row[0], row[1], row[2] or b"")


def _owner(pid: int) -> str:
    """Name a process so that no later one with the same number is taken for it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        started = "gone" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        started = "?"
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            started = "gone"
        except PermissionError:
            pass
    return f"{pid} {started}"
