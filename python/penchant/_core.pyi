"""
Native kernels of Penchant. Use the Python API; this module takes exact dtypes and layouts only.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

__all__: list[str] = [
    "TopkIndex",
    "available_isas",
    "build_info",
    "default_num_threads",
    "fit_bayesian_svd",
    "fit_bpr",
    "fit_svd",
    "fit_svdpp",
    "implicit_sums",
    "isa",
    "mark_recommended",
    "random_normal",
    "ranking_metrics",
]

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

def fit_bayesian_svd(
    indptr: numpy.typing.NDArray[numpy.int64],
    indices: numpy.typing.NDArray[numpy.int32],
    values: numpy.typing.NDArray[numpy.float32],
    user_samples: numpy.typing.NDArray[numpy.float32],
    item_samples: numpy.typing.NDArray[numpy.float32],
    user_biases: numpy.typing.NDArray[numpy.float32],
    item_biases: numpy.typing.NDArray[numpy.float32],
    kept: numpy.typing.NDArray[numpy.float32],
    *,
    factors: typing.SupportsInt | typing.SupportsIndex,
    epochs: typing.SupportsInt | typing.SupportsIndex,
    burn_in: typing.SupportsInt | typing.SupportsIndex,
    user_links: bool,
    item_links: bool,
    mean: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
    on_epoch: collections.abc.Callable[[int, float, float], bool],
) -> int:
    """
    Sample Bayesian SVD into the arrays; on_epoch(epoch, loss, rmse) returning False stops. Returns the sweeps run.
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

def fit_svd(
    indptr: numpy.typing.NDArray[numpy.int64],
    indices: numpy.typing.NDArray[numpy.int32],
    values: numpy.typing.NDArray[numpy.float32],
    user_factors: numpy.typing.NDArray[numpy.float32],
    item_factors: numpy.typing.NDArray[numpy.float32],
    user_biases: numpy.typing.NDArray[numpy.float32] | None,
    item_biases: numpy.typing.NDArray[numpy.float32] | None,
    *,
    epochs: typing.SupportsInt | typing.SupportsIndex,
    learning_rates: typing.Annotated[
        collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(4)"
    ],
    regularizations: typing.Annotated[
        collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(4)"
    ],
    learning_rate_decay: typing.SupportsFloat | typing.SupportsIndex,
    mean: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
    on_epoch: collections.abc.Callable[[int, float, float], bool],
) -> int:
    """
    Train SVD in place; rates and penalties are of users, items, user biases, item biases; on_epoch(epoch, loss, rmse) returning False stops. Returns the epochs run.
    """

def fit_svdpp(
    indptr: numpy.typing.NDArray[numpy.int64],
    indices: numpy.typing.NDArray[numpy.int32],
    values: numpy.typing.NDArray[numpy.float32],
    user_factors: numpy.typing.NDArray[numpy.float32],
    item_factors: numpy.typing.NDArray[numpy.float32],
    implicit_factors: numpy.typing.NDArray[numpy.float32],
    user_biases: numpy.typing.NDArray[numpy.float32] | None,
    item_biases: numpy.typing.NDArray[numpy.float32] | None,
    *,
    epochs: typing.SupportsInt | typing.SupportsIndex,
    learning_rates: typing.Annotated[
        collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(4)"
    ],
    regularizations: typing.Annotated[
        collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(4)"
    ],
    implicit_learning_rate: typing.SupportsFloat | typing.SupportsIndex,
    implicit_regularization: typing.SupportsFloat | typing.SupportsIndex,
    learning_rate_decay: typing.SupportsFloat | typing.SupportsIndex,
    mean: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
    on_epoch: collections.abc.Callable[[int, float, float], bool],
) -> int:
    """
    Train SVD++ in place; as fit_svd. Returns the epochs run.
    """

def implicit_sums(
    indptr: numpy.typing.NDArray[numpy.int64],
    indices: numpy.typing.NDArray[numpy.int32],
    implicit_factors: numpy.typing.NDArray[numpy.float32],
    *,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    Sum of the implicit rows of each history, divided by the square root of its length.
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
