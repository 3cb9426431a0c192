"""
Native kernels of Penchant. Use the Python API; this module takes exact dtypes and layouts only.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

__all__: list[str] = [
    "EaseParams",
    "NeighborIndex",
    "TopkIndex",
    "available_isas",
    "build_info",
    "default_num_threads",
    "ease_bytes",
    "fit_bpr",
    "fit_ease",
    "fit_ease_sparse",
    "fit_knn",
    "isa",
    "mark_recommended",
    "random_normal",
    "ranking_metrics",
]

class EaseParams:
    """
    Parameters of fit_ease; neighbors=0 keeps all weights.
    """
    def __init__(
        self,
        *,
        regularization: typing.SupportsFloat | typing.SupportsIndex,
        dropout: typing.SupportsFloat | typing.SupportsIndex,
        user_exponent: typing.SupportsFloat | typing.SupportsIndex,
        item_exponent: typing.SupportsFloat | typing.SupportsIndex,
        popularity_discount: typing.SupportsFloat | typing.SupportsIndex,
        rank: typing.SupportsInt | typing.SupportsIndex,
        rank_share: typing.SupportsFloat | typing.SupportsIndex,
        rank_power: typing.SupportsFloat | typing.SupportsIndex,
        neighbors: typing.SupportsInt | typing.SupportsIndex,
        num_threads: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...

class NeighborIndex:
    """
    Exact top-k search over an item-item matrix. A sparse one is copied, a dense one kept.
    """
    @typing.overload
    def __init__(
        self,
        indptr: numpy.typing.NDArray[numpy.int64],
        indices: numpy.typing.NDArray[numpy.int32],
        values: numpy.typing.NDArray[numpy.float32],
    ) -> None: ...
    @typing.overload
    def __init__(self, similarities: numpy.typing.NDArray[numpy.float32]) -> None: ...
    def neighbors(
        self,
        items: numpy.typing.NDArray[numpy.int64],
        k: typing.SupportsInt | typing.SupportsIndex,
        *,
        num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float32]]:
        """
        The k largest entries of the items' rows, themselves left out; -1 and -inf pad.
        """
    def score_pairs(
        self,
        queries: tuple[
            numpy.typing.NDArray[numpy.int64],
            numpy.typing.NDArray[numpy.int32],
            numpy.typing.NDArray[numpy.float32],
        ],
        query_rows: numpy.typing.NDArray[numpy.int64],
        vector_rows: numpy.typing.NDArray[numpy.int64],
        *,
        num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        Score of item vector_rows[i] for history query_rows[i], bit for bit what search would give.
        """
    def search(
        self,
        queries: tuple[
            numpy.typing.NDArray[numpy.int64],
            numpy.typing.NDArray[numpy.int32],
            numpy.typing.NDArray[numpy.float32],
        ],
        k: typing.SupportsInt | typing.SupportsIndex,
        *,
        exclude: tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int32]]
        | None = None,
        candidates: tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int32]]
        | None = None,
        num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float32]]:
        """
        The k best items and their scores for every history (indptr, indices, values); -1 and -inf pad.
        """
    @property
    def size(self) -> int:
        """
        Number of items.
        """

