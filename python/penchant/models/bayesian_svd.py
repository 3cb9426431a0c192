"""Bayesian matrix factorization of ratings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.models.params import Choice, Integer, Pair, Real, Rule
from penchant.models.ranker import NUM_THREADS, Rows
from penchant.models.ratings import RatingModel
from penchant.models.weights import Weight

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models.training import FitMonitor


class BayesianSVD(RatingModel):
    """Matrix factorization of ratings averaged over its posterior, with nothing to tune.

    Where `SVD` and `SVDpp` look for the one best set of factors and biases, this draws many from
    their posterior distribution by Gibbs sampling and averages the estimates [1]_. How strongly
    factors are held back is sampled along with them. As in SVD++, which items a user has rated
    says something about the user [2]_, and who has rated an item about the item: both move the
    mean of the prior [3]_. It is the most accurate of the rating models, and the slowest. Training
    is parallel, and its result the same bits for any number of threads.

    Parameters
    ----------
    factors : int, default 16
        Length of a user or item vector of one sample.
    epochs : int, default 200
        Sweeps over all parameters.
    burn_in : float, default 0.25
        Share of the epochs before the first sample that is kept, below 1.
    n_samples : int, default 50
        How many samples are kept, at equal distances after the burn-in, or all where there are
        fewer. Memory and the time of an answer grow with it.
    implicit : {"both", "users", "items", "none"}, default "both"
        Whose prior knows who has rated what.
    rating_scale : pair of float, optional
        The lowest and highest rating, such as ``(1, 5)``; estimates stay between them. Default:
        those of the training data.
    random_state : int, default 0
        The same data and `random_state` give the same model.
    num_threads : int, optional
        Default: what `penchant.show_config()` prints.

    Attributes
    ----------
    user_factors_ : float32 array of shape (n_users, n_samples * factors)
        The samples side by side: the mean of their estimates is the inner product of these,
        divided by ``kept_``.
    item_factors_ : float32 array of shape (n_items, n_samples * factors)
    user_biases_ : float32 array of shape (n_users,)
        Means over the samples.
    item_biases_ : float32 array of shape (n_items,)
    kept_ : float32 array of shape (1,)
        Number of samples kept; those of training that was stopped early may be fewer.
    mean_, scale_
        As in `SVD`.
    history_ : frame
        A row per epoch: epoch; loss, the mean squared error of the current sample on the training
        ratings; rmse, its root; seconds; and metrics of callbacks.

    Notes
    -----
    A sweep costs O(ratings * factors^2 + (n_users + n_items) * factors^3). Of a (user, item) pair
    that repeats, the latest rating counts. `recommend` ranks by the estimate before it is clipped
    to the scale.

    References
    ----------
    .. [1] Salakhutdinov, Mnih: "Bayesian probabilistic matrix factorization using Markov chain
       Monte Carlo", ICML 2008.
    .. [2] Koren: "Factorization meets the neighborhood: a multifaceted collaborative filtering
       model", KDD 2008.
    .. [3] Simm et al.: "Macau: scalable Bayesian multi-relational factorization with side
       information using MCMC", arXiv 1509.04610, 2015.

    Examples
    --------
    >>> import pandas as pd, penchant as pc
    >>> rows = [("ann", "tea", 5), ("ann", "jam", 3), ("bob", "tea", 4), ("eve", "jam", 2)]
    >>> frame = pd.DataFrame(rows, columns=["who", "what", "stars"])
    >>> data = pc.Interactions.from_frame(frame, user="who", item="what", value="stars")
    >>> model = pc.BayesianSVD(factors=2, n_samples=20).fit(data, progress=False)
    >>> estimate = model.predict(pd.DataFrame({"who": ["bob"], "what": ["jam"]}))
    >>> bool(2 <= estimate[0] <= 5)
    True
    """

    _rules: ClassVar[Mapping[str, Rule]] = {
        "factors": Integer(1, 2048),
        "epochs": Integer(1, 1_000_000),
        "burn_in": Real(0, 0.99),
        "n_samples": Integer(1, 10_000),
        "implicit": Choice(("both", "users", "items", "none")),
        "rating_scale": Pair(),
        "random_state": Integer(0, 2**63 - 1),
        "num_threads": NUM_THREADS,
    }
    _weights: ClassVar[Mapping[str, Weight]] = {
        "user_factors_": Weight(("users", "samples")),
        "item_factors_": Weight(("items", "samples")),
        "user_biases_": Weight(("users",)),
        "item_biases_": Weight(("items",)),
        "kept_": Weight((1,)),
        **RatingModel._rating_weights,
    }

    _descends = False  # it samples
    _divergence_advice = "divide the ratings by a constant, so that they are neither huge nor tiny"

    biased = True
    user_factors_: NDArray[np.float32]
    kept_: NDArray[np.float32]

    def __init__(
        self,
        *,
        factors: int = 16,
        epochs: int = 200,
        burn_in: float = 0.25,
        n_samples: int = 50,
        implicit: Literal["both", "users", "items", "none"] = "both",
        rating_scale: tuple[float, float] | None = None,
        random_state: int = 0,
        num_threads: int | None = None,
    ) -> None:
        self.factors = factors
        self.epochs = epochs
        self.burn_in = burn_in
        self.n_samples = n_samples
        self.implicit = implicit
        self.rating_scale = rating_scale
        self.random_state = random_state
        self.num_threads = num_threads
        self._check_params()

    def _burn_in_epochs(self) -> int:
        return int(float(self.burn_in) * int(self.epochs))

    def _start(self, train: Interactions) -> None:
        self._start_ratings(train)
        n_samples = min(int(self.n_samples), int(self.epochs) - self._burn_in_epochs())
        width = n_samples * int(self.factors)
        self.user_factors_ = np.zeros((train.n_users, width), dtype=np.float32)
        self.item_factors_ = np.zeros((train.n_items, width), dtype=np.float32)
        self.kept_ = np.zeros(1, dtype=np.float32)
        self._start_biases(train)

    def _fit(self, train: Interactions, monitor: FitMonitor) -> None:
        ratings = train.csr("last")
        assert self.user_biases_ is not None
        assert self.item_biases_ is not None
        _core.fit_bayesian_svd(
            ratings.indptr,
            ratings.indices,
            ratings.values,
            self.user_factors_,
            self.item_factors_,
            self.user_biases_,
            self.item_biases_,
            self.kept_,
            factors=int(self.factors),
            epochs=int(self.epochs),
            burn_in=self._burn_in_epochs(),
            user_links=self.implicit in ("both", "users"),
            item_links=self.implicit in ("both", "items"),
            mean=float(self.mean_[0]),
            seed=int(self.random_state),
            num_threads=self._threads(None),
            on_epoch=lambda epoch, loss, rmse: monitor(epoch, loss, rmse=rmse),
        )

    def _adopt_vectors(self, codes: Rows, vectors: NDArray[np.float32]) -> None:
        self.user_factors_[codes] = vectors * np.maximum(self.kept_, np.float32(1))

    def _residual_variance(self) -> float:
        """Return the mean over the samples that were kept."""
        kept = [float(row["rmse"]) ** 2 for row in self._history[self._burn_in_epochs() :]]
        return float(np.mean(kept)) if kept else super()._residual_variance()

    def _user_vectors(self) -> NDArray[np.float32]:
        if "user_vectors" not in self._derived:
            kept = np.maximum(self.kept_, np.float32(1))
            self._derived["user_vectors"] = self.user_factors_ / kept
        vectors: NDArray[np.float32] = self._derived["user_vectors"]
        return vectors
