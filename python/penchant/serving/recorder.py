"""A record of what was asked and answered: one JSON object a line, written beside the answers."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import math
import os
import queue
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, NamedTuple

from penchant.errors import PenchantError
from penchant.locks import take
from penchant.serving.questions import PLAIN, Question

__all__ = ["Recorder"]

# A body of many is taken whole as long as there are fewer, and less.
_MOST_WAITING = 100_000  # questions
_MOST_BYTES = 256 * 2**20  # of memory, about
_OF_ONE = 400  # bytes of memory that a question and a reply take beside the reply's text
_OF_TEXT = 8  # that a character of a question's text takes: ids of a list are objects
_LINES = 256  # of one write
_LOG_SECONDS = 60.0  # between two lines in the log that say that some are dropped
_HUNG_SECONDS = 5.0  # without a line written, after which `close` waits no more
_CLOSE_SECONDS = 15.0  # that `close` takes at most: hosts kill a server half a minute after SIGTERM
_log = logging.getLogger("penchant.serving")


_Reply = bytes | PenchantError
_Pairs = Iterable[tuple[Question, _Reply]]


class _Answered(NamedTuple):
    """Questions to write: when and by what they were answered, how many, how large, whence."""

    when: datetime
    model: str
    version: str
    n: int
    size: int
    make: Callable[[], _Pairs]


class Recorder:
    """Appends questions with their context and answers to a file, from a thread of its own.

    A line is ``{"time", "model", "version", "question", "answer"}`` or has ``"error"`` in place of
    an answer. Serving never waits for the disk: where more is asked than can be written, questions
    are dropped and counted. The log says so when that begins, then once a minute, and at the end.

    Parameters
    ----------
    path : path
        JSON Lines; made if missing, appended to. Several processes may share it: a write is of
        whole lines.

    Attributes
    ----------
    dropped : int
        Questions that are not in the file; ``GET /ping`` tells it too.

    Examples
    --------
    >>> import tempfile
    >>> from penchant.serving.questions import read_question
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     recorder = Recorder(f"{folder}/questions.jsonl")
    ...     question = read_question({"user_id": "u1", "context": {"device": "phone"}}, "recommend")
    ...     recorder.write_many("shop", "0a1b2c3d4e5f", [question], [b'{"items": []}'])
    ...     recorder.close()
    ...     line = json.loads(Path(folder, "questions.jsonl").read_text())
    >>> line["question"], line["answer"]
    ({'user_id': 'u1', 'context': {'device': 'phone'}, 'k': 10}, {'items': []})
    """

    def __init__(self, path: os.PathLike[str] | str) -> None:
        self._path = Path(path)
        self.dropped = 0
        self._logged = -math.inf  # when the log was told last, on the clock of time.monotonic
        self._lock = threading.Lock()  # of the numbers: those of the queue, and the one above
        self._held = 0  # questions in the queue, and those being written
        self._held_bytes = 0
        self._closed = False
        self._file: IO[bytes] = open(self._path, "ab", buffering=0)  # noqa: SIM115 - by its thread
        self._torn = not _end_last_line(self._file, self._path)  # the last line has no end
        self._waiting: queue.SimpleQueue[_Answered | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="penchant-record", daemon=True)
        self._thread.start()

    def write_many(
        self, model: str, version: str, questions: Sequence[Question], replies: Sequence[_Reply]
    ) -> None:
        """Put questions and their replies in the queue."""
        size = sum(map(_size, questions, replies))
        self.write_later(
            model, version, len(questions), size, lambda: zip(questions, replies, strict=True)
        )

    def write_later(
        self, model: str, version: str, n: int, size: int, make: Callable[[], _Pairs]
    ) -> None:
        """Put `n` questions and their replies in the queue.

        Parameters
        ----------
        model, version : str
        n : int
        size : int
            Bytes of memory that `make` holds, about.
        make : callable
            Returns them as (`Question`, bytes or PenchantError); called in the thread that writes.
        """
        now = datetime.now(timezone.utc)
        with self._lock:
            closed = self._closed
            full = self._held >= _MOST_WAITING or self._held_bytes >= _MOST_BYTES
            if not full and not closed:
                self._held += n
                self._held_bytes += size
                self._waiting.put(_Answered(now, model, version, n, size, make))
                return
        self._drop("it is closed" if closed else "more was asked than could be written", n)

    def close(self) -> None:
        """Write what waits, and close the file; where the file hangs, give up after seconds."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._waiting.put(None)
        if not self._has_ended():  # its thread ends with the process
            self._drop("it takes nothing more", self._held)
        if self.dropped:
            _log.warning("%d questions are not in %s", self.dropped, self._path)

    def _has_ended(self) -> bool:
        """Wait for the thread as long as it gets on; tell whether it has ended."""
        began = moved = time.monotonic()
        held = self._held
        while (now := time.monotonic()) - moved < _HUNG_SECONDS and now - began < _CLOSE_SECONDS:
            self._thread.join(0.1)
            if not self._thread.is_alive():
                return True
            if self._held != held:
                held, moved = self._held, time.monotonic()
        return False

    def _work(self) -> None:
        while (some := self._waiting.get()) is not None:
            self._append(some)
            with self._lock:
                self._held_bytes -= some.size
        self._file.close()

    def _append(self, some: _Answered) -> None:
        """Write lines; what goes wrong is logged, and ends neither the thread nor the file."""
        left = some.n
        try:
            lines = _written(some)
            while data := b"".join(itertools.islice(lines, _LINES)):
                if self._torn:
                    self._file.write(b"\n")
                self._torn = True
                while data:  # a write may take a part only
                    taken = self._file.write(data)
                    ended = data.count(b"\n", 0, taken)
                    left -= ended
                    self._let_go(ended)
                    data = data[taken:]
                self._torn = False
        except Exception as error:
            self._let_go(left)
            self._drop(str(error), left)

    def _let_go(self, n: int) -> None:
        """Count questions that wait no more."""
        with self._lock:
            self._held -= n

    def _drop(self, reason: str, n: int) -> None:
        """Count questions that are lost, and say so if that was not said a moment ago."""
        with self._lock:  # they are lost in the threads that ask and in that of the file
            self.dropped += n
            dropped, now = self.dropped, time.monotonic()
            if now - self._logged < _LOG_SECONDS:
                return
            self._logged = now
        _log.warning("cannot record to %s: %s (%d lost so far)", self._path, reason, dropped)


