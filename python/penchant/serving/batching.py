"""Micro-batching: questions that wait while one native call runs are answered by the next one.

There is no timer. A question that comes while nothing runs is answered at once, with those that
came in the same turn of the event loop; under load the batches grow by themselves. Each batch takes
the current version of its model once, so that no answer mixes two.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from penchant.serving.catalog import Catalog, Version
from penchant.serving.questions import Question
from penchant.serving.replies import Reply, reply

__all__ = ["Batcher", "Seen"]

_LARGEST = 256  # questions of one call
_ALONE = ("users",)  # each is a search over all users: others have their turn in between
Seen = Callable[[Version, list[Question], list[Reply]], None]
_Key = tuple[str | None, str]  # model and kind of question
_Waiting = list[tuple[Question, "asyncio.Future[Reply]"]]


class Batcher:
    """Collects questions of one event loop and answers them in a thread, one batch at a time.

    Parameters
    ----------
    catalog : Catalog
    seen : callable, optional
        Told of every batch that was answered: the version, the questions and the replies.
    """

    def __init__(self, catalog: Catalog, *, seen: Seen | None = None) -> None:
        self._catalog = catalog
        self._seen = seen
        self._waiting: dict[_Key, _Waiting] = {}
        self._running = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="penchant-batch")

    def ask(self, model: str | None, kind: str, question: Question) -> asyncio.Future[Reply]:
        """Put a question to a model (None: the default one); the future is its reply.

        Cancelling the future takes the question back, unless its batch runs already.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._waiting.setdefault((model, kind), []).append((question, future))
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
            waiting = self._waiting.pop(key)
            most = 1 if key[1] in _ALONE else _LARGEST
            if len(waiting) > most:
                self._waiting[key] = waiting[most:]  # at the end of the queue
                waiting = waiting[:most]
            waiting = [one for one in waiting if not one[1].cancelled()]
            if not waiting:
                continue
            try:
                version = self._catalog.get(key[0])
            except Exception as error:
                _fail(waiting, error)
                continue
            questions = [question for question, _ in waiting]
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._thread, self._run, version, key[1], questions)
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
            _fail(waiting, error)
        else:
            for (_, future), found in zip(waiting, done.result(), strict=True):
                if not future.done():
                    future.set_result(found)


def _fail(waiting: _Waiting, error: BaseException) -> None:
    for _, future in waiting:
        if not future.done():
            future.set_exception(error)
