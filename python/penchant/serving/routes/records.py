"""Answers to records: flat ``{"user_id", "item_id", "score"}``, a line for each, or CSV."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from penchant.errors import PenchantError, RequestError
from penchant.serving.catalog import Version
from penchant.serving.http import Answer, error_message, error_status
from penchant.serving.protocols import sagemaker
from penchant.serving.protocols.sagemaker import Invocation
from penchant.serving.questions import FIELDS, KINDS
from penchant.serving.replies import pair_replies, reply
from penchant.serving.server import Server
from penchant.serving.tasks import Asked, Predict, Recommend, Task

__all__ = ["RECORDS", "answer_records"]

_SHOWN = {name for kind in ("recommend", "similar", "predict") for name in KINDS[kind]}
_RECORD = {
    "type": "object",
    "properties": {
        name: {**field.schema, "description": field.description}
        for name, field in FIELDS.items()
        if name in _SHOWN
    },
    "additionalProperties": False,
}
_INSTANCES = {
    "type": "object",
    "properties": {"instances": {"type": "array"}},
    "required": ["instances"],
    "description": "TensorFlow Serving's shape: items to find similar ones of, or users.",
}
# The JSON schema of a body of records.
RECORDS: dict[str, Any] = {
    "anyOf": [_RECORD, {"type": "array", "items": _RECORD}, _INSTANCES],
    "description": "A question of /v1/recommend, /v1/similar or /v1/predict, or several alike.",
}


def answer_records(
    server: Server, version: Version, invocation: Invocation, accept: str | None
) -> Answer:
    """Answer decoded requests with one version of a model, in the form that the client accepts.

    Questions that say more than a task are answered by what answers ``/v1``; the first error among
    them is that of the request. All are recorded, where the server records.
    """
    service, task = version.service, invocation.task
    server.check_records(_count(task, len(service.model.items_)))
    if isinstance(task, Asked):
        return _answer_asked(server, version, task, accept)
    try:
        records = service.perform(task)
    except PenchantError as error:
        server.record_task(version, task, error)
        raise
    content, media = sagemaker.encode(invocation, records, accept)
    server.record_task(version, task, records)
    return Answer(content, media=media)


def _count(task: Task | Asked, n_items: int) -> int:
    """Return how many rows the answer may have."""
    if isinstance(task, Asked):
        if task.kind == "predict":
            return len(task.pairs)
        return sum(
            question._replace(k=min(question.k, n_items)).weight for question in task.questions
        )
    if isinstance(task, Predict):
        return len(task)
    top_n = task.requests.top_n if isinstance(task, Recommend) else task.top_n
    return int(top_n.clip(max=n_items).sum())


def _answer_asked(server: Server, version: Version, asked: Asked, accept: str | None) -> Answer:
    if len(asked) > server.limits.questions:
        raise RequestError(
            f"{len(asked):,} records in one request, more than {server.limits.questions:,} that "
            "may have options, a history or a context: send fewer at a time"
        )
    if asked.kind == "predict":
        return _answer_pairs(server, version, asked, accept)
    answers = [b""] * len(asked)
    known = _answerable(version, asked)
    questions = [asked.questions[place] for place in known]
    replies = reply(version.service, asked.kind, questions, version.about)
    server.record(version, questions, replies)
    for place, found in zip(known, replies, strict=True):
        if isinstance(found, PenchantError):
            raise _placed(found, asked.places[place])
        answers[place] = found
    content, media = sagemaker.encode(Invocation(asked), answers, accept)
    return Answer(content, media=media)


def _answer_pairs(server: Server, version: Version, asked: Asked, accept: str | None) -> Answer:
    """Score pairs as a column: its ids are spelled as the model spells them."""
    task, questions = asked.pairs, list(asked.questions)
    try:
        records = version.service.perform(task)
    except PenchantError as error:  # of no pair more than of another
        server.record(version, questions, [error] * len(questions))
        raise
    content, media = sagemaker.encode(Invocation(task), records, accept)
    if server.is_recording:
        server.record(version, questions, pair_replies(questions, records.scores, version.about))
    return Answer(content, media=media)


def _answerable(version: Version, asked: Asked) -> list[int]:
    """Return the places of the questions that have an answer: unknown items have no neighbours."""
    if asked.kind != "similar":
        return list(range(len(asked)))
    items = pa.array([question.item_id for question in asked.questions], pa.large_string())
    places: list[int] = np.flatnonzero(version.service.model.items_.codes(items) >= 0).tolist()
    return places


def _placed(error: PenchantError, place: str) -> PenchantError:
    """Return an error of one question with its place, if the question is at fault."""
    if not place or error_status(error) != 400:
        return error
    return RequestError(f"{place}{error_message(error)}")
