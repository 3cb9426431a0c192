"""An artifact as one ``model.tar.gz``, for object stores and SageMaker."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zlib
from typing import IO, cast

from penchant.errors import ArtifactError, ArtifactNotFoundError, ArtifactWriteError
from penchant.storage.artifact import ArtifactWriter, map_artifact, replacing_artifact
from penchant.storage.files import replaced_file
from penchant.storage.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    data_file,
    is_derived,
    parse_manifest,
)

# Trained floats hardly compress: a higher level costs time and saves nothing.
_LEVEL = 1
_CHUNK = 2**20


def pack(path: os.PathLike[str] | str, tar_path: os.PathLike[str] | str) -> None:
    """Write an artifact as a gzipped tar file, in one step.

    Equal artifacts give equal bytes: members are sorted, without owners or times.

    Parameters
    ----------
    path : path
        The artifact's directory; verified in full first.
    tar_path : path
        The file to write; replaced when complete.

    Raises
    ------
    ArtifactError
        As in :func:`read_artifact`.
    ArtifactWriteError
        If the system refuses the write.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np
    >>> from penchant.storage import read_artifact, write_artifact
    >>> with tempfile.TemporaryDirectory() as name:
    ...     root = pathlib.Path(name)
    ...     write_artifact(root / "a", meta={}, arrays={"x": np.arange(3)}, tables={})
    ...     pack(root / "a", root / "model.tar.gz")
    ...     unpack(root / "model.tar.gz", root / "b")
    ...     print(read_artifact(root / "b").arrays["x"])
    [0 1 2]
    """
    artifact = map_artifact(path, verify="full")
    members = [(file.entry.file, file.buffer) for file in artifact.files]
    with (
        replaced_file(tar_path) as raw,
        gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, content in [(MANIFEST, memoryview(artifact.manifest)), *sorted(members)]:
            member = tarfile.TarInfo(name)  # time, owner and group are zero, the mode is 0644
            member.size = len(content)
            tar.addfile(member, cast(IO[bytes], _View(content)))


def unpack(
    tar_path: os.PathLike[str] | str,
    directory: os.PathLike[str] | str,
    *,
    max_bytes: int = 64 * 2**30,
) -> None:
    """Install an artifact from a ``tar.gz``, replacing the one in ``directory`` in one step.

    Nothing is ever extracted under a name that the archive chooses: a member is either
    ``model.json`` or a data file whose name matches its own content, and anything else (links,
    devices, folders, absolute names, ``..``) is refused before a byte of it is written.

    Parameters
    ----------
    tar_path : path
        As written by :func:`pack`, or by ``tar czf model.tar.gz -C artifact .``.
    directory : path
        Made if missing.
    max_bytes : int
        The most that the members may hold together: an archive can be made to unpack to any size.

    Raises
    ------
    ArtifactNotFoundError
        If there is no file at ``tar_path``.
    ArtifactError
        If the archive is damaged, unsafe or incomplete; ``directory`` is unchanged.
    ArtifactWriteError
        If the system refuses a write; ``directory`` is unchanged.
    """
    try:
        raw = open(tar_path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        message = f"cannot read the archive {os.fspath(tar_path)!r}: {error.strerror}"
        raise ArtifactNotFoundError(message) from error
    with raw, replacing_artifact(directory) as writer:
        try:
            _install(_Budgeted(raw), writer, max_bytes)
        except (ArtifactWriteError, OSError):
            raise
        except (ArtifactError, tarfile.TarError) as error:
            raise ArtifactError(f"{os.fspath(tar_path)}: {error}") from error


def _install(stream: _Budgeted, writer: ArtifactWriter, max_bytes: int) -> None:
    manifest = None
    with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|") as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if member.isdir() and name in ("", "."):
                continue
            if not member.isreg() or member.issparse():
                raise ArtifactError(f"refused: {name!r:.200} is not a plain file")
            max_bytes -= member.size
            if max_bytes < 0 or (name == MANIFEST and member.size > MAX_MANIFEST_BYTES):
                raise ArtifactError(f"refused: too large at {name!r} (see max_bytes)")
            stream.left += member.size
            if is_derived(name):  # what somebody's machine made of the artifact
                continue
            content = tar.extractfile(member)
            assert content is not None  # it is a regular file
            if name == MANIFEST:
                manifest = content.read()
            else:
                _install_data(name, content, writer)
    while stream.read(_CHUNK):  # to the end: gzip's own checksum comes last
        pass
    if manifest is None:
        raise ArtifactError(f"not a Penchant artifact: no {MANIFEST} in it")
    _, listed = parse_manifest(manifest, MANIFEST)
    differing = {e.file for e in listed} ^ {e.file for e in writer.entries}
    if differing:
        raise ArtifactError(f"damaged: {MANIFEST} and the files differ in {sorted(differing)[0]!r}")
    writer.commit(manifest)


def _install_data(name: str, content: IO[bytes], writer: ArtifactWriter) -> None:
    parts = data_file(name)
    if parts is None:
        raise ArtifactError(f"refused: {name!r:.200} is no file of an artifact")
    entry = writer.add(*parts, lambda file: shutil.copyfileobj(content, file, _CHUNK))
    if entry.file != name:
        raise ArtifactError(f"damaged: the content of {name!r} does not match its checksum")


class _View:
    """Reads from memory, without the copy that `io.BytesIO` would make."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._position = 0

    def read(self, size: int) -> memoryview:
        self._position += size
        return self._view[self._position - size : self._position]


class _Budgeted:
    """Decompresses, but no more than the members' declared sizes and a little for headers.

    tarfile reads extended headers of any size into memory; this is what stops it.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self.left = 4 * 2**20
        self._file = gzip.GzipFile(fileobj=raw, mode="rb")

    def read(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise ArtifactError(f"not a gzip file, or a damaged one ({error})") from error
        self.left -= len(data)
        if self.left < 0:
            raise ArtifactError("refused: its headers are too large")
        return data
