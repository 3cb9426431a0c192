"""
Native kernels of Penchant. Use the Python API; this module takes exact dtypes and layouts only.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

__all__: list[str] = [
    "BprFoldIn",
    "EaseParams",
    "GraphIndex",
    "IalsFoldIn",
    "NeighborIndex",
    "RatingFoldIn",
    "TopkIndex",
    "available_isas",
    "build_info",
    "cap_attributes",
    "connect_links",
    "default_num_threads",
    "ease_bytes",
    "fit_bayesian_svd",
    "fit_bpr",
    "fit_ease",
    "fit_ease_sparse",
    "fit_ials",
    "fit_knn",
    "fit_skipgram",
    "fit_svd",
    "fit_svdpp",
    "fold_in_histories",
    "implicit_sums",
    "isa",
    "k_largest",
    "mark_recommended",
    "random_normal",
    "ranking_metrics",
    "rating_prior",
    "rerank_dpp",
    "rerank_mmr",
    "stable_order",
]

class BprFoldIn:
    """
    BPR's rows of users that training never saw.
    """
    def __init__(
        self,
        item_factors: numpy.typing.NDArray[numpy.float32],
        item_biases: numpy.typing.NDArray[numpy.float32] | None,
        item_counts: numpy.typing.NDArray[numpy.int64],
        *,
        learning_rate: typing.SupportsFloat | typing.SupportsIndex,
        user_regularization: typing.SupportsFloat | typing.SupportsIndex,
        negatives: str,
        popularity_exponent: typing.SupportsFloat | typing.SupportsIndex,
        optimizer: str,
        n_candidates: typing.SupportsInt | typing.SupportsIndex,
        seed: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    def solve(
        self,
        indptr: numpy.typing.NDArray[numpy.int64],
        indices: numpy.typing.NDArray[numpy.int32],
        *,
        num_threads: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        Rows of users, float32 [rows, factors], from the items each has taken.
        """

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

