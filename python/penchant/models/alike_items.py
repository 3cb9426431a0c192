"""Which known items are most like others, as the columns of the item table tell."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant import _core
from penchant.retrieval.column_values import column_values, plain_column
from penchant.retrieval.filters import offsets

_LIKE = 10  # items that stand for another, and those as much like it as the last of them
_MOST = 100
_BINS = 10

Rows = NDArray[np.int64]


class Words(NamedTuple):
    """Which of `n` words each row of a table holds, and how strongly."""

    owners: Rows
    words: Rows
    strengths: NDArray[np.float64]
    n: int


def most_alike(
    table: pa.Table, known: NDArray[np.bool_], asked: Rows, num_threads: int
) -> tuple[Rows, NDArray[np.float32]]:
    """Find the known rows of a table that are most like other rows.

    Every value of a column of text, categories or flags is a word, every element where it is a list
    or joins several by ``|``; of a column of numbers each tenth of the known rows is one, which its
    neighbours hold half. Rows are compared by the cosine of their words' TF-IDF vectors.

    Parameters
    ----------
    table : pyarrow.Table
    known : bool array of shape (table.num_rows,)
        Rows that may be found.
    asked : int array of shape (n,)
        Rows to compare with them.
    num_threads : int
        0 stands for the default.

    Returns
    -------
    rows : int64 array of shape (n, m)
        At most 10, more where further ones are equally alike; -1 pads, and is all there is where
        nothing is shared.
    weights : float32 array of shape (n, m)
        Cosines, 0 where `rows` is -1.

    Examples
    --------
    >>> import numpy as np, pyarrow as pa
    >>> tracks = pa.table({"artist": ["Ann", "Bob", "Ann", "Ann"]})
    >>> rows, _ = most_alike(tracks, np.array([True, True, True, False]), np.array([3]), 1)
    >>> rows[0, :3].tolist()
    [0, 2, -1]
    """
    owners, words, strengths, n_words = _words(table, known)
    held = known[owners]
    n_known = int(np.count_nonzero(known))
    users = np.bincount(words[held], minlength=n_words)
    strengths = strengths * np.log1p(n_known / np.maximum(users, 1))[words]
    lengths = np.sqrt(np.bincount(owners, strengths**2, minlength=table.num_rows))
    scaled: NDArray[np.float32] = (strengths / np.maximum(lengths, 1e-30)[owners]).astype(
        np.float32
    )
    # A word points to the known rows that hold it: word w is row w of a matrix, and row r of the
    # table its column n_words + r.
    columns = n_words + owners[held]
    order = np.lexsort((columns, words[held]))
    counts = np.zeros(n_words + table.num_rows, dtype=np.int64)
    counts[:n_words] = users
    index = _core.NeighborIndex(
        offsets(counts), columns[order].astype(np.int32), scaled[held][order]
    )
    place = np.full(table.num_rows, -1)
    place[asked] = np.arange(len(asked))
    own = np.flatnonzero(place[owners] >= 0)
    own = own[np.lexsort((words[own], place[owners[own]]))]
    queries = (
        offsets(np.bincount(place[owners[own]], minlength=len(asked))),
        words[own].astype(np.int32),
        scaled[own],
    )
    width = max(1, min(_MOST, n_known))
    rows, weights = index.search(queries, width, num_threads=num_threads)
    last = weights[:, min(_LIKE, width) - 1 : min(_LIKE, width)]
    alike = (weights > 0) & (weights >= last * np.float32(1 - 1e-5))
    return np.where(alike, rows - n_words, -1), np.where(alike, weights, np.float32(0))


def _words(table: pa.Table, known: NDArray[np.bool_]) -> Words:
    """Return the words of all rows, each once in a row."""
    parts = [_column_words(table[name], name, known) for name in table.column_names]
    first = np.cumsum([0, *(part.n for part in parts)])
    owners = np.concatenate([np.empty(0, np.int64), *(part.owners for part in parts)])
    words = np.concatenate(
        [np.empty(0, np.int64), *(part.words + at for part, at in zip(parts, first, strict=False))]
    )
    strengths = np.concatenate([np.empty(0), *(part.strengths for part in parts)])
    return Words(owners, words, strengths, int(first[-1]))


def _column_words(column: Any, name: str, known: NDArray[np.bool_]) -> Words:
    column = plain_column(column)
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _number_words(column, known)
    rows, codes, n_values = column_values(column, name, "items")
    pairs = np.unique(rows << 32 | codes)
    return Words(pairs >> 32, pairs & 0xFFFFFFFF, np.ones(len(pairs)), n_values)


def _number_words(column: Any, known: NDArray[np.bool_]) -> Words:
    """Return the tenth of the known rows that a number falls into, and its neighbours by half."""
    numbers = column.cast(pa.float64(), safe=False).to_numpy()
    there = np.isfinite(numbers)
    rows = np.flatnonzero(there)
    if not (there & known).any():
        return Words(rows[:0], rows[:0], np.empty(0), 0)
    ends = np.unique(np.quantile(numbers[there & known], np.linspace(0, 1, _BINS + 1)[1:-1]))
    tenth = np.searchsorted(ends, numbers[rows], side="right") + 1
    return Words(
        np.concatenate([rows, rows, rows]),
        np.concatenate([tenth, tenth - 1, tenth + 1]),
        np.repeat([1.0, 0.5, 0.5], len(rows)),
        len(ends) + 3,
    )
