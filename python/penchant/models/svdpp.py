"""SVD++: matrix factorization that also knows what a user has rated at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.models.params import Rule
from penchant.models.ranker import Rows
from penchant.models.ratings import IMPLICIT
from penchant.models.svd import SgdRatingModel
from penchant.models.weights import Weight
from penchant.retrieval.filters import RowLists, take_lists

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models.training import FitMonitor


def _with_implicit(rules: Mapping[str, Rule]) -> Mapping[str, Rule]:
    """Add the parameters of implicit factors, each after that of the items' own."""
    found: dict[str, Rule] = {}
    for name, rule in rules.items():
        found[name] = rule
        if name in ("item_learning_rate", "item_regularization"):
            found[name.replace("item", "implicit")] = rule
    return found


class SVDpp(SgdRatingModel):
    """Matrix factorization of ratings that also learns from which items a user has rated.

    The factors of a user are their own plus the sum of the implicit factors of all items they have
    rated, divided by the square root of their number [1]_. One step a rating moves all of these;
    an epoch costs time linear in the ratings. Training is parallel, and its result the same bits
    for any number of threads.

    The defaults are those of Surprise's SVDpp.

    Parameters
    ----------
    factors : int, default 20
        Length of a user or item vector.
    epochs : int, default 20
        Passes over the ratings.
    learning_rate : float, default 0.007
        Step size, for all groups of parameters that have none of their own.
    learning_rate_decay : float, default 0.0
        Epoch e (from 0) of E uses ``learning_rate * (1 - learning_rate_decay * e / E)``.
    user_learning_rate, item_learning_rate, implicit_learning_rate : float, optional
        Take the place of `learning_rate` for the factors of users or items, or for the implicit
        factors of items.
    user_bias_learning_rate, item_bias_learning_rate : float, optional
        Likewise for the biases.
    regularization : float, default 0.02
        L2 penalty for each rating, for all groups that have none of their own.
    user_regularization, item_regularization, implicit_regularization : float, optional
        Take the place of `regularization` for one kind of factors.
    user_bias_regularization, item_bias_regularization : float, optional
        Likewise for the biases.
    biased : bool, default True
        False leaves out the mean and the biases.
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
        The users' own part; `user_vectors` adds that of their items.
    item_factors_ : float32 array of shape (n_items, factors)
    implicit_factors_ : float32 array of shape (n_items, factors)
    user_biases_ : float32 array of shape (n_users,), or None without `biased`
    item_biases_ : float32 array of shape (n_items,), or None without `biased`
    mean_, scale_, history_
        As in `SVD`.

    Notes
    -----
    Of a (user, item) pair that repeats, the latest rating counts. `recommend` ranks by the
    estimate before it is clipped to the scale.

    References
    ----------
    .. [1] Koren: "Factorization meets the neighborhood: a multifaceted collaborative filtering
       model", KDD 2008, eq. 15.

    Examples
    --------
    >>> import pandas as pd, penchant as pc
    >>> rows = [("ann", "tea", 5), ("ann", "jam", 3), ("bob", "tea", 4), ("eve", "jam", 2)]
    >>> frame = pd.DataFrame(rows, columns=["who", "what", "stars"])
    >>> data = pc.Interactions.from_frame(frame, user="who", item="what", value="stars")
    >>> model = pc.SVDpp(factors=2).fit(data, progress=False)
    >>> model.recommend("bob")["what"].to_list()
    ['jam']
    """

    _rules: ClassVar[Mapping[str, Rule]] = _with_implicit(SgdRatingModel._rules)
    _weights: ClassVar[Mapping[str, Weight]] = {
        **SgdRatingModel._weights,
        "implicit_factors_": Weight(("items", "factors")),
    }

    implicit_factors_: NDArray[np.float32]

    def __init__(
        self,
        *,
        factors: int = 20,
        epochs: int = 20,
        learning_rate: float = 0.007,
        learning_rate_decay: float = 0.0,
        user_learning_rate: float | None = None,
        item_learning_rate: float | None = None,
        implicit_learning_rate: float | None = None,
        user_bias_learning_rate: float | None = None,
        item_bias_learning_rate: float | None = None,
        regularization: float = 0.02,
        user_regularization: float | None = None,
        item_regularization: float | None = None,
        implicit_regularization: float | None = None,
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
        self.implicit_learning_rate = implicit_learning_rate
        self.user_bias_learning_rate = user_bias_learning_rate
        self.item_bias_learning_rate = item_bias_learning_rate
        self.regularization = regularization
        self.user_regularization = user_regularization
        self.item_regularization = item_regularization
        self.implicit_regularization = implicit_regularization
        self.user_bias_regularization = user_bias_regularization
        self.item_bias_regularization = item_bias_regularization
        self.biased = biased
        self.init_mean = init_mean
        self.init_std = init_std
        self.rating_scale = rating_scale
        self.random_state = random_state
        self.num_threads = num_threads
        self._check_params()

    def _start(self, train: Interactions) -> None:
        super()._start(train)
        self.implicit_factors_ = self._first_factors(train.n_items, IMPLICIT)

    def _fit(self, train: Interactions, monitor: FitMonitor) -> None:
        ratings = train.csr("last")
        _core.fit_svdpp(
            ratings.indptr,
            ratings.indices,
            ratings.values,
            monitor.draft("user_factors_"),
            monitor.draft("item_factors_"),
            monitor.draft("implicit_factors_"),
            monitor.draft("user_biases_"),
            monitor.draft("item_biases_"),
            **self._sgd_options(),
            implicit_learning_rate=self._own("learning_rate", "implicit"),
            implicit_regularization=self._own("regularization", "implicit"),
            on_epoch=lambda epoch, loss, rmse: monitor(epoch, loss, rmse=rmse),
        )

    def _user_vectors(self) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] | None = self._derived.get("user_vectors")
        if vectors is None:
            sums = self._implicit_sums(self.seen_)
            vectors = self._derived["user_vectors"] = self.user_factors_ + sums
        return vectors

    def _implicit_sums(self, lists: RowLists) -> NDArray[np.float32]:
        return _core.implicit_sums(*lists, self.implicit_factors_, num_threads=self._threads(None))

    def _adopt_vectors(self, codes: Rows, vectors: NDArray[np.float32]) -> None:
        self.user_factors_[codes] = vectors - self._implicit_sums(take_lists(self.seen_, codes))