class IalsFoldIn:
    """
    Rows of one side of implicit ALS, solved exactly.
    """
    def __init__(
        self,
        fixed_factors: numpy.typing.NDArray[numpy.float32],
        fixed_weights: numpy.typing.NDArray[numpy.float32] | None,
        *,
        regularization: typing.SupportsFloat | typing.SupportsIndex,
        regularization_exponent: typing.SupportsFloat | typing.SupportsIndex,
        unobserved_weight: typing.SupportsFloat | typing.SupportsIndex,
        num_threads: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    def contributions(
        self,
        entries: numpy.typing.NDArray[numpy.int32],
        confidence: numpy.typing.NDArray[numpy.float32] | None,
        target: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        What each entry of a row adds to the row's product with a row of the fixed side.
        """
    def solve(
        self,
        indptr: numpy.typing.NDArray[numpy.int64],
        indices: numpy.typing.NDArray[numpy.int32],
        confidence: numpy.typing.NDArray[numpy.float32] | None,
        row_weights: numpy.typing.NDArray[numpy.float32] | None,
        *,
        num_threads: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        Solve rows, float32 [rows, factors], from their entries among the fixed side's rows.
        """

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
    def log_sum_exp(
        self,
        queries: tuple[
            numpy.typing.NDArray[numpy.int64],
            numpy.typing.NDArray[numpy.int32],
            numpy.typing.NDArray[numpy.float32],
        ],
        *,
        num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        Log of the sum of exp(score) over all items for every history, float64.
        """
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
    def score_sums(
        self,
        queries: tuple[
            numpy.typing.NDArray[numpy.int64],
            numpy.typing.NDArray[numpy.int32],
            numpy.typing.NDArray[numpy.float32],
        ],
        *,
        exclude: tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int32]]
        | None = None,
        allowed: numpy.typing.NDArray[numpy.uint8] | None = None,
        num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        Sum of the scores of the items that are left, for every history; float64 throughout.
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
        allowed: numpy.typing.NDArray[numpy.uint8] | None = None,
        allowed_rows: numpy.typing.NDArray[numpy.int32] | None = None,
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

class RatingFoldIn:
    """
    Rows of users whose ratings training never saw.
    """
    def __init__(
        self,
        prior: numpy.typing.NDArray[numpy.float64],
        item_factors: numpy.typing.NDArray[numpy.float32],
        item_biases: numpy.typing.NDArray[numpy.float32] | None,
        *,
        variance: typing.SupportsFloat | typing.SupportsIndex,
        num_threads: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    def solve(
        self,
        indptr: numpy.typing.NDArray[numpy.int64],
        indices: numpy.typing.NDArray[numpy.int32],
        ratings: numpy.typing.NDArray[numpy.float32],
        *,
        num_threads: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        Rows of users, float32 [rows, factors], from their ratings.
        """

class TopkIndex:
    """
    Exact top-k search over vectors and biases; owns a copy of them, or reads a block that holds one.
    """
    @staticmethod
    def over(block: numpy.typing.NDArray[numpy.uint8]) -> TopkIndex:
        """
        The index with this `block`, such as one in a mapped file; read in place.
        """
    def __init__(
        self,
        vectors: numpy.typing.NDArray[numpy.float32],
        biases: numpy.typing.NDArray[numpy.float32] | None = None,
        *,
        num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None: ...
    def log_sum_exp(
        self,
        queries: numpy.typing.NDArray[numpy.float32],
        *,
        num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        Log of the sum of exp(score) over all vectors for every query, float64.
        """
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
        allowed: numpy.typing.NDArray[numpy.uint8] | None = None,
        allowed_rows: numpy.typing.NDArray[numpy.int32] | None = None,
        num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float32]]:
        """
        The k best rows and their scores for every query; -1 and -inf pad.
        """
    @property
    def block(self) -> numpy.typing.NDArray[numpy.uint8]:
        """
        All that the index is made of, uint8, read-only; see `over`.
        """
    @property
    def dim(self) -> int:
        """
        Length of a vector.
        """
    @property
    def n_bytes(self) -> int:
        """
        Memory that the index takes.
        """
    @property
    def size(self) -> int:
        """
        Number of vectors.
        """

class GraphIndex:
    """
    Approximate top-k search by a graph of near neighbours; owns a copy of all it is made of.
    """
    def __init__(
        self,
        vectors: numpy.typing.NDArray[numpy.float32],
        biases: numpy.typing.NDArray[numpy.float32] | None,
        links: tuple[
            numpy.typing.NDArray[numpy.int16],
            numpy.typing.NDArray[numpy.int32],
            numpy.typing.NDArray[numpy.int32],
            int,
        ],
        order: numpy.typing.NDArray[numpy.int64],
        dtype: str,
        *,
        num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None:
        """
        Of links (levels, base, upper, entry), every one of which is checked, with vectors in memory in the given order of rows, rounded to 'i8', 'bf16' or 'f32'.
        """
    def links(
        self,
    ) -> tuple[
        numpy.typing.NDArray[numpy.int16],
        numpy.typing.NDArray[numpy.int32],
        numpy.typing.NDArray[numpy.int32],
        int,
    ]:
        """
        What it was made of: (levels, base, upper, entry).
        """
    def order(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        The rows in the order in which they lie in memory.
        """
    def search(
        self,
        exact: TopkIndex,
        queries: numpy.typing.NDArray[numpy.float32],
        k: typing.SupportsInt | typing.SupportsIndex,
        efforts: numpy.typing.NDArray[numpy.int32],
        *,
        exclude: tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int32]]
        | None = None,
        allowed: numpy.typing.NDArray[numpy.uint8] | None = None,
        num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float32]]:
        """
        About the k best rows for every query and their scores by the exact index over the same vectors, of candidates that the graph offers: efforts has pairs of how many (0 for none), and how many are kept on the way. -1 and -inf pad.
        """
    @property
    def dim(self) -> int:
        """
        Length of a vector.
        """
    @property
    def n_bytes(self) -> int:
        """
        Memory of links and vectors.
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

def cap_attributes(
    items: numpy.typing.NDArray[numpy.int64],
    sets: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
    ],
    *,
    n_values: typing.SupportsInt | typing.SupportsIndex,
    at_most: typing.SupportsInt | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
) -> numpy.typing.NDArray[numpy.uint8]:
    """
    1 where an item of a list stays when each attribute value may come at_most times.
    """

def connect_links(
    links: tuple[
        numpy.typing.NDArray[numpy.int16],
        numpy.typing.NDArray[numpy.int32],
        numpy.typing.NDArray[numpy.int32],
        int,
    ],
) -> numpy.typing.NDArray[numpy.int32]:
    """
    Links of level 0, of (levels, base, upper, entry), with what vectors that no path reaches need to be reached.
    """

def default_num_threads() -> int:
    """
    Threads used by default: environment, affinity mask and cgroup quota honoured.
    """

def ease_bytes(
    n_users: typing.SupportsInt | typing.SupportsIndex,
    n_items: typing.SupportsInt | typing.SupportsIndex,
    *,
    neighbors: typing.SupportsInt | typing.SupportsIndex,
    rank: typing.SupportsInt | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
) -> float:
    """
    Bytes that fit_ease takes besides its input.
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

def fit_ials(
    indptr: numpy.typing.NDArray[numpy.int64],
    indices: numpy.typing.NDArray[numpy.int32],
    confidence: numpy.typing.NDArray[numpy.float32] | None,
    user_factors: numpy.typing.NDArray[numpy.float32],
    item_factors: numpy.typing.NDArray[numpy.float32],
    item_weights: numpy.typing.NDArray[numpy.float32] | None,
    *,
    factors: typing.SupportsInt | typing.SupportsIndex,
    epochs: typing.SupportsInt | typing.SupportsIndex,
    regularization: typing.SupportsFloat | typing.SupportsIndex,
    regularization_exponent: typing.SupportsFloat | typing.SupportsIndex,
    unobserved_weight: typing.SupportsFloat | typing.SupportsIndex,
    solver: str,
    block_size: typing.SupportsInt | typing.SupportsIndex,
    cg_steps: typing.SupportsInt | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
    on_epoch: collections.abc.Callable[[int, float], bool],
) -> int:
    """
    Train implicit ALS in place; columns beyond `factors` are padding and zero; on_epoch(epoch, loss) returning False stops. Returns the epochs run.
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

def fit_skipgram(
    indptr: numpy.typing.NDArray[numpy.int64],
    items: numpy.typing.NDArray[numpy.int32],
    input_vectors: numpy.typing.NDArray[numpy.float32],
    output_vectors: numpy.typing.NDArray[numpy.float32],
    *,
    epochs: typing.SupportsInt | typing.SupportsIndex,
    window: typing.SupportsInt | typing.SupportsIndex,
    shrink_windows: bool,
    negative: typing.SupportsInt | typing.SupportsIndex,
    ns_exponent: typing.SupportsFloat | typing.SupportsIndex,
    sample: typing.SupportsFloat | typing.SupportsIndex,
    skip_gram: bool,
    alpha: typing.SupportsFloat | typing.SupportsIndex,
    min_alpha: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
    on_epoch: collections.abc.Callable[[int, float], bool],
) -> int:
    """
    Train word2vec vectors in place; on_epoch(epoch, loss) returning False stops. Returns the epochs run.
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

def fold_in_histories(
    indptr: numpy.typing.NDArray[numpy.int64],
    items: numpy.typing.NDArray[numpy.int32],
    vectors: numpy.typing.NDArray[numpy.float32],
    *,
    decay: typing.SupportsFloat | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    Mean of the vectors of each history, the last event weighing 1, the one before `decay`, ...
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

def k_largest(
    scores: numpy.typing.NDArray[numpy.float32],
    k: typing.SupportsInt | typing.SupportsIndex,
    *,
    num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float32]]:
    """
    Columns and values of the k largest scores of each row, best first, ties to the lower column; -1 and -inf pad where the rest is -inf.
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

def rating_prior(
    user_factors: numpy.typing.NDArray[numpy.float32],
    *,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.typing.NDArray[numpy.float64]:
    """
    Mean (row 0) and lower triangular root of the covariance of users' rows, float64.
    """

@typing.overload
def rerank_dpp(
    items: numpy.typing.NDArray[numpy.int64],
    relevance: numpy.typing.NDArray[numpy.float64],
    vectors: numpy.typing.NDArray[numpy.float32],
    *,
    relevance_weight: typing.SupportsFloat | typing.SupportsIndex,
    depth: typing.SupportsInt | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
) -> numpy.typing.NDArray[numpy.int64]:
    """
    Places of each list in the greedy order of a determinantal point process.
    """

@typing.overload
def rerank_dpp(
    items: numpy.typing.NDArray[numpy.int64],
    relevance: numpy.typing.NDArray[numpy.float64],
    sets: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
    ],
    *,
    n_values: typing.SupportsInt | typing.SupportsIndex,
    jaccard: bool,
    relevance_weight: typing.SupportsFloat | typing.SupportsIndex,
    depth: typing.SupportsInt | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
) -> numpy.typing.NDArray[numpy.int64]:
    """
    Places of each list in the greedy order of a determinantal point process.
    """

@typing.overload
def rerank_mmr(
    items: numpy.typing.NDArray[numpy.int64],
    relevance: numpy.typing.NDArray[numpy.float64],
    vectors: numpy.typing.NDArray[numpy.float32],
    *,
    relevance_weight: typing.SupportsFloat | typing.SupportsIndex,
    depth: typing.SupportsInt | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
) -> numpy.typing.NDArray[numpy.int64]:
    """
    Places of each list in the order of maximal marginal relevance.
    """

@typing.overload
def rerank_mmr(
    items: numpy.typing.NDArray[numpy.int64],
    relevance: numpy.typing.NDArray[numpy.float64],
    sets: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
    ],
    *,
    n_values: typing.SupportsInt | typing.SupportsIndex,
    jaccard: bool,
    relevance_weight: typing.SupportsFloat | typing.SupportsIndex,
    depth: typing.SupportsInt | typing.SupportsIndex,
    num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
) -> numpy.typing.NDArray[numpy.int64]:
    """
    Places of each list in the order of maximal marginal relevance.
    """

def stable_order(
    codes: numpy.typing.NDArray[numpy.int32],
    n_codes: typing.SupportsInt | typing.SupportsIndex,
    rows: numpy.typing.NDArray[numpy.int64] | None = None,
) -> numpy.typing.NDArray[numpy.int64]:
    """
    Row numbers by rising code; those of one code as `rows` lists them, by default ascending.
    """