def _end_last_line(file: IO[bytes], path: Path) -> bool:
    """End the last line of a file, if another process left it torn; tell whether it has an end."""
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return True
    try:
        reader = open(path, "rb", buffering=0)  # noqa: SIM115 - closed below
    except OSError:  # it may be written and not read
        return True
    with reader:
        with contextlib.suppress(OSError):  # not all file systems have locks
            take(reader.fileno())  # of processes that begin together, one adds the end
        if not _is_torn(reader):
            return True
        with contextlib.suppress(OSError):  # a full disk, say: it begins the next line then
            return file.write(b"\n") == 1
    return False


def _is_torn(reader: IO[bytes]) -> bool:
    """Look at the last byte of a file; again, where another process may be writing a line."""
    before = -1
    for _ in range(10):
        size = reader.seek(0, os.SEEK_END)
        if size == 0:
            return False
        reader.seek(-1, os.SEEK_END)
        if reader.read(1) == b"\n":
            return False
        if size == before:
            return True
        before = size
        time.sleep(0.02)
    return False  # it grows all the time: somebody writes, and ends the lines


def _size(question: Question, reply: _Reply) -> int:
    """Return about how much memory a question and its reply take, in next to no time."""
    size = _OF_ONE + len(reply) if isinstance(reply, bytes) else _OF_ONE
    if (
        question.context is None
        and question.history is None
        and question.options is PLAIN
        and len(question.pairs) < 2
    ):
        return size
    return size + _OF_TEXT * len(repr(question[3:]))  # beside k and the ids


def _written(some: _Answered) -> Iterator[bytes]:
    about = {
        "time": some.when.isoformat(timespec="milliseconds"),
        "model": some.model,
        "version": some.version,
    }
    head = json.dumps(about)[:-1]
    for question, reply in some.make():
        line = f'{head}, "question": {json.dumps(_said(question))}, '.encode()
        if isinstance(reply, bytes):
            if b"\n" in reply or b"\r" in reply:  # JSON has no need of them: a line stays one
                reply = reply.translate(_WITHOUT_LINE_ENDS)
            yield b'%b"answer": %b}\n' % (line, reply)
        else:
            yield b'%b"error": %b}\n' % (line, json.dumps(str(reply)).encode())


_WITHOUT_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")


def _said(question: Question) -> dict[str, Any]:
    """Return what a question says, without what is left to its default."""
    said = {name: value for name in _ORDER if (value := getattr(question, name)) not in (None, ())}
    if question.options != PLAIN:
        given = question.options._asdict()
        said |= {name: one for name, one in given.items() if one != getattr(PLAIN, name)}
    return said


_ORDER = ("user_id", "item_id", "history", "context", "k", "pairs", "min_score")
