"""What the endpoints of one application share: models, micro-batches, threads and limits."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import anyio
import anyio.to_thread

from penchant.config import read_config
from penchant.errors import PenchantError, RequestError
from penchant.serving.batching import Batcher
from penchant.serving.catalog import Catalog, Version
from penchant.serving.encode import Records
from penchant.serving.http import Answer, Call, error_message, json_error
from penchant.serving.questions import Question
from penchant.serving.recorder import Recorder
from penchant.serving.replies import Reply
from penchant.serving.task_replies import memory_of, questions_of, replies_of
from penchant.serving.tasks import Recommend, Task

__all__ = ["Limits", "Route", "Server"]

_SLOW_AT_ONCE = 4

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one request may cost.

    Attributes
    ----------
    body_bytes : int
        Largest body.
    top_n : int
        Longest list for a user.
    records : int
        Most recommendations in one answer: the sum of ``top_n`` over the users asked about.
    questions : int
        Most questions in one request to ``/v1``.
    """

    body_bytes: int = 6 * 2**20
    top_n: int = 1000
    records: int = 1_000_000
    questions: int = 1000


class Route(NamedTuple):
    """An endpoint: where it is, what answers, and what the OpenAPI document says of it.

    Attributes
    ----------
    method, path : str
        The path's ``{name}`` parts become `Call.names`.
    handle : coroutine function from Call to Answer
    doc : mapping
        An OpenAPI operation object; empty for one that is not shown.
    as_error : callable
        The form of its errors.
    """

    method: str
    path: str
    handle: Callable[[Call], Awaitable[Answer]]
    doc: Mapping[str, Any] = {}
    as_error: Callable[[BaseException, Call], Answer] = json_error


class Server:
    """The state behind the endpoints.

    Parameters
    ----------
    catalog : Catalog
    limits : Limits
    admin_token : str, optional
        What ``Authorization: Bearer`` must say to change models.
    recorder : Recorder, optional
        Keeps questions, their context and their answers.
    filters : mapping of str to str, optional
        Expressions by the names that Personalize's clients ask for them.
    """

    def __init__(
        self,
        catalog: Catalog,
        limits: Limits,
        *,
        admin_token: str | None = None,
        recorder: Recorder | None = None,
        filters: Mapping[str, str] | None = None,
    ) -> None:
        self.filters = dict(filters or {})
        self.catalog = catalog
        self.limits = limits
        self.admin_token = admin_token
        self.batcher = Batcher(seen=self._record if recorder else None)
        self._recorder = recorder
        # Requests that are no questions run beside each other, on as many threads as there are
        # cores: a model call that used several would only take them from another request.
        self._slots = anyio.CapacityLimiter(read_config().threads)
        # Apart from the others: anybody can ask for a model that is not there.
        self._look_slots = anyio.CapacityLimiter(1)
        self._slow_slots = anyio.CapacityLimiter(_SLOW_AT_ONCE)

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run something that takes time in a thread."""
        call = functools.partial(work, *arguments)
        return await anyio.to_thread.run_sync(call, limiter=self._slots)

    async def catch_up(self) -> bool:
        """Take what other workers have changed; False where there are none."""
        if self.catalog.catch_up is None:
            return False
        await anyio.to_thread.run_sync(self.catalog.catch_up, limiter=self._look_slots)
        return True

    async def run_slow(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run something that takes seconds, such as loading a model, beside all requests."""
        call = functools.partial(work, *arguments)
        return await anyio.to_thread.run_sync(call, limiter=self._slow_slots)

    def close(self) -> None:
        """Write down what waits to be recorded, and end the threads."""
        self.batcher.close()
        if self._recorder is not None:
            self._recorder.close()

    @property
    def is_recording(self) -> bool:
        """Whether what is asked is recorded."""
        return self._recorder is not None

    @property
    def unrecorded(self) -> int:
        """How many questions should have been recorded and were not."""
        return 0 if self._recorder is None else self._recorder.dropped

    async def ask(self, model: str | None, kind: str, questions: list[Question]) -> list[Reply]:
        """Put questions to one version of a model, though they may be cut into several batches.

        A reply that is an error is that of its question.

        Raises
        ------
        RequestError
            They ask for too much.
        UnknownModelError
        """
        rows, weight = (sum(one.k for one in questions), sum(one.weight for one in questions))
        self.check_records(weight, "recommendations" if weight == rows else "values of columns")
        version, ask = self.catalog.get(model), self.batcher.ask
        futures = [ask(version, kind, question) for question in questions]
        try:
            return [await future for future in futures]
        except BaseException:
            # Nobody will await the others: those that wait are taken back, and errors of those
            # that are done are seen, or each would be logged. (`gather` would do as much, for
            # several microseconds a question.)
            for future in futures:
                if not future.cancel() and not future.cancelled():
                    future.exception()
            raise

    def check_records(self, records: int, what: str = "recommendations") -> None:
        """Refuse a request that asks for too much.

        Raises
        ------
        RequestError
        """
        if records > self.limits.records:
            raise RequestError(
                f"k (or top_n) adds up to {records} {what}, more than "
                f"{self.limits.records}: send fewer users at a time, or use `penchant batch "
                "transform`"
            )

    def record(
        self, version: Version, questions: Sequence[Question], replies: Sequence[Reply]
    ) -> None:
        """Record what was answered outside a micro-batch, where the server records."""
        if self._recorder is not None:
            self._record(version, questions, replies)

    def record_task(self, version: Version, task: Task, answer: Records | PenchantError) -> None:
        """Record a task and its answer, question by question, where the server records."""
        if self._recorder is None:
            return
        unknown = None
        if isinstance(task, Recommend) and isinstance(answer, Records) and answer.unknown:
            unknown = version.service.codes_of(task.requests.user_ids) < 0
        about = version.about

        def lines() -> Iterable[tuple[Question, Reply]]:
            """Give them in the recorder's thread, in slices: nobody's answer waits for that."""
            if isinstance(answer, PenchantError):
                return zip(questions_of(task), itertools.repeat(answer), strict=False)
            return zip(questions_of(task), replies_of(task, answer, unknown, about), strict=True)

        size = memory_of(task, answer)
        self._recorder.write_later(version.name, version.version, len(task), size, lines)

    def _record(
        self, version: Version, questions: Sequence[Question], replies: Sequence[Reply]
    ) -> None:
        assert self._recorder is not None
        self._recorder.write_many(version.name, version.version, questions, replies)


def error_object(error: PenchantError) -> bytes:
    """Return an error as the JSON object that stands for one answer of several."""
    return json.dumps({"error": error_message(error)}).encode()
