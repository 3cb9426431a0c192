"""The links of an HNSW graph as plain arrays, and how usearch lays them out in a buffer.

usearch follows the links in a buffer without looking whether they lead outside the graph, so
its buffers are never kept: what is kept are arrays, checked by `problem` before `pack` makes a
buffer of them. The layout is that of usearch's format 2: rows of vectors, a head of 64 bytes, one
of 40, the level of every node, and the nodes one after the other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from penchant.errors import UnsupportedError

_MAGIC = b"usearch"
_DENSE_HEAD, _GRAPH_HEAD = 64, 40
_NODE_HEAD = 10  # a key of eight bytes and a level of two
_COUNT_AT = 17  # of the vectors, in the first head
_DIMENSION_AT = 33
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


def problem(links: Links, n: int, connectivity: int) -> str | None:
    """Say what is wrong with links that somebody kept, if anything.

    Afterwards no search can leave the graph: lists are as long as they may be, their rows exist,
    and exist on the level of the list.
    """
    levels, base, upper, entry = links
    if levels.shape != (n,) or n == 0 or levels.min() < 0:
        return f"the graph has {levels.shape[0]} vectors, expected {n}"
    if base.shape != (n, 2 * connectivity + 1):
        return f"the graph's level 0 has shape {base.shape}, not {(n, 2 * connectivity + 1)}"
    total = int(levels.sum(dtype=np.int64))
    if upper.shape != (total, connectivity + 1):
        return f"the graph's levels have shape {upper.shape}, not {(total, connectivity + 1)}"
    if not 0 <= entry < n or levels[entry] != levels.max():
        return f"the graph's entry {entry} is not on its highest level"
    firsts = np.repeat(np.cumsum(levels, dtype=np.int64) - levels, levels)
    height = np.arange(1, total + 1) - firsts  # of each list
    for name, lists, level in (("level 0", base, np.zeros(n)), ("levels", upper, height)):
        for start in range(0, len(lists), _AT_ONCE):
            part = lists[start : start + _AT_ONCE]
            counts, rows = part[:, 0], part[:, 1:]
            if counts.size and not 0 <= counts.min() <= counts.max() <= rows.shape[1]:
                return f"the graph's {name} has a list of {counts.max()} links"
            used = np.arange(rows.shape[1]) < counts[:, None]
            if np.any(used & ((rows < 0) | (rows >= n))):
                return f"the graph's {name} has links to rows outside 0..{n - 1}"
            there = levels[np.where(used, rows, 0)]
            if np.any(used & (there < level[start : start + _AT_ONCE, None])):
                return f"the graph's {name} has links to rows that are not on their level"
    return None


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


def pack(
    links: Links, order: NDArray[np.int64], stored: NDArray[Any], empty: bytes
) -> NDArray[np.uint8]:
    """Lay a graph out as usearch does.

    Parameters
    ----------
    links : Links
        Without a `problem`.
    order : int64 array of shape (n,)
        Row that comes first in memory, second, ...
    stored : array of shape (n, d)
        The vectors in that order, as usearch holds them.
    empty : bytes
        What an index with the same settings saves before anything is added.

    Returns
    -------
    uint8 array
    """
    n, m0, m = len(order), links.base.shape[1] - 1, links.upper.shape[1] - 1
    check_format(memoryview(empty)[8:])
    dimension = int.from_bytes(empty[8 + _DIMENSION_AT : 16 + _DIMENSION_AT], "little")
    known = len(empty) == 8 + _DENSE_HEAD + _GRAPH_HEAD and dimension == stored.shape[1]
    widths = np.frombuffer(empty, "<u8", 2, 16 + _DENSE_HEAD).tolist()
    if not known or widths != [m, m0]:
        raise UnsupportedError("this version of usearch keeps graphs in a way not known here")
    head = bytearray(empty[8 : 8 + _DENSE_HEAD])
    head[_COUNT_AT : _COUNT_AT + 8] = n.to_bytes(8, "little")
    slot_of = np.empty(n, dtype=np.int32)
    slot_of[order] = np.arange(n, dtype=np.int32)
    levels = np.ascontiguousarray(links.levels[order], dtype="<i2")
    entry = int(slot_of[links.entry])
    graph_head = np.array([n, m, m0, int(levels.max()), entry], dtype="<u8")
    row_bytes = stored.shape[1] * stored.itemsize
    shape = np.array([n, row_bytes], dtype="<u4")
    front = b"".join([shape.tobytes(), stored.tobytes(), head, graph_head.tobytes()])
    starts = _starts(levels, m, m0)
    buffer = np.empty(len(front) + 2 * n + 2 * int(starts[-1]), dtype=np.uint8)
    buffer[: len(front)] = np.frombuffer(front, np.uint8)
    buffer[len(front) : len(front) + 2 * n] = levels.view(np.uint8)
    nodes = buffer[len(front) + 2 * n :].view("<u2")
    firsts = np.concatenate([[0], np.cumsum(links.levels, dtype=np.int64)])
    for slots in _alike(levels):
        rows, level = order[slots], int(levels[slots[0]])
        upper = links.upper[firsts[rows][:, None] + np.arange(level)]
        numbers = np.concatenate(
            [_in_slots(links.base[rows], slot_of)]
            + [_in_slots(upper[:, above], slot_of) for above in range(level)],
            axis=1,
        )
        words = np.empty((len(slots), _size(level, m, m0)), dtype="<u2")
        words[:, :4] = rows.astype("<u8").view("<u2").reshape(-1, 4)
        words[:, 4] = level
        words[:, 5:] = np.ascontiguousarray(numbers, dtype="<i4").view("<u2")
        nodes[starts[slots][:, None] + np.arange(words.shape[1])] = words
    return buffer


def check_format(head: memoryview) -> None:
    """Raise an UnsupportedError unless this is a head as usearch 2 writes it."""
    if bytes(head[:7]) != _MAGIC or int.from_bytes(head[7:9], "little") != 2:
        raise UnsupportedError(
            "this version of usearch keeps graphs in a way not known here: install usearch 2"
        )


def _in_slots(lists: NDArray[np.int32], slot_of: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.concatenate([lists[:, :1], slot_of[lists[:, 1:]]], axis=1)


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
