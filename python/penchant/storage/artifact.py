"""Write and read an artifact: a directory with ``model.json`` and immutable data files.

What a writer promises
    ``model.json`` is the only commit point. Data files get names made from their own content, are
    synced to disk first, and are not referred to before ``model.json`` is renamed into place in
    one step. A crash, a full disk or a kill at any moment leaves either the old artifact or the
    new one. Writers of one directory wait for each other.

What a reader is promised
    The files are mapped into memory, never copied, and never change: a new version of the
    artifact is made of new files. Files that no version needs any more are unlinked after the
    commit. That is safe for readers that have them mapped, because POSIX keeps an unlinked
    file's content until the last mapping is gone; and a reader that comes too late for a file
    of the old version sees that ``model.json`` has changed, and starts again with the new one.

Identifiers are stored sorted, as Arrow arrays: looking one up is a binary search in the mapped
file, so no hash index is stored, built at load time or kept in each process's memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import hashlib
import io
import mmap
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

from penchant.errors import ArtifactError, ArtifactNotFoundError, ArtifactWriteError, choose
from penchant.storage.files import (
    Identity,
    given_path,
    identity,
    is_temporary,
    locked_directory,
    made_directory,
    pending_file,
    sync_directory,
)
from penchant.storage.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    Entry,
    build_manifest,
    check_name,
    data_file,
    is_derived,
    parse_manifest,
)
from penchant.storage.tables import decode_table, encode_table
from penchant.storage.tensors import decode_array, encode_array

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Verify = Literal["full", "size"]

# How often a reader starts again because the artifact was replaced under it.
_READ_ATTEMPTS = 10
# One file is most of an artifact, so that more threads than a few gain nothing.
_HASHED_AT_ONCE = 4


@dataclasses.dataclass(frozen=True)
class Artifact:
    """What was stored.

    Attributes
    ----------
    meta : dict
        Plain JSON values; ``class``, ``parameters`` and ``metrics`` among them if given.
    arrays : dict of str to ndarray
        Read-only, backed by the mapped files.
    tables : dict of str to pyarrow.Table
        Likewise.
    """

    meta: dict[str, Any]
    arrays: dict[str, np.ndarray[Any, Any]]
    tables: dict[str, pa.Table]


def write_artifact(
    path: os.PathLike[str] | str,
    *,
    meta: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray[Any, Any]],
    tables: Mapping[str, pa.Table],
) -> None:
    """Save to a directory, replacing the artifact there, if any, in one step.

    Parameters
    ----------
    path : path
        The directory; made if missing. Files in it that are not the artifact's are left alone.
    meta : mapping
        JSON values: dicts with text keys, lists, text, finite numbers, booleans, None.
    arrays : mapping of str to ndarray
        Booleans, integers or floats of any shape. NaN and infinity are stored as they are.
    tables : mapping of str to pyarrow.Table

    Raises
    ------
    ArtifactError
        If something cannot be stored, or the directory holds a ``model.json`` of something else.
    ArtifactWriteError
        If the system refuses (full disk, no permission, ``path`` is a file). In every case the
        old artifact is intact and no half-written file is left behind.
    ParameterError
        If ``path`` is empty.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     write_artifact(directory, meta={"class": "Demo"}, arrays={"x": np.arange(3)}, tables={})
    ...     artifact = read_artifact(directory)
    >>> artifact.meta, artifact.arrays["x"]
    ({'class': 'Demo'}, array([0, 1, 2]))
    """
    with replacing_artifact(path) as writer:
        for name, array in arrays.items():
            writer.add("array", name, functools.partial(encode_array, array, name))
        for name, table in tables.items():
            writer.add("table", name, functools.partial(encode_table, table))
        writer.commit(build_manifest(meta, writer.entries))


def read_artifact(path: os.PathLike[str] | str, *, verify: Verify = "full") -> Artifact:
    """Open an artifact; its arrays and tables are mapped, not read into memory.

    Parameters
    ----------
    path : path
        The directory.
    verify : {"full", "size"}
        "full" reads every file once, compares its SHA-256 and checks every offset inside the
        tables: safe for an artifact from anyone. "size" compares the sizes only, which costs no
        time: for files that were verified when they were installed. ``model.json`` is checked
        against its checksum either way.

    Returns
    -------
    Artifact

    Raises
    ------
    ArtifactNotFoundError
        If there is no artifact at ``path``.
    ArtifactError
        If it is not a Penchant artifact, is newer than this version, is incomplete or damaged,
        or refers to anything outside its own directory.
    ParameterError
        If ``path`` is empty or ``verify`` is neither of the two.
    """
    return map_artifact(path, verify=verify).decode(validate=verify == "full")


@dataclasses.dataclass(frozen=True)
class MappedArtifact:
    """An artifact's files, mapped: ``model.json``, its meta, and the data files."""

    directory: Path
    manifest: bytes
    meta: dict[str, Any]
    files: list[MappedFile]

    def check_content(self) -> None:
        """Raise an ArtifactError unless every file has the SHA-256 that ``model.json`` names.

        What is hashed are the mappings that will be used, not a second look at the files.
        """
        largest_first = sorted(self.files, key=lambda file: -file.entry.size)
        with ThreadPoolExecutor(_HASHED_AT_ONCE) as pool:  # hashing lets other threads run
            list(pool.map(self._check_file, largest_first))

    def _check_file(self, file: MappedFile) -> None:
        if hashlib.sha256(file.buffer).hexdigest() != file.entry.sha256:
            raise ArtifactError(
                f"{self.directory / file.entry.file}: damaged: its content does not match its "
                "SHA-256 checksum"
            )

    def decode(self, *, validate: bool) -> Artifact:
        """Return what the files hold; `validate` checks every offset inside the tables."""
        arrays = {}
        tables = {}
        for entry, buffer, _ in self.files:
            where = str(self.directory / entry.file)
            if entry.kind == "array":
                arrays[entry.name] = decode_array(buffer, where)
            else:
                tables[entry.name] = decode_table(buffer, where, validate=validate)
        return Artifact(self.meta, arrays, tables)


