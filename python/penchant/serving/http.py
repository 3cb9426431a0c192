"""HTTP without ceremony: an endpoint is a coroutine from a `Call` to an `Answer`.

`Endpoint` makes an ASGI application of it, which Starlette's router takes as it is. Nothing is
parsed that the endpoint does not ask for: under load that is half of the time of a request.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from penchant.errors import (
    HTTPError,
    MediaTypeError,
    PenchantError,
    RequestError,
    UnknownModelError,
    UnsupportedError,
)

__all__ = ["Answer", "Call", "Endpoint", "error_status", "json_answer", "json_error"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = "application/json"
WAIT_SECONDS = 60.0  # for a client to send the head of a request, and again for its body
_log = logging.getLogger("penchant.serving")


@dataclass(frozen=True)
class Answer:
    """What goes back: status, bytes, their media type, and more headers."""

    content: bytes
    status: int = 200
    media: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


class Call:
    """A request, read as far as asked.

    Attributes
    ----------
    scope : dict
        ASGI's.
    body : bytes
    """

    __slots__ = ("body", "scope")

    def __init__(self, scope: Scope, body: bytes) -> None:
        self.scope = scope
        self.body = body

    @property
    def method(self) -> str:
        """GET, POST, ..."""
        return str(self.scope["method"])

    @property
    def names(self) -> dict[str, str]:
        """The parts of the path that the route names."""
        return self.scope.get("path_params") or {}

    def header(self, name: str) -> str | None:
        """Return a header by its name in small letters; None without it."""
        wanted = name.encode("ascii")
        for key, value in self.scope["headers"]:
            if key == wanted:
                return str(value.decode("latin-1"))
        return None

    def headers(self) -> dict[str, str]:
        """Return all headers, names in small letters."""
        pairs = self.scope["headers"]
        return {key.decode("latin-1"): value.decode("latin-1") for key, value in pairs}

    def media(self) -> str:
        """Return the media type of the body, without parameters, in small letters."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    def query(self) -> dict[str, str]:
        """Return the query's fields.

        Raises
        ------
        RequestError
            If one is given more than once, or it is no UTF-8.
        """
        found: dict[str, str] = {}
        try:
            pairs = parse_qsl(
                self.scope["query_string"].decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=100,
            )
        except ValueError as error:
            raise RequestError(f"the query cannot be read: {error}") from None
        for name, value in pairs:
            if name in found:
                raise RequestError(f"{name:.100} is given more than once")
            found[name] = value
        return found


def json_answer(document: Any, status: int = 200) -> Answer:
    """Return a document as JSON."""
    return Answer(json.dumps(document, ensure_ascii=False, default=str).encode(), status)


def error_status(error: BaseException) -> int:
    """Return the HTTP status of an error: 4xx where the request is at fault."""
    if isinstance(error, HTTPError):
        return error.status
    if isinstance(error, UnknownModelError):
        return 404
    if isinstance(error, MediaTypeError):
        return 415
    if isinstance(error, PenchantError):
        return 400 if isinstance(error, ValueError | KeyError | UnsupportedError) else 500
    return 500


def error_message(error: BaseException) -> str:
    """Return what a client may know of an error."""
    if isinstance(error, PenchantError):
        return str(error)
    return "internal error; the server's log says more"


def json_error(error: BaseException, _: Call) -> Answer:
    """Return an error as ``{"error": "..."}``."""
    headers = error.headers if isinstance(error, HTTPError) else {}
    document = json.dumps({"error": error_message(error)}).encode()
    return Answer(document, error_status(error), headers=headers)


class Endpoint:
    """An ASGI application around a coroutine.

    Parameters
    ----------
    handle : coroutine function from Call to Answer
        Whatever it raises becomes an answer by `as_error`; what is no `PenchantError` is logged.
    body_bytes : int
        Largest body; larger ones are answered 413.
    as_error : callable
        The form that errors have.
    catch_up : coroutine function, optional
        Called where there is no such model: another worker may have loaded it just now. It tells
        whether to look once more.
    """

    def __init__(
        self,
        handle: Callable[[Call], Awaitable[Answer]],
        *,
        body_bytes: int,
        as_error: Callable[[BaseException, Call], Answer] = json_error,
        catch_up: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._handle = handle
        self._body_bytes = body_bytes
        self._as_error = as_error
        self._catch_up = catch_up
        self._reading: dict[asyncio.Task[Any], float] = {}  # since when a body is waited for
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = Call(scope, b"")
        try:
            body = await self._read_in_time(receive)
            if body is None:
                return  # the client has gone
            call.body = body
            answer = await self._answer(call)
        except Exception as error:
            if not isinstance(error, PenchantError):
                _log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
            answer = self._as_error(error, call)
        await _send(answer, scope, send)

    async def _answer(self, call: Call) -> Answer:
        try:
            return await self._handle(call)
        except UnknownModelError:
            if self._catch_up is None or not await self._catch_up():
                raise
        return await self._handle(call)

    async def _read(self, receive: Receive) -> bytes | None:
        """Return the body; None where the client has gone."""
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body: bytes = message.get("body", b"")
        self._check_size(len(body))
        if not message.get("more_body"):
            return body
        parts = [body]
        size = len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            self._check_size(size)
        return b"".join(parts)

    async def _read_in_time(self, receive: Receive) -> bytes | None:
        """Return the body, if it comes in time.

        One timer looks after all that are being read: a time limit for each of them costs more
        than many an answer.
        """
        task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        self._reading[task] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(WAIT_SECONDS / 10, self._end_waiting, loop)
        try:
            return await self._read(receive)
        except asyncio.CancelledError:
            if task not in self._late:  # the server ends, and has waited for long enough
                raise HTTPError(503, "the server is ending") from None
            self._late.discard(task)
            raise HTTPError(408, f"the body did not come within {WAIT_SECONDS:.0f} s") from None
        finally:
            del self._reading[task]

    def _end_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task, since in self._reading.items():
            if now - since > WAIT_SECONDS and task not in self._late:
                self._late.add(task)
                task.cancel()
        waits = bool(self._reading)
        again = loop.call_later(WAIT_SECONDS / 10, self._end_waiting, loop) if waits else None
        self._timer = again

    def _check_size(self, size: int) -> None:
        if size > self._body_bytes:
            raise HTTPError(
                413, f"the body is larger than {self._body_bytes} bytes", {"connection": "close"}
            )


async def _send(answer: Answer, scope: Scope, send: Send) -> None:
    headers = [
        (b"content-type", answer.media.encode("latin-1")),
        (b"content-length", b"%d" % len(answer.content)),
    ]
    if answer.headers:
        more = ((key.lower(), value) for key, value in answer.headers.items())
        headers += [(key.encode("latin-1"), value.encode("latin-1")) for key, value in more]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else answer.content
    await send({"type": "http.response.body", "body": body})
