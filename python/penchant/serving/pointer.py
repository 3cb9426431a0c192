"""One file says which artifact each model is; every worker of a server follows it.

A change made in one worker, such as ``PUT /v1/models/{name}``, reaches the others within
`LAG_SECONDS` and the time it takes them to load the artifact; until then they answer with the old
version, and each answer says which version it is of.

What a worker has is compared with what the file says, version and all, rather than the file with
what it said before: whatever was missed, or failed, is made up for at the next look.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

from penchant.errors import UnknownModelError
from penchant.serving.catalog import Catalog, Version
from penchant.storage.files import locked_directory, replaced_file

__all__ = ["LAG_SECONDS", "Follower"]

LAG_SECONDS = 0.25
_RETRY_SECONDS = (1.0, 30.0)  # after a first failure, and at most
_log = logging.getLogger("penchant.serving")


class _Entry(NamedTuple):
    """Which artifact a model is; the version tells when it was replaced in its place."""

    artifact: str
    version: str


class _Failure(NamedTuple):
    """An entry that could not be loaded, and when that is tried again."""

    entry: _Entry
    pause: float
    again: float


class Follower:
    """Keeps a catalog as a pointer file says, and the file as the catalog is changed.

    Parameters
    ----------
    path : path
        JSON: ``{"models": {name: {"artifact": path, "version": version}}}``, replaced as a whole.
    """

    def __init__(self, path: os.PathLike[str] | str) -> None:
        self._path = Path(path)
        # What has been installed, nothing else; changed under the name's lock in the catalog.
        self._have: dict[str, _Entry] = {}
        self._failures: dict[str, _Failure] = {}
        self._said = ""

    def read(self) -> dict[str, str]:
        """Return the artifacts by name; nothing where there is no file yet."""
        try:
            return {name: entry.artifact for name, entry in self._entries().items()}
        except FileNotFoundError:
            return {}

    def _entries(self) -> dict[str, _Entry]:
        document = json.loads(self._path.read_bytes())
        return {
            name: _Entry(one["artifact"], one["version"])
            for name, one in document["models"].items()
        }

    def _write(self, name: str, entry: _Entry | None, *, follows: _Entry | None = None) -> None:
        """Say what a model is from now on, or that it is none; only if it `follows`, if given."""
        with locked_directory(self._path.parent):
            entries = self._entries()
            if follows is not None and entries.get(name) != follows:
                return
            if entry is None:
                entries.pop(name, None)
            else:
                entries[name] = entry
            self._replace(entries)

    def _replace(self, entries: dict[str, _Entry]) -> None:
        models = {name: entry._asdict() for name, entry in entries.items()}
        with replaced_file(self._path) as file:
            file.write(json.dumps({"models": models}).encode())

    def follow(self, catalog: Catalog) -> None:
        """Watch the file from a thread of its own for as long as the process lives."""
        self._have = {
            one.name: _Entry(one.artifact, one.version)
            for one in catalog
            if one.artifact is not None
        }
        self._begin()
        # What was changed by another worker while this one was loading.
        self._take(catalog)
        catalog.changed = self._changed
        catalog.catch_up = functools.partial(self._take, catalog)
        thread = threading.Thread(
            target=self._watch, args=(catalog,), name="penchant-follow", daemon=True
        )
        thread.start()

    def _begin(self) -> None:
        """Write the file if this is the first worker."""
        with locked_directory(self._path.parent):
            if not self._path.exists():
                self._replace(self._have)

    def _changed(self, name: str, made: Version | None) -> None:
        """Write down a change that this process makes; the catalog holds the name's lock."""
        if made is None:
            self._write(name, None)
            self._have.pop(name, None)
        elif made.artifact is not None:
            entry = _Entry(made.artifact, made.version)
            self._write(name, entry)
            self._have[name] = entry

    def _watch(self, catalog: Catalog) -> None:
        pause = threading.Event()
        while not pause.wait(LAG_SECONDS):
            self._take(catalog)

    def _take(self, catalog: Catalog) -> None:
        """Make the catalog what the file says, each model by itself."""
        try:
            wanted = self._entries()
        except FileNotFoundError:  # the server's folder is gone, which is no reason to forget all
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._say(f"cannot follow {self._path}: {error!r}")
            return
        have = dict(self._have)
        for name in {**wanted, **have}:
            if wanted.get(name) == have.get(name):
                continue
            try:
                self._settle(catalog, name)
            except Exception as error:  # of one model: the others go on, and so does this thread
                self._say(f"cannot follow {self._path} for model {name}: {error!r}")

    def _settle(self, catalog: Catalog, name: str) -> None:
        with catalog.changing(name):
            # Once more, now that nobody else here changes this model: it may be past already.
            wanted = self._entries().get(name)
            if wanted == self._have.get(name):
                return
            if wanted is None:
                with contextlib.suppress(UnknownModelError):
                    catalog.remove(name, tell=False)
                self._have.pop(name, None)
                return
            if not self._is_due(name, wanted):
                return
            try:
                made = catalog.install(name, wanted.artifact, tell=False)
            except Exception as error:
                self._put_off(name, wanted, error)
                return
            self._failures.pop(name, None)
            found = self._have[name] = _Entry(wanted.artifact, made.version)
            if found != wanted:  # replaced in its place meanwhile: the others are to have that too
                self._write(name, found, follows=wanted)

    def _is_due(self, name: str, wanted: _Entry) -> bool:
        failure = self._failures.get(name)
        return failure is None or failure.entry != wanted or time.monotonic() >= failure.again

    def _put_off(self, name: str, wanted: _Entry, error: Exception) -> None:
        """Let the old version go on, and try again later."""
        first, most = _RETRY_SECONDS
        before = self._failures.get(name)
        pause = first if before is None or before.entry != wanted else min(2 * before.pause, most)
        self._failures[name] = _Failure(wanted, pause, time.monotonic() + pause)
        self._say(f"cannot follow {self._path} for model {name}: {error}; its old version goes on")

    def _say(self, text: str) -> None:
        """Log an error once, rather than four times a second."""
        if text != self._said:
            self._said = text
            _log.error("%s", text)
