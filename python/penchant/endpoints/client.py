"""Requests to endpoints of this machine, over connections that are kept."""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING, Any

from penchant.errors import EndpointError, RequestError, require

if TYPE_CHECKING:
    import httpx

__all__ = ["KEEP_SECONDS", "call"]

# An idle connection is given up before the server, which waits for 5 s, does so: a request that
# crosses the server's closing would be lost.
KEEP_SECONDS = 2.5
_ATTEMPTS = 3

_lock = threading.Lock()
_clients: dict[int, httpx.Client] = {}


def _client() -> httpx.Client:
    """Return the client of this process; one that was inherited by a fork is left alone."""
    pid = os.getpid()
    found = _clients.get(pid)
    if found is None:
        httpx = require("httpx", "serve")
        with _lock:
            if pid not in _clients:
                limits = httpx.Limits(keepalive_expiry=KEEP_SECONDS)
                # A proxy that the environment names is not for addresses of this machine.
                _clients[pid] = httpx.Client(trust_env=False, limits=limits)
                atexit.register(_clients[pid].close)
            found = _clients[pid]
    return found


def call(
    method: str,
    url: str,
    body: Any = None,
    *,
    timeout: float,
    token: str | None = None,
    fresh: bool = False,
) -> Any:
    """Ask a server, and return what it answers.

    Parameters
    ----------
    method, url : str
    body : JSON value, optional
    timeout : float
        Seconds.
    token : str, optional
        The admin token.
    fresh : bool, default False
        Over a new connection, which may be another worker's.

    Raises
    ------
    RequestError
        The request is wrong; the message is the server's.
    EndpointError
        There is no answer, or the server has failed.
    """
    httpx = require("httpx", "serve")
    headers = {"connection": "close"} if fresh else {}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            answer = _client().request(method, url, json=body, headers=headers, timeout=timeout)
            break
        except httpx.TimeoutException:
            raise EndpointError(f"no answer from {url} within {timeout:g} s") from None
        except httpx.TransportError as error:
            # A server on its way out closes connections; nothing that is asked changes anything
            # when it is asked twice.
            if attempt == _ATTEMPTS or isinstance(error, httpx.ConnectError):
                raise EndpointError(f"no answer from {url}: {error}") from error
    if answer.status_code == 200:
        return answer.json()
    message = _message(answer)
    if answer.status_code < 500:
        raise RequestError(message)
    raise EndpointError(f"{url} answers {answer.status_code}: {message}")


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:500]
