"""EASE: the closed-form linear autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.errors import ParameterError
from penchant.models.memory import available_memory
from penchant.models.neighbor_model import NEIGHBOR_WEIGHTS, VALUES, NeighborModel, Values
from penchant.models.params import Integer, Real, Rule
from penchant.models.ranker import NUM_THREADS
from penchant.models.weights import Weight

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models.growth import Growth


class EASE(NeighborModel):
    """A linear item-item model that reconstructs histories, learnt in closed form.

    Every item is predicted from all the others by ridge regression, all at once [1]_: with G the
    items x items Gram matrix of the training data and P the inverse of G plus `regularization` on
    the diagonal, the weight from item i to item j is ``-P[i, j] / P[j, j]``. A user's score of an
    item is the sum of its weights from the items of the history, so new users need no refit and
    ``recommend(history=...)`` is exact. The result is the same bits for any number of threads.

    Parameters
    ----------
    regularization : float, default 500
        L2 penalty on the weights, in users: it is added to the number of users of each item.
        Where `values` or exponents scale the data it is scaled alike, by the mean square of an
        entry, so that it means about the same for all of them.
    dropout : float, default 0.0
        Train as if this share of each history were hidden at random, to predict the whole: the
        diagonal of the Gram matrix grows by ``dropout / (1 - dropout)`` of itself, so that popular
        items get more regularization [2]_.
    user_exponent : float, default 0.0
        Divide each user's row by the number of the user's items to this power: 0.5 lets users of
        many items count no more than others. The Gram matrix is scaled back to the same trace, so
        that `regularization` keeps its meaning.
    item_exponent : float, default 0.0
        Divide each item's column by the number of its users to this power, likewise, and undo it in
        the scores; the larger, the more rare items are regularized less than popular ones.
    popularity_discount : float, default 0.0
        Divide every score by the number of the item's users to this power.
    rank : int, default 0
        Mix in low-rank weights, made of this many of the largest singular vectors of the (scaled)
        training matrix: a low-pass filter that says what large groups of items share, where EASE
        says what is particular to pairs [3]_; it helps most where data are few. 0 is plain EASE.
    rank_share : float, default 0.7
        Only with `rank`: share of the low-rank weights, from 0 to 1 (no EASE at all, and no
        inverse to compute).
    rank_power : float, default 0.5
        Only with `rank`: the filter is the singular value, relative to the largest, to this power
        [4]_; 0 counts all `rank` vectors alike.
    neighbors : int, optional
        Keep only the weights of the largest magnitude from each item; default: all of them, four
        bytes for each pair of items.
    values : {"distinct", "count", "sum", "last"}, default "distinct"
        What the history of a user says about an item: 1, whatever happened; the number of events;
        the sum of their values; or the latest value. Values must be above zero.
    max_items : int, default 20000
        More items than this are refused before anything is allocated, with an estimate of the
        memory: the cost grows with the square of the items in memory, with the cube in time.
    num_threads : int, optional
        Default: what `penchant.show_config()` prints.

    Attributes
    ----------
    item_weights_ : float32 array of shape (n_items, n_items), or None with `neighbors`
        Row h holds the weights from item h.
    neighbor_indptr_, neighbor_indices_, neighbor_values_ : arrays, or None without `neighbors`
        The weights as a sparse matrix (CSR: int64, int32, float32), columns ascending.
    history_values_ : float32 array or None
        The values of `seen_`, where they are not all 1.

    Notes
    -----
    The inverse is computed in float64 by Cholesky factors, n^3 operations for n items, and takes
    4 n^2 bytes besides the 4 n^2 of the weights (or the neighbours kept). Its residual
    ``max |(G + L) P - I|`` is about 1e-16 times the condition number, which is at most (1 + the
    largest eigenvalue of G / `regularization`): any regularization above about 1e-9 of the largest
    eigenvalue leaves the weights, which are float32, exact to their last digits.

    References
    ----------
    .. [1] Steck: "Embarrassingly shallow autoencoders for sparse data", WWW 2019.
    .. [2] Steck: "Autoencoders that don't overfit towards the identity", NeurIPS 2020.
    .. [3] Shen, Wu, Zhang, Zhang, Zhao, Wang, Li: "How powerful is graph convolution for
       recommendation?", CIKM 2021 (GF-CF: a linear filter and an ideal low-pass filter, added).
    .. [4] Peng, Liu, Sugiyama, Mine: "How powerful is graph filtering for recommendation", KDD
       2024 (generalized normalisation and filters that fall with the singular values).

    Examples
    --------
    >>> import penchant as pc
    >>> baskets = [["tea", "jam"], ["tea", "jam"], ["tea"], ["pen", "ink"], ["pen", "ink"], ["pen"]]
    >>> model = pc.EASE(regularization=1).fit(pc.Interactions.from_sequences(baskets))
    >>> model.recommend(2, k=1)["item"].to_list()
    ['jam']
    >>> model.recommend(history=["ink"], k=1)["item"].to_list()
    ['pen']
    """

    _rules: ClassVar[Mapping[str, Rule]] = {
        "regularization": Real(0, open_low=True),
        "dropout": Real(0, 0.999),
        "user_exponent": Real(-2, 2),
        "item_exponent": Real(-2, 2),
        "popularity_discount": Real(-2, 2),
        "rank": Integer(0, 2048),
        "rank_share": Real(0, 1),
        "rank_power": Real(0, 5),
        "neighbors": Integer(1, 1_000_000, optional=True),
        "values": VALUES,
        "max_items": Integer(1, 1_000_000),
        "num_threads": NUM_THREADS,
    }
    _divergence_advice: ClassVar[str] = "use a larger regularization"
    _weights: ClassVar[Mapping[str, Weight]] = {
        "item_weights_": Weight(("items", "items"), optional=True),
        **NEIGHBOR_WEIGHTS,
    }

    item_weights_: NDArray[np.float32] | None

    def __init__(
        self,
        *,
        regularization: float = 500.0,
        dropout: float = 0.0,
        user_exponent: float = 0.0,
        item_exponent: float = 0.0,
        popularity_discount: float = 0.0,
        rank: int = 0,
        rank_share: float = 0.7,
        rank_power: float = 0.5,
        neighbors: int | None = None,
        values: Values = "distinct",
        max_items: int = 20_000,
        num_threads: int | None = None,
    ) -> None:
        self.regularization = regularization
        self.dropout = dropout
        self.user_exponent = user_exponent
        self.item_exponent = item_exponent
        self.popularity_discount = popularity_discount
        self.rank = rank
        self.rank_share = rank_share
        self.rank_power = rank_power
        self.neighbors = neighbors
        self.values = values
        self.max_items = max_items
        self.num_threads = num_threads
        self._check_params()

    def _start(self, train: Interactions) -> None:
        self._check_size()
        super()._start(train)
        self.item_weights_ = None

    def _check_size(self) -> None:
        """Refuse, before anything is allocated, what is too large."""
        n_items = len(self.items_)
        available = available_memory()
        if n_items > int(self.max_items):
            raise ParameterError(
                f"EASE: the data have {n_items:,} items, more than max_items={self.max_items:,}; "
                f"fitting them would take {_gib(self._memory())} of memory and about "
                f"{n_items**3:.1e} operations. Leave rare items out, or raise max_items (and set "
                "neighbors= to keep the model small)"
            )
        if available is not None and self._memory() > available:
            raise MemoryError(
                f"EASE: fitting {n_items:,} items takes {_gib(self._memory())} of memory, and "
                f"{_gib(available)} are free: leave rare items out"
            )

    def _memory(self) -> float:
        return _core.ease_bytes(
            len(self.users_),
            len(self.items_),
            neighbors=int(self.neighbors or 0),
            rank=int(self.rank),
            num_threads=self._threads(None),
        )

    def _grow(self, growth: Growth) -> None:
        self._check_size()
        super()._grow(growth)

    def _learn(self) -> None:
        trained = self._trained
        matrix = (self.seen_.indptr, self.seen_.indices, self.history_values_, len(self.items_))
        params = _core.EaseParams(
            regularization=float(trained.regularization),
            dropout=float(trained.dropout),
            user_exponent=float(trained.user_exponent),
            item_exponent=float(trained.item_exponent),
            popularity_discount=float(trained.popularity_discount),
            rank=int(trained.rank),
            rank_share=float(trained.rank_share),
            rank_power=float(trained.rank_power),
            neighbors=int(trained.neighbors or 0),
            num_threads=self._threads(None),
        )
        try:
            if trained.neighbors is not None:
                self._set_neighbors(*_core.fit_ease_sparse(*matrix, params))
                return
            self.item_weights_ = _core.fit_ease(*matrix, params)
        except ValueError as error:
            raise ParameterError(f"EASE: {error}") from error
        except MemoryError as error:
            raise MemoryError(
                f"EASE: fitting {len(self.items_):,} items takes {_gib(self._memory())} of memory, "
                "and there is not enough: leave rare items out"
            ) from error
        self.neighbor_indptr_ = self.neighbor_indices_ = self.neighbor_values_ = None


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
