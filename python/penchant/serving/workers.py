"""Several processes that answer on one socket: started, watched and replaced by gunicorn.

They are forked by a parent that has imported what they need and nothing more: what a Python process
weighs by itself, they have once. Models are mapped from the artifact, by each worker for itself.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from uvicorn_worker import UvicornWorker

from penchant.data.arrow import leave_pandas_out
from penchant.errors import PenchantError
from penchant.models.prepared import open_served
from penchant.serving.listening import DRAIN_SECONDS, uvicorn_options
from penchant.serving.settings import Settings, make_app

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["prepare", "run_workers"]

# What a worker would import for itself otherwise.
_SHARED = ("penchant.models", "penchant.serving.app", "penchant.serving.pointer")
_NOTIFY_SECONDS = 2.0
_HUNG_SECONDS = 120  # without a word from a worker; opening the largest artifacts counts
_AGAIN_SECONDS = 2.0  # after which a worker that could not start is replaced


class _Worker(UvicornWorker):  # type: ignore[misc]
    """Runs uvicorn as a server of one process does, and ends when its parent is gone."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        **uvicorn_options(),
        "timeout_notify": _NOTIFY_SECONDS,
    }

    async def callback_notify(self) -> None:
        if os.getppid() != self.ppid:  # killed: nobody would ever end this one
            os.kill(os.getpid(), signal.SIGTERM)
        await super().callback_notify()


class _Arbiter(Arbiter):
    """gunicorn's parent process; Ctrl-C lets requests under way end, as SIGTERM does."""

    handle_int = Arbiter.handle_term


class _Workers(BaseApplication):
    """What gunicorn is told, instead of by its command line and configuration files."""

    def __init__(self, settings: Settings, listener: socket.socket, count: int) -> None:
        self._settings, self._listener, self._count = settings, listener, count
        self._is_replacement = False
        super().__init__()

    def load_config(self) -> None:
        options = {
            "control_socket_disable": True,
            "graceful_timeout": DRAIN_SECONDS,
            "loglevel": "warning",
            "pre_fork": self._note_replacement,
            "timeout": _HUNG_SECONDS,
            "worker_class": _Worker,
            "workers": self._count,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def run(self) -> None:
        arbiter: Any = _Arbiter(self)
        arbiter.LISTENERS = [self._listener]  # rather than an address: it listens already
        arbiter.run()

    def _note_replacement(self, arbiter: Any, worker: Any) -> None:
        self._is_replacement = worker.age > self._count

    def load(self) -> FastAPI:
        """Make the application of one worker, in its process."""
        try:
            return make_app(self._settings)
        except PenchantError as error:
            print(f"error: {error}", file=sys.stderr)
            if not self._is_replacement:
                raise  # gunicorn ends all when a worker cannot start
            time.sleep(_AGAIN_SECONDS)  # the others go on
            sys.exit(1)


def prepare(settings: Settings) -> None:
    """Verify and prepare the models once, for all workers; and import what all of them need.

    Models are opened in a process of their own: a fork must find no threads but this one's, and
    nothing that a model takes.

    Raises
    ------
    PenchantError
        A model cannot be opened.
    """
    leave_pandas_out()
    for name in _SHARED:
        importlib.import_module(name)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        pool.submit(_open_models, settings).result()


def _open_models(settings: Settings) -> None:
    for artifact in settings.models.values():
        open_served(artifact)


def run_workers(settings: Settings, listener: socket.socket, count: int) -> int:
    """Serve until SIGTERM or Ctrl-C, after `prepare`; a worker that dies is replaced.

    Parameters
    ----------
    settings : Settings
        Without a pointer: the workers follow one of their own.
    listener : socket
        Listens already; all workers accept from it. Closed when this ends.
    count : int
        Workers.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    SystemExit
        In a worker, when it ends.
    """
    parent = os.getpid()
    folder = tempfile.mkdtemp(prefix="penchant-serve-")
    shared = dataclasses.replace(settings, pointer=f"{folder}/models.json")
    gc.collect()
    gc.freeze()  # or the workers' collections would write to, and so copy, the pages they share
    try:
        _Workers(shared, listener, count).run()
    except SystemExit as ended:
        if os.getpid() != parent:  # a worker's end comes by here too
            raise
        return ended.code if isinstance(ended.code, int) else 0
    finally:
        if os.getpid() == parent:
            shutil.rmtree(folder, ignore_errors=True)
    return 0
