"""What every model answers, whatever it learns: ids, frames, filters and unknown users.

A model is one file. It declares its hyperparameters (see `Parameterized`), the arrays it learns
(`_weights`), `_start` (make them), `_fit` (train them) and `_factors` (how they score).
`FittedModel` does the rest around training, `Recommender` the answers.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from penchant import _core
from penchant.errors import UnsupportedError
from penchant.models import results, state
from penchant.models.fitted import Factors, FittedModel
from penchant.models.params import Integer
from penchant.retrieval.exact import MAX_THREADS, ExactIndex, check_k, thread_count
from penchant.retrieval.filters import RowLists, take_lists

__all__ = ["Factors", "Recommender"]

Unknown = Literal["error", "drop", "popular"]
Rows = NDArray[np.int64]
Scores = NDArray[np.float32]

NUM_THREADS = Integer(1, MAX_THREADS, optional=True)


class Recommender(FittedModel):
    """Base class of the models; use one of them, such as `penchant.BPR`."""

    _has_vectors: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        state.register(cls)

    def recommend_codes(
        self,
        users: ArrayLike | None = None,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        num_threads: int | None = None,
    ) -> tuple[Rows, Scores]:
        """Recommend for rows of the user factors: the array form of `recommend`.

        Evaluation, batch and serving use it too, so all give the same bits.

        Parameters
        ----------
        users : int array of shape (q,), optional
            Codes of `users_`; -1 asks for the most popular items. None means everyone.
        k : int, default 10
            Items per user, at most the size of the catalogue.
        exclude_seen : bool, default True
            Leave out the items of the user's own training data.
        num_threads : int, optional
            Default: the model's ``num_threads``. The answer does not depend on it.

        Returns
        -------
        rows : int64 array of shape (q, min(k, n_items))
            Codes of `items_`, best first, ties by the lower code; -1 where none are left.
        scores : float32 array of the same shape
            -inf where `rows` is -1.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ParameterError
            `k` or `num_threads` is not a positive integer.
        IndexError
            A code of `n_users` or more.

        Examples
        --------
        >>> import penchant as pc
        >>> data = pc.Interactions.from_sequences([["tea"], ["tea", "jam"], ["tea", "jam"]])
        >>> rows, scores = pc.Popularity().fit(data).recommend_codes([0, -1], k=2)
        >>> rows.tolist(), scores.tolist()
        ([[0, -1], [1, 0]], [[2.0, -inf], [3.0, 2.0]])
        """
        self._check_fitted()
        check_k(k)
        threads = self._threads(num_threads)
        users_, k = self._factors().users, min(int(k), len(self.items_))
        if users is None:
            queries, seen = users_, self.seen_
            known = np.ones(len(queries), dtype=bool)
        else:
            codes = np.asarray(users, dtype=np.int64)
            known = codes >= 0
            queries, seen = users_[codes[known]], take_lists(self.seen_, codes[known])
        found: tuple[Rows, Scores] = self._topk().search(
            np.ascontiguousarray(queries),
            k,
            exclude=seen if exclude_seen else None,
            num_threads=threads,
        )
        if known.all():
            return found
        rows = np.empty((len(known), k), dtype=np.int64)
        scores = np.empty((len(known), k), dtype=np.float32)
        rows[known], scores[known] = found
        rows[~known], scores[~known] = self._popular(k)
        return rows, scores

    def _popular(self, k: int) -> tuple[Rows, Scores]:
        """Return the `k` items with the most users, and how many they have."""
        if "popular" not in self._derived:
            self._derived["popular"] = np.argsort(-self.item_counts_, kind="stable")
        rows: Rows = self._derived["popular"][:k]
        return rows, self.item_counts_[rows].astype(np.float32)

    def _topk(self) -> _core.TopkIndex:
        """Return the index over the item factors; made once and kept until they change."""
        index: _core.TopkIndex | None = self._derived.get("topk")
        if index is None:
            factors = self._factors()
            index = self._derived["topk"] = _core.TopkIndex(factors.items, factors.biases)
        return index

    def _similarity(self) -> ExactIndex:
        index: ExactIndex | None = self._derived.get("similarity")
        if index is None:
            index = self._derived["similarity"] = ExactIndex(self._factors().items, "cosine")
        return index

    def _threads(self, num_threads: int | None) -> int:
        own: int | None = getattr(self, "num_threads", None)
        return thread_count(own if num_threads is None else num_threads)

    def recommend(
        self,
        users: Any = None,
        *,
        k: int = 10,
        exclude_seen: bool = True,
        unknown: Unknown = "error",
        num_threads: int | None = None,
    ) -> Any:
        """Recommend items to users of the training data.

        Parameters
        ----------
        users : id, sequence of ids, Series or array, optional
            In any order, repeats allowed; text ``"17850"`` finds the number 17850 and the other
            way round. None means everyone.
        k : int, default 10
            Items per user. Where fewer are left the answer is shorter; nothing is made up.
        exclude_seen : bool, default True
            Leave out the items of the user's own training data.
        unknown : {"error", "drop", "popular"}, default "error"
            What to do about users outside the training data: raise, leave them out, or recommend
            the most popular items with the number of their users as the score.
        num_threads : int, optional
            Default: the model's ``num_threads``. The answer does not depend on it.

        Returns
        -------
        frame
            Of the training data's kind: <user column>, <item column>, score (float32), rank
            (int64, from 1). Users keep the order they were asked in.

        Raises
        ------
        UnknownIdError
            With ``unknown="error"``, naming the first five unknown users.
        DataError
            `users` is a whole frame, not one column of ids.
        ParameterError
            `k`, `unknown` or `num_threads` is out of range.
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> import pandas as pd, penchant as pc
        >>> pairs = [(1, "tea"), (1, "jam"), (2, "tea"), (2, "milk"), (3, "jam")]
        >>> shop = pd.DataFrame(pairs, columns=["who", "what"])
        >>> model = pc.Popularity().fit(pc.Interactions.from_frame(shop, user="who", item="what"))
        >>> model.recommend([3, 1], k=2)
           who  what  score  rank
        0    3   tea    2.0     1
        1    3  milk    1.0     2
        2    1  milk    1.0     1
        """
        self._check_fitted()
        asked = results.resolve(self.users_, users, "user", unknown, ("error", "drop", "popular"))
        rows, scores = self.recommend_codes(
            None if users is None else asked.codes,
            k,
            exclude_seen=exclude_seen,
            num_threads=num_threads,
        )
        names = (self.columns_.user, self.columns_.item)
        return results.ranked_frame(asked, self.items_, rows, scores, names, self.backend_)

    def similar_items(
        self,
        items: Any = None,
        *,
        k: int = 10,
        unknown: Literal["error", "drop"] = "error",
        num_threads: int | None = None,
    ) -> Any:
        """Find the items whose factors point the same way (cosine; biases play no part).

        Parameters
        ----------
        items : id, sequence of ids, Series or array, optional
            None means every item.
        k : int, default 10
            Neighbours per item; the item itself is not one of them.
        unknown : {"error", "drop"}, default "error"
            What to do about items outside the training data.
        num_threads : int, optional
            Default: the model's ``num_threads``.

        Returns
        -------
        frame
            <item column>, neighbor, score (float32, -1 to 1), rank (int64, from 1); at most k rows
            for each item asked about, best first.

        Raises
        ------
        UnknownIdError
            With ``unknown="error"``, naming the first five unknown items.
        UnsupportedError
            The model learns no vectors.
        DataError
            `items` is a whole frame, not one column of ids.
        ParameterError
            `k`, `unknown` or `num_threads` is out of range.
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> import penchant as pc
        >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea", "jam"], ["pen", "ink"]])
        >>> model = pc.BPR(factors=8, random_state=1).fit(data, progress=False)
        >>> len(model.similar_items("tea", k=2))
        2
        """
        self._check_vectors()
        check_k(k)
        asked = results.resolve(self.items_, items, "item", unknown, ("error", "drop"))
        itself = RowLists(np.arange(len(asked.codes) + 1, dtype=np.int64), asked.codes)
        rows, scores = self._similarity().search(
            self._factors().items[asked.codes],
            min(int(k), len(self.items_)),
            exclude=itself,
            num_threads=self._threads(num_threads) or None,
        )
        names = (self.columns_.item, "neighbor")
        return results.ranked_frame(asked, self.items_, rows, scores, names, self.backend_)

    def predict(
        self,
        pairs: Any,
        *,
        unknown: Literal["error", "nan"] = "error",
        num_threads: int | None = None,
    ) -> Scores:
        """Score (user, item) pairs; the same bits as the score that `recommend` shows.

        Parameters
        ----------
        pairs : frame
            pandas, polars or pyarrow, with the user and item columns of the training data.
        unknown : {"error", "nan"}, default "error"
            Pairs with a user or item outside the training data raise or score NaN.
        num_threads : int, optional
            Default: the model's ``num_threads``.

        Returns
        -------
        float32 array of shape (len(pairs),)
            One score per row, in order.

        Examples
        --------
        >>> import pandas as pd, penchant as pc
        >>> pairs = [(1, "tea"), (1, "jam"), (2, "tea"), (2, "milk"), (3, "jam")]
        >>> shop = pd.DataFrame(pairs, columns=["who", "what"])
        >>> model = pc.Popularity().fit(pc.Interactions.from_frame(shop, user="who", item="what"))
        >>> model.predict(pd.DataFrame({"who": [3, 1], "what": ["milk", "tea"]}))
        array([1., 2.], dtype=float32)
        """
        self._check_fitted()
        names = (self.columns_.user, self.columns_.item)
        columns = results.pair_columns(pairs, names)
        users, items = (
            results.resolve(ids, column, kind, unknown, ("error", "nan")).codes
            for ids, column, kind in zip(
                (self.users_, self.items_), columns, ("user", "item"), strict=True
            )
        )
        known = (users >= 0) & (items >= 0)
        scores = np.full(len(known), np.nan, dtype=np.float32)
        rows, query = np.unique(users[known], return_inverse=True)
        scores[known] = self._topk().score_pairs(
            np.ascontiguousarray(self._factors().users[rows]),
            query.astype(np.int64),
            items[known].astype(np.int64),
            num_threads=self._threads(num_threads),
        )
        return scores

    def user_vectors(self) -> Any:
        """Return the user factors, one row per user.

        Returns
        -------
        frame of n_users rows
            Columns factor_0, factor_1, ... (float32). pandas: indexed by user id; polars and
            pyarrow: the id is the first column.

        Raises
        ------
        NotFittedError
            Before `fit`.
        UnsupportedError
            The model learns no vectors.

        Examples
        --------
        >>> import penchant as pc
        >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea", "milk"]])
        >>> model = pc.BPR(factors=4, epochs=3).fit(data, progress=False)
        >>> model.user_vectors().shape
        (2, 4)
        """
        return self._vectors("user")

    def item_vectors(self) -> Any:
        """Return the item factors, one row per item; biases are in ``item_biases_``.

        Returns
        -------
        frame of n_items rows
            Columns factor_0, factor_1, ... (float32). pandas: indexed by item id; polars and
            pyarrow: the id is the first column.

        Raises
        ------
        NotFittedError
            Before `fit`.
        UnsupportedError
            The model learns no vectors.

        Examples
        --------
        >>> import penchant as pc
        >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea", "milk"]])
        >>> model = pc.BPR(factors=4, epochs=3).fit(data, progress=False)
        >>> model.item_vectors().index.tolist()
        ['jam', 'milk', 'tea']
        >>> model.item_vectors().shape
        (3, 4)
        """
        return self._vectors("item")

    def _vectors(self, side: Literal["user", "item"]) -> Any:
        self._check_vectors()
        factors, columns = self._factors(), self.columns_
        ids, vectors, name = (
            (self.users_, factors.users, columns.user)
            if side == "user"
            else (self.items_, factors.items, columns.item)
        )
        return results.vector_frame(ids, vectors, name, self.backend_)

    def _check_vectors(self) -> None:
        self._check_fitted()
        if not self._has_vectors:
            raise UnsupportedError(
                f"{type(self).__name__} learns no vectors: use another model, such as BPR"
            )
