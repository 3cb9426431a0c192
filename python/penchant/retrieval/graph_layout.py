"""The links of an HNSW graph as plain arrays, taken out of what usearch saves.

The layout is that of usearch's format 2: rows of vectors, a head of 64 bytes, one of 40, the level
of every node, and the nodes one after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from penchant.errors import UnsupportedError

_MAGIC = b"usearch"
_DENSE_HEAD, _GRAPH_HEAD = 64, 40
_NODE_HEAD = 10  # a key of eight bytes and a level of two
_AT_ONCE = 1 << 16  # nodes


class Links(NamedTuple):
    """The links between n vectors; a list has its length first.

    Attributes
    ----------
    levels : int16 array of shape (n,)
        Highest level of a vector; all are on level 0.
    base : int32 array of shape (n, 2 M + 1)
        Of level 0: how many neighbours follow, and their rows.
    upper : int32 array of shape (sum of levels, M + 1)
        Likewise of level 1, 2, ... of the first vector, then of the next.
    entry : int
        Row where every search begins; on the highest level.
    """

    levels: NDArray[np.int16]
    base: NDArray[np.int32]
    upper: NDArray[np.int32]
    entry: int


def unpack(buffer: memoryview) -> Links:
    """Take the links out of what usearch itself has saved."""
    rows, columns = np.frombuffer(buffer, "<u4", 2).astype(np.int64)
    at = int(8 + rows * columns)
    check_format(buffer[at:])
    at += _DENSE_HEAD
    n, m, m0, _, entry = np.frombuffer(buffer, "<u8", 5, at).astype(np.int64).tolist()
    at += _GRAPH_HEAD
    levels = np.frombuffer(buffer, "<i2", n, at)
    nodes = np.frombuffer(buffer, "<u2", offset=at + 2 * n)
    starts = _starts(levels, m, m0)
    if m0 != 2 * m or starts[-1] != len(nodes):
        raise UnsupportedError("this version of usearch keeps graphs in a way not known here")
    keys = np.empty(n, dtype=np.int32)
    base = np.empty((n, m0 + 1), dtype=np.int32)
    lists: list[NDArray[np.int32]] = []
    owners: list[NDArray[np.int64]] = []
    for slots in _alike(levels):
        level = int(levels[slots[0]])
        words = nodes[starts[slots][:, None] + np.arange(_size(level, m, m0))]
        keys[slots] = np.ascontiguousarray(words[:, :2]).view("<i4")[:, 0]
        numbers = np.ascontiguousarray(words[:, _NODE_HEAD // 2 :]).view("<i4")
        base[slots] = numbers[:, : m0 + 1]
        lists.append(numbers[:, m0 + 1 :].reshape(-1, m + 1))
        owners.append(np.repeat(keys[slots].astype(np.int64), level))
    by_row = np.argsort(keys)
    upper = np.concatenate(lists)[np.argsort(np.concatenate(owners), kind="stable")]
    for table in (base, upper):
        table[:, 1:] = keys[table[:, 1:]]
        table[:, 1:][np.arange(table.shape[1] - 1) >= table[:, :1]] = 0
    return Links(levels[by_row].astype(np.int16), base[by_row], upper, int(keys[entry]))


def check_format(head: memoryview) -> None:
    """Raise an UnsupportedError unless this is a head as usearch 2 writes it."""
    if bytes(head[:7]) != _MAGIC or int.from_bytes(head[7:9], "little") != 2:
        raise UnsupportedError(
            "this version of usearch keeps graphs in a way not known here: install usearch 2"
        )


def _size(level: int, m: int, m0: int) -> int:
    """Return the size of a node in words of two bytes."""
    return _NODE_HEAD // 2 + 2 * (1 + m0) + 2 * level * (1 + m)


def _starts(levels: NDArray[np.int16], m: int, m0: int) -> NDArray[np.int64]:
    sizes = _size(0, m, m0) + 2 * (1 + m) * levels.astype(np.int64)
    return np.concatenate([[0], np.cumsum(sizes)])


def _alike(levels: NDArray[np.int16]) -> list[NDArray[np.int64]]:
    """Return nodes of equal levels, not too many at once."""
    return [
        slots[start : start + _AT_ONCE]
        for level in np.unique(levels)
        for slots in [np.flatnonzero(levels == level)]
        for start in range(0, len(slots), _AT_ONCE)
    ]
