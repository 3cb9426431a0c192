"""A graph of near neighbours (HNSW) over vectors, built and searched by usearch."""

from __future__ import annotations

import threading
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.errors import DataError, ParameterError, require
from penchant.retrieval import graph_layout
from penchant.retrieval.graph_layout import Links
from penchant.retrieval.locality import locality_order

Dtype = Literal["bf16", "f16", "f32", "i8"]
Space = Literal["ip", "l2"]
Float32Array = NDArray[np.float32]

_AT_ONCE = 8192  # vectors added, or queries answered, between two looks at Ctrl-C
_A_THREAD = 16  # queries at least: usearch starts its threads anew for every search
_SORTED_FROM = 256  # queries: fewer share too little of the graph
_FARTHEST = np.float32(1e4)  # of a query's components, where 1 is the largest of any vector


class Settings(NamedTuple):
    """How a graph is made.

    Attributes
    ----------
    space : {"ip", "l2"}
        Neighbours have a large inner product or a small distance.
    dtype : {"bf16", "f16", "f32", "i8"}
        What components are rounded to.
    connectivity : int
        Neighbours of a vector on every level but the lowest, which has twice as many (M).
    expansion_add : int
        Candidates looked at when a vector is added.
    """

    space: Space
    dtype: Dtype
    connectivity: int
    expansion_add: int


