"""Amazon Personalize's runtime API: ``/recommendations`` and ``/personalize-ranking``.

``boto3.client("personalize-runtime", endpoint_url=...)`` speaks to these. A campaign is the model
of that name, a filter an expression that the server was started with.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from penchant.errors import HTTPError, PenchantError, UnknownModelError
from penchant.serving.catalog import Version
from penchant.serving.http import Answer, Call, error_message, error_status
from penchant.serving.openapi import operation
from penchant.serving.protocols import personalize
from penchant.serving.questions import Options, Question
from penchant.serving.server import Route, Server

__all__ = ["routes"]

_FIELDS = {"type": "object", "properties": {"campaignArn": {"type": "string"}}}
_ERROR = {"type": "object", "properties": {"message": {"type": "string"}}}


def routes(server: Server) -> list[Route]:
    """Return the endpoints of Personalize's runtime."""
    return [
        Route(
            "POST",
            "/recommendations",
            _recommendations(server),
            _doc("get_recommendations of Amazon Personalize."),
            _error,
        ),
        Route(
            "POST",
            "/personalize-ranking",
            _ranking(server),
            _doc("get_personalized_ranking of Amazon Personalize."),
            _error,
        ),
    ]


def _doc(summary: str) -> dict[str, Any]:
    return operation(summary=summary, body=_FIELDS, answer={}, error=_ERROR, named=True)


def _error(error: BaseException, _: Call) -> Answer:
    kind = personalize.error_kind(error_status(error))
    status, headers, body = personalize.error_answer(kind, error_message(error))
    media = headers.pop("content-type")
    return Answer(body, status, media, headers)


def _recommendations(server: Server) -> Any:
    async def handle(call: Call) -> Answer:
        asked = personalize.parse_recommendations(call.body)
        version = _campaign(server, asked.campaign)
        context = asked.context or None
        if asked.user_id is None:
            question = Question(asked.num_results, item_id=asked.item_id, context=context)
            ids, scores = await _ask(server, version, "similar", question)
        else:
            options = _options(server, version, asked)
            question = Question(asked.num_results, asked.user_id, context=context, options=options)
            ids, scores = await _ask(server, version, "recommend", question)
        return Answer(personalize.recommendations_answer(ids, scores))

    return handle


def _ranking(server: Server) -> Any:
    async def handle(call: Call) -> Answer:
        asked = personalize.parse_ranking(call.body)
        version = _campaign(server, asked.campaign)
        options = _options(server, version, asked)._replace(
            candidates=tuple(asked.input_list), exclude_seen=False, scores="raw"
        )
        n = len(asked.input_list)
        question = Question(n, asked.user_id, context=asked.context or None, options=options)
        ids, scores = await _ask(server, version, "recommend", question)
        return Answer(personalize.ranking_answer(ids, _shares(scores)))

    return handle


def _campaign(server: Server, name: str | None) -> Version:
    try:
        return server.catalog.get(name)
    except UnknownModelError as error:
        raise HTTPError(404, f"campaign {name!r:.100} does not exist: {error}") from None


def _options(
    server: Server,
    version: Version,
    asked: personalize.RecommendationsRequest | personalize.RankingRequest,
) -> Options:
    """Return the options of a request: its filter, and relative scores where the model has them."""
    softmax = "softmax" in version.service.model.capabilities_
    options = Options(scores="softmax" if softmax else "raw")
    if asked.filter_name is None:
        return options
    where = server.filters.get(asked.filter_name)
    if where is None:
        known = ", ".join(server.filters) or "none"
        raise HTTPError(404, f"filter {asked.filter_name!r:.100} does not exist; filters: {known}")
    values = json.dumps(asked.filter_values, sort_keys=True) if asked.filter_values else None
    return options._replace(where=where, where_values=values)


async def _ask(
    server: Server, version: Version, kind: str, question: Question
) -> tuple[list[str], list[float]]:
    """Return the ids, as text, and the scores that answer a question."""
    reply = await server.batcher.ask(version.name, kind, question)
    if isinstance(reply, PenchantError):
        raise reply
    items = json.loads(reply)["items"]
    return [str(one["item_id"]) for one in items], [one["score"] for one in items]


def _shares(scores: list[float]) -> list[float]:
    """Return the softmax of the scores of one list."""
    if not scores:
        return []
    weights = np.exp(np.asarray(scores) - max(scores))
    shares: list[float] = (weights / weights.sum()).tolist()
    return shares
