"""Biased matrix factorization of ratings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.models.params import Flag, Integer, Pair, Real, Rule
from penchant.models.ranker import NUM_THREADS, Rows
from penchant.models.ratings import (
    ITEMS,
    OWN_RATE,
    OWN_REGULARIZATION,
    RATE,
    REGULARIZATION,
    USERS,
    RatingModel,
)
from penchant.models.weights import Weight

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models.training import FitMonitor

_GROUPS = ("user", "item", "user_bias", "item_bias")


class SgdRatingModel(RatingModel, abstract=True):
    """What SVD and SVD++ share: factors, biases and the rates and penalties of their SGD."""

    _rules: ClassVar[Mapping[str, Rule]] = {
        "factors": Integer(1, 2048),
        "epochs": Integer(1, 1_000_000),
        "learning_rate": RATE,
        "learning_rate_decay": Real(0, 1),
        "user_learning_rate": OWN_RATE,
        "item_learning_rate": OWN_RATE,
        "user_bias_learning_rate": OWN_RATE,
        "item_bias_learning_rate": OWN_RATE,
        "regularization": REGULARIZATION,
        "user_regularization": OWN_REGULARIZATION,
        "item_regularization": OWN_REGULARIZATION,
        "user_bias_regularization": OWN_REGULARIZATION,
        "item_bias_regularization": OWN_REGULARIZATION,
        "biased": Flag(),
        "init_mean": Real(-100, 100),
        "init_std": Real(0, 100),
        "rating_scale": Pair(),
        "random_state": Integer(0, 2**63 - 1),
        "num_threads": NUM_THREADS,
    }
    _weights: ClassVar[Mapping[str, Weight]] = {
        "user_factors_": Weight(("users", "factors")),
        "item_factors_": Weight(("items", "factors")),
        "user_biases_": Weight(("users",), optional=True),
        "item_biases_": Weight(("items",), optional=True),
        **RatingModel._rating_weights,
    }

    factors: int
    epochs: int
    learning_rate: float
    learning_rate_decay: float
    regularization: float
    init_mean: float
    init_std: float
    random_state: int
    num_threads: int | None
    user_factors_: NDArray[np.float32]

    def _start(self, train: Interactions) -> None:
        self._start_ratings(train)
        self.user_factors_ = self._first_factors(train.n_users, USERS)
        self.item_factors_ = self._first_factors(train.n_items, ITEMS)
        self._start_biases(train)

    def _first_factors(self, rows: int, stream: int) -> NDArray[np.float32]:
        found = _core.random_normal(
            rows,
            int(self.factors),
            scale=float(self.init_std),
            seed=int(self.random_state),
            stream=stream,
        )
        return found + np.float32(self.init_mean) if self.init_mean else found

    def _adopt_vectors(self, codes: Rows, vectors: NDArray[np.float32]) -> None:
        self.user_factors_[codes] = vectors

    def _own(self, name: str, group: str) -> float:
        """Return the rate or penalty of a group: its own, or the one for all."""
        value = getattr(self, f"{group}_{name}")
        return float(getattr(self, name) if value is None else value)

    def _sgd_options(self) -> dict[str, Any]:
        return {
            "epochs": int(self.epochs),
            "learning_rates": tuple(self._own("learning_rate", group) for group in _GROUPS),
            "regularizations": tuple(self._own("regularization", group) for group in _GROUPS),
            "learning_rate_decay": float(self.learning_rate_decay),
            "mean": float(self.mean_[0]) if self.biased else 0.0,
            "seed": int(self.random_state),
            "num_threads": self._threads(None),
        }


class SVD(SgdRatingModel):
    """Matrix factorization of ratings with biases, by stochastic gradient descent.

    A rating is estimated as mean + user bias + item bias + user factors . item factors [1]_. For
    every rating of an epoch one step makes the squared error of its estimate, plus the penalties,
    smaller. Training is parallel, and its result the same bits for any number of threads.

    The defaults are those of Surprise's SVD.

    Parameters
    ----------
    factors : int, default 100
        Length of a user or item vector.
    epochs : int, default 20
        Passes over the ratings.
    learning_rate : float, default 0.005
        Step size, for all groups of parameters that have none of their own.
    learning_rate_decay : float, default 0.0
        Epoch e (from 0) of E uses ``learning_rate * (1 - learning_rate_decay * e / E)``: 0 keeps
        the rate, 1 lets it fall to nearly nothing.
    user_learning_rate, item_learning_rate : float, optional
        Take the place of `learning_rate` for the factors of users or items.
    user_bias_learning_rate, item_bias_learning_rate : float, optional
        Likewise for the biases.
    regularization : float, default 0.02
        L2 penalty for each rating, for all groups that have none of their own.
    user_regularization, item_regularization : float, optional
        Take the place of `regularization` for the factors of users or items.
    user_bias_regularization, item_bias_regularization : float, optional
        Likewise for the biases.
    biased : bool, default True
        False leaves out the mean and the biases: probabilistic matrix factorization [2]_.
    init_mean, init_std : float, default 0.0 and 0.1
        Mean and standard deviation of the first factors.
    rating_scale : pair of float, optional
        The lowest and highest rating, such as ``(1, 5)``; estimates stay between them. Default:
        those of the training data.
    random_state : int, default 0
        The same data and `random_state` give the same model.
    num_threads : int, optional
        Default: what `penchant.show_config()` prints.

    Attributes
    ----------
    user_factors_ : float32 array of shape (n_users, factors)
    item_factors_ : float32 array of shape (n_items, factors)
    user_biases_ : float32 array of shape (n_users,), or None without `biased`
    item_biases_ : float32 array of shape (n_items,), or None without `biased`
    mean_ : float32 array of shape (1,)
        Mean training rating.
    scale_ : float32 array of shape (2,)
        The lowest and the highest estimate that is shown.
    history_ : frame
        A row per epoch: epoch; loss, the mean squared error plus the mean penalty; rmse, of the
        training ratings just before their steps; seconds; and metrics of callbacks.

    Notes
    -----
    Of a (user, item) pair that repeats, the latest rating counts. `recommend` ranks by the
    estimate before it is clipped to the scale.

    References
    ----------
    .. [1] Koren, Bell, Volinsky: "Matrix factorization techniques for recommender systems",
       Computer 42 (8), 2009.
    .. [2] Salakhutdinov, Mnih: "Probabilistic matrix factorization", NIPS 2007.

    Examples
    --------
    >>> import pandas as pd, penchant as pc
    >>> rows = [("ann", "tea", 5), ("ann", "jam", 3), ("bob", "tea", 4), ("eve", "jam", 2)]
    >>> frame = pd.DataFrame(rows, columns=["who", "what", "stars"])
    >>> data = pc.Interactions.from_frame(frame, user="who", item="what", value="stars")
    >>> model = pc.SVD(factors=2, epochs=50).fit(data, progress=False)
    >>> estimate = model.predict(pd.DataFrame({"who": ["bob"], "what": ["jam"]}))
    >>> bool(2 <= estimate[0] <= 4)
    True
    """

    def __init__(
        self,
        *,
        factors: int = 100,
        epochs: int = 20,
        learning_rate: float = 0.005,
        learning_rate_decay: float = 0.0,
        user_learning_rate: float | None = None,
        item_learning_rate: float | None = None,
        user_bias_learning_rate: float | None = None,
        item_bias_learning_rate: float | None = None,
        regularization: float = 0.02,
        user_regularization: float | None = None,
        item_regularization: float | None = None,
        user_bias_regularization: float | None = None,
        item_bias_regularization: float | None = None,
        biased: bool = True,
        init_mean: float = 0.0,
        init_std: float = 0.1,
        rating_scale: tuple[float, float] | None = None,
        random_state: int = 0,
        num_threads: int | None = None,
    ) -> None:
        self.factors = factors
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.learning_rate_decay = learning_rate_decay
        self.user_learning_rate = user_learning_rate
        self.item_learning_rate = item_learning_rate
        self.user_bias_learning_rate = user_bias_learning_rate
        self.item_bias_learning_rate = item_bias_learning_rate
        self.regularization = regularization
        self.user_regularization = user_regularization
        self.item_regularization = item_regularization
        self.user_bias_regularization = user_bias_regularization
        self.item_bias_regularization = item_bias_regularization
        self.biased = biased
        self.init_mean = init_mean
        self.init_std = init_std
        self.rating_scale = rating_scale
        self.random_state = random_state
        self.num_threads = num_threads
        self._check_params()

    def _fit(self, train: Interactions, monitor: FitMonitor) -> None:
        ratings = train.csr("last")
        _core.fit_svd(
            ratings.indptr,
            ratings.indices,
            ratings.values,
            monitor.draft("user_factors_"),
            monitor.draft("item_factors_"),
            monitor.draft("user_biases_"),
            monitor.draft("item_biases_"),
            **self._sgd_options(),
            on_epoch=lambda epoch, loss, rmse: monitor(epoch, loss, rmse=rmse),
        )

    def _user_vectors(self) -> NDArray[np.float32]:
        return self.user_factors_
