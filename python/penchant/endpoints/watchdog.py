"""The process that watches over a server: starts it, knows when it is ready, ends it.

``python -m penchant.endpoints.watchdog FOLDER ARGUMENTS...`` goes into the background and runs
``python ARGUMENTS...`` until that ends or answers ``/ping`` no more, until it is told to stop by
SIGTERM, or until the time that ``endpoint.json`` gives as ``expires_at``. It writes
``runtime.json`` and holds the lock on ``alive``. When it is killed itself, the kernel tells the
server to stop.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from penchant import locks
from penchant.endpoints.state import Folder

__all__ = ["main"]

# What a server says when it listens: where.
_LISTENING = re.compile(rb"on (http://\S+) - Ctrl-C stops")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_LOCK_SECONDS = 15.0  # for a predecessor to end
_STOP_SECONDS = 30.0  # for a server to answer what it has been asked
_TICK_SECONDS = 1.0
_STARTING_TICK_SECONDS = 0.05
_PING_SECONDS = 2.0  # to answer while it starts
_CHECK_SECONDS = 5.0  # between looks at a server that is ready
_PATIENCE_SECONDS = 5.0  # to answer one of those: busy is not dead
_MISSES = 3  # in a row until it is given up
_PR_SET_PDEATHSIG = 1


class _Watch:
    """A server being watched."""

    def __init__(self, folder: Folder, arguments: list[str]) -> None:
        self._folder = folder
        self._log_start = folder.log.stat().st_size if folder.log.exists() else 0
        self._url: str | None = None
        self._ready = False
        self._misses = 0
        self._next_check = 0.0
        self._expires: tuple[float, float | None] = (0.0, None)  # when it was read, what it said
        # A function to run before it starts is safe here: this process has one thread.
        self._server = subprocess.Popen(
            [sys.executable, *arguments], preexec_fn=_preparation(os.getpid())
        )
        self._write("Creating")

    def run(self) -> int:
        """Watch until the end; return an exit code."""
        while True:
            tick = _TICK_SECONDS if self._ready else _STARTING_TICK_SECONDS
            expires = self._expires_at()
            if expires is not None:
                tick = min(tick, max(0.0, expires - time.time()))
            told = signal.sigtimedwait(_SIGNALS, tick)
            if self._ended():
                return self._finish_failed()
            if told is not None and told.si_signo != signal.SIGCHLD:
                return self._stop("it was told to stop")
            if expires is not None and time.time() >= expires:
                return self._stop("it has expired")
            if not self._ready:
                if self._answers(_PING_SECONDS) is None:
                    self._ready = True
                    self._next_check = time.monotonic() + _CHECK_SECONDS
                    self._write("InService")
            elif time.monotonic() >= self._next_check:
                missed = self._check()
                if missed is not None:
                    return self._give_up(missed)

    def _expires_at(self) -> float | None:
        """Return when to stop, as the settings say by now."""
        try:
            changed = (self._folder.path / "endpoint.json").stat().st_mtime
        except OSError:
            return self._expires[1]
        if changed != self._expires[0]:
            self._expires = (changed, self._folder.settings().get("expires_at"))
        return self._expires[1]

    def _write(self, state: str, reason: str = "") -> None:
        self._folder.write_runtime(
            state=state,
            reason=reason,
            url=self._url,
            pid=os.getpid(),
            server_pid=self._server.pid,
        )

    def _check(self) -> str | None:
        """Look whether a server that was ready still is; return why it is to be given up."""
        missed = self._answers(_PATIENCE_SECONDS)
        self._misses = 0 if missed is None else self._misses + 1
        self._next_check = time.monotonic() + _CHECK_SECONDS
        if missed is not None:
            say(f"the server does not answer /ping ({missed})")
        return missed if self._misses >= _MISSES else None

    def _answers(self, seconds: float) -> str | None:
        """Ask for /ping; return what is wrong."""
        if self._url is None:
            with open(self._folder.log, "rb") as file:
                file.seek(self._log_start)
                found = _LISTENING.search(file.read())
            if found is None:
                return "it does not listen"
            self._url = found[1].decode()
        connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=seconds)
        try:
            connection.request("GET", "/ping")
            status = connection.getresponse().status
        except TimeoutError:
            return f"nothing within {seconds:g} s"
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        finally:
            connection.close()
        return None if status == 200 else f"status {status}"

    def _ended(self) -> bool:
        # The server stays a zombie, so its process group keeps its number until `_clear`.
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._server.pid, options) is not None

    def _stop(self, reason: str) -> int:
        """Let the server answer what it has been asked, and end it."""
        self._server.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while not self._ended() and time.monotonic() < deadline:
            signal.sigtimedwait([signal.SIGCHLD], 0.2)
        self._clear()
        say(f"stopped: {reason}")
        self._write("Stopped", reason)
        return 0

    def _finish_failed(self) -> int:
        code = self._clear()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        say(f"the server {how}")
        self._write("Failed", f"the server {how}")
        return 1

    def _give_up(self, missed: str) -> int:
        """End a server that does not answer: who waits for it is better told so."""
        self._clear()
        reason = f"the server did not answer /ping {_MISSES} times in a row ({missed})"
        say(reason)
        self._write("Failed", reason)
        return 1

    def _clear(self) -> int:
        """Kill what is left of the server and its workers; return its exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGKILL)
        return self._server.wait()


def _preparation(parent: int) -> Callable[[], None]:
    """Return what a server does first: a process group of its own, and it ends when we do."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        os.setpgid(0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has gone already
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    return prepare


def say(text: str) -> None:
    """Add a line to the log."""
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, file=sys.stderr, flush=True)


def _lock(folder: Folder) -> bool:
    """Take the lock that says that this process lives, and keep it to the end."""
    descriptor = os.open(folder.path / "alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _LOCK_SECONDS
    # A predecessor may be on its way out, or someone look whether we live.
    while not locks.take(descriptor, wait=False):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def main(arguments: list[str]) -> int:
    """Run a server in the background.

    Parameters
    ----------
    arguments : list of str
        The folder, then what python is to run.

    Returns
    -------
    int
        Exit code.
    """
    path, *command = arguments
    folder = Folder(Path(path))
    if not _lock(folder):
        say("it is running already")
        return 1
    # The caller waits for this process only: the lock is held from now on.
    if os.fork():
        os._exit(0)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    say("starting")
    return _Watch(folder, command).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
