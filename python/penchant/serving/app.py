"""The web application: HTTP around `Service`, and nothing else.

==========================  =======================================================================
``GET /ping``               200 when the model is loaded
``POST /invocations``       ``{"user_id": "17850", "top_n": "10"}``: one object, a list, or one a
                            line; answered with a JSON list of ``{"user_id", "item_id", "score"}``,
                            or with ``Accept: text/csv`` as CSV lines
``GET /recommend``          ``?user_id=17850&top_n=10``: the same for one user
==========================  =======================================================================

Errors are ``{"error": "..."}``: 400 a wrong request, 413 a body too large, 415 another media type.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from typing import TYPE_CHECKING

import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from penchant._version import __version__
from penchant.config import read_config
from penchant.errors import RequestError
from penchant.serving.decode import FIELDS, Requests, decode_body, decode_record
from penchant.serving.encode import to_csv, to_json
from penchant.serving.service import Service

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["Limits", "create_app"]

# The last one is what `curl -d` says unless it is told otherwise; the body is JSON all the same.
_JSON = ("application/json", "text/json", "application/x-www-form-urlencoded")
_JSON_LINES = ("application/jsonlines", "application/jsonl", "application/x-ndjson")
_log = logging.getLogger(__name__)


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
    """

    body_bytes: int = 6 * 2**20
    top_n: int = 1000
    records: int = 1_000_000


def create_app(
    model: Recommender | os.PathLike[str] | str, *, limits: Limits | None = None
) -> FastAPI:
    """Make the web application that serves a model.

    Parameters
    ----------
    model : Recommender or path
        A fitted model, or the artifact of one.
    limits : Limits, optional

    Returns
    -------
    fastapi.FastAPI
        An ASGI application: ``uvicorn.run(create_app("artifact/"))``.
    """
    # Requests run beside each other, a thread each, on as many threads as there are cores: a
    # model call that used several would only take them from another request.
    service = Service(model, num_threads=1)
    limits = limits or Limits()
    app = FastAPI(
        title="Penchant", version=__version__, openapi_url=None, docs_url=None, redoc_url=None
    )
    app.add_exception_handler(RequestError, _answer_bad_request)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_crash)
    slots = anyio.CapacityLimiter(read_config().threads)

    async def answer(requests: Requests, accept: str | None) -> Response:
        records = int(requests.top_n.clip(max=len(service.model.items_)).sum())
        if records > limits.records:
            raise RequestError(
                f"top_n adds up to {records} recommendations, more than {limits.records}: "
                "send fewer users at a time, or use `penchant batch transform`"
            )
        csv = _prefers_csv(accept)

        def work() -> bytes:
            return (to_csv if csv else to_json)(service.answer(requests))

        content = await anyio.to_thread.run_sync(work, limiter=slots)
        return Response(content, media_type="text/csv" if csv else "application/json")

    @app.get("/ping")
    async def ping() -> Response:
        return JSONResponse({"status": "healthy"})

    @app.post("/invocations")
    async def invocations(request: Request) -> Response:
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media and media not in _JSON + _JSON_LINES:
            raise HTTPException(415, f"cannot read {media}: send application/json")
        body = await _read_body(request, limits.body_bytes)

        def decode() -> Requests:
            return decode_body(body, lines=media in _JSON_LINES, max_top_n=limits.top_n)

        requests = await anyio.to_thread.run_sync(decode, limiter=slots)
        return await answer(requests, request.headers.get("accept"))

    @app.get("/recommend")
    async def recommend(request: Request) -> Response:
        query = request.query_params
        for name in FIELDS:
            if len(query.getlist(name)) > 1:
                raise RequestError(f"{name} is given more than once")
        asked = decode_record(dict(query), max_top_n=limits.top_n)
        return await answer(Requests.of([asked]), request.headers.get("accept"))

    return app


async def _read_body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(413, f"the body is larger than {limit} bytes")
    return bytes(body)


def _prefers_csv(accept: str | None) -> bool:
    """Tell whether the first media type of an Accept header that we can give is CSV."""
    for part in (accept or "").lower().split(","):
        media = part.partition(";")[0].strip()
        if media in ("text/csv", "application/json", "application/*", "*/*"):
            return media == "text/csv"
    return False


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)


async def _answer_bad_request(_: Request, error: Exception) -> Response:
    return _error(400, str(error))


async def _answer_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail)


async def _answer_crash(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _error(500, "internal error; the server's log says more")
