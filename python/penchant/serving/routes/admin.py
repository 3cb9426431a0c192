"""Which models are served, and changing them: ``/ping`` and ``/v1/models``."""

from __future__ import annotations

import hmac
from typing import Any

from penchant.errors import HTTPError, RequestError
from penchant.serving.catalog import check_name
from penchant.serving.decode import load_json, show
from penchant.serving.http import Answer, Call, json_answer
from penchant.serving.openapi import operation, path_parameter
from penchant.serving.server import Route, Server

__all__ = ["routes"]

_MODEL = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "version": {"type": "string"},
        "class": {"type": "string"},
        "users": {"type": "integer"},
        "items": {"type": "integer"},
        "capabilities": {"type": "array", "items": {"type": "string"}},
    },
}
_NAME = path_parameter("name", "Letters, digits, - and _.")


def routes(server: Server, *, may_be_empty: bool = False) -> list[Route]:
    """Return the endpoints that look after models; without any the server may be healthy."""
    return [
        Route(
            "GET", "/ping", _ping(server, may_be_empty), _doc("Tell whether models are ready.", {})
        ),
        Route("GET", "/v1/models", _models(server), _doc("List the models.", _LIST)),
        Route("GET", "/v1/models/{name}", _model(server), _doc("Show a model.", _MODEL, True)),
        Route("PUT", "/v1/models/{name}", _install(server), _INSTALL_DOC),
        Route("DELETE", "/v1/models/{name}", _remove(server), _REMOVE_DOC),
    ]


def _doc(summary: str, answer: dict[str, Any], named: bool = False) -> dict[str, Any]:
    return operation(
        summary=summary, answer=answer, parameters=[_NAME] if named else [], named=named
    )


_LIST = {"type": "array", "items": _MODEL}
_INSTALL_DOC = operation(
    summary="Load an artifact and let it take over; needs the server's admin token.",
    parameters=[_NAME],
    body={
        "type": "object",
        "properties": {"artifact": {"type": "string", "minLength": 1}},
        "required": ["artifact"],
        "additionalProperties": False,
    },
    answer=_MODEL,
    named=True,
    guarded=True,
)
_REMOVE_DOC = operation(
    summary="Stop serving a model; needs the server's admin token.",
    parameters=[_NAME],
    answer={},
    named=True,
    guarded=True,
)


def _ping(server: Server, may_be_empty: bool) -> Any:
    async def handle(_: Call) -> Answer:
        if not len(server.catalog) and not may_be_empty:
            raise HTTPError(503, "no model is loaded")
        lost = {"unrecorded": server.unrecorded} if server.unrecorded else {}
        return json_answer({"status": "healthy", **lost})

    return handle


def _models(server: Server) -> Any:
    async def handle(_: Call) -> Answer:
        return json_answer([version.describe() for version in server.catalog])

    return handle


def _model(server: Server) -> Any:
    async def handle(call: Call) -> Answer:
        return json_answer(server.catalog.get(call.names["name"]).describe())

    return handle


def _install(server: Server) -> Any:
    async def handle(call: Call) -> Answer:
        check_token(server, call)
        name = check_name(call.names["name"])
        document = load_json(call.body)
        if not isinstance(document, dict) or set(document) != {"artifact"}:
            raise RequestError(f'send {{"artifact": "/path"}}, not {show(document)}')
        path = document["artifact"]
        if not isinstance(path, str) or not path or "\0" in path:
            raise RequestError(f"artifact must be a path, got {show(path)}")
        made = await server.run_slow(server.catalog.install, name, path)
        return json_answer(made.describe())

    return handle


def _remove(server: Server) -> Any:
    async def handle(call: Call) -> Answer:
        check_token(server, call)
        await server.run_slow(server.catalog.remove, call.names["name"])
        return json_answer({"removed": call.names["name"]})

    return handle


def check_token(server: Server, call: Call) -> None:
    """Refuse a caller who may not change models.

    Raises
    ------
    HTTPError
        403 where the server has no admin token, 401 where the caller's is missing or wrong.
    """
    if server.admin_token is None:
        raise HTTPError(
            403, "models cannot be changed here: start the server with PENCHANT_ADMIN_TOKEN set"
        )
    # Snowflake can add headers of its own to a function's calls, with this prefix; the plain header
    # is then the gateway's between.
    said = (call.header(name) or "" for name in ("authorization", "sf-custom-authorization"))
    given = [one.removeprefix("Bearer ").encode() for one in said]
    if not any(hmac.compare_digest(one, server.admin_token.encode()) for one in given):
        raise HTTPError(401, "the admin token is missing or wrong", {"www-authenticate": "Bearer"})
