"""The artifacts of an endpoint: kept beside it, so that the caller's may be changed or deleted."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from penchant.errors import ArtifactWriteError, ParameterError
from penchant.home import make_private
from penchant.storage import unpack
from penchant.storage.artifact import map_artifact
from penchant.storage.files import sync_directory
from penchant.storage.manifest import MANIFEST, version_of

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["keep_only", "store"]


def store(model: Recommender | os.PathLike[str] | str, versions: Path) -> str:
    """Keep a model, and return its version.

    Parameters
    ----------
    model : Recommender or path
        A fitted model, an artifact, or a ``model.tar.gz`` of one.
    versions : path
        The folder to keep it in; it becomes ``versions/VERSION``.

    Returns
    -------
    str
        The first 12 hex digits of the SHA-256 of ``model.json``.

    Raises
    ------
    ArtifactError
        There is no artifact, or it is damaged.
    ArtifactWriteError
        The system refuses.
    ParameterError
        It is no model.
    """
    try:
        make_private(versions)
        staging = versions / f".{secrets.token_hex(8)}"
        try:
            _fill(model, staging)
            version = version_of((staging / MANIFEST).read_bytes())
            if not (versions / version / MANIFEST).exists():
                _discard(versions / version)  # a folder without one was being removed
                staging.rename(versions / version)
                sync_directory(versions)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        if isinstance(error, FileNotFoundError | ArtifactWriteError):
            raise
        raise ArtifactWriteError.at(versions, error) from error
    return version


def _fill(model: Recommender | os.PathLike[str] | str, target: Path) -> None:
    if not isinstance(model, str | os.PathLike):
        if not callable(getattr(model, "save", None)):
            raise ParameterError(f"not a model, nor the path of an artifact: {model!r:.200}")
        model.save(target)
    elif Path(model).is_file():
        unpack(model, target)
    else:
        _copy(Path(model), target)


def _copy(source: Path, target: Path) -> None:
    """Copy an artifact as it is now. Data files never change, so a second name for them will do."""
    artifact = map_artifact(source, verify="full")
    target.mkdir(mode=0o700)
    for entry, content, _ in artifact.files:
        _link(source / entry.file, target / entry.file, content)
    (target / MANIFEST).write_bytes(artifact.manifest)


def _link(source: Path, target: Path, content: memoryview) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, or the artifact has been replaced since
        target.write_bytes(content)


def keep_only(versions: Path, *kept: str) -> None:
    """Remove all versions but these; a process that has mapped their files keeps those."""
    for path in versions.iterdir():
        if path.name not in kept:
            _discard(path)


def _discard(path: Path) -> None:
    """Remove a folder: first its name, as a server may still be writing files to it."""
    away = path.with_name(f".{secrets.token_hex(8)}")
    with contextlib.suppress(OSError):
        path.rename(away)
        shutil.rmtree(away, ignore_errors=True)