class MappedFile(NamedTuple):
    """A data file: what ``model.json`` says of it, its bytes, and which file that was."""

    entry: Entry
    buffer: memoryview
    identity: Identity


def map_artifact(path: os.PathLike[str] | str, *, verify: Verify) -> MappedArtifact:
    """Map an artifact's files without looking into them; see :func:`read_artifact`."""
    choose("verify", verify, ("full", "size"))
    directory = given_path(path)
    manifest = read_manifest(directory)
    for _ in range(_READ_ATTEMPTS):
        meta, entries = parse_manifest(manifest, directory / MANIFEST)
        try:
            files = [MappedFile(entry, *_map_entry(directory, entry)) for entry in entries]
        except ArtifactNotFoundError:
            newer = read_manifest(directory)
            if newer == manifest:  # nobody replaced it: the file is truly missing
                raise
            manifest = newer
            continue
        mapped = MappedArtifact(directory, manifest, meta, files)
        if verify == "full":
            mapped.check_content()
        return mapped
    raise ArtifactError(f"{directory}: was replaced {_READ_ATTEMPTS} times while being read")


class ArtifactWriter:
    """Adds data files to a directory and makes them its artifact: see `replacing_artifact`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.entries: list[Entry] = []
        # An artifact is only ever replaced by an artifact: this refuses anything else.
        with contextlib.suppress(ArtifactNotFoundError):
            parse_manifest(read_manifest(directory), directory / MANIFEST)

    def add(self, kind: str, name: str, write: Callable[[io.RawIOBase], object]) -> Entry:
        """Store what ``write(file)`` writes, synced, under the name that its content gives."""
        check_name(name)
        with pending_file(self.directory) as pending:
            hashing = _HashingFile(pending.file)
            write(hashing)
            entry = Entry(kind, name, hashing.sha256.hexdigest(), hashing.size)
            # If the file exists its content is the same: renaming over it harms no reader, and
            # heals a copy that has been damaged since.
            self.entries.append(entry)
            pending.commit(self.directory / entry.file)
        return entry

    def commit(self, manifest: bytes) -> None:
        """Make the added files, and no others, the artifact."""
        with pending_file(self.directory) as pending:
            pending.file.write(manifest)
            sync_directory(self.directory)  # the data files' names before the one that uses them
            pending.commit(self.directory / MANIFEST)
        sync_directory(self.directory)
        self._remove(_artifact_files(self.directory) - {entry.file for entry in self.entries})

    def roll_back(self) -> None:
        """Remove the added files, except those that the committed ``model.json`` names."""
        try:
            manifest = read_manifest(self.directory)
            _, kept = parse_manifest(manifest, self.directory)
        except ArtifactNotFoundError:
            kept = []
        except (ArtifactError, OSError):
            return
        self._remove({e.file for e in self.entries} - {e.file for e in kept})

    def _remove(self, files: set[str]) -> None:
        for file in files:
            with contextlib.suppress(OSError):  # a leftover is harmless: the next save retries
                (self.directory / file).unlink()


@contextlib.contextmanager
def replacing_artifact(path: os.PathLike[str] | str) -> Iterator[ArtifactWriter]:
    """Lock the directory ``path`` (made if missing) and give it a new artifact, or change nothing.

    Raises
    ------
    ArtifactWriteError
        In place of any OSError of the block.
    ParameterError
        If ``path`` is empty.
    """
    directory = given_path(path)
    try:
        if directory.exists() and not directory.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is a file, and an artifact is a directory")
        with made_directory(directory), locked_directory(directory):
            writer = ArtifactWriter(directory)
            try:
                yield writer
            except BaseException:
                writer.roll_back()
                raise
    except ArtifactError:
        raise
    except OSError as error:
        raise ArtifactWriteError.at(directory, error) from error


class _HashingFile(io.RawIOBase):
    """Passes bytes on to a file, counting and hashing them."""

    def __init__(self, file: IO[bytes]) -> None:
        self.sha256 = hashlib.sha256()
        self.size = 0
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._file.write(view)
        self.sha256.update(view)
        self.size += view.nbytes
        return view.nbytes


def _artifact_files(directory: Path) -> set[str]:
    """Names in the directory that only an artifact's writer makes, finished or not."""
    return {
        name
        for name in os.listdir(directory)
        if data_file(name) or is_temporary(name) or is_derived(name)
    }


