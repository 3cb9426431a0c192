"""Models by name, each in one version at a time; a new version takes over between two calls.

Whoever answers takes the current version once, for the whole request, and keeps it until the
answer is written, so no answer mixes two. An old version's files are unmapped when its last answer
is done.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penchant.errors import ParameterError, UnknownModelError, closest
from penchant.models import load
from penchant.models.prepared import open_served
from penchant.serving.service import Service
from penchant.storage.manifest import MANIFEST, version_of

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["Catalog", "Version", "check_name", "load_version"]

_MAX_NAME = 63
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


@dataclass(frozen=True, eq=False)
class Version:
    """A model being served; equal to itself alone, so that it is a cheap key.

    Attributes
    ----------
    name : str
    version : str
        The first 12 hex digits of the SHA-256 of its ``model.json``; "unsaved" for a model that
        came from memory.
    service : Service
    artifact : str or None
        Where it was loaded from.
    """

    name: str
    version: str
    service: Service
    artifact: str | None = None

    @property
    def about(self) -> bytes:
        """What every answer says of its origin, as members of a JSON object."""
        return f'"model": "{self.name}", "version": "{self.version}"'.encode()

    def describe(self) -> dict[str, Any]:
        """Return what lists of models say of it."""
        model = self.service.model
        return {
            "name": self.name,
            "version": self.version,
            "class": type(model).__name__,
            "users": len(model.users_),
            "items": len(model.items_),
            "capabilities": sorted(model.capabilities_),
        }


def check_name(name: str) -> str:
    """Return the name of a model if it may be one: letters, digits and ``-_.`` in any order.

    Raises
    ------
    ParameterError
        For anything else; a name becomes part of paths and addresses.
    """
    if not 0 < len(name) <= _MAX_NAME or not _NAME.issuperset(name) or name.startswith("."):
        raise ParameterError(
            f"{name!r:.100} is no name of a model: use up to {_MAX_NAME} letters, digits, '-', "
            "'_' and '.'"
        )
    return name


class Catalog:
    """The models of a server.

    Parameters
    ----------
    models : mapping of str to (Recommender or path)
        The first one is the default.
    num_threads : int, optional
        For each call of a model.
    """

    def __init__(
        self,
        models: Mapping[str, Recommender | os.PathLike[str] | str],
        *,
        num_threads: int | None = None,
    ) -> None:
        self._num_threads = num_threads
        self._lock = threading.Lock()  # of changes; reading takes what is current
        self._names: dict[str, threading.RLock] = {}
        self._versions: dict[str, Version] = {}
        # Told of every change: the name, and what it will be, or None where it is removed. What
        # raises there keeps the change from happening.
        self.changed: Callable[[str, Version | None], None] | None = None
        # Takes what other processes have changed, now rather than at the next look.
        self.catch_up: Callable[[], None] | None = None
        for name, model in models.items():
            self.install(name, model)

    def __iter__(self) -> Iterator[Version]:
        return iter(list(self._versions.values()))

    def __len__(self) -> int:
        return len(self._versions)

    def get(self, name: str | None = None) -> Version:
        """Return the current version of a model, the first one by default.

        Raises
        ------
        UnknownModelError
        """
        if name is None:
            for version in self._versions.values():
                return version
            raise UnknownModelError("no model is loaded")
        try:
            return self._versions[name]
        except KeyError:
            hint = closest(name, self._versions) or f"; models: {', '.join(self._versions)}"
            raise UnknownModelError(f"no model {name!r:.100} here{hint}") from None

    def get_after_all(self, name: str) -> Version:
        """Return what `get` does; a model that another process has just loaded too.

        Raises
        ------
        UnknownModelError
        """
        if name not in self._versions and self.catch_up is not None:
            self.catch_up()
        return self.get(name)

    def install(
        self, name: str, model: Recommender | os.PathLike[str] | str, *, tell: bool = True
    ) -> Version:
        """Load a model, let it answer once, and make it the current version of its name.

        Parameters
        ----------
        name : str
        model : Recommender or path
        tell : bool, default True
            Call `changed`.

        Raises
        ------
        ArtifactError
            The artifact is damaged or missing; the version that was there goes on.
        ParameterError
            A name that cannot be one.
        """
        check_name(name)
        with self.changing(name):
            made = self._prepare(name, model)
            if tell and self.changed is not None and made.artifact is not None:
                self.changed(name, made)
            with self._lock:
                # A new mapping rather than a changed one: nobody ever iterates over half a change.
                self._versions = {**self._versions, name: made}
        return made

    def remove(self, name: str, *, tell: bool = True) -> None:
        """Forget a model; answers under way end as they began.

        Raises
        ------
        UnknownModelError
        """
        self.get(name)  # names that nobody has given a model must not be remembered
        with self.changing(name):
            self.get(name)
            if tell and self.changed is not None:
                self.changed(name, None)
            with self._lock:
                self._versions = {key: one for key, one in self._versions.items() if key != name}

    def changing(self, name: str) -> threading.RLock:
        """Return the lock that is held while the model of a name is loaded and takes over.

        Two who change one model do so one after the other, so that the last one to be told of is
        the one that stays.
        """
        with self._lock:
            return self._names.setdefault(name, threading.RLock())

    def _prepare(self, name: str, model: Recommender | os.PathLike[str] | str) -> Version:
        if not isinstance(model, str | os.PathLike):
            service = Service(model, num_threads=self._num_threads)
            service.warm_up()
            return Version(name, "unsaved", service)
        path = Path(model)
        loaded, version = load_version(path, partial(open_served, wait=False))
        service = Service(loaded, num_threads=self._num_threads)
        service.warm_up()
        return Version(name, version, service, str(path.absolute()))


def load_version(path: Path, load: Callable[[Path], Recommender] = load) -> tuple[Recommender, str]:
    """Load an artifact and say which version that was, though it may be replaced meanwhile."""
    while True:
        before = _digest(path)
        loaded = load(path)
        if _digest(path) == before:
            return loaded, before


def _digest(path: Path) -> str:
    try:
        return version_of((path / MANIFEST).read_bytes())
    except OSError:
        return "missing"  # loading it says why
