"""Requests to endpoints of this machine, over connections that are kept."""

from __future__ import annotations

import atexit
import json
import os
import threading
from typing import TYPE_CHECKING, Any

from penchant.errors import EndpointError, RequestError, require

if TYPE_CHECKING:
    import urllib3

__all__ = ["call", "flat"]

_LISTS = ("items", "users")
_ATTEMPTS = 3
_KEPT = 256  # connections: as many as threads may ask at a time

_lock = threading.Lock()
_pools: dict[int, urllib3.PoolManager] = {}


def _pool() -> urllib3.PoolManager:
    """Return the connections of this process; those inherited by a fork are left alone."""
    pid = os.getpid()
    found = _pools.get(pid)
    if found is None:
        urllib3 = require("urllib3", "serve")
        with _lock:
            if pid not in _pools:
                _pools[pid] = urllib3.PoolManager(maxsize=_KEPT, retries=False)
                atexit.register(_pools[pid].clear)
            found = _pools[pid]
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
    urllib3 = require("urllib3", "serve")
    content = None if body is None else json.dumps(body).encode()
    headers = {} if content is None else {"content-type": "application/json"}
    if fresh:
        headers["connection"] = "close"
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            answer = _pool().request(method, url, body=content, headers=headers, timeout=timeout)
            break
        except urllib3.exceptions.NewConnectionError as error:
            raise EndpointError(f"no answer from {url}: {error}") from error
        except urllib3.exceptions.TimeoutError:
            raise EndpointError(f"no answer from {url} within {timeout:g} s") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            # A server on its way out closes connections; nothing that is asked changes anything
            # when it is asked twice.
            if attempt == _ATTEMPTS:
                raise EndpointError(f"no answer from {url}: {error}") from error
    if answer.status == 200:
        return json.loads(answer.data)
    message = _message(answer.data)
    if answer.status < 500:
        raise RequestError(message)
    raise EndpointError(f"{url} answers {answer.status}: {message}")


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content[:500].decode("utf-8", "replace")


def flat(answer: dict[str, Any]) -> dict[str, Any]:
    """Turn the list of objects of an answer into lists of names, of scores and of more."""
    found: dict[str, Any] = {}
    for key, value in answer.items():
        if key not in _LISTS:
            found[key] = value
            continue
        id_name = "user_id" if key == "users" else "item_id"
        found[key] = [one[id_name] for one in value]
        found["scores"] = [one["score"] for one in value]
        more = [name for name in (value[0] if value else ()) if name not in (id_name, "score")]
        if more:
            found["columns"] = {name: [one[name] for one in value] for name in more}
    return found
