"""One file says which artifact each model is; every worker of a server follows it.

A change made in one worker, such as ``PUT /v1/models/{name}``, reaches the others within
`LAG_SECONDS` and the time it takes them to load the artifact; until then they answer with the old
version, and each answer says which version it is of.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path

from penchant.errors import PenchantError
from penchant.serving.catalog import Catalog
from penchant.storage.files import locked_directory, replaced_file

__all__ = ["LAG_SECONDS", "Follower"]

LAG_SECONDS = 0.25
_log = logging.getLogger("penchant.serving")


class Follower:
    """Keeps a catalog as a pointer file says, and the file as the catalog is changed.

    Parameters
    ----------
    path : path
        JSON: ``{"models": {name: artifact}}``, replaced as a whole.
    """

    def __init__(self, path: os.PathLike[str] | str) -> None:
        self._path = Path(path)
        self._mark: tuple[int, int] | None = None
        self._have: dict[str, str] = {}

    def read(self) -> dict[str, str]:
        """Return the artifacts by name; nothing where there is no file yet."""
        try:
            document = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        return dict(document["models"])

    def write(self, name: str, artifact: str | None) -> None:
        """Say that a model is another artifact from now on, or none."""
        with locked_directory(self._path.parent):
            models = self.read()
            if artifact is None:
                models.pop(name, None)
            else:
                models[name] = artifact
            self._replace(models)

    def _replace(self, models: dict[str, str]) -> None:
        with replaced_file(self._path) as file:
            file.write(json.dumps({"models": models}).encode())

    def follow(self, catalog: Catalog) -> None:
        """Watch the file from a thread of its own for as long as the process lives."""
        self._have = {one.name: one.artifact for one in catalog if one.artifact is not None}
        self._begin()
        self._mark = self._look()
        # What was changed by another worker while this one was loading.
        self._take(catalog, self.read())
        catalog.changed = self._changed
        thread = threading.Thread(
            target=self._watch, args=(catalog,), name="penchant-follow", daemon=True
        )
        thread.start()

    def _begin(self) -> None:
        """Write the file if this is the first worker."""
        with locked_directory(self._path.parent):
            if not self._path.exists():
                self._replace(self._have)

    def _changed(self, name: str, artifact: str | None) -> None:
        """Write down a change that this process has made already."""
        if artifact is None:
            self._have.pop(name, None)
        else:
            self._have[name] = artifact
        self.write(name, artifact)

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    def _watch(self, catalog: Catalog) -> None:
        pause = threading.Event()
        while not pause.wait(LAG_SECONDS):
            mark = self._look()
            if mark is None or mark == self._mark:
                continue
            self._mark = mark
            try:
                self._take(catalog, self.read())
            except (PenchantError, OSError, ValueError, KeyError) as error:
                _log.error("cannot follow %s: %s", self._path, error)

    def _take(self, catalog: Catalog, wanted: dict[str, str]) -> None:
        for name, artifact in wanted.items():
            if self._have.get(name) != artifact:
                self._have[name] = artifact
                catalog.install(name, artifact, tell=False)
        for name in set(self._have) - set(wanted):
            del self._have[name]
            catalog.remove(name, tell=False)
