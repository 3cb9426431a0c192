"""`penchant serve`: a model behind HTTP."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from penchant.cli.options import ArtifactArgument
from penchant.errors import ParameterError, require

__all__ = ["serve"]


def serve(
    artifact: ArtifactArgument,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")
    ] = 8080,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
) -> None:
    """Answer recommendation requests over HTTP until Ctrl-C.

    GET /ping, GET /recommend?user_id=ID&top_n=N, and POST /invocations with
    {"user_id": "17850", "top_n": "10"}: one object, a list, or one a line.
    """
    uvicorn = require("uvicorn", "serve")
    from penchant.data.arrow import leave_pandas_out
    from penchant.models.prepared import open_served
    from penchant.serving import create_app

    leave_pandas_out()
    model = open_served(artifact)
    app = create_app(model)
    listener = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    typer.echo(
        f"serving {type(model).__name__} ({len(model.users_):,} users, {len(model.items_):,} "
        f"items) on http://{shown}:{listener.getsockname()[1]} - Ctrl-C stops it",
        err=True,
    )
    config = uvicorn.Config(app, log_level="warning", lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """Open the listening socket here, where a port in use is an error with a message."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise ParameterError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --port or --host"
        ) from error
