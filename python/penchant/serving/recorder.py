"""A record of what was asked and answered: one JSON object a line, written beside the answers."""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, NamedTuple

from penchant.errors import PenchantError
from penchant.serving.questions import PLAIN, Question

__all__ = ["Recorder"]

_MOST_WAITING = 100_000  # lines; a body of many is taken as long as there are fewer
_LINES = 256  # of one write
_LOG_SECONDS = 60.0  # between two lines in the log that say that some are dropped
_log = logging.getLogger("penchant.serving")


_Pairs = Iterable[tuple[Question, bytes | PenchantError]]


class _Lines(NamedTuple):
    """Lines to write: when they were answered, by what, how many, and what gives them."""

    when: datetime
    model: str
    version: str
    n: int
    make: Callable[[], _Pairs]


class Recorder:
    """Appends questions with their context and answers to a file, from a thread of its own.

    A line is ``{"time", "model", "version", "question", "answer"}`` or has ``"error"`` in place of
    an answer. Serving never waits for the disk: where it cannot follow, lines are dropped and
    counted. The log says so when that begins, then once a minute, and at the end.

    Parameters
    ----------
    path : path
        JSON Lines; made if missing, appended to. Several processes may share it: a write is of
        whole lines.

    Attributes
    ----------
    dropped : int
        Lines that are not in the file; ``GET /ping`` tells it too.

    Examples
    --------
    >>> import tempfile
    >>> from penchant.serving.questions import read_question
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     recorder = Recorder(f"{folder}/questions.jsonl")
    ...     question = read_question({"user_id": "u1", "context": {"device": "phone"}}, "recommend")
    ...     recorder.write("shop", "0a1b2c3d4e5f", question, b'{"items": []}')
    ...     recorder.close()
    ...     line = json.loads(Path(folder, "questions.jsonl").read_text())
    >>> line["question"], line["answer"]
    ({'user_id': 'u1', 'context': {'device': 'phone'}, 'k': 10}, {'items': []})
    """

    def __init__(self, path: os.PathLike[str] | str) -> None:
        self._path = Path(path)
        self.dropped = 0
        self._logged = -math.inf  # when the log was told last, on the clock of time.monotonic
        self._counting = threading.Lock()
        self._held = 0  # lines in the queue, and those being written
        self._torn = False  # the last line has no end
        self._file: IO[bytes] = open(self._path, "ab", buffering=0)  # noqa: SIM115 - closed below
        self._waiting: queue.SimpleQueue[_Lines | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="penchant-record", daemon=True)
        self._thread.start()

    def write(
        self, model: str, version: str, question: Question, reply: bytes | PenchantError
    ) -> None:
        """Put one question and its reply in the queue."""
        self.write_many(model, version, 1, lambda: ((question, reply),))

    def write_many(self, model: str, version: str, n: int, make: Callable[[], _Pairs]) -> None:
        """Put `n` questions and their replies in the queue.

        Parameters
        ----------
        model, version : str
        n : int
        make : callable
            Returns them as (`Question`, bytes or PenchantError); called in the thread that writes.
        """
        with self._counting:
            full = self._held >= _MOST_WAITING
            self._held += 0 if full else n
        if full:
            self._drop("the disk does not follow", n)
        else:
            self._waiting.put(_Lines(datetime.now(timezone.utc), model, version, n, make))

    def close(self) -> None:
        """Write what waits, and close the file."""
        self._waiting.put(None)
        self._thread.join()
        self._file.close()
        if self.dropped:
            _log.warning("%d questions are not in %s", self.dropped, self._path)

    def _work(self) -> None:
        while (some := self._waiting.get()) is not None:
            self._append(some)
            with self._counting:
                self._held -= some.n

    def _append(self, some: _Lines) -> None:
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
                    left -= data.count(b"\n", 0, taken)
                    data = data[taken:]
                self._torn = False
        except Exception as error:
            self._drop(str(error), left)

    def _drop(self, reason: str, lines: int) -> None:
        """Count lines that are lost, and say so if that was not said a moment ago."""
        with self._counting:  # lines are lost in the threads that write and in that of the file
            self.dropped += lines
            dropped, now = self.dropped, time.monotonic()
            if now - self._logged < _LOG_SECONDS:
                return
            self._logged = now
        _log.warning("cannot record to %s: %s (%d lost so far)", self._path, reason, dropped)


def _written(some: _Lines) -> Iterator[bytes]:
    about = {
        "time": some.when.isoformat(timespec="milliseconds"),
        "model": some.model,
        "version": some.version,
    }
    head = json.dumps(about)[:-1]
    for question, reply in some.make():
        line = f'{head}, "question": {json.dumps(_said(question))}, '.encode()
        if isinstance(reply, bytes):  # JSON without line ends
            yield b'%b"answer": %b}\n' % (line, reply)
        else:
            yield b'%b"error": %b}\n' % (line, json.dumps(str(reply)).encode())


def _said(question: Question) -> dict[str, Any]:
    """Return what a question says, without what is left to its default."""
    said = {name: value for name in _ORDER if (value := getattr(question, name)) not in (None, ())}
    if question.options != PLAIN:
        given = question.options._asdict()
        said |= {name: one for name, one in given.items() if one != getattr(PLAIN, name)}
    return said


_ORDER = ("user_id", "item_id", "history", "context", "k", "pairs", "min_score")
