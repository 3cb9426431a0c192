"""Snowflake's external functions: ``/snowflake/{function}``."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from penchant.serving.external import ExternalFunctions
from penchant.serving.http import Answer, Call
from penchant.serving.openapi import operation
from penchant.serving.routes.admin import check_token
from penchant.serving.server import Route, Server

__all__ = ["routes"]

_NAME = {
    "name": "function",
    "in": "path",
    "required": True,
    "schema": {"enum": ["invoke_model", "deploy_model", "train_and_get_recommendations"]},
}
_ROWS = {
    "type": "object",
    "properties": {"data": {"type": "array", "items": {"type": "array"}}},
    "required": ["data"],
}
_DOC = operation(
    summary="An external function of Snowflake; those with effects need the admin token.",
    parameters=[_NAME],
    body=_ROWS,
    answer=_ROWS,
    named=True,
    guarded=True,
)


def routes(
    server: Server, connect: Callable[[], Any] | None, state: os.PathLike[str] | str | None
) -> list[Route]:
    """Return the endpoints of the external functions.

    `connect` opens the warehouse; `state` is a file in which several processes keep what was asked.
    """
    functions = ExternalFunctions(
        lambda name: server.catalog.get_after_all(name).service,
        lambda name, path: server.catalog.install(name, path).version,
        connect,
        state=state,
        max_bytes=server.limits.body_bytes,
        max_records=server.limits.records,
    )

    async def handle(call: Call) -> Answer:
        name = call.names["function"]
        if name != "invoke_model":
            check_token(server, call)
        run = server.run if name == "invoke_model" else server.run_slow
        status, headers, body = await run(
            functions.handle, name, call.method, call.headers(), call.body
        )
        media = headers.pop("Content-Type", "application/json")
        headers.pop("Content-Length", None)
        return Answer(body, status, media, headers)

    path = "/snowflake/{function}"
    return [Route("POST", path, handle, _DOC), Route("GET", path, handle)]
