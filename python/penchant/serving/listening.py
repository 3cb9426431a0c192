"""A server process: the socket it listens on, and how uvicorn is set up."""

from __future__ import annotations

import socket
from typing import Any

from penchant.errors import ParameterError, require

__all__ = [
    "DRAIN_SECONDS",
    "address",
    "check_installed",
    "check_workers",
    "listen",
    "make_server",
    "uvicorn_options",
]

_BACKLOG = 4096
_MAX_WORKERS = 256
DRAIN_SECONDS = 25  # of the 30 that SageMaker and most container hosts give


def check_workers(count: int, name: str = "workers") -> int:
    """Return a number of processes, or raise a ParameterError that calls it `name`."""
    if not 1 <= count <= _MAX_WORKERS:
        raise ParameterError(f"{name}={count} is not from 1 to {_MAX_WORKERS}")
    return count


def check_installed(workers: int) -> None:
    """Raise a MissingExtraError unless what so many processes need is installed.

    One process imports FastAPI later, while it opens its models.
    """
    for package in ("uvicorn",) if workers == 1 else ("fastapi", "gunicorn", "uvicorn_worker"):
        require(package, "serve")


def listen(host: str, port: int, hint: str = "") -> socket.socket:
    """Open the listening socket here, where a port in use is an error with a message.

    Parameters
    ----------
    host : str
    port : int
        0 picks a free one.
    hint : str, default ""
        What to do about it, for the message.

    Raises
    ------
    ParameterError
        Nobody can listen there.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ParameterError(f"cannot listen on {host}:{port}: {error.strerror}{hint}") from error


def address(host: str, listener: socket.socket) -> str:
    """Return where a listening socket is reached: ``http://127.0.0.1:8080``, ``http://[::1]:80``."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"


def uvicorn_options() -> dict[str, Any]:
    """Return how uvicorn is set up, in one process and in each of several."""
    from penchant.serving.connections import TimedProtocol

    return {
        "http": TimedProtocol,
        "log_level": "warning",
        "lifespan": "auto",
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": DRAIN_SECONDS,
        "timeout_keep_alive": 5,  # uvicorn's own; gunicorn would say otherwise
        "backlog": _BACKLOG,
    }


def make_server(app: Any) -> Any:
    """Return a `uvicorn.Server` of an application: ``make_server(app).run(sockets=[listener])``."""
    uvicorn = require("uvicorn", "serve")
    return uvicorn.Server(uvicorn.Config(app, **uvicorn_options()))