class HnswGraph:
    """Finds most of the nearest vectors by walking a graph of neighbours.

    Hierarchical navigable small worlds, Malkov and Yashunin 2018, in the library usearch. Vectors
    lie in memory in an order that keeps neighbours together, whatever order they came in.

    Use `build` or `load`. Searches from several Python threads wait for each other; one search of
    many queries runs in parallel.

    Attributes
    ----------
    settings : Settings
    links : Links
        The graph as arrays, to be kept.
    """

    def __init__(self, vectors: Float32Array, settings: Settings, links: Links) -> None:
        self.settings, self.links = settings, links
        self._scale = _scale(vectors)
        self._lock = threading.Lock()
        order = locality_order(vectors)
        stored = np.empty((len(vectors), vectors.shape[1]), dtype=_STORED[settings.dtype])
        for start in range(0, len(vectors), 1 << 16):
            block = slice(start, start + (1 << 16))
            stored[block] = _rounded(vectors[order[block]] / self._scale, settings.dtype)
        self._index = _empty(vectors.shape[1], settings)
        buffer = graph_layout.pack(links, order, stored, bytes(self._index.save()))
        self._index.load(buffer)
        if len(self._index) != len(vectors):
            raise DataError(f"usearch took {len(self._index)} of {len(vectors)} vectors")

    @classmethod
    def build(cls, vectors: Float32Array, settings: Settings, num_threads: int = 0) -> HnswGraph:
        """Add all vectors to a new graph.

        Parameters
        ----------
        vectors : float32 array of shape (n, d)
            Finite, n and d at least 1.
        settings : Settings
        num_threads : int, default 0
            0 is the default number. More than one may give another graph each time.

        Raises
        ------
        MissingExtraError
            usearch is not installed.
        """
        index = _empty(vectors.shape[1], settings)
        scale = _scale(vectors)
        for start in range(0, len(vectors), _AT_ONCE):
            block = vectors[start : start + _AT_ONCE]
            index.add(
                np.arange(start, start + len(block), dtype=np.uint64),
                _rounded(block / scale, settings.dtype),
                threads=_threads(num_threads),
                dtype=settings.dtype,
            )
        return cls(vectors, settings, graph_layout.unpack(memoryview(index.save())))

    @classmethod
    def load(cls, vectors: Float32Array, settings: Settings, links: Links) -> HnswGraph:
        """Make a graph over the same vectors of links that were kept.

        Raises
        ------
        DataError
            The links do not fit the vectors or lead outside the graph.
        MissingExtraError
            usearch is not installed.
        """
        problem = graph_layout.problem(links, len(vectors), settings.connectivity)
        if problem:
            raise DataError(problem)
        return cls(vectors, settings, links)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._index.ndim)

    @property
    def n_bytes(self) -> int:
        """Memory that the graph takes, its rounded vectors included."""
        return int(self._index.memory_usage)

    def search(
        self, queries: Float32Array, width: int, expansion: int, num_threads: int = 0
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return about the `width` nearest rows of each query, in no order.

        Parameters
        ----------
        queries : float32 array of shape (q, d)
            Finite.
        width : int
            Rows wanted of each query.
        expansion : int
            Candidates kept on the way; more find more of the nearest, and take longer.
        num_threads : int, default 0
            0 is the default number.

        Returns
        -------
        rows : int32 array of shape (q, width)
            The first ``counts[i]`` of row i are distinct, what follows means nothing.
        counts : int64 array of shape (q,)
        """
        width = min(width, len(self))
        rows = np.zeros((len(queries), width), dtype=np.int32)
        counts = np.zeros(len(queries), dtype=np.int64)
        order = None
        if len(queries) >= _SORTED_FROM:  # queries that are near each other walk the same paths
            order = locality_order(queries)
        for start in range(0, len(queries), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            chosen: Any = part if order is None else order[part]
            asked = self._asked(queries[chosen])
            with self._lock:
                self._index.expansion_search = max(expansion, width)
                found = self._index._compiled.search_many(
                    asked,
                    count=width,
                    threads=max(1, min(_threads(num_threads), len(asked) // _A_THREAD)),
                    **self._scalars,
                )
            rows[chosen] = found[0]
            counts[chosen] = found[2]
        return rows, counts

    @property
    def _scalars(self) -> dict[str, Any]:
        kinds = require("usearch.compiled", "ann").ScalarKind
        return {"dtype": getattr(kinds, self.settings.dtype.upper())}

    def _asked(self, queries: Float32Array) -> NDArray[Any]:
        if self.settings.space == "ip":  # the length of a query changes no order
            longest = np.abs(queries).max(axis=1, keepdims=True)
            scaled = (queries / np.where(longest > 0, longest, 1)).astype(np.float32)
        else:
            scaled = (queries / self._scale).clip(-_FARTHEST, _FARTHEST)
        return _rounded(scaled, self.settings.dtype)


_STORED = {"bf16": np.uint16, "f16": np.float16, "f32": np.float32, "i8": np.int8}


def _empty(dimension: int, settings: Settings) -> Any:
    return require("usearch.index", "ann").Index(
        ndim=dimension,
        metric="ip" if settings.space == "ip" else "l2sq",
        dtype=settings.dtype,
        connectivity=settings.connectivity,
        expansion_add=settings.expansion_add,
        enable_key_lookups=False,
    )


def _scale(vectors: Float32Array) -> np.float32:
    """Return the largest absolute component, so that scaled ones fit any dtype."""
    largest = max(float(vectors.max(initial=0.0)), -float(vectors.min(initial=0.0)))
    return np.float32(largest if largest > 0 else 1.0)


def _rounded(scaled: Float32Array, dtype: Dtype) -> NDArray[Any]:
    if dtype == "i8":
        whole: NDArray[Any] = np.rint(scaled.clip(-1, 1) * np.float32(127)).astype(np.int8)
        return whole
    if dtype == "bf16":  # the upper half of a float32, rounded to even
        bits = np.ascontiguousarray(scaled, dtype=np.float32).view(np.uint32)
        half: NDArray[Any] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        return half
    exact: NDArray[Any] = np.ascontiguousarray(scaled, dtype=_STORED[dtype])
    return exact


def _threads(num_threads: int) -> int:
    return num_threads or _core.default_num_threads()


def rounded_vectors(vectors: Float32Array, dtype: Dtype) -> Float32Array:
    """Return what is left of vectors that are kept as `dtype`: float32, whatever the dtype."""
    scale = _scale(vectors)
    stored = _rounded(vectors / scale, dtype)
    if dtype == "bf16":
        stored = (stored.astype(np.uint32) << 16).view(np.float32)
    restored: Float32Array = stored.astype(np.float32)
    restored *= scale / np.float32(127) if dtype == "i8" else scale
    return restored


def check_settings(settings: Settings) -> Settings:
    """Return the settings, or raise a ParameterError that names the one out of range."""
    if settings.dtype not in _STORED:
        names = ", ".join(repr(name) for name in _STORED)
        raise ParameterError(f"dtype must be one of {names}, got {settings.dtype!r}")
    limits = {"connectivity": (2, 512), "expansion_add": (1, 1 << 16)}
    for name, (low, high) in limits.items():
        check_integer(name, getattr(settings, name), low, high)
    return settings


def check_integer(name: str, value: object, low: int, high: int) -> None:
    """Raise a ParameterError unless `value` is a whole number from `low` to `high`."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or not low <= int(value) <= high:  # type: ignore[call-overload]
        raise ParameterError(f"{name} must be an integer from {low} to {high}, got {value!r}")
