"""Deploying models on this machine, and finding them again."""

from __future__ import annotations

import builtins
import html
import os
import secrets
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from penchant.endpoints import durations
from penchant.endpoints.predictor import Predictor
from penchant.endpoints.process import end, remove
from penchant.endpoints.state import Folder, locked_name
from penchant.endpoints.store import keep_only, store
from penchant.errors import EndpointError, EndpointExistsError, ParameterError, require
from penchant.home import home, make_private
from penchant.serving.catalog import check_name
from penchant.serving.listening import check_workers

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["deploy", "get", "list", "names"]


class _Endpoints(builtins.list[Predictor]):
    """A list that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        header = ("name", "status", "version", "endpoint_url", "reason")
        rows = [[one._describe().get(key) or "" for key in header] for one in self]
        lines = [f"<tr>{''.join(f'<th>{key}</th>' for key in header)}</tr>"]
        for row in rows:
            cells = "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row)
            lines.append(f"<tr>{cells}</tr>")
        return f"<table>{''.join(lines)}</table>"


def deploy(
    model: Recommender | os.PathLike[str] | str,
    name: str,
    *,
    workers: int | None = None,
    expires: str | float | timedelta | None = None,
    port: int = 0,
    filters: Mapping[str, str] | None = None,
    record: os.PathLike[str] | str | None = None,
    replace: bool = False,
    wait: bool = True,
    timeout: float = 600.0,
    progress: bool = True,
) -> Predictor:
    """Serve a model on this machine, in a process that outlives this one.

    Parameters
    ----------
    model : Recommender or path
        A fitted model, an artifact, or a ``model.tar.gz`` of one. The endpoint keeps a copy.
    name : str
        Up to 63 letters, digits, ``-``, ``_`` and ``.``.
    workers : int, optional
        Processes that answer; 1 by default. They share the model's memory.
    expires : str, number or timedelta, optional
        The endpoint stops itself after this time: "90s", "30m", "2h", "1d", or seconds.
    port : int, default 0
        Port of 127.0.0.1; 0 takes a free one.
    filters : mapping of str to str, optional
        Expressions by the names under which Personalize's clients give them as ``filterArn``.
    record : path, optional
        File that questions, their context and answers are appended to, as JSON Lines.
    replace : bool, default False
        If the name is taken, update that endpoint: without a lost request if it is running and
        nothing but the model changes; otherwise it is started anew, and if that fails with the
        version and settings that it had.
    wait : bool, default True
        Return when it is in service; otherwise `Predictor.wait` does that.
    timeout : float, default 600
        Seconds until it must be in service.
    progress : bool, default True
        Tell on stderr that it takes a while.

    Returns
    -------
    Predictor

    Raises
    ------
    ArtifactError
        The artifact is missing or damaged.
    EndpointExistsError
        The name is taken, and `replace` is false.
    EndpointError
        It did not start; the message has the end of its log, and where it replaced another
        version, whether that one is back.
    ParameterError
        An argument makes no sense.

    Examples
    --------
    >>> import os, tempfile
    >>> import penchant as pc
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]])
    >>> home = tempfile.TemporaryDirectory()
    >>> os.environ["PENCHANT_HOME"] = home.name
    >>> with pc.deploy(pc.Popularity().fit(data), name="shop", progress=False) as predictor:
    ...     answer = predictor.predict({"user_id": 1, "top_n": 2})
    >>> answer["items"], answer["scores"]
    (['jam', 'milk'], [2.0, 1.0])
    >>> del os.environ["PENCHANT_HOME"]
    >>> home.cleanup()
    """
    _check(name, workers, port)
    lifetime = None if expires is None else durations.seconds(expires)
    for package in ("fastapi", "urllib3", "uvicorn"):
        require(package, "serve")
    given = {
        "workers": workers,
        "expires_seconds": lifetime,
        "port": port or None,
        "filters": None if filters is None else dict(filters),
        "record": None if record is None else os.path.abspath(record),
    }
    asked = {key: value for key, value in given.items() if value is not None}
    folder = Folder.of("endpoints", name)
    with locked_name("endpoint", name, wait=replace):
        if not folder.exists():
            predictor = _create(folder, name, model, asked)
            fresh = True
        elif replace:
            predictor = _replace(folder, name, model, asked, timeout, wait, progress)
            fresh = False
        else:
            raise EndpointExistsError(
                f"endpoint {name!r} exists ({folder.status().state}): deploy(..., replace=True) "
                "updates it, delete_endpoint() removes it, another name leaves it alone"
            )
        if wait:
            try:
                predictor.wait(timeout=timeout, progress=progress)
            except BaseException:
                if fresh:
                    remove(folder)  # the message has the log; nothing else is worth keeping
                raise
    return predictor


def get(name: str) -> Predictor:
    """Return an endpoint by its name.

    Parameters
    ----------
    name : str

    Raises
    ------
    EndpointNotFoundError
        There is none of that name.
    """
    return Predictor(check_name(name))


def list() -> builtins.list[Predictor]:
    """Return all endpoints by name, whatever their status."""
    return _Endpoints(Predictor(name) for name in names())


def names() -> builtins.list[str]:
    """Return the names of all endpoints, sorted."""
    folder = home() / "endpoints"
    if not folder.is_dir():
        return []
    found = (path.name for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(name for name in found if Folder.of("endpoints", name).exists())


def _check(name: str, workers: int | None, port: int) -> None:
    check_name(name)
    if workers is not None:
        check_workers(workers)
    if not 0 <= port <= 65535:
        raise ParameterError(f"port={port} is not from 0 to 65535")


def _create(
    folder: Folder,
    name: str,
    model: Recommender | os.PathLike[str] | str,
    asked: dict[str, Any],
) -> Predictor:
    if folder.path.exists():  # a deployment that was killed halfway
        remove(folder)
    make_private(folder.path)
    try:
        version = store(model, folder.versions)
        _write_secret(folder.token)
        settings = {"name": name, "created": time.time(), "version": version}
        folder.write_settings(settings | {"workers": 1, "port": 0} | asked)
        predictor = Predictor(name)
        predictor._start()
    except BaseException:
        remove(folder)
        raise
    return predictor


def _replace(
    folder: Folder,
    name: str,
    model: Recommender | os.PathLike[str] | str,
    asked: dict[str, Any],
    timeout: float,
    wait: bool,
    progress: bool,
) -> Predictor:
    predictor = Predictor(name)
    settings = folder.settings()
    changed = settings | asked
    if predictor.status == "Creating":
        predictor.wait(timeout=timeout)
    restart = any(changed[key] != settings.get(key) for key in changed if key != "expires_seconds")
    if predictor.status == "InService" and not restart:
        predictor._update(model, timeout)
        lifetime = asked.get("expires_seconds")
        if isinstance(lifetime, float):
            more = {"expires_seconds": lifetime, "expires_at": time.time() + lifetime}
            folder.write_settings(folder.settings() | more)
        return predictor
    running = predictor.status == "InService"
    old = settings["version"]
    version = store(model, folder.versions)
    end(folder)
    try:
        folder.write_settings(changed | {"version": version})
        predictor._start()
        if wait:
            predictor.wait(timeout=timeout, progress=progress)
    except (EndpointError, OSError) as error:
        _go_back(predictor, settings, running, error, timeout)
    # Who does not wait may yet find that it does not start.
    keep_only(folder.versions, version, *(() if wait else (old,)))
    return predictor


def _go_back(
    predictor: Predictor,
    settings: dict[str, Any],
    running: bool,
    error: Exception,
    timeout: float,
) -> NoReturn:
    """Undo a replacement that did not start, and say so."""
    folder, old = predictor._folder, settings["version"]
    end(folder)
    folder.write_settings(settings)
    if not running:
        keep_only(folder.versions, old)
        raise EndpointError(f"{error}\nversion {old} and its settings stay") from error
    try:
        predictor._start()
        predictor.wait(timeout=timeout)
    except EndpointError as second:
        raise EndpointError(
            f"{error}\nand version {old}, which was there before, does not start again: {second}"
        ) from error
    keep_only(folder.versions, old)
    raise EndpointError(f"{error}\nversion {old} is back in service") from error


def _write_secret(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32))
