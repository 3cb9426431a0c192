"""Several processes that answer on one socket: started, watched and replaced by gunicorn.

They are forked by a parent that has imported what they need and nothing more: what a Python process
weighs by itself, they have once. Models are mapped from the artifact, by each worker for itself.
"""

from __future__ import annotations

import contextlib
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
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from uvicorn_worker import UvicornWorker

from penchant import locks
from penchant.data.arrow import leave_pandas_out
from penchant.errors import PenchantError
from penchant.serving.listening import DRAIN_SECONDS, uvicorn_options
from penchant.serving.settings import Settings, make_app

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["prepare", "run_workers"]

# What a worker would import for itself otherwise.
_SHARED = ("penchant.models", "penchant.serving.app", "penchant.serving.pointer")
_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_NOTIFY_SECONDS = 2.0
_CLOSING_SECONDS = 3  # for a worker to close when it has waited for requests for long enough
_HUNG_SECONDS = 120  # without a word from a worker; opening the largest artifacts counts
_FOLDER = "penchant-serve-"
_ALIVE = "alive"  # a file in it that its server holds the lock of
_YOUNG_SECONDS = 60  # of a folder that is made and may not be locked yet
_AGAIN_SECONDS = 2.0  # after which a worker that could not start is replaced


class _Worker(UvicornWorker):  # type: ignore[misc]
    """Runs uvicorn as a server of one process does, and ends when its parent is gone."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        **uvicorn_options(),
        "timeout_notify": _NOTIFY_SECONDS,
    }

    def init_signals(self) -> None:
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)

    async def callback_notify(self) -> None:
        if os.getppid() != self.ppid:  # killed: nobody would ever end this one
            os.kill(os.getpid(), signal.SIGTERM)
        await super().callback_notify()


class _Arbiter(Arbiter):
    """gunicorn's parent process, with no more signals than a server of one process has.

    Ctrl-C and a terminal that closes let requests under way end, as SIGTERM does. gunicorn would
    start a second server on SIGUSR2, and change the number of workers on others.
    """

    handle_int = handle_hup = Arbiter.handle_term

    def spawn_worker(self) -> Any:
        """Fork a worker; a signal to end waits until it is a worker's, and is not lost."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        try:
            return super().spawn_worker()
        finally:
            if os.getpid() == self.pid:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _pass_over(self) -> None:
        pass

    handle_usr1 = handle_usr2 = handle_ttin = handle_ttou = handle_winch = _pass_over


class _Workers(BaseApplication):
    """What gunicorn is told, instead of by its command line and configuration files."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        count: int,
        is_stopped: Callable[[], bool],
    ) -> None:
        self._settings, self._listener, self._count = settings, listener, count
        self._is_stopped = is_stopped
        self._is_replacement = False
        super().__init__()

    def load_config(self) -> None:
        options = {
            "control_socket_disable": True,
            "graceful_timeout": DRAIN_SECONDS + _CLOSING_SECONDS,
            "loglevel": "warning",
            "pre_fork": self._note_replacement,
            "timeout": _HUNG_SECONDS,
            "when_ready": self._end_if_stopped,
            "worker_class": _Worker,
            "workers": self._count,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def run(self) -> None:
        arbiter: Any = _Arbiter(self)
        arbiter.LISTENERS = [self._listener]  # rather than an address: it listens already
        arbiter.run()

    def _end_if_stopped(self, arbiter: Any) -> None:
        """Pass on a SIGTERM that came before gunicorn's own handlers were there."""
        if self._is_stopped():
            os.kill(os.getpid(), signal.SIGTERM)

    def _note_replacement(self, arbiter: Any, worker: Any) -> None:
        self._is_replacement = worker.age > self._count

    def load(self) -> FastAPI:
        """Make the application of one worker, in its process."""
        try:
            return make_app(self._settings)
        except Exception as error:
            if not self._is_replacement:
                raise  # gunicorn ends all when a worker cannot start
            if isinstance(error, PenchantError):
                print(f"error: {error}", file=sys.stderr, flush=True)
            else:
                traceback.print_exc()
            time.sleep(_AGAIN_SECONDS)  # the others go on
            sys.exit(1)


def prepare(settings: Settings) -> None:
    """Verify and prepare the models once, for all workers; and import what all of them need.

    That is done in a process of its own: a fork must find no thread of Python's or of OpenMP's,
    and nothing that a model takes.

    Raises
    ------
    PenchantError
        A model cannot be opened, or the process that tried was killed.
    """
    leave_pandas_out()
    for name in _SHARED:
        importlib.import_module(name)
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
            pool.submit(_rehearse, settings).result()
    except BrokenProcessPool:
        raise PenchantError(
            "the process that opens the models was killed: is there enough memory?"
        ) from None


def _rehearse(settings: Settings) -> None:
    """Do what each worker will do, and have what is made for a model written."""
    # The process ends when the thread that writes what was made for a model has ended.
    make_app(dataclasses.replace(settings, record=None)).state.server.close()


def run_workers(
    settings: Settings,
    listener: socket.socket,
    count: int,
    is_stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Serve until SIGTERM or Ctrl-C, after `prepare`; a worker that dies is replaced.

    Parameters
    ----------
    settings : Settings
        Without a pointer: the workers follow one of their own.
    listener : socket
        Listens already; all workers accept from it. Closed when this ends.
    count : int
        Workers.
    is_stopped : callable, optional
        Whether a signal to end has come already.

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
    with _shared_folder() as folder:
        shared = dataclasses.replace(settings, pointer=f"{folder}/models.json")
        gc.collect()
        gc.freeze()  # or collections of the workers would write to, and so copy, what they share
        try:
            _Workers(shared, listener, count, is_stopped).run()
        except HaltServer as halt:  # a second worker could not start either
            return int(halt.exit_status)
        except SystemExit as ended:
            if os.getpid() != parent:  # a worker's end comes by here too
                raise
            return ended.code if isinstance(ended.code, int) else 0
    return 0


@contextlib.contextmanager
def _shared_folder() -> Iterator[Path]:
    """Make a folder for what workers share, and remove those of servers that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        with contextlib.suppress(OSError):
            is_young = time.time() - left.lstat().st_mtime < _YOUNG_SECONDS
            if not is_young and not locks.is_held(left / _ALIVE):
                shutil.rmtree(left, ignore_errors=True)
    parent = os.getpid()
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER))
    descriptor = os.open(folder / _ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        locks.take(descriptor)  # workers inherit it
        yield folder
    finally:
        os.close(descriptor)
        if os.getpid() == parent:
            shutil.rmtree(folder, ignore_errors=True)
