"""What models of ratings share: the scale, biases, and answers about unknown users and items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.errors import DataError
from penchant.models.alike_items import most_alike
from penchant.models.factor_model import FactorModel, Factors
from penchant.models.params import Real
from penchant.models.ranker import Rows, Scores
from penchant.models.weights import HISTORY_VALUES, Weight

if TYPE_CHECKING:
    import pyarrow as pa

    from penchant.data.interactions import CSR, Interactions
    from penchant.models.growth import Growth
    from penchant.models.histories import Histories
    from penchant.models.incremental import Reduction

RATE = Real(0, 10, open_low=True)
OWN_RATE = Real(0, 10, optional=True)
REGULARIZATION = Real(0, 100)
OWN_REGULARIZATION = Real(0, 100, optional=True)
USERS, ITEMS, IMPLICIT = 0, 1, 2  # random streams of the first factors

_UNKNOWN = ("error", "nan", "average")
_LEAST_VARIANCE = 1e-6  # where the training ratings are met exactly


class RatingModel(FactorModel, abstract=True):
    """Base class of models that estimate ratings as mean + biases + user . item."""

    _divergence_advice: ClassVar[str] = (
        "use a smaller learning_rate, smaller initial factors, or ratings on a smaller scale"
    )
    _rating_weights: ClassVar[dict[str, Weight]] = {
        **HISTORY_VALUES,
        "mean_": Weight((1,)),
        "scale_": Weight((2,)),
        # Where the rows of users are no longer those of training: their mean and the root of their
        # covariance.
        "user_prior_": Weight(("prior+1", "prior"), optional=True, dtype="float64", given=True),
    }

    rating_scale: tuple[float, float] | None
    biased: bool
    mean_: NDArray[np.float32]
    scale_: NDArray[np.float32]
    item_factors_: NDArray[np.float32]
    user_biases_: NDArray[np.float32] | None
    item_biases_: NDArray[np.float32] | None
    user_prior_: NDArray[np.float64] | None

    # ---- training -------------------------------------------------------------------------------

    def _user_vectors(self) -> NDArray[np.float32]:
        """Return what the item factors are multiplied with, a row for each user."""
        raise NotImplementedError

    def _start_ratings(self, train: Interactions) -> None:
        """Keep the ratings, of a repeated pair the last, with their mean and scale."""
        name = type(self).__name__
        if train.columns.value is None:
            raise DataError(
                f"{name} learns from ratings, and train has no value column: name it with "
                "pc.Interactions.from_frame(df, user=..., item=..., value='rating'), on the "
                "command line with --value rating"
            )
        scale = self.rating_scale
        if scale is not None:
            given = train.array("value")
            outside = np.flatnonzero((given < scale[0]) | (given > scale[1]))
            if len(outside):
                row = int(outside[0])
                user = train.users.to_list()[train.array("user")[row]]
                item = train.items.to_list()[train.array("item")[row]]
                raise DataError(
                    f"{name}: rating {given[row]:g} of user {user!r} and item {item!r} (event "
                    f"{row}) is outside rating_scale={scale}, and {len(outside)} are in all: "
                    "correct the data or the scale"
                )
        ratings = train.csr("last")
        self.user_prior_ = None
        self.history_values_ = ratings.values
        self.mean_ = np.array([ratings.values.mean(dtype=np.float64)], dtype=np.float32)
        ends = (ratings.values.min(), ratings.values.max()) if scale is None else scale
        self.scale_ = np.array(ends, dtype=np.float32)

    def _start_biases(self, train: Interactions) -> None:
        self.user_biases_ = np.zeros(train.n_users, np.float32) if self.biased else None
        self.item_biases_ = np.zeros(train.n_items, np.float32) if self.biased else None

    # ---- answers --------------------------------------------------------------------------------

    def _factors(self) -> Factors:
        """Return factors whose user biases are a dimension more, in which every item is 1."""

        def vectors() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            users, items = self._user_vectors(), self.item_factors_
            if self.user_biases_ is not None:
                ones = np.ones((len(items), 1), dtype=np.float32)
                own = (self.mean_ + self.user_biases_)[:, None]
                users, items = np.hstack([users, own]), np.hstack([items, ones])
            return users, items

        return self._kept_factors(vectors, lambda: self.item_biases_)

    # ---- users that training never saw ----------------------------------------------------------

    def _fold_in(self, histories: Histories) -> NDArray[np.float32]:
        """Return the rows that strangers most probably have, given those of the known users."""
        name = type(self).__name__
        if histories.n and not histories.valued:
            value = "value" if self.columns_.value is None else self.columns_.value
            raise DataError(
                f"{name} goes by ratings, and the history has none: pass a mapping such as "
                f"{{item: rating}}, or a frame with the column {value!r}"
            )
        solver: _core.RatingFoldIn | None = self._derived.get("fold in")
        if solver is None:
            _, items, biases = self._factors()
            solver = self._derived["fold in"] = self._solver(self._prior(), items, biases)
        matrix = histories.matrix("last")
        low, high = (float(end) for end in self.scale_)
        width = max(high - low, abs(high), abs(low))
        if self.rating_scale is None:  # of the training data only, which may lack an end of it
            low, high = low - width, high + width
        outside = np.flatnonzero((matrix.values < low) | (matrix.values > high))
        if len(outside):
            raise DataError(
                f"history: rating {matrix.values[outside[0]]:g} of item "
                f"{self.items_[int(matrix.indices[outside[0]])]!r} is too far from the ratings "
                f"{name} was trained on, {self.scale_[0]:g} to {self.scale_[1]:g}"
            )
        return solver.solve(
            matrix.indptr, matrix.indices, matrix.values, num_threads=self._threads(None)
        )

    def _prior(self) -> NDArray[np.float64]:
        """Return what is known of users without ratings: how those of the training data are."""
        return (
            self._prior_of(self._factors().users) if self.user_prior_ is None else self.user_prior_
        )

    def _prior_of(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        return _core.rating_prior(np.ascontiguousarray(rows), num_threads=self._threads(None))

    def _weights_problem(self) -> str | None:
        if self.user_prior_ is None:
            return None
        width = self.item_factors_.shape[1] + (self.user_biases_ is not None)
        if self.user_prior_.shape == (width + 1, width):
            return None
        return f"user_prior_ is not for vectors of {width} numbers"

    def _solver(
        self,
        prior: NDArray[np.float64],
        fixed: NDArray[np.float32],
        biases: NDArray[np.float32] | None,
    ) -> _core.RatingFoldIn:
        """Return what finds further rows, users or items, from their ratings with `fixed`."""
        return _core.RatingFoldIn(
            prior,
            np.ascontiguousarray(fixed),
            biases,
            variance=max(self._residual_variance(), _LEAST_VARIANCE),
            num_threads=self._threads(None),
        )

    def _value_reduction(self) -> Reduction:
        return "last"

    def _take_in(self, new: Interactions | None, rows: pa.Table | None) -> None:
        self.user_prior_ = self._prior()
        super()._take_in(new, rows)

    def _adopt_users(self, codes: Rows, queries: NDArray[np.float32]) -> None:
        if self.user_biases_ is not None:
            self.user_biases_[codes] = queries[:, -1] - self.mean_[0]
            queries = queries[:, :-1]
        self._adopt_vectors(codes, queries)

    def _adopt_vectors(self, codes: Rows, vectors: NDArray[np.float32]) -> None:
        """Make `vectors` the rows of users in `_user_vectors`."""
        raise NotImplementedError

    def _are_rated(self, growth: Growth) -> NDArray[np.bool_]:
        """Ratings of strangers say how good an item is: better than the mean of all.

        What is known of items with the same attributes says more.
        """
        rated = np.isin(growth.items, growth.event_items)
        if self.item_features_ is not None and rated.any():
            asked = growth.items[rated]
            _, weights = most_alike(
                self.item_features_, growth.known.items, asked, self._threads(None)
            )
            rated[rated] = ~weights.any(axis=1)
        return rated

    def _learn_items(self, growth: Growth, takers: CSR) -> None:
        """Find the most probable items, as `_fold_in` does users."""
        rows, fixed = self.item_factors_, self._user_vectors()
        biases = None
        if self.item_biases_ is not None and self.user_biases_ is not None:
            rows = np.hstack([rows, self.item_biases_[:, None]])
            fixed = np.hstack([fixed, np.ones((len(fixed), 1), dtype=np.float32)])
            biases = self.mean_ + self.user_biases_
        prior = self._prior_of(rows[growth.known.items])
        found = self._solver(prior, fixed, biases).solve(
            takers.indptr, takers.indices, takers.values, num_threads=self._threads(None)
        )
        if self.item_biases_ is not None:
            self.item_biases_[growth.items] = found[:, -1]
            found = found[:, :-1]
        self.item_factors_[growth.items] = found

    def _needs_values(self) -> bool:
        return True

    def _residual_variance(self) -> float:
        """Return the mean squared error on the training ratings, as the last epoch had it."""
        return float(self._history[-1]["rmse"]) ** 2 if self._history else 1.0

    def _vectors(self, side: Literal["user", "item"]) -> NDArray[np.float32]:
        return self._user_vectors() if side == "user" else self.item_factors_

    def _finish(self, scores: Scores) -> Scores:
        return np.clip(scores, self.scale_[0], self.scale_[1])

    def predict(
        self,
        pairs: Any,
        *,
        unknown: Literal["error", "nan", "average"] = "error",
        return_known: bool = False,
        num_threads: int | None = None,
    ) -> Any:
        """Estimate the ratings of (user, item) pairs, within the rating scale.

        Parameters
        ----------
        pairs : frame
            pandas, polars or pyarrow, with the user and item columns of the training data.
        unknown : {"error", "nan", "average"}, default "error"
            Pairs with a user or item outside the training data raise, score NaN, or get the mean
            rating plus the bias of whichever of the two is known.
        return_known : bool, default False
            Return also which pairs had both a known user and a known item.
        num_threads : int, optional
            Default: the model's ``num_threads``.

        Returns
        -------
        estimates : float32 array of shape (len(pairs),)
            One per row, in order; the same bits as the score that `recommend` shows.
        known : bool array of shape (len(pairs),)
            Only with `return_known`.

        Raises
        ------
        UnknownIdError
            With ``unknown="error"``, naming the first five unknown users or items.

        Examples
        --------
        >>> import pandas as pd, penchant as pc
        >>> rows = [("ann", "tea", 5), ("ann", "jam", 3), ("bob", "tea", 4), ("eve", "jam", 2)]
        >>> frame = pd.DataFrame(rows, columns=["who", "what", "stars"])
        >>> data = pc.Interactions.from_frame(frame, user="who", item="what", value="stars")
        >>> model = pc.SVD(factors=2).fit(data, progress=False)
        >>> asked = pd.DataFrame({"who": ["bob", "new"], "what": ["jam", "ink"]})
        >>> ratings, known = model.predict(asked, unknown="average", return_known=True)
        >>> known.tolist(), float(ratings[1])
        ([True, False], 3.5)
        """
        ratings, users, items = self._score_pairs(pairs, unknown, _UNKNOWN, num_threads)
        known = (users >= 0) & (items >= 0)
        if unknown == "average":
            averages = self._averages(users[~known], items[~known])
            ratings[~known] = self._finish(averages)
        return (ratings, known) if return_known else ratings

    def _averages(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the mean plus the biases of those that are known (code not -1)."""
        found = np.full(len(users), self.mean_[0], dtype=np.float32)
        for codes, biases in ((users, self.user_biases_), (items, self.item_biases_)):
            if biases is not None:
                found += np.where(codes >= 0, biases[codes], np.float32(0))
        return found
