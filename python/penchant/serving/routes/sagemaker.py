"""Amazon SageMaker's container interface: ``/invocations``."""

from __future__ import annotations

from typing import Any

from penchant.errors import HTTPError
from penchant.serving.decode import decode_body
from penchant.serving.http import Answer, Call
from penchant.serving.openapi import operation
from penchant.serving.routes.records import answer_records
from penchant.serving.server import Route, Server

__all__ = ["routes"]

# The last one is what `curl -d` says unless it is told otherwise; the body is JSON all the same.
_JSON = ("application/json", "text/json", "application/x-www-form-urlencoded")
_JSON_LINES = ("application/jsonlines", "application/jsonl", "application/x-ndjson")


def routes(server: Server) -> list[Route]:
    """Return the endpoints of a SageMaker container."""
    doc = operation(
        summary="Recommend to users: an object, a list, or one a line.",
        body={"type": "object"},
        answer={"type": "array", "items": {"type": "object"}},
    )
    return [Route("POST", "/invocations", _invocations(server), doc)]


def _invocations(server: Server) -> Any:
    async def handle(call: Call) -> Answer:
        media = call.media()
        if media and media not in _JSON + _JSON_LINES:
            raise HTTPError(415, f"cannot read {media}: send application/json")

        def decode() -> Any:
            lines = media in _JSON_LINES
            return decode_body(call.body, lines=lines, max_top_n=server.limits.top_n)

        requests = await server.run(decode)
        return await answer_records(server, None, requests, call.header("accept"))

    return handle
