"""Where in a folder the model is."""

from __future__ import annotations

from pathlib import Path

from penchant.errors import ArtifactNotFoundError
from penchant.storage.manifest import MANIFEST

__all__ = ["find_artifact"]


def find_artifact(folder: Path) -> Path:
    """Return the artifact in a folder: the folder itself, or the only one in it that is one.

    A ``model.tar.gz`` made of a folder, and not of what is in it, unpacks to a folder of its own.

    Raises
    ------
    ArtifactNotFoundError
        There is none, or several.
    """
    if (folder / MANIFEST).is_file():
        return folder
    found = [path.parent for path in sorted(folder.glob(f"*/{MANIFEST}"))]
    if len(found) == 1:
        return found[0]
    there = f"are {len(found)} models" if found else "is no model"
    raise ArtifactNotFoundError(f"there {there} in {folder}: it needs one, with its {MANIFEST}")