def read_manifest(directory: Path) -> bytes:
    """Return the bytes of ``model.json``, unchecked."""
    if not directory.is_dir():
        what = "it is a file" if directory.exists() else "there is no such directory"
        raise ArtifactNotFoundError(f"no Penchant artifact at {directory}: {what}")
    with opened(directory, MANIFEST) as (descriptor, status):
        if status.st_size > MAX_MANIFEST_BYTES:
            raise ArtifactError(
                f"{directory / MANIFEST}: damaged: {status.st_size} bytes are too many"
            )
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()


def _map_entry(directory: Path, entry: Entry) -> tuple[memoryview, Identity]:
    where = directory / entry.file
    with opened(directory, entry.file) as (descriptor, status):
        size = status.st_size
        if size != entry.size:
            what = "truncated" if size < entry.size else "damaged"
            raise ArtifactError(f"{where}: {what}: {size} bytes instead of {entry.size}")
        return memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)), identity(status)


@contextlib.contextmanager
def opened(directory: Path, file: str) -> Iterator[tuple[int, os.stat_result]]:
    """Open a regular file of the artifact; yield its descriptor and what the system says of it."""
    where = directory / file
    try:
        # A link could lead out of the artifact, and opening a pipe could block for ever.
        descriptor = os.open(where, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ArtifactNotFoundError(
            f"{where}: missing: the artifact is incomplete, or this is not one"
        ) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ArtifactError(f"{where}: refused: a symbolic link, not a file") from error
        raise ArtifactError(f"{where}: cannot be read: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError(f"{where}: refused: not a regular file")
        yield descriptor, status
    finally:
        os.close(descriptor)
