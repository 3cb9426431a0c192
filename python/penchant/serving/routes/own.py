"""Penchant's own interface: ``/v1/...``, and ``GET /recommend`` for a browser."""

from __future__ import annotations

from typing import Any

from penchant.errors import PenchantError
from penchant.serving.http import Answer, Call
from penchant.serving.openapi import operation, path_parameter, query_parameter
from penchant.serving.protocols.record_bodies import LISTS, read_query
from penchant.serving.protocols.sagemaker import Invocation
from penchant.serving.questions import FIELDS, KINDS, read_questions
from penchant.serving.replies import Reply
from penchant.serving.routes.records import answer_records
from penchant.serving.server import Route, Server, error_object

__all__ = ["routes"]

_SUMMARIES = {
    "recommend": "Recommend items to a user, or to a stranger by their history.",
    "similar": "Find the items most like an item.",
    "predict": "Score pairs of a user and an item.",
    "users": "Find the users to whom an item, or all that an expression chooses, should be shown.",
}


def routes(server: Server) -> list[Route]:
    """Return the endpoints of Penchant's own interface."""
    found = [Route("GET", "/recommend", _browser(server), _BROWSER_DOC)]
    for kind in KINDS:
        paths = (f"/v1/{kind}", f"/v1/models/{{name}}/{kind}")
        found += [Route("POST", path, _questions(server, kind), _doc(kind, path)) for path in paths]
    return found


def _questions(server: Server, kind: str) -> Any:
    limit, most = server.limits.top_n, server.limits.questions

    async def handle(call: Call) -> Answer:
        questions, several = read_questions(call.body, kind, max_k=limit, most=most)
        name = call.names.get("name")
        if several:
            replies = await server.ask(name, kind, questions)
            return Answer(b"[" + b", ".join(map(_object, replies)) + b"]")
        reply = await server.batcher.ask(server.catalog.get(name), kind, questions[0])
        if isinstance(reply, PenchantError):
            raise reply
        return Answer(reply)

    return handle


def _object(reply: Reply) -> bytes:
    return error_object(reply) if isinstance(reply, PenchantError) else reply


def _doc(kind: str, path: str) -> dict[str, Any]:
    properties = {
        name: {**FIELDS[name].schema, "description": FIELDS[name].description}
        for name in KINDS[kind]
    }
    question = {"type": "object", "properties": properties, "additionalProperties": False}
    parameters = [path_parameter("name", "A model of GET /v1/models.")] if "{" in path else []
    return operation(
        summary=_SUMMARIES[kind],
        parameters=parameters,
        body={"oneOf": [question, {"type": "array", "items": question}]},
        answer={"oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]},
        named="{" in path,
    )


def _browser(server: Server) -> Any:
    async def handle(call: Call) -> Answer:
        version = server.catalog.get(None)
        invocation = Invocation(read_query(call.query(), server.limits.top_n))
        return await server.run(answer_records, server, version, invocation, call.header("accept"))

    return handle


def _in_query(name: str) -> dict[str, Any]:
    field = FIELDS[name]
    if name in LISTS:
        schema: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
        text = f"{field.description} Between commas, or JSON."
        return query_parameter(name, schema, text) | {"style": "form", "explode": False}
    is_object = field.schema.get("type") == "object"
    schema = {"type": "string"} if is_object else field.schema
    return query_parameter(name, schema, field.description + (" JSON." if is_object else ""))


_BROWSER_DOC = operation(
    summary="Recommend items to one user, or to a stranger by their history; with Accept: text/csv "
    "as CSV.",
    parameters=[_in_query(name) for name in KINDS["recommend"]],
    answer={"type": "array", "items": {"type": "object"}},
)
