"""Bayesian personalized ranking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.errors import notice
from penchant.models.factor_model import FactorModel, Factors
from penchant.models.params import Choice, Flag, Integer, Real, Rule
from penchant.models.ranker import NUM_THREADS, Rows
from penchant.models.weights import Weight

if TYPE_CHECKING:
    from penchant.data.interactions import CSR, Interactions
    from penchant.models.growth import Growth
    from penchant.models.histories import Histories
    from penchant.models.training import FitMonitor

_REGULARIZATION = Real(0, 100)
_OWN_REGULARIZATION = Real(0, 100, optional=True)
_USER_SHARE = 5.0  # of `regularization`
_SAMPLED_ITEMS = 512
_USERS, _ITEMS = 0, 1  # random streams of the first factors


class BPR(FactorModel):
    """Matrix factorization trained to rank what a user took above what they did not.

    For every (user, item) pair of the data and every epoch an item new to the user is drawn, and
    one step of stochastic gradient descent raises the score of the pair above that of the draw
    [1]_. Training is parallel, and its result the same bits for any number of threads.

    Parameters
    ----------
    factors : int, default 64
        Length of a user or item vector.
    epochs : int, default 100
        Passes over the training pairs.
    learning_rate : float, default 0.05
        Step size of the first epoch.
    learning_rate_decay : float, default 1.0
        Epoch e (from 0) of E uses ``learning_rate * (1 - learning_rate_decay * e / E)``: 0 keeps
        the rate, 1 lets it fall to nearly nothing.
    regularization : float, default 0.02
        L2 penalty on the factors of positive and negative items and on the item biases; users,
        who have less to go by, get five times as much.
    user_regularization : float, optional
        Takes the place of five times `regularization` for users.
    positive_regularization, negative_regularization, bias_regularization : float, optional
        Take the place of `regularization` for one of the three.
    use_biases : bool, default True
        Learn a score of its own for every item, its popularity.
    negatives : {"dynamic", "uniform", "popular"}, default "dynamic"
        How the item the user did not take is drawn: the one with the highest score among
        `n_candidates` uniform draws [2]_, uniformly, or by popularity to the power of
        `popularity_exponent`.
    popularity_exponent : float, default 0.75
        Only for ``negatives="popular"``.
    n_candidates : int, default 16
        Only for ``negatives="dynamic"``. More candidates make training slower and the top of
        the list better.
    optimizer : {"sgd", "adagrad"}, default "sgd"
        With "adagrad" the step of a user or an item falls with the gradients it has had [3]_:
        what is rare goes on learning when what is popular is settled. It wants a learning rate of
        about 0.5, and is better than plain SGD where there are few epochs or many rare items.
    init_scale : float, default 0.1
        Standard deviation of the first factors, before division by the square root of `factors`.
    random_state : int, default 0
        The same data and `random_state` give the same model.
    num_threads : int, optional
        Default: what `penchant.show_config()` prints.

    Attributes
    ----------
    user_factors_ : float32 array of shape (n_users, factors)
    item_factors_ : float32 array of shape (n_items, factors)
    item_biases_ : float32 array of shape (n_items,), or None without `use_biases`
    history_ : frame
        A row per epoch: epoch; loss, the mean of -log sigmoid of the score differences; auc, the
        share of pairs that outscored their draw; seconds; and metrics of callbacks.

    References
    ----------
    .. [1] Rendle, Freudenthaler, Gantner, Schmidt-Thieme: "BPR: Bayesian personalized ranking
       from implicit feedback", UAI 2009.
    .. [2] Zhang, Chen, Wang, Yu: "Optimizing top-N collaborative filtering via dynamic negative
       item sampling", SIGIR 2013.
    .. [3] Duchi, Hazan, Singer: "Adaptive subgradient methods for online learning and stochastic
       optimization", JMLR 12, 2011; here with one sum of squares for each row.

    Examples
    --------
    >>> import penchant as pc
    >>> baskets = [["tea", "jam"], ["tea", "jam"], ["tea"], ["pen", "ink"], ["pen", "ink"], ["pen"]]
    >>> data = pc.Interactions.from_sequences(baskets)
    >>> model = pc.BPR(factors=8, epochs=60).fit(data, progress=False)
    >>> model.recommend(2, k=1)["item"].to_list()
    ['jam']
    """

    _rules: ClassVar[Mapping[str, Rule]] = {
        "factors": Integer(1, 2048),
        "epochs": Integer(1, 1_000_000),
        "learning_rate": Real(0, 10, open_low=True),
        "learning_rate_decay": Real(0, 1),
        "regularization": _REGULARIZATION,
        "user_regularization": _OWN_REGULARIZATION,
        "positive_regularization": _OWN_REGULARIZATION,
        "negative_regularization": _OWN_REGULARIZATION,
        "bias_regularization": _OWN_REGULARIZATION,
        "use_biases": Flag(),
        "negatives": Choice(("dynamic", "uniform", "popular")),
        "popularity_exponent": Real(-10, 10),
        "n_candidates": Integer(1, 256),
        "optimizer": Choice(("sgd", "adagrad")),
        "init_scale": Real(0, 100, open_low=True),
        "random_state": Integer(0, 2**63 - 1),
        "num_threads": NUM_THREADS,
    }
    _weights: ClassVar[Mapping[str, Weight]] = {
        "user_factors_": Weight(("users", "factors")),
        "item_factors_": Weight(("items", "factors")),
        "item_biases_": Weight(("items",), optional=True),
    }

    user_factors_: NDArray[np.float32]
    item_factors_: NDArray[np.float32]
    item_biases_: NDArray[np.float32] | None

    def __init__(
        self,
        *,
        factors: int = 64,
        epochs: int = 100,
        learning_rate: float = 0.05,
        learning_rate_decay: float = 1.0,
        regularization: float = 0.02,
        user_regularization: float | None = None,
        positive_regularization: float | None = None,
        negative_regularization: float | None = None,
        bias_regularization: float | None = None,
        use_biases: bool = True,
        negatives: Literal["dynamic", "uniform", "popular"] = "dynamic",
        popularity_exponent: float = 0.75,
        n_candidates: int = 16,
        optimizer: Literal["sgd", "adagrad"] = "sgd",
        init_scale: float = 0.1,
        random_state: int = 0,
        num_threads: int | None = None,
    ) -> None:
        self.factors = factors
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.learning_rate_decay = learning_rate_decay
        self.regularization = regularization
        self.user_regularization = user_regularization
        self.positive_regularization = positive_regularization
        self.negative_regularization = negative_regularization
        self.bias_regularization = bias_regularization
        self.use_biases = use_biases
        self.negatives = negatives
        self.popularity_exponent = popularity_exponent
        self.n_candidates = n_candidates
        self.optimizer = optimizer
        self.init_scale = init_scale
        self.random_state = random_state
        self.num_threads = num_threads
        self._check_params()

    def _start(self, train: Interactions) -> None:
        if len(self.seen_.indices) == train.n_users * train.n_items > 1:
            notice(
                "BPR: every user has every item, so that there is nothing to prefer an item to "
                "and nothing can be learnt"
            )
        factors = int(self.factors)
        scale = float(self.init_scale) / np.sqrt(factors)
        seed = int(self.random_state)
        self.user_factors_ = _core.random_normal(
            train.n_users, factors, scale=scale, seed=seed, stream=_USERS
        )
        self.item_factors_ = _core.random_normal(
            train.n_items, factors, scale=scale, seed=seed, stream=_ITEMS
        )
        self.item_biases_ = np.zeros(train.n_items, dtype=np.float32) if self.use_biases else None

    def _fit(self, train: Interactions, monitor: FitMonitor) -> None:
        _core.fit_bpr(
            self.seen_.indptr,
            self.seen_.indices,
            monitor.draft("user_factors_"),
            monitor.draft("item_factors_"),
            monitor.draft("item_biases_"),
            epochs=int(self.epochs),
            learning_rate=float(self.learning_rate),
            learning_rate_decay=float(self.learning_rate_decay),
            user_regularization=self._own_regularization(self.user_regularization, _USER_SHARE),
            positive_regularization=self._own_regularization(self.positive_regularization),
            negative_regularization=self._own_regularization(self.negative_regularization),
            bias_regularization=self._own_regularization(self.bias_regularization),
            negatives=self.negatives,
            popularity_exponent=float(self.popularity_exponent),
            optimizer=self.optimizer,
            n_candidates=int(self.n_candidates),
            seed=int(self.random_state),
            num_threads=self._threads(None),
            on_epoch=lambda epoch, loss, auc: monitor(epoch, loss, auc=auc),
        )

    def _fold_in(self, histories: Histories) -> NDArray[np.float32]:
        """Return the vectors that strangers get by the steps of training, items as they are."""
        solver: _core.BprFoldIn | None = self._derived.get("fold in")
        if solver is None:
            trained = self._trained
            solver = self._derived["fold in"] = _core.BprFoldIn(
                self.item_factors_,
                self.item_biases_,
                self.item_counts_,
                learning_rate=float(trained.learning_rate),
                user_regularization=self._own_regularization(
                    trained.user_regularization, _USER_SHARE
                ),
                negatives=trained.negatives,
                popularity_exponent=float(trained.popularity_exponent),
                optimizer=trained.optimizer,
                n_candidates=int(trained.n_candidates),
                seed=int(trained.random_state),
            )
        lists = histories.matrix("distinct")
        return solver.solve(lists.indptr, lists.indices, num_threads=self._threads(None))

    def _own_regularization(self, value: float | None, share: float = 1.0) -> float:
        return share * float(self._trained.regularization) if value is None else float(value)

    def _factors(self) -> Factors:
        return Factors(self.user_factors_, self.item_factors_, self.item_biases_)

    # ---- new users and items --------------------------------------------------------------------

    def _adopt_users(self, codes: Rows, queries: NDArray[np.float32]) -> None:
        self.user_factors_[codes] = queries

    def _learn_items(self, growth: Growth, takers: CSR) -> None:
        """Take the steps of a user for an item: who took it should score it above who did not."""
        trained = self._trained
        solver = _core.BprFoldIn(
            self.user_factors_,
            None,
            np.diff(self.seen_.indptr),
            learning_rate=float(trained.learning_rate),
            user_regularization=self._own_regularization(trained.positive_regularization),
            negatives="uniform",
            popularity_exponent=0.0,
            optimizer=trained.optimizer,
            n_candidates=1,
            seed=int(trained.random_state),
        )
        threads = self._threads(None)
        # Training holds items back that such steps would let grow: learn by how much from known
        # ones.
        sample = _sample(np.flatnonzero(growth.known.items))
        lists = self._takers(sample)
        again = solver.solve(lists.indptr, lists.indices, num_threads=threads)
        own = self.item_factors_[sample].astype(np.float64)
        share = (own * again).sum() / max(np.square(again, dtype=np.float64).sum(), 1e-30)
        found = solver.solve(takers.indptr, takers.indices, num_threads=threads)
        self.item_factors_[growth.items] = np.float32(np.clip(share, 0.0, 1.0)) * found
        if self.item_biases_ is not None:
            # What known items of that popularity have.
            known = growth.known.items
            counts = np.log1p(self.item_counts_.astype(np.float64))
            counts -= counts[known].mean()
            biases = self.item_biases_[known].astype(np.float64)
            slope = (counts[known] * biases).sum() / max((counts[known] ** 2).sum(), 1e-30)
            self.item_biases_[growth.items] = biases.mean() + slope * counts[growth.items]


def _sample(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return some of the codes, at equal distances."""
    count = min(len(codes), _SAMPLED_ITEMS)
    return codes[np.arange(count) * len(codes) // max(count, 1)]
