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
import json
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.routing import Route

from penchant.endpoints.client import KEEP_SECONDS
from penchant.endpoints.managed import names
from penchant.endpoints.state import Folder
from penchant.errors import (
    EndpointNotFoundError,
    HTTPError,
    ParameterError,
    RequestError,
    require,
)
from penchant.serving.catalog import check_name
from penchant.serving.decode import load_json, show
from penchant.serving.http import Answer, Call, Endpoint, error_message, error_status, json_answer
from penchant.serving.server import Limits

if TYPE_CHECKING:
    import httpx

__all__ = ["create_router", "main"]

_ANSWER_SECONDS = 60.0  # what SageMaker gives a container
_CONNECT_SECONDS = 5.0
_ATTEMPTS = 3
_DRAIN_SECONDS = 25
_CONNECTIONS = 1000
_PASSED_ON = ("content-type", "accept", "x-amzn-sagemaker-custom-attributes")
_PASSED_BACK = ("x-amzn-errortype", "x-amzn-requestid", "x-amzn-sagemaker-custom-attributes")


class _Backends:
    """The endpoints' processes, and connections to them."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, int], str]] = {}
        self._client: httpx.AsyncClient | None = None

    def find(self, name: str) -> str:
        """Return where an endpoint answers.

        Raises
        ------
        EndpointNotFoundError
        HTTPError
            503: it is not in service.
        """
        try:
            folder = Folder.of("endpoints", check_name(name))
            found = folder.runtime.stat()
        except (ParameterError, FileNotFoundError):
            self._known.pop(name, None)
            return self._look(name)
        mark = found.st_mtime_ns, found.st_ino
        known = self._known.get(name)
        if known is None or known[0] != mark:
            known = self._known[name] = mark, self._look(name)
        return known[1]

    def forget(self, name: str) -> None:
        """Look anew the next time: the process does not answer."""
        self._known.pop(name, None)

    def _look(self, name: str) -> str:
        folder = Folder.of("endpoints", name)
        try:
            check_name(name)
        except ParameterError as error:
            raise EndpointNotFoundError(str(error)) from None
        if not folder.exists():
            raise EndpointNotFoundError(f"Endpoint {name} not found.")
        status = folder.status()
        if status.state == "InService" and status.url is not None:
            return status.url
        raise HTTPError(503, f"endpoint {name} is {status.state}: {status.reason or 'wait for it'}")

    async def post(self, name: str, path: str, call: Call) -> httpx.Response:
        """Pass a request on, and return the answer.

        Raises
        ------
        EndpointNotFoundError
        HTTPError
            503: it is not in service; 504: it takes too long.
        """
        httpx = require("httpx", "serve")
        if self._client is None:
            self._client = httpx.AsyncClient(
                trust_env=False,
                limits=httpx.Limits(
                    max_connections=_CONNECTIONS,
                    max_keepalive_connections=_CONNECTIONS,
                    keepalive_expiry=KEEP_SECONDS,
                ),
                timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            )
        headers = {key: value for key in _PASSED_ON if (value := call.header(key)) is not None}
        for attempt in range(1, _ATTEMPTS + 1):
            url = self.find(name) + path
            try:
                return await self._client.post(url, content=call.body, headers=headers)
            except httpx.ReadTimeout:
                raise HTTPError(504, f"no answer within {_ANSWER_SECONDS:.0f} s") from None
            except httpx.TransportError as error:
                # Closed while idle, or the process was replaced. Questions change nothing, so
                # they may be asked again.
                self.forget(name)
                if attempt == _ATTEMPTS:
                    raise HTTPError(503, f"endpoint {name} does not answer: {error!r}") from error
        raise AssertionError("unreachable")


def create_router() -> Starlette:
    """Make the web application that passes requests on to the endpoints of ``PENCHANT_HOME``."""
    backends = _Backends()
    body_bytes = Limits().body_bytes

    def route(path: str, handle: _Handler, as_error: _ErrorForm, method: str = "POST") -> Route:
        endpoint = Endpoint(handle, body_bytes=body_bytes, as_error=as_error)
        return Route(path, endpoint, methods=[method])

    return Starlette(
        routes=[
            route("/endpoints/{name}/invocations", _invocations(backends), _sagemaker_error),
            route("/recommendations", _personalize(backends), _personalize_error),
            route("/personalize-ranking", _personalize(backends), _personalize_error),
            route("/endpoints", _endpoints, _sagemaker_error, "GET"),
            route("/ping", _ping, _sagemaker_error, "GET"),
        ]
    )


_Handler = Callable[[Call], Awaitable[Answer]]
_ErrorForm = Callable[[BaseException, Call], Answer]


async def _ping(_: Call) -> Answer:
    return json_answer({"status": "healthy"})


async def _endpoints(_: Call) -> Answer:
    states = ((name, Folder.of("endpoints", name).status().state) for name in names())
    return json_answer([{"name": name, "status": state} for name, state in states])


def _invocations(backends: _Backends) -> _Handler:
    async def handle(call: Call) -> Answer:
        name = call.names["name"]
        answer = await backends.post(name, "/invocations", call)
        if answer.status_code != 200:
            return _model_error(name, answer.status_code, _said(answer))
        headers = {"x-amzn-invoked-production-variant": "AllTraffic"}
        return _passed_back(answer, headers)

    return handle


def _personalize(backends: _Backends) -> _Handler:
    async def handle(call: Call) -> Answer:
        name = _campaign(call.body)
        return _passed_back(await backends.post(name, str(call.scope["path"]), call), {})

    return handle


def _campaign(body: bytes) -> str:
    """Return the endpoint that a request of Personalize is for."""
    document = load_json(body)
    if not isinstance(document, dict):
        raise RequestError(f"the body must be an object, got {show(document)}")
    for field in ("campaignArn", "recommenderArn", "inferenceArn"):
        arn = document.get(field)
        if arn is not None:
            break
    else:
        raise RequestError("campaignArn is missing: it names the endpoint")
    name = arn.rpartition("/")[2] if isinstance(arn, str) else ""
    if not name or ":" in name:
        raise RequestError(
            f"{field} is {show(arn)}: send arn:aws:personalize:us-east-1:000000000000:campaign/NAME"
        )
    return name


def _passed_back(answer: httpx.Response, headers: dict[str, str]) -> Answer:
    for key in _PASSED_BACK:
        if key in answer.headers:
            headers[key] = answer.headers[key]
    media = answer.headers.get("content-type", "application/json")
    return Answer(answer.content, answer.status_code, media, headers)


def _said(answer: httpx.Response) -> str:
    """Return what a server says of an error."""
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:1000]


def _model_error(name: str, status: int, message: str) -> Answer:
    """Return the failure of a model as ``InvokeEndpoint`` does."""
    side = "client" if status < 500 else "server"
    text = f'Received {side} error ({status}) from {name} with message "{message}"'
    more = {"OriginalStatusCode": status, "OriginalMessage": message}
    return _aws_error("ModelError", 424, text, more)


def _sagemaker_error(error: BaseException, _: Call) -> Answer:
    status = error_status(error)
    message = error_message(error)
    if isinstance(error, EndpointNotFoundError):
        return _aws_error("ValidationError", 400, message)
    if status == 503:
        return _aws_error("ServiceUnavailable", 503, message)
    if status == 504:
        return _aws_error("ModelError", 424, message, {"OriginalStatusCode": 504})
    if status >= 500:
        return _aws_error("InternalFailure", 500, message)
    return _aws_error("ValidationError", status, message)


def _personalize_error(error: BaseException, _: Call) -> Answer:
    status = error_status(error)
    message = error_message(error)
    if isinstance(error, EndpointNotFoundError):
        return _aws_error("ResourceNotFoundException", 404, message)
    if status in (503, 504):
        return _aws_error("ServiceUnavailable", 503, message)
    if status >= 500:
        return _aws_error("InternalFailure", 500, message)
    return _aws_error("InvalidInputException", 400, message)


def _aws_error(kind: str, status: int, message: str, more: dict[str, Any] | None = None) -> Answer:
    document = {"message": message, "Message": message, **(more or {})}
    body = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    return Answer(body, status, headers={"x-amzn-errortype": kind})


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
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m penchant.endpoints.routing")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args(arguments)
    try:
        listener = socket.create_server((given.host, given.port), backlog=4096)
    except OSError as error:
        where = f"{given.host}:{given.port}"
        print(f"error: cannot listen on {where}: {error.strerror}", file=sys.stderr)
        return 2
    with listener:
        place = f"http://{given.host}:{listener.getsockname()[1]}"
        print(f"routing to endpoints on {place} - Ctrl-C stops it", file=sys.stderr, flush=True)
        config = uvicorn.Config(
            create_router(),
            log_level="warning",
            lifespan="off",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
