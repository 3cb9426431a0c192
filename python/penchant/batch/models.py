"""The model of a job, and what tells its version from another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from penchant.models import Recommender
from penchant.serving.catalog import load_version

__all__ = ["Loaded", "loaded"]


class Loaded(NamedTuple):
    """A model and where it is from.

    Attributes
    ----------
    model : Recommender
    version : str or None
        The first 12 digits of the SHA-256 of its ``model.json``; None for a model in memory.
    folder : Path or None
        Its artifact.
    """

    model: Recommender
    version: str | None
    folder: Path | None


def loaded(model: Recommender | os.PathLike[str] | str) -> Loaded:
    """Load an artifact, verified in full; a model in memory is taken as it is.

    Raises
    ------
    ArtifactError
        There is none, or it is damaged.
    """
    if not isinstance(model, str | os.PathLike):
        return Loaded(model, None, None)
    folder = Path(model)
    return Loaded(*load_version(folder), folder)
