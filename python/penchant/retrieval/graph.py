"""A graph of near neighbours (HNSW) over vectors: built by usearch, searched by our own kernel."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.errors import DataError, ParameterError, require
from penchant.retrieval import graph_layout
from penchant.retrieval.filters import RowLists
from penchant.retrieval.graph_layout import Links
from penchant.retrieval.locality import locality_order

Dtype = Literal["bf16", "f32", "i8"]
Space = Literal["ip", "l2"]
Float32Array = NDArray[np.float32]

_AT_ONCE = 8192  # vectors added between two looks at Ctrl-C
_LIFT = 0.35  # of the dimension that makes all vectors equally long


class Settings(NamedTuple):
    """How a graph is made.

    Attributes
    ----------
    space : {"ip", "l2"}
        Neighbours have a large inner product or a small distance.
    dtype : {"bf16", "f32", "i8"}
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
    """Finds most of the vectors with the highest scores by walking a graph of neighbours.

    Hierarchical navigable small worlds, Malkov and Yashunin 2018, built by the library usearch. A
    score is an inner product plus a bias, as in `_core.TopkIndex`. Vectors lie in memory in an
    order that keeps neighbours together, whatever order they came in.

    Use `build` or `load`; the latter does without usearch.

    Attributes
    ----------
    settings : Settings
    """

    def __init__(
        self,
        vectors: Float32Array,
        biases: Float32Array | None,
        settings: Settings,
        links: Links,
        num_threads: int = 0,
        order: NDArray[np.int64] | None = None,
    ) -> None:
        self.settings = settings
        if order is None:
            order = locality_order(vectors)
        try:
            self._index = _core.GraphIndex(
                vectors, biases, links, order, settings.dtype, num_threads=num_threads
            )
        except ValueError as error:
            raise DataError(str(error)) from None

    @classmethod
    def build(
        cls,
        vectors: Float32Array,
        biases: Float32Array | None,
        settings: Settings,
        num_threads: int = 0,
    ) -> HnswGraph:
        """Make a graph of vectors.

        Parameters
        ----------
        vectors : float32 array of shape (n, d)
            Finite, n and d at least 1.
        biases : float32 array of shape (n,) or None
            In the space "l2" they are what makes a distance of an inner product, and the graph is
            made of the vectors alone.
        settings : Settings
        num_threads : int, default 0
            0 is the default number. More than one may give another graph each time.

        Raises
        ------
        MissingExtraError
            usearch is not installed.
        """
        added = vectors if settings.space == "l2" else _lifted(vectors, biases)
        index = require("usearch.index", "ann").Index(
            ndim=added.shape[1],
            metric="ip" if settings.space == "ip" else "l2sq",
            dtype=settings.dtype,
            connectivity=settings.connectivity,
            expansion_add=settings.expansion_add,
            enable_key_lookups=False,
        )
        largest = np.float32(max(float(added.max()), -float(added.min())) or 1.0)
        for start in range(0, len(added), _AT_ONCE):
            block = added[start : start + _AT_ONCE] / largest
            index.add(
                np.arange(start, start + len(block), dtype=np.uint64),
                _rounded(block, settings.dtype),
                threads=num_threads or _core.default_num_threads(),
                dtype=settings.dtype,
            )
        links = graph_layout.unpack(memoryview(index.save()))
        links = links._replace(base=_core.connect_links(links))
        return cls(vectors, biases, settings, links, num_threads)

    @classmethod
    def load(
        cls,
        vectors: Float32Array,
        biases: Float32Array | None,
        settings: Settings,
        links: Links,
        order: NDArray[np.int64] | None = None,
    ) -> HnswGraph:
        """Make a graph over the same vectors of links, and an order, that were kept.

        Without an order it is found anew, which takes most of the time.

        Raises
        ------
        DataError
            The links do not fit the vectors or lead outside the graph; the order is none of them.
        """
        expected = (len(vectors), 2 * settings.connectivity + 1)
        if links.base.shape != expected:
            raise DataError(f"the graph's level 0 has shape {links.base.shape}, not {expected}")
        return cls(vectors, biases, settings, links, order=order)

    def __len__(self) -> int:
        return self._index.size

    @property
    def n_bytes(self) -> int:
        """Memory that the graph takes, its rounded vectors included."""
        return self._index.n_bytes

    @property
    def links(self) -> Links:
        """The graph as arrays, to be kept; made anew each time."""
        return Links(*self._index.links())

    @property
    def order(self) -> NDArray[np.int64]:
        """The rows in the order in which they lie in memory, to be kept; made anew each time."""
        return self._index.order()

    def search(
        self,
        exact: _core.TopkIndex,
        queries: Float32Array,
        k: int,
        efforts: NDArray[np.int32],
        *,
        exclude: RowLists | None = None,
        allowed: NDArray[np.uint8] | None = None,
        num_threads: int = 0,
    ) -> tuple[NDArray[np.int64], Float32Array]:
        """Return about the `k` best rows of each query and their scores; -1 and -inf pad.

        Parameters
        ----------
        exact : _core.TopkIndex
            Over the same vectors and biases: scores are its own.
        queries : float32 array of shape (q, d)
            Finite.
        k : int
            Rows wanted of each query.
        efforts : int32 array of shape (1, 2) or (q, 2)
            How many candidates are scored and filtered, 0 for none, and how many are kept on the
            way: more find more of the best, and take longer.
        exclude, allowed, num_threads
            As in `protocol.Index.search`.

        Returns
        -------
        rows : int64 array of shape (q, k)
        scores : float32 array of shape (q, k)
        """
        return self._index.search(
            exact, queries, k, efforts, exclude=exclude, allowed=allowed, num_threads=num_threads
        )