class TopkIndex:
    """
    Exact top-k search over vectors and biases; owns a copy of them.
    """
    def __init__(
        self,
        vectors: numpy.typing.NDArray[numpy.float32],
        biases: numpy.typing.NDArray[numpy.float32] | None = None,
        *,
        num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None: ...
    def score_pairs(
        self,
        queries: numpy.typing.NDArray[numpy.float32],
        query_rows: numpy.typing.NDArray[numpy.int64],
        vector_rows: numpy.typing.NDArray[numpy.int64],
        *,
        num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        Score of vector vector_rows[i] for query query_rows[i], bit for bit what search would give.
        """
    def search(
        self,
        queries: numpy.typing.NDArray[numpy.float32],
        k: typing.SupportsInt | typing.SupportsIndex,
        *,
        exclude: tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int32]]
        | None = None,
        candidates: tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int32]]
        | None = None,
        num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float32]]:
        """
        The k best rows and their scores for every query; -1 and -inf pad.
        """
    @property
    def dim(self) -> int:
        """
        Length of a vector.
        """
    @property
    def size(self) -> int:
        """
        Number of vectors.
        """

def available_isas() -> list[str]:
    """
    Instruction sets this CPU and build can run, best first.
    """

def build_info() -> dict:
    """
    Compiler, parallel backend and pybind11 version of this build.
    """

def default_num_threads() -> int:
    """
    Threads used by default: environment, affinity mask and cgroup quota honoured.
    """

def ease_bytes(
    n_items: typing.SupportsInt | typing.SupportsIndex,
    *,
    neighbors: typing.SupportsInt | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
) -> float:
    """
    Bytes that fit_ease takes besides its input.
    """

def fit_bpr(
    indptr: numpy.typing.NDArray[numpy.int64],
    indices: numpy.typing.NDArray[numpy.int32],
    user_factors: numpy.typing.NDArray[numpy.float32],
    item_factors: numpy.typing.NDArray[numpy.float32],
    item_biases: numpy.typing.NDArray[numpy.float32] | None,
    *,
    epochs: typing.SupportsInt | typing.SupportsIndex,
    learning_rate: typing.SupportsFloat | typing.SupportsIndex,
    learning_rate_decay: typing.SupportsFloat | typing.SupportsIndex,
    user_regularization: typing.SupportsFloat | typing.SupportsIndex,
    positive_regularization: typing.SupportsFloat | typing.SupportsIndex,
    negative_regularization: typing.SupportsFloat | typing.SupportsIndex,
    bias_regularization: typing.SupportsFloat | typing.SupportsIndex,
    negatives: str,
    popularity_exponent: typing.SupportsFloat | typing.SupportsIndex,
    optimizer: str,
    n_candidates: typing.SupportsInt | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
    on_epoch: collections.abc.Callable[[int, float, float], bool],
) -> int:
    """
    Train BPR factors in place; on_epoch(epoch, loss, auc) returning False stops. Returns the epochs run.
    """

def fit_ease(
    indptr: numpy.typing.NDArray[numpy.int64],
    indices: numpy.typing.NDArray[numpy.int32],
    values: numpy.typing.NDArray[numpy.float32] | None,
    n_items: typing.SupportsInt | typing.SupportsIndex,
    params: EaseParams,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    EASE's item-item weights, all of them.
    """

def fit_ease_sparse(
    indptr: numpy.typing.NDArray[numpy.int64],
    indices: numpy.typing.NDArray[numpy.int32],
    values: numpy.typing.NDArray[numpy.float32] | None,
    n_items: typing.SupportsInt | typing.SupportsIndex,
    params: EaseParams,
) -> tuple[
    numpy.typing.NDArray[numpy.int64],
    numpy.typing.NDArray[numpy.int32],
    numpy.typing.NDArray[numpy.float32],
]:
    """
    EASE's item-item weights, the largest of each item by magnitude, as a CSR (indptr, indices, values).
    """

def fit_knn(
    indptr: numpy.typing.NDArray[numpy.int64],
    indices: numpy.typing.NDArray[numpy.int32],
    values: numpy.typing.NDArray[numpy.float32] | None,
    n_items: typing.SupportsInt | typing.SupportsIndex,
    *,
    similarity: str,
    neighbors: typing.SupportsInt | typing.SupportsIndex,
    k1: typing.SupportsFloat | typing.SupportsIndex,
    b: typing.SupportsFloat | typing.SupportsIndex,
    alpha: typing.SupportsFloat | typing.SupportsIndex,
    beta: typing.SupportsFloat | typing.SupportsIndex,
    shrinkage: typing.SupportsFloat | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[
    numpy.typing.NDArray[numpy.int64],
    numpy.typing.NDArray[numpy.int32],
    numpy.typing.NDArray[numpy.float32],
]:
    """
    The most similar items of every item as a CSR (indptr, indices, values), columns ascending.
    """

def isa() -> str:
    """
    Instruction set in use.
    """

def mark_recommended(
    recommended: numpy.typing.NDArray[numpy.int64],
    k: typing.SupportsInt | typing.SupportsIndex,
    shown: numpy.typing.NDArray[numpy.bool],
) -> None:
    """
    Set shown[item] for the items in the first k places of any list.
    """

def random_normal(
    rows: typing.SupportsInt | typing.SupportsIndex,
    cols: typing.SupportsInt | typing.SupportsIndex,
    *,
    scale: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.SupportsInt | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    Matrix of normal(0, scale) float32 numbers; element (r, c) depends on (seed, stream, r, c) alone.
    """

def ranking_metrics(
    recommended: numpy.typing.NDArray[numpy.int64],
    indptr: numpy.typing.NDArray[numpy.int64],
    indices: numpy.typing.NDArray[numpy.int32],
    n_relevant: numpy.typing.NDArray[numpy.int64],
    metrics: collections.abc.Sequence[tuple[str, typing.SupportsInt | typing.SupportsIndex]],
    *,
    num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
) -> numpy.typing.NDArray[numpy.float64]:
    """
    Metrics (name, k) of every user's list; NaN for users without relevant items.
    """
