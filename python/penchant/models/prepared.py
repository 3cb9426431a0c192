"""Loading models; and what follows from them, made once and mapped by every process after that."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from enum import Enum
from functools import partial
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

__all__ = ["Opening", "Shelf", "Stage", "load", "open_served"]

_Arrays = Sequence["NDArray[Any]"]
_LOW_PRIORITY = 10


class Stage(Enum):
    """How far the opening of a model has come."""

    MAKING = "what the model needs is made"
    WRITING = "the model answers, and what was made is written to files"
    DONE = "all is in files"


class Opening:
    """A model being opened: what is made for it is written to files when it is ready.

    From the first thing made until all is written the files are locked, so that who else needs
    them waits for them; all of it is one thread's work.

    Parameters
    ----------
    files : DerivedFiles

    Attributes
    ----------
    stage : Stage
    """

    def __init__(self, files: DerivedFiles) -> None:
        self.files = files
        self.stage = Stage.MAKING
        self._work: deque[Callable[[], object]] = deque()
        self._mutex = threading.Lock()
        self._lock = ExitStack()

    def __enter__(self) -> Opening:
        return self

    def __exit__(self, *_: object) -> None:
        with self._mutex:
            self.stage = Stage.DONE
            self._work.clear()
        self._lock.close()

    def postpone(self, work: Callable[[], object]) -> bool:
        """Do something in `write`; return False, and do nothing, where that has ended already."""
        with self._mutex:
            if self.stage is Stage.DONE:
                return False
            if self.stage is Stage.MAKING and not self._work:
                self._lock.enter_context(self.files.locked())
            self._work.append(work)
            return True

    def finish_making(self) -> None:
        """Say that the model answers from now on."""
        self.stage = Stage.WRITING

    def write(self) -> None:
        """Do what was postponed, and let go of it one by one: it is large."""
        while True:
            with self._mutex:
                if not self._work:
                    self.stage = Stage.DONE
                    return
                work = self._work.popleft()
            work()
            del work


class Shelf:
    """What follows from a model's artifact, such as its index, by names.

    Parameters
    ----------
    opening : Opening
    prefix : str
        Of all names: a model inside another one has a part of the shelf.
    """

    def __init__(self, opening: Opening, prefix: str = "") -> None:
        self._opening = opening
        self._files = opening.files
        self._prefix = prefix

    def part(self, name: str) -> Shelf:
        """Return the part of a model inside this one."""
        return Shelf(self._opening, f"{self._prefix}{name}_")

    def topk(
        self,
        name: str,
        make: Callable[[], _core.TopkIndex],
        keep: Callable[[_core.TopkIndex], object],
    ) -> None:
        """Call ``keep(index)`` with the index that `make` returns, as `arrays` does."""

        def keep_block(blocks: _Arrays) -> None:
            try:
                index = _core.TopkIndex.over(blocks[0])
            except (TypeError, ValueError):  # damaged
                index = make()
            keep(index)

        self.arrays((name,), lambda: (make().block,), keep_block)

    def arrays(
        self, names: Sequence[str], make: Callable[[], _Arrays], keep: Callable[[_Arrays], object]
    ) -> None:
        """Call ``keep(arrays)`` with what `make` returns, in mapped memory if possible.

        What is made before the files of the opening are written is kept at once, as it is; and
        again, mapped, when it is in files: maybe from another thread, while the model answers.
        """
        found = self._found(names)
        if found is None and self._opening.stage is Stage.WRITING:
            # The files are locked: a question must not wait for the disk.
            found = make()
            if not self._opening.postpone(partial(self._store, names, found, keep)):
                self._store(names, found, keep)
                return
        if found is None:
            with self._files.locked():
                found = self._found(names)  # somebody else may have made them meanwhile
                if found is None:
                    found = make()
                    if self._opening.stage is Stage.MAKING:
                        self._opening.postpone(partial(self._store, names, found, keep))
                    else:
                        self._store(names, found, keep)
                        return
        keep(found)

    def _store(
        self, names: Sequence[str], made: _Arrays, keep: Callable[[_Arrays], object]
    ) -> None:
        files = self._files
        pairs = zip(names, made, strict=True)
        keep([files.put(self._prefix + name, array) for name, array in pairs])

    def _found(self, names: Sequence[str]) -> _Arrays | None:
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
    if not prepared:
        return _revived(artifact, None, validate=verify == "full")
    with Opening(_derived_files(artifact)) as opening:
        model = _revived(artifact, Shelf(opening), validate=verify == "full")
        model._prepare()
        opening.finish_making()
        opening.write()
    return model


def open_served(path: str | PathLike[str], *, wait: bool = True) -> Recommender:
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
    wait : bool, default True
        Until all that was made for it is in files. Otherwise the model is returned as soon as it
        is verified and can answer, and a thread writes them meanwhile; the answers are the same.

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
    opened: Future[Recommender] = Future()
    if wait:
        _open(path, opened)
    else:
        arguments = (path, opened, _step_back)
        threading.Thread(target=_open, args=arguments, name="penchant-open").start()
    return opened.result()


def _step_back() -> None:
    """Let other threads go first, where a thread has a priority of its own: on Linux."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOW_PRIORITY)


def _open(
    path: str | PathLike[str],
    opened: Future[Recommender],
    before_writing: Callable[[], object] = lambda: None,
) -> None:
    """Give `opened` the model or what is wrong; then write the files."""
    try:
        artifact = map_artifact(path, verify="size")
        with Opening(_derived_files(artifact)) as opening:
            with opening.files.checking_content() as known:
                model = _revived(artifact, Shelf(opening), validate=not known, sound=known)
                model._prepare()
            opening.finish_making()
            opened.set_result(model)
            before_writing()
            opening.write()
    except BaseException as error:
        if opened.done():
            raise
        opened.set_exception(error)


def _derived_files(artifact: MappedArtifact) -> DerivedFiles:
    # Files for another instruction set have other numbers in them.
    return DerivedFiles(artifact, _core.isa())


def _revived(
    artifact: MappedArtifact, shelf: Shelf | None, *, validate: bool, sound: bool = False
) -> Recommender:
    content = artifact.decode(validate=validate)
    state = State(content.meta, content.arrays, content.tables, shelf, sound)
    return revived(state, artifact.directory)
