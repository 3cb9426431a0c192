"""A record of what was asked and answered: one JSON object a line, written beside the answers."""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from penchant.errors import PenchantError
from penchant.serving.questions import Question

__all__ = ["Recorder"]

_MOST_WAITING = 100_000
_LOG_SECONDS = 60.0  # between two lines in the log that say that some are dropped
_log = logging.getLogger("penchant.serving")


class Recorder:
    """Appends questions with their context and answers to a file, from a thread of its own.

    A line is ``{"time", "model", "version", "question", "answer"}`` or has ``"error"`` in place of
    an answer. Serving never waits for the disk: where it cannot follow, lines are dropped and
    counted. The log says so when that begins, then once a minute, and at the end.

    Parameters
    ----------
    path : path
        JSON Lines; made if missing, appended to. Several processes may share it: a line is one
        write.

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
        self._torn = False  # the last line has no end
        self._file: IO[bytes] = open(self._path, "ab", buffering=0)  # noqa: SIM115 - closed below
        self._waiting: queue.Queue[tuple[Any, ...] | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._work, name="penchant-record", daemon=True)
        self._thread.start()

    def write(
        self, model: str, version: str, question: Question, reply: bytes | PenchantError
    ) -> None:
        """Put one question and its reply in the queue."""
        try:
            self._waiting.put_nowait((datetime.now(timezone.utc), model, version, question, reply))
        except queue.Full:
            self._drop("the disk does not follow")

    def close(self) -> None:
        """Write what waits, and close the file."""
        self._waiting.put(None)
        self._thread.join()
        self._file.close()
        if self.dropped:
            _log.warning("%d questions are not in %s", self.dropped, self._path)

    def _work(self) -> None:
        while (one := self._waiting.get()) is not None:
            self._append(one)

    def _append(self, one: tuple[Any, ...]) -> None:
        """Write one line; what goes wrong is logged, and ends neither the thread nor the file."""
        try:
            line = _line(*one)
            if self._torn:
                line = b"\n" + line
            self._torn = True
            while line:  # a write may take a part only
                line = line[self._file.write(line) :]
            self._torn = False
        except Exception as error:
            self._drop(str(error))

    def _drop(self, reason: str) -> None:
        """Count a line that is lost, and say so if that was not said a moment ago."""
        with self._counting:  # lines are lost in the threads that write and in that of the file
            self.dropped += 1
            dropped, now = self.dropped, time.monotonic()
            if now - self._logged < _LOG_SECONDS:
                return
            self._logged = now
        _log.warning("cannot record to %s: %s (%d lost so far)", self._path, reason, dropped)


def _line(
    when: datetime, model: str, version: str, question: Question, reply: bytes | PenchantError
) -> bytes:
    said = {name: value for name, value in question._asdict().items() if value not in (None, ())}
    options = said.pop("options")
    default = type(options)()
    changed = {
        name: value for name, value in options._asdict().items() if value != getattr(default, name)
    }
    said = {name: said[name] for name in (*_ORDER, *said) if name in said} | changed
    record: dict[str, Any] = {
        "time": when.isoformat(timespec="milliseconds"),
        "model": model,
        "version": version,
        "question": said,
    }
    if isinstance(reply, bytes):
        record["answer"] = json.loads(reply)
    else:
        record["error"] = str(reply)
    return json.dumps(record).encode() + b"\n"


_ORDER = ("user_id", "item_id", "history", "context")
