"""The vector files of word2vec.c, which gensim, fastText and many others read and write.

A line with the number of vectors and their length, then for each vector its id, a space and the
numbers: as text between spaces, or as little-endian float32. The format itself has no escapes, so
an id with spaces is only safe here, where numbers are counted from the end of the line.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant.data import arrow
from penchant.data.ids import IdMap
from penchant.data.interactions import Columns
from penchant.errors import ArtifactWriteError, DataError, MissingFileError, ParameterError
from penchant.retrieval.filters import RowLists

if TYPE_CHECKING:
    from os import PathLike

    from penchant.models.prod2vec import Prod2Vec


def as_text(ids: IdMap, codes: NDArray[np.integer[Any]]) -> list[str]:
    """Return ids as text, in the order of `codes`."""
    found: list[str] = arrow.to_text(ids.take(codes)).to_pylist()
    return found


def write(
    path: str | PathLike[str], ids: list[str], vectors: NDArray[np.float32], binary: bool
) -> None:
    """Write vectors in the format of word2vec.c.

    Raises
    ------
    DataError
        An id contains a line break, or in the binary format a space.
    ArtifactWriteError
        The file cannot be written; one that was there is intact.
    """
    forbidden = "\n\r" + (" " if binary else "")
    for name in ids:
        if not name or any(sign in name for sign in forbidden):
            what = "spaces and line breaks" if binary else "line breaks"
            raise DataError(
                f"item id {name!r:.80} cannot be written in the word2vec format: ids must not be "
                f"empty or contain {what}"
            )
    temporary = Path(f"{os.fspath(path)}.part")
    try:
        _write_rows(temporary, ids, vectors, binary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ArtifactWriteError.at(path, error) from error


def _write_rows(path: Path, ids: list[str], vectors: NDArray[np.float32], binary: bool) -> None:
    with open(path, "wb") as file:
        file.write(f"{len(ids)} {vectors.shape[1]}\n".encode())
        for name, row in zip(ids, vectors, strict=True):
            numbers = row.astype("<f4").tobytes() if binary else " ".join(map(repr, row.tolist()))
            file.write(name.encode() + b" ")
            file.write((numbers if isinstance(numbers, bytes) else numbers.encode()) + b"\n")


def read(path: str | PathLike[str], binary: bool) -> tuple[list[str], NDArray[np.float32]]:
    """Read vectors in the format of word2vec.c.

    Raises
    ------
    MissingFileError
        There is no such file.
    DataError
        The file is not in that format; the message names the line.
    """
    if not Path(path).is_file():
        raise MissingFileError(f"{os.fspath(path)}: there is no such file")
    with open(path, "rb") as file:
        content = file.read()
    head, _, body = content.partition(b"\n")
    sizes = head.split()
    if len(sizes) != 2 or not all(size.isdigit() for size in sizes):
        raise DataError(
            f"{path}: line 1 is {head[:40]!r}, not the number of vectors and their length: it is "
            "no word2vec file"
        )
    n, width = map(int, sizes)
    if n < 1 or width < 1:
        raise DataError(f"{path}: line 1 announces {n} vectors of {width} numbers")
    if binary:
        return _read_binary(path, body, n, width)
    return _read_text(path, body, n, width)


def _read_text(path: Any, body: bytes, n: int, width: int) -> tuple[list[str], NDArray[np.float32]]:
    lines = body.rstrip(b"\n").split(b"\n")
    if len(lines) != n:
        raise DataError(f"{path}: line 1 announces {n} vectors, but {len(lines)} lines follow")
    ids, rows = [], []
    for number, line in enumerate(lines, start=2):
        parts = line.rstrip().rsplit(b" ", width)
        try:
            rows.append(np.array(parts[1:], dtype=np.float64))
        except ValueError:
            rows.append(np.empty(0))
        if len(rows[-1]) != width:
            raise DataError(f"{path}: line {number} is not an id and {width} numbers")
        ids.append(_read_id(path, parts[0], number - 1))
    return ids, np.array(rows).astype(np.float32)


def _read_id(path: Any, raw: bytes, number: int) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise DataError(f"{path}: the id of vector {number} is no UTF-8: {raw[:40]!r}") from None
    if not name:
        raise DataError(f"{path}: vector {number} has no id")
    return name


def _read_binary(
    path: Any, body: bytes, n: int, width: int
) -> tuple[list[str], NDArray[np.float32]]:
    ids, at = [], 0
    vectors = np.empty((n, width), dtype=np.float32) if n * width * 4 <= len(body) else None
    for number in range(n):
        space = body.find(b" ", at)
        end = space + 1 + 4 * width
        if space < 0 or end > len(body) or vectors is None:
            raise DataError(f"{path}: it ends within vector {number + 1} of {n}")
        ids.append(_read_id(path, body[at:space].lstrip(b"\n"), number + 1))
        vectors[number] = np.frombuffer(body, dtype="<f4", count=width, offset=space + 1)
        at = end
    return ids, vectors  # type: ignore[return-value]


def load_word2vec(
    path: str | PathLike[str], binary: bool = False, *, item: str = "item", **params: Any
) -> Prod2Vec:
    r"""Make a model of the vectors in a word2vec file, such as gensim's ``save_word2vec_format``.

    It has no users, but finds similar items and recommends by history.

    Parameters
    ----------
    path : path
    binary : bool, default False
        The file holds float32 instead of text.
    item : str, default "item"
        Name of the item column of answers.
    **params
        Hyperparameters of `Prod2Vec`, such as ``history_weighting="last"``. Scores are plain
        cosines unless they say otherwise.

    Returns
    -------
    Prod2Vec
        Its ids are text. The file has no counts; the first item of the file counts as the most
        popular one.

    Raises
    ------
    MissingFileError
        There is no such file.
    DataError
        The file is not in that format, repeats an id, or holds NaN, infinity or a zero vector.

    Examples
    --------
    >>> import tempfile, penchant as pc
    >>> with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
    ...     _ = file.write("3 2\ntea 1 0\njam 0.9 0.1\npen 0 1\n")
    ...     file.flush()
    ...     model = pc.models.load_word2vec(file.name)
    >>> model.similar_items("tea", k=1)["neighbor"].to_list()
    ['jam']
    """
    from penchant.models.prod2vec import Prod2Vec

    names, vectors = read(path, binary)
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1))
    if len(bad):
        raise DataError(f"{path}: the vector of {names[bad[0]]!r:.80} is zero, NaN or infinite")
    ids, codes = IdMap.from_column(pa.chunked_array([pa.array(names, pa.string())]), item)
    if len(ids) != len(names):
        first = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: {first!r:.80} is there more than once")
    size = params.get("vector_size", vectors.shape[1])
    if size != vectors.shape[1]:
        raise ParameterError(
            f"{path} has vectors of size {vectors.shape[1]}, not vector_size={size!r}: leave it out"
        )
    plain = {"score_vectors": "input", "popularity_weight": 0.0}  # all that the file can give
    model = Prod2Vec(**{"vector_size": vectors.shape[1], **plain, **params})
    ranks = np.arange(len(names), 0, -1, dtype=np.int64)
    order = np.argsort(codes)
    model._adopt(ids, np.ascontiguousarray(vectors[order]), ranks[order])
    return model


def no_users(item: str) -> tuple[IdMap, RowLists, Columns]:
    """Return the users of a model that has none."""
    users, _ = IdMap.from_column(pa.chunked_array([pa.array([], pa.int64())]), "user")
    nothing = RowLists(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32))
    return users, nothing, Columns(user="user", item=item)
