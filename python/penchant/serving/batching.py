"""Micro-batching: questions that wait while one native call runs are answered by the next one.

There is no timer. A question that comes while nothing runs is answered at once, with those that
came in the same turn of the event loop; under load the batches grow by themselves. A batch is
answered in a thread, or in the event loop where that takes less than three milliseconds: to hand
it over and take it back, with both threads waiting for the interpreter, costs more.

A question is put to a version of a model, not to a name: whoever asks several for one answer, or
looks into the model before asking, takes the version once, and no swap in between can mix two.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from weakref import WeakKeyDictionary

from penchant.serving.catalog import Version
from penchant.serving.questions import PLAIN, Question
from penchant.serving.replies import Reply, reply

__all__ = ["Batcher", "Seen"]

_LARGEST = 256  # questions of one call
_ALONE = ("users",)  # each is a search over all users: others have their turn in between
_QUICK_SECONDS = 0.003
_QUICK_K = 100
Seen = Callable[[Version, list[Question], list[Reply]], None]
_Waiting = list[tuple[Question, "asyncio.Future[Reply]"]]


class _Batch(NamedTuple):
    """Questions of a kind to one version, and who waits for the replies.

    A version that was replaced lives until its last question is answered: what waits and what runs
    holds it, and nothing else.
    """

    version: Version
    kind: str
    waiting: _Waiting

    @property
    def questions(self) -> list[Question]:
        return [question for question, _ in self.waiting]

    def is_plain(self) -> bool:
        """Tell whether all ask for a short list for a user: what takes long has a filter, say."""
        return self.kind == "recommend" and all(
            question.history is None and question.options == PLAIN and question.k <= _QUICK_K
            for question, _ in self.waiting
        )


class _Pace(NamedTuple):
    """What a batch took, of CPU time: a thread may wait for the interpreter for longer."""

    seconds: float
    questions: int

    def seconds_of(self, questions: int) -> float:
        """Return what another batch takes at most: the first question costs more than others."""
        return self.seconds * max(1.0, questions / self.questions)


class Batcher:
    """Collects questions of one event loop and answers them, one batch at a time.

    Parameters
    ----------
    seen : callable, optional
        Told of every batch that was answered: the version, the questions and the replies.
    """

    def __init__(self, *, seen: Seen | None = None) -> None:
        self._seen = seen
        self._waiting: dict[tuple[Version, str], _Waiting] = {}
        self._running = False
        self._paces: WeakKeyDictionary[Version, _Pace] = WeakKeyDictionary()  # of plain batches
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="penchant-batch")

    def ask(self, version: Version, kind: str, question: Question) -> asyncio.Future[Reply]:
        """Put a question to a version of a model, current or not; the future is its reply.

        Cancelling the future takes the question back, unless its batch runs already.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._waiting.setdefault((version, kind), []).append((question, future))
        if not self._running:
            self._running = True
            loop.call_soon(self._start)
        return future

    def close(self) -> None:
        """End the thread when what it does is done."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        """Begin the next batch, if anybody waits."""
        batch = self._next()
        if batch is None:
            self._running = False
            return
        loop = asyncio.get_running_loop()
        if self._is_quick(batch):
            try:
                replies = self._run(batch)
            except Exception as error:
                _fail(batch.waiting, error)
            else:
                _settle(batch.waiting, replies)
            loop.call_soon(self._start)  # when what has come in meanwhile is read
            return
        running = loop.run_in_executor(self._thread, self._run, batch)
        running.add_done_callback(functools.partial(self._finish, batch.waiting))

    def _next(self) -> _Batch | None:
        """Take those who have waited longest, without whoever waits no more."""
        while self._waiting:
            key = next(iter(self._waiting))
            version, kind = key
            waiting = self._waiting.pop(key)
            most = 1 if kind in _ALONE else _LARGEST
            if len(waiting) > most:
                self._waiting[key] = waiting[most:]  # at the end of the queue
                waiting = waiting[:most]
            waiting = [one for one in waiting if not one[1].cancelled()]
            if waiting:
                return _Batch(version, kind, waiting)
        return None

    def _is_quick(self, batch: _Batch) -> bool:
        pace = self._paces.get(batch.version)
        if pace is None or pace.seconds_of(len(batch.waiting)) > _QUICK_SECONDS:
            return False
        return batch.is_plain()

    def _run(self, batch: _Batch) -> list[Reply]:
        version, questions = batch.version, batch.questions
        began = time.thread_time()
        replies = reply(version.service, batch.kind, questions, version.about)
        if batch.is_plain():
            self._paces[version] = _Pace(time.thread_time() - began, len(questions))
        if self._seen is not None:
            self._seen(version, questions, replies)
        return replies

    def _finish(self, waiting: _Waiting, done: asyncio.Future[list[Reply]]) -> None:
        self._start()  # before the answers are sent: the thread works meanwhile
        if done.cancelled():
            for _, future in waiting:
                future.cancel()
        elif (error := done.exception()) is not None:
            _fail(waiting, error)
        else:
            _settle(waiting, done.result())


def _fail(waiting: _Waiting, error: BaseException) -> None:
    for _, future in waiting:
        if not future.done():
            future.set_exception(error)


def _settle(waiting: _Waiting, replies: list[Reply]) -> None:
    for (_, future), found in zip(waiting, replies, strict=True):
        if not future.done():
            future.set_result(found)
