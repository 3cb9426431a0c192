"""Amazon Personalize's runtime API: ``/recommendations`` and ``/personalize-ranking``.

``boto3.client("personalize-runtime", endpoint_url=...)`` speaks to these. A campaign is the model
of that name, a filter an expression that the server was started with.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from penchant.errors import HTTPError, PenchantError, RequestError, UnknownModelError
from penchant.models.expression_filters import check_values, chosen
from penchant.serving.catalog import Version
from penchant.serving.http import Answer, Call, error_message, error_status
from penchant.serving.openapi import operation
from penchant.serving.protocols import personalize
from penchant.serving.questions import Options, Question
from penchant.serving.ranking import NONE_KNOWN, likest, shares
from penchant.serving.server import Route, Server
from penchant.serving.service import known_ids

__all__ = ["routes", "runtime_error"]

_ERROR = {"type": "object", "properties": {"message": {"type": "string"}}}


def routes(server: Server) -> list[Route]:
    """Return the endpoints of Personalize's runtime."""
    return [
        Route(
            "POST",
            "/recommendations",
            _recommendations(server),
            _doc("get_recommendations of Amazon Personalize.", personalize.RECOMMENDATIONS),
            runtime_error,
        ),
        Route(
            "POST",
            "/personalize-ranking",
            _ranking(server),
            _doc("get_personalized_ranking of Amazon Personalize.", personalize.RANKING),
            runtime_error,
        ),
    ]


def _doc(summary: str, body: dict[str, Any]) -> dict[str, Any]:
    return operation(summary=summary, body=body, answer={}, error=_ERROR, named=True)


def runtime_error(error: BaseException, _: Call) -> Answer:
    """Return an error as Personalize's runtime answers with it."""
    kind = personalize.error_kind(error_status(error))
    status, headers, body = personalize.error_answer(kind, error_message(error))
    media = headers.pop("content-type")
    return Answer(body, status, media, headers)


def _recommendations(server: Server) -> Any:
    async def handle(call: Call) -> Answer:
        asked = personalize.parse_recommendations(call.body)
        version = _campaign(server, asked.campaign)
        context = asked.context or None
        options = _options(server, version, asked)
        if asked.user_id is None and options.where is not None:
            ids, scores = await server.run(_related, version, asked, options.where)
        elif asked.user_id is None:
            question = Question(asked.num_results, item_id=asked.item_id, context=context)
            ids, scores = await _ask(server, version, "similar", question)
        else:
            question = Question(asked.num_results, asked.user_id, context=context, options=options)
            ids, scores = await _ask(server, version, "recommend", question)
        return Answer(personalize.recommendations_answer(ids, scores))

    return handle


def _ranking(server: Server) -> Any:
    async def handle(call: Call) -> Answer:
        asked = personalize.parse_ranking(call.body)
        version = _campaign(server, asked.campaign)
        options = _options(server, version, asked)
        known, strange = await server.run(_told_apart, version, asked.input_list)
        options = options._replace(candidates=tuple(known), exclude_seen=False, scores="raw")
        n = len(asked.input_list)
        question = Question(n, asked.user_id, context=asked.context or None, options=options)
        ids, scores = await _ask(server, version, "recommend", question)
        weights = [*shares(np.array([scores]))[0].tolist(), *[0.0] * len(strange)]
        return Answer(personalize.ranking_answer([*ids, *strange], weights))

    return handle


def _campaign(server: Server, name: str | None) -> Version:
    try:
        return server.catalog.get(name)
    except UnknownModelError as error:
        raise UnknownModelError(f"campaign {name!r:.100} does not exist: {error}") from None


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


def _related(
    version: Version, asked: personalize.RecommendationsRequest, where: str
) -> tuple[list[str], list[float]]:
    """Return the items most like one among those that a filter chooses, and their scores."""
    service, model = version.service, version.service.model
    check_values(asked.filter_values, where)
    allowed = chosen(model, "item", where, asked.filter_values)
    codes = _item_codes(version, [str(asked.item_id)])
    if codes[0] < 0:
        raise RequestError(f"no item {asked.item_id!r:.200} in the model")
    rows, scores = likest(model, codes, asked.num_results, allowed, num_threads=service.num_threads)
    kept = (rows >= 0) & np.isfinite(scores)
    ids: list[str] = known_ids(model.items_, rows[kept]).text.to_pylist()
    return ids, scores[kept].tolist()


def _told_apart(version: Version, items: list[str]) -> tuple[list[str], list[str]]:
    """Return the items that the model knows, and those it does not, which are ranked last."""
    known = _item_codes(version, items) >= 0
    if not known.any():
        raise RequestError(NONE_KNOWN.format("inputList"))
    pairs = list(zip(items, known.tolist(), strict=True))
    return [item for item, is_known in pairs if is_known], [
        item for item, is_known in pairs if not is_known
    ]


def _item_codes(version: Version, items: list[str]) -> Any:
    return version.service.model.items_.codes(pa.array(items, pa.large_string()))


async def _ask(
    server: Server, version: Version, kind: str, question: Question
) -> tuple[list[str], list[float]]:
    """Return the ids, as text, and the scores that answer a question."""
    reply = await server.batcher.ask(version, kind, question)
    if isinstance(reply, PenchantError):
        raise reply
    items = json.loads(reply)["items"]
    return [str(one["item_id"]) for one in items], [one["score"] for one in items]
