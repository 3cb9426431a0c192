"""``penchant-sagemaker serve``: the web server on the tree's model."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping
from types import FrameType
from typing import Any

from penchant.container.tree import Tree, say
from penchant.errors import ParameterError, PenchantError, require

__all__ = ["bind_port", "serve"]

_PORT = 8080


def serve(root: os.PathLike[str] | str | None = None) -> int:
    """Answer requests until SIGTERM, then finish those begun.

    Parameters
    ----------
    root : path, optional
        Of the tree; default: the environment's ``PENCHANT_ML_ROOT``, or ``/opt/ml``.

    Returns
    -------
    int
        0 after SIGTERM, 1 when it could not serve.

    Notes
    -----
    The port is 8080, or ``SAGEMAKER_BIND_TO_PORT``. With ``SAGEMAKER_MULTI_MODEL=true`` it starts
    without a model, and ``POST /models`` loads those that lie in ``models``.
    """
    tree = Tree(root)
    # The first process of a container gets no default handlers. The server has its own while it
    # runs, and passes the signal on when it is done: this one lets the process end with 0.
    stop = _Stop()
    signal.signal(signal.SIGTERM, stop)
    try:
        port = bind_port(os.environ)
        app = _application(tree, multi=os.environ.get("SAGEMAKER_MULTI_MODEL") == "true")
        from penchant.serving.listening import listen

        listener = listen("0.0.0.0", port)
    except (PenchantError, OSError) as error:
        say(f"failed: {error}")
        return 1
    _run(app, listener, stop)
    say("stopped")
    return 0


class _Stop:
    """Ends the server on SIGTERM, also where that comes before it has begun."""

    def __init__(self) -> None:
        self.asked = False
        self.server: Any = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if self.server is not None:
            self.server.should_exit = True


def bind_port(environment: Mapping[str, str]) -> int:
    """Return the port to listen on.

    Raises
    ------
    ParameterError
        The variable holds no port.

    Examples
    --------
    >>> bind_port({}), bind_port({"SAGEMAKER_BIND_TO_PORT": "9000"})
    (8080, 9000)
    """
    text = environment.get("SAGEMAKER_BIND_TO_PORT", str(_PORT))
    if not text.isdecimal() or int(text) > 65535:
        raise ParameterError(f"SAGEMAKER_BIND_TO_PORT must be a port from 0 to 65535, got {text!r}")
    return int(text)


def _application(tree: Tree, *, multi: bool) -> Any:
    require("uvicorn", "serve")
    from penchant.serving.artifacts import find_artifact
    from penchant.serving.settings import Settings, make_app

    if multi:
        tree.models.mkdir(parents=True, exist_ok=True)
        return make_app(Settings({}, models_root=str(tree.models)))
    return make_app(Settings({"default": str(find_artifact(tree.model))}))


def _run(app: Any, listener: socket.socket, stop: _Stop) -> None:
    from penchant.serving.listening import make_server

    stop.server = server = make_server(app)
    say(f"listening on port {listener.getsockname()[1]}")
    if not stop.asked:
        server.run(sockets=[listener])
