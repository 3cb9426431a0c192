"""``penchant-sagemaker serve``: the web server on the tree's model."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import socket
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from penchant.container.tree import Tree, say
from penchant.errors import ParameterError, PenchantError

if TYPE_CHECKING:
    from penchant.serving.settings import Settings

__all__ = ["bind_port", "serve", "worker_count"]

_PORT = 8080
_WORKERS = "SAGEMAKER_MODEL_SERVER_WORKERS"


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
    ``SAGEMAKER_MODEL_SERVER_WORKERS`` is how many processes answer, by default one: what is loaded
    or unloaded in one of them reaches the others within a quarter of a second and the time that
    loading takes.
    """
    tree = Tree(root)
    # The first process of a container gets no default handlers. The server has its own while it
    # runs, and passes the signal on when it is done: this one lets the process end with 0.
    stop = _Stop()
    signal.signal(signal.SIGTERM, stop)
    try:
        port = bind_port(os.environ)
        workers = worker_count(os.environ)
        from penchant.serving.listening import check_installed

        check_installed(workers)
        settings = _settings(tree, multi=os.environ.get("SAGEMAKER_MULTI_MODEL") == "true")
        run = _run_one if workers == 1 else functools.partial(_run_several, workers)
        code = run(settings, port, stop)
    except (PenchantError, OSError) as error:
        say(f"failed: {error}")
        return 1
    say("stopped")
    return code


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


def worker_count(environment: Mapping[str, str]) -> int:
    """Return how many processes answer.

    Raises
    ------
    ParameterError
        The variable holds no number of them.

    Examples
    --------
    >>> worker_count({}), worker_count({"SAGEMAKER_MODEL_SERVER_WORKERS": "4"})
    (1, 4)
    """
    from penchant.serving.listening import check_workers

    text = environment.get(_WORKERS, "1")
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ParameterError(f"{_WORKERS} must be a number of processes, got {text!r}")
    return check_workers(int(text), _WORKERS)


def _settings(tree: Tree, *, multi: bool) -> Settings:
    from penchant.serving.artifacts import find_artifact
    from penchant.serving.settings import Settings

    if multi:
        tree.models.mkdir(parents=True, exist_ok=True)
        return Settings({}, models_root=str(tree.models))
    return Settings({"default": str(find_artifact(tree.model))})


def _run_one(settings: Settings, port: int, stop: _Stop) -> int:
    from penchant.serving.listening import make_server
    from penchant.serving.settings import make_app

    app = make_app(settings)
    with _listening(port) as listener:
        stop.server = server = make_server(app)
        if not stop.asked:
            server.run(sockets=[listener])
    return 0


def _run_several(workers: int, settings: Settings, port: int, stop: _Stop) -> int:
    from penchant.serving.workers import prepare, run_workers

    prepare(settings)
    with _listening(port) as listener:
        return 0 if stop.asked else run_workers(settings, listener, workers, lambda: stop.asked)


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    from penchant.serving.listening import listen

    with listen("0.0.0.0", port) as listener:
        say(f"listening on port {listener.getsockname()[1]}")
        yield listener