def _lifted(vectors: Float32Array, biases: Float32Array | None) -> Float32Array:
    """Return what a graph of inner products is made of: biases, and a lift, as dimensions.

    By inner products alone short vectors are near nobody and hard to reach: a walk finds the ten
    best, but not the hundred best, or what is left of them by a filter. Bachrach et al. 2014 add
    sqrt(M^2 - |v|^2), M the length of the longest vector, and search the nearest; a query has 0
    there. That makes a graph in which all are reached, but slowly. A part of it does best.
    """
    if biases is not None:
        vectors = np.hstack([vectors, biases[:, None]])
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    missing = np.sqrt(np.maximum(squares.max(initial=0.0) - squares, 0))
    return np.hstack([vectors, (_LIFT * missing).astype(np.float32)[:, None]])


def _rounded(scaled: Float32Array, dtype: Dtype) -> NDArray[Any]:
    if dtype == "i8":
        whole: NDArray[Any] = np.rint(scaled.clip(-1, 1) * np.float32(127)).astype(np.int8)
        return whole
    if dtype == "bf16":  # the upper half of a float32, rounded to even
        bits = np.ascontiguousarray(scaled, dtype=np.float32).view(np.uint32)
        half: NDArray[Any] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        return half
    exact: NDArray[Any] = np.ascontiguousarray(scaled, dtype=np.float32)
    return exact


def rounded_vectors(vectors: Float32Array, dtype: Dtype) -> Float32Array:
    """Return what the kernel's walk keeps of vectors: float32, whatever the dtype."""
    if dtype == "i8":  # every dimension on a scale of its own
        steps = np.abs(vectors).max(axis=0) / np.float32(127)
        levels = np.rint(vectors / np.where(steps > 0, steps, 1))
        whole: Float32Array = levels * steps
        return whole
    if dtype == "bf16":
        return (_rounded(vectors, dtype).astype(np.uint32) << 16).view(np.float32)
    return vectors


def check_settings(settings: Settings) -> Settings:
    """Return the settings, or raise a ParameterError that names the one out of range."""
    if settings.dtype not in get_args(Dtype):
        names = ", ".join(repr(name) for name in get_args(Dtype))
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
