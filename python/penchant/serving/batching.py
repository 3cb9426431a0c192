"""Micro-batching: questions that wait while one native call runs are answered by the next one.

There is no timer. A question that comes while nothing runs is answered at once, with those that
came in the same turn of the event loop; under load the batches grow by themselves. A question is
put to a version of a model, not to a name: whoever asks several for one answer, or looks into the
model before asking, takes the version once, and no swap in between can mix two.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from penchant.serving.catalog import Version
from penchant.serving.questions import Question
from penchant.serving.replies import Reply, reply

__all__ = ["Batcher", "Seen"]

_LARGEST = 256  # questions of one call
_ALONE = ("users",)  # each is a search over all users: others have their turn in between
Seen = Callable[[Version, list[Question], list[Reply]], None]
# Who is asked, and the kind of question. A version that was replaced lives until its last question
# is answered: what waits and what runs holds it, and nothing else.
_Key = tuple[Version, str]
_Waiting = list[tuple[Question, "asyncio.Future[Reply]"]]


class Batcher:
    """Collects questions of one event loop and answers them in a thread, one batch at a time.

    Parameters
    ----------
    seen : callable, optional
        Told of every batch that was answered: the version, the questions and the replies.
    """

    def __init__(self, *, seen: Seen | None = None) -> None:
        self._seen = seen
        self._waiting: dict[_Key, _Waiting] = {}
        self._running = False
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
        """Begin the next batch, that of the longest waiting key, if anybody waits."""
        while self._waiting:
            key = next(iter(self._waiting))
            version, kind = key
            waiting = self._waiting.pop(key)
            most = 1 if kind in _ALONE else _LARGEST
            if len(waiting) > most:
                self._waiting[key] = waiting[most:]  # at the end of the queue
                waiting = waiting[:most]
            waiting = [one for one in waiting if not one[1].cancelled()]
            if not waiting:
                continue
            questions = [question for question, _ in waiting]
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._thread, self._run, version, kind, questions)
            running.add_done_callback(functools.partial(self._finish, waiting))
            return
        self._running = False

    def _run(self, version: Version, kind: str, questions: list[Question]) -> list[Reply]:
        replies = reply(version.service, kind, questions, version.about)
        if self._seen is not None:
            self._seen(version, questions, replies)
        return replies

    def _finish(self, waiting: _Waiting, done: asyncio.Future[list[Reply]]) -> None:
        self._start()  # before the answers are sent: the thread works meanwhile
        if done.cancelled():
            for _, future in waiting:
                future.cancel()
        elif (error := done.exception()) is not None:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), found in zip(waiting, done.result(), strict=True):
                if not future.done():
                    future.set_result(found)
