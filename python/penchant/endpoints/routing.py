"""One address for all endpoints of this machine, in the words of Amazon's runtime APIs.

=======================================  =========================================================
``POST /endpoints/{name}/invocations``   ``boto3.client("sagemaker-runtime")``
``POST /recommendations``                ``boto3.client("personalize-runtime")``; the name is the
``POST /personalize-ranking``            last part of ``campaignArn``
``GET /endpoints``                       names and status
``GET /ping``                            200
=======================================  =========================================================

Requests go on to the endpoint's own process as they are; `main` runs it.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route

from penchant.endpoints.managed import names
from penchant.endpoints.state import Folder
from penchant.errors import HTTPError, ParameterError, RequestError, require
from penchant.serving.catalog import check_name
from penchant.serving.decode import load_json, show
from penchant.serving.http import (
    Answer,
    Call,
    Endpoint,
    json_answer,
    json_error,
)
from penchant.serving.listening import address, listen, make_server
from penchant.serving.protocols.personalize import resource_name
from penchant.serving.routes import personalize, sagemaker
from penchant.serving.server import Limits

if TYPE_CHECKING:
    import aiohttp

__all__ = ["create_router", "main"]

_ANSWER_SECONDS = 60.0  # what SageMaker gives a container
_CONNECT_SECONDS = 5.0
# An idle connection is given up before the server, which waits for 5 s, does so: a request that
# crosses the server's closing would be lost.
_KEEP_SECONDS = 2.5
_ATTEMPTS = 3
_CONNECTIONS = 1000
# What names a model or a variant must not be lost, or another one would answer.
_PASSED_ON = (
    "content-type",
    "accept",
    "x-amzn-sagemaker-custom-attributes",
    "x-amzn-sagemaker-inference-component",
    "x-amzn-sagemaker-target-container-hostname",
    "x-amzn-sagemaker-target-model",
    "x-amzn-sagemaker-target-variant",
)
_PASSED_BACK = (
    "x-amzn-errortype",
    "x-amzn-invoked-production-variant",
    "x-amzn-requestid",
    "x-amzn-sagemaker-custom-attributes",
)

_Handler = Callable[[Call], Awaitable[Answer]]
_ErrorForm = Callable[[BaseException, Call], Answer]


class _Backends:
    """The endpoints' processes, and connections to them."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, int] | None, str]] = {}
        self._session: aiohttp.ClientSession | None = None

    def find(self, name: str) -> str:
        """Return where an endpoint answers.

        Raises
        ------
        HTTPError
            404: there is none; 503: it is not in service.
        """
        try:
            folder = Folder.of("endpoints", check_name(name))
            found = folder.runtime.stat()
        except ParameterError as error:
            raise HTTPError(404, str(error)) from None
        except FileNotFoundError:
            found = None
        mark = None if found is None else (found.st_mtime_ns, found.st_ino)
        known = self._known.get(name)
        if known is None or known[0] != mark:
            known = self._known[name] = mark, _locate(folder)
        return known[1]

    def forget(self, name: str) -> None:
        """Look anew the next time: the process does not answer."""
        self._known.pop(name, None)

    async def post(self, name: str, path: str, call: Call) -> Answer:
        """Pass a request on, and the answer back, whatever it is.

        Raises
        ------
        HTTPError
            404: there is none; 503: it is not in service; 504: it takes too long.
        """
        aiohttp = require("aiohttp", "serve")
        if self._session is None:
            self._session = _open_session()
        headers = {key: value for key in _PASSED_ON if (value := call.header(key)) is not None}
        for attempt in range(1, _ATTEMPTS + 1):
            url = self.find(name) + path
            try:
                # A stream, since aiohttp warns of large bodies in one piece.
                body = io.BytesIO(call.body)
                async with self._session.post(url, data=body, headers=headers) as answer:
                    content = await answer.read()
                back = {key: answer.headers[key] for key in _PASSED_BACK if key in answer.headers}
                media = answer.headers.get("content-type", "application/json")
                return Answer(content, answer.status, media, back)
            except asyncio.TimeoutError:
                raise HTTPError(504, f"no answer within {_ANSWER_SECONDS:.0f} s") from None
            except aiohttp.ClientError as error:
                # Closed while idle, or the process was replaced. Questions change nothing, so
                # they may be asked again.
                self.forget(name)
                if attempt == _ATTEMPTS:
                    raise HTTPError(503, f"endpoint {name} does not answer: {error!r}") from error
        raise AssertionError("the last attempt returns or raises")


def _open_session() -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_KEEP_SECONDS),
        timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS, sock_connect=_CONNECT_SECONDS),
        skip_auto_headers=("accept-encoding", "content-type"),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _locate(folder: Folder) -> str:
    name = folder.path.name
    if not folder.exists():
        raise HTTPError(404, f"endpoint {name} does not exist")
    status = folder.status()
    if status.state == "InService" and status.url is not None:
        return status.url
    raise HTTPError(503, f"endpoint {name} is {status.state}: {status.reason or 'wait for it'}")


def create_router() -> Starlette:
    """Make the web application that passes requests on to the endpoints of ``PENCHANT_HOME``."""
    backends = _Backends()
    body_bytes = Limits().body_bytes

    async def invoke(call: Call) -> Answer:
        name = call.names["name"]
        return await backends.post(name, f"/endpoints/{name}/invocations", call)

    async def recommend(call: Call) -> Answer:
        return await backends.post(_campaign(call.body), str(call.scope["path"]), call)

    def route(method: str, path: str, handle: _Handler, as_error: _ErrorForm) -> Route:
        endpoint = Endpoint(handle, body_bytes=body_bytes, as_error=as_error)
        return Route(path, endpoint, methods=[method])

    return Starlette(
        routes=[
            route("POST", "/endpoints/{name}/invocations", invoke, sagemaker.runtime_error),
            route("POST", "/recommendations", recommend, personalize.runtime_error),
            route("POST", "/personalize-ranking", recommend, personalize.runtime_error),
            route("GET", "/endpoints", _list, json_error),
            route("GET", "/ping", _ping, json_error),
        ]
    )


async def _ping(_: Call) -> Answer:
    return json_answer({"status": "healthy"})


async def _list(_: Call) -> Answer:
    states = ((name, Folder.of("endpoints", name).status().state) for name in names())
    return json_answer([{"name": name, "status": state} for name, state in states])


def _campaign(body: bytes) -> str:
    """Return the endpoint that a request of Personalize is for."""
    document = load_json(body)
    if not isinstance(document, dict):
        raise RequestError(f"the body must be an object, got {show(document)}")
    for field in ("campaignArn", "recommenderArn", "inferenceArn"):
        if document.get(field) is not None:
            return resource_name(document[field])
    raise RequestError("campaignArn is missing: its last part names the endpoint")


def main(arguments: list[str]) -> int:
    """Run the router until SIGTERM or Ctrl-C.

    Parameters
    ----------
    arguments : list of str
        ``--host ADDRESS --port NUMBER``.

    Returns
    -------
    int
        Exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m penchant.endpoints.routing")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args(arguments)
    try:
        listener = listen(given.host, given.port)
    except ParameterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with listener:
        place = address(given.host, listener)
        print(f"routing to endpoints on {place} - Ctrl-C stops it", file=sys.stderr, flush=True)
        make_server(create_router()).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
