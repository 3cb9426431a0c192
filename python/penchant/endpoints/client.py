"""Requests to endpoints of this machine, over connections that are kept."""

from __future__ import annotations

import atexit
import datetime
import json
import math
import os
import threading
from typing import TYPE_CHECKING, Any

from penchant.errors import EndpointError, RequestError, require

if TYPE_CHECKING:
    import urllib3

__all__ = ["call", "encode", "flat"]

_LISTS = ("items", "users")
_ATTEMPTS = 3
_DEPTH = 100  # of objects in each other
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
        The request is wrong; the message is the server's, or names what JSON has no form for.
    EndpointError
        There is no answer, or the server has failed.
    """
    urllib3 = require("urllib3", "serve")
    content = None if body is None else encode(body)
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


def encode(body: Any) -> bytes:
    """Return a request's body as JSON, with NumPy's and pandas' values as plain ones.

    Raises
    ------
    RequestError
        JSON has no form for a value, such as NaN; the message says which.

    Examples
    --------
    >>> import numpy as np
    >>> encode({"user_id": np.int64(7), "history": np.array(["tea", "jam"])})
    b'{"user_id": 7, "history": ["tea", "jam"]}'
    """
    try:
        return json.dumps(body, default=_plain, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        # What is wrong is not said where; the plain form has it, and is walked through.
        _check(body, "")
        raise  # pragma: no cover - whatever JSON refuses has been found


def _plain(value: Any) -> Any:
    """Return what a value that JSON does not know is in JSON."""
    if isinstance(value, datetime.date | datetime.time) and value == value:  # NaT is no time
        return value.isoformat()
    if type(value).__module__ == "numpy" and hasattr(value, "dtype"):
        if value.dtype.kind == "M" and value.ndim == 0 and value == value:
            return str(value)
        if value.dtype.kind in "biufUSO" or value.ndim:
            return [*value] if value.ndim else value.item()
    to_list = getattr(value, "to_list", None)  # of a Series or an index
    if callable(to_list):
        return to_list()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _check(value: Any, where: str, depth: int = 0) -> None:
    """Raise for the first value within one that JSON has no form for."""
    if depth > _DEPTH:
        raise RequestError(f"{where[:60]}: nested more than {_DEPTH} deep")
    if isinstance(value, dict):
        for key, one in value.items():
            if not isinstance(key, str | int):
                raise RequestError(f"{where or 'data'}: field {key!r:.60} must be text")
            _check(one, f"{where}.{key}" if where else str(key), depth + 1)
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            _check(one, f"{where}[{number}]", depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise RequestError(
            f"{where or 'data'}: {float(value)!r} is no value here: leave the field out"
        )
    elif not isinstance(value, str | int | float | None):
        try:
            plain = _plain(value)
        except TypeError:
            kind = type(value).__name__
            raise RequestError(
                f"{where or 'data'}: {value!r:.60} ({kind}) has no form in JSON: give text, a "
                "number, true, false, a list or a dict"
            ) from None
        _check(plain, where, depth + 1)


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
