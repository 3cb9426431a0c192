"""Loading models; and what follows from them, made once and mapped by every process after that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from penchant import _core
from penchant.models.state import State, revived
from penchant.storage.artifact import map_artifact
from penchant.storage.derived import DerivedFiles

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

    from penchant.models.base import Recommender
    from penchant.storage.artifact import MappedArtifact

__all__ = ["Shelf", "load", "open_served"]


class Shelf:
    """What follows from a model's artifact, such as its index, by names.

    Parameters
    ----------
    files : DerivedFiles
    prefix : str
        Of all names: a model inside another one has a part of the shelf.
    """

    def __init__(self, files: DerivedFiles, prefix: str = "") -> None:
        self._files = files
        self._prefix = prefix

    def part(self, name: str) -> Shelf:
        """Return the part of a model inside this one."""
        return Shelf(self._files, f"{self._prefix}{name}_")

    def topk(self, name: str, make: Callable[[], _core.TopkIndex]) -> _core.TopkIndex:
        """Return the index that `make` returns, in mapped memory if possible."""
        (block,) = self.arrays((name,), lambda: (make().block,))
        try:
            return _core.TopkIndex.over(block)
        except (TypeError, ValueError):  # damaged
            return make()

    def arrays(
        self, names: Sequence[str], make: Callable[[], Sequence[NDArray[Any]]]
    ) -> Sequence[NDArray[Any]]:
        """Return the arrays that `make` returns, in mapped memory if possible."""
        found = self._found(names)
        if found is None:
            with self._files.locked():
                found = self._found(names)  # somebody else may have made them meanwhile
                if found is None:
                    made = zip(names, make(), strict=True)
                    found = [self._files.put(self._prefix + name, array) for name, array in made]
        return found

    def _found(self, names: Sequence[str]) -> list[NDArray[Any]] | None:
        arrays = [self._files.get(self._prefix + name) for name in names]
        found = [array for array in arrays if array is not None]
        return found if len(found) == len(names) else None


def load(
    path: str | PathLike[str],
    verify: Literal["full", "size"] = "full",
    *,
    prepared: bool = False,
) -> Recommender:
    """Load a model saved by `Recommender.save`.

    Nothing in an artifact is executed, and everything in it is checked: it is safe to load one
    from anybody. The arrays are mapped from the files, not read into memory.

    Parameters
    ----------
    path : path
        The artifact directory.
    verify : {"full", "size"}, default "full"
        Compare checksums of all files, or only their sizes (quick; for an artifact that was
        verified when it was installed).
    prepared : bool, default False
        Keep the index of the items in files beside the artifact, or in the user's cache where its
        directory cannot be written to, and map it from there. Processes with the same artifact
        then share its memory, and only the first one takes the time to make it. The answers have
        the same bits.

    Returns
    -------
    Recommender
        Of the class that was saved.

    Raises
    ------
    ArtifactError
        Not an artifact, damaged, inconsistent, written by a newer version, or of a model class
        that is not known here.
    ParameterError
        An empty path.

    Examples
    --------
    >>> import tempfile, penchant as pc
    >>> data = pc.Interactions.from_sequences([["tea", "milk"], ["tea", "jam"]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pc.BPR(factors=4, epochs=3).fit(data, progress=False).save(folder)
    ...     pc.load(folder)
    BPR(factors=4, epochs=3)
    """
    artifact = map_artifact(path, verify=verify)
    shelf = Shelf(_derived_files(artifact)) if prepared else None
    model = _revived(artifact, shelf, validate=verify == "full")
    if prepared:
        model._prepare()
    return model


def open_served(path: str | PathLike[str]) -> Recommender:
    """Load a model to answer requests with, as one of several processes or after a restart.

    The artifact is verified in full once. That is remembered, beside it or in the user's cache,
    for the very files that were verified: one that is replaced, copied or written to since is
    verified anew. The index of the items is prepared as in `load`, and all that every answer needs
    is ready; what only some need, such as the index of similar items, is made with the first of
    them and kept likewise.

    Parameters
    ----------
    path : path
        The artifact directory.

    Returns
    -------
    Recommender

    Raises
    ------
    ArtifactError
        As in `load`.

    Examples
    --------
    >>> import tempfile, penchant as pc
    >>> from penchant.models.prepared import open_served
    >>> data = pc.Interactions.from_sequences([["tea", "milk"], ["tea", "jam"]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pc.Popularity().fit(data).save(folder)
    ...     open_served(folder).recommend(0, k=1)["item"].to_list()
    ['jam']
    """
    artifact = map_artifact(path, verify="size")
    files = _derived_files(artifact)
    known = files.check_content()
    model = _revived(artifact, Shelf(files), validate=not known, sound=known)
    if not known:
        files.remember()
    model._prepare()
    return model


def _derived_files(artifact: MappedArtifact) -> DerivedFiles:
    # Files for another instruction set have other numbers in them.
    return DerivedFiles(artifact, _core.isa())


def _revived(
    artifact: MappedArtifact, shelf: Shelf | None, *, validate: bool, sound: bool = False
) -> Recommender:
    content = artifact.decode(validate=validate)
    state = State(content.meta, content.arrays, content.tables, shelf, sound)
    return revived(state, artifact.directory)
