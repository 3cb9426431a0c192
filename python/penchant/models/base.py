"""What every model answers, whatever it learns: ids, frames, filters and unknown users.

A model is one file. It declares its hyperparameters (see `Parameterized`), the arrays it learns
(`_weights`), `_start` (make them), `_fit` (train them) and how it scores: `_index` and `_queries`
of `Ranker`, or `_factors` where it is a `FactorModel`. `FittedModel` does the rest around
training, `Ranker` the search, `Recommender` the ids and frames (`AudienceRanker` where users are
the answer).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from penchant.errors import ParameterError
from penchant.models import results, state
from penchant.models.capabilities import capabilities
from penchant.models.columns import columns_beside
from penchant.models.expression_filters import Asker
from penchant.models.fallback import read_among, stand_ins
from penchant.models.histories import read_histories
from penchant.models.item_filter import read_filter
from penchant.models.ranker import Rows, Scores, Shown
from penchant.models.similar import SimilarItems
from penchant.retrieval.filters import RowLists, take_lists

__all__ = ["Recommender"]

Unknown = Literal["error", "drop", "popular"]


class Recommender(SimilarItems):
    """Base class of the models; use one of them, such as `penchant.BPR`."""

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not abstract:
            state.register(cls)

    def recommend(
        self,
        users: Any = None,
        *,
        history: Any = None,
        k: int = 10,
        exclude_seen: bool = True,
        candidates: Any = None,
        exclude: Any = None,
        where: str | None = None,
        where_values: Mapping[str, Any] | None = None,
        with_columns: Iterable[str] = (),
        rerank: Any = (),
        pool: int | None = None,
        scores: Shown = "raw",
        unknown: Unknown = "error",
        popular_within: str | None = None,
        index: Literal["exact"] | None = None,
        num_threads: int | None = None,
    ) -> Any:
        """Recommend items to users of the training data, or to strangers by their history.

        Parameters
        ----------
        users : id, sequence of ids, Series or array, optional
            In any order, repeats allowed; text ``"17850"`` finds the number 17850 and the other
            way round. None means everyone.
        history : sequence of item ids, mapping, sequence of those, or frame, optional
            Instead of `users`: what one stranger took, oldest first; or a mapping of items to
            their values, such as ratings. For many, a list of either, whose strangers are then
            the users 0, 1 and so on of the answer, or a frame with the user, item and (where the
            model was trained with one) value column of the training data.
        k : int, default 10
            Items per user. Where fewer are left the answer is shorter.
        exclude_seen : bool, default True
            Leave out the items of the user's own training data, or of the history.
        candidates : sequence of item ids, mapping or frame, optional
            Rank just these items: the same for everybody, or for each user their own, as
            ``{user: [items]}`` or a frame with the user and item column of the training data.
        exclude : sequence of item ids, mapping or frame, optional
            Leave these items out, likewise.
        where : str, optional
            Rank only items that this expression on the item table
            (``Interactions.from_frame(..., item_features=...)``) chooses, such as
            ``"category == 'beer' and abv < 6"`` (lists, and text that joins values by ``|``, match
            by any of their values; nothing but ``is null`` chooses missing ones), or Amazon
            Personalize's
            ``'EXCLUDE ItemID WHERE Items.GENRE IN ("Comedy") IF CurrentUser.AGE < 12'``. There,
            ``Interactions.EVENT_TYPE IN ("*")`` is what the user, or the history, has events with,
            and ``CurrentUser`` is looked up in the user table; it holds for nobody without a row.
        where_values : mapping, optional
            What ``$NAME`` in the expression stands for: a value, or several.
        with_columns : sequence of str, optional
            Columns of the item table to add to the answer.
        rerank : re-ranker or sequence of them, optional
            Such as ``[pc.rerank.MMR(), pc.rerank.AttributeCap("artist")]``, applied in order; see
            `penchant.retrieval.rerank`. ``rank`` is then the new order, while ``score`` stays the
            model's own and need not fall.
        pool : int, optional
            So many of the best items the re-rankers choose from; default 10 * k. Where caps leave
            fewer than `k`, the pool is widened.
        scores : {"raw", "softmax"}, default "raw"
            Show the model's scores, or ``exp(score)`` divided by its sum over the whole catalogue:
            relative scores that sum to 1 over all items, whatever is filtered, in the same order.
            They are those of the scores before a rating model clips them to its scale. Unknown
            users get the share of an item's users among those of all items.
        unknown : {"error", "drop", "popular"}, default "error"
            What to do about users outside the training data: raise, leave them out, or recommend
            the most popular items with the number of their users as the score. In a history it
            is about items: raise, or go by the others; where there are none left, "drop" leaves
            the stranger out and "popular" recommends what is popular.
        popular_within : str, optional
            With ``unknown="popular"``, go by those with the same attribute. A column of the user
            table (`users` being a frame of ids and that column): what is popular among users with
            the same value. A column of the item table (`history` being a frame with it): for an
            unknown item go by the ten items of the same value that have the most users. Where a
            row has several values (lists, text that joins them by ``|``), those who share any of
            them are meant, in whatever order they stand.
        index : "exact", optional
            Search exactly, also where `build_index` made an approximate index.
        num_threads : int, optional
            Default: the model's ``num_threads``. The answer does not depend on it.

        Returns
        -------
        frame
            Of the training data's kind: <user column>, <item column>, score (float32), rank
            (int64, from 1). Users keep the order they were asked in. There is no user column where
            `history` is that of one stranger. Models of ratings rank by the score before they clip
            it to their scale, so that scores at its end show as equal.

        Raises
        ------
        UnknownIdError
            With ``unknown="error"``, naming the first five unknown users or items.
        UnsupportedError
            `history` with a model that cannot fold in; re-ranking by vectors where there are none;
            an expression about types of events.
        DataError
            `users` is a whole frame, not one column of ids.
        ParameterError
            `k`, `pool`, `unknown`, `index` or `num_threads` is out of range; both `users` and
            `history`; an expression that cannot be read; something that is no re-ranker.
        ColumnError
            The item table lacks a column that `where` or `with_columns` names.
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
        >>> model.recommend(3, where="what != 'tea'", k=1)
           who  what  score  rank
        0    3  milk    1.0     1
        """
        self._check_fitted()
        about = columns_beside(self, "item", with_columns)
        if popular_within is not None and unknown != "popular":
            raise ParameterError("popular_within says what is popular: give unknown='popular' too")
        said = {
            "candidates": candidates,
            "exclude": exclude,
            "where": where,
            "where_values": where_values,
        }
        search: dict[str, Any] = {
            "exclude_seen": exclude_seen,
            "rerank": rerank,
            "pool": pool,
            "scores": scores,
            "index": index,
            "num_threads": num_threads,
        }
        if history is None:
            found = self._recommend_known(users, k, unknown, popular_within, said, search)
        elif users is not None:
            raise ParameterError("give users or history, not both")
        else:
            found = self._recommend_strangers(history, k, unknown, popular_within, said, search)
        names = (self.columns_.user, self.columns_.item)
        labels, rows, shown = found
        return results.ranked_frame(labels, self.items_, rows, shown, names, self.backend_, about)

    def _recommend_known(
        self,
        users: Any,
        k: int,
        unknown: Unknown,
        popular_within: str | None,
        said: dict[str, Any],
        search: dict[str, Any],
    ) -> tuple[Any, Rows, Scores]:
        """Answer for users by their ids: labels, rows and scores."""
        if popular_within is not None:
            users, search["among"] = read_among(self, users, popular_within)
        policies = ("error", "drop", "popular")
        asked = results.resolve(self.users_, users, "user", unknown, policies)
        asker = Asker(asked.codes, lambda: take_lists(self.seen_, asked.codes))
        wanted = read_filter(self, asked.labels, asker, **said)
        codes = None if users is None else asked.codes
        return asked.labels, *self.recommend_codes(codes, k, item_filter=wanted, **search)

    def _recommend_strangers(
        self,
        history: Any,
        k: int,
        unknown: Unknown,
        popular_within: str | None,
        said: dict[str, Any],
        search: dict[str, Any],
    ) -> tuple[Any, Rows, Scores]:
        """Answer for histories: labels, rows and scores."""
        self._check_folds_in()
        others = None
        if popular_within is not None:
            others = popular_within, partial(stand_ins, self, column=popular_within)
        labels, histories = read_histories(history, self.items_, self.columns_, unknown, others)
        strangers = np.full(histories.n, -1)
        asker = Asker(strangers, lambda: RowLists(*histories.matrix("distinct")[:2]))
        wanted = read_filter(self, labels, asker, **said)
        return labels, *self.recommend_histories(histories, k, item_filter=wanted, **search)

    @property
    def capabilities_(self) -> frozenset[str]:
        """What the model can do of what not every model can.

        "history" (`recommend` for strangers), "explain", "partial_fit", "new_items" (`partial_fit`
        with items that have no events), "softmax" (``recommend(scores="softmax")``),
        "approximate_index" (`build_index`), "similar_items", "similar_users", "user_vectors" and
        "item_vectors". What is missing raises `UnsupportedError`.

        Examples
        --------
        >>> import penchant as pc
        >>> sorted(pc.ItemKNN().capabilities_)
        ['explain', 'history', 'partial_fit', 'similar_items', 'softmax']
        """
        return capabilities(type(self))

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
        return self._score_pairs(pairs, unknown, ("error", "nan"), num_threads)[0]

    def _score_pairs(
        self, pairs: Any, unknown: str, allowed: tuple[str, ...], num_threads: int | None
    ) -> tuple[Scores, NDArray[np.int64], NDArray[np.int64]]:
        """Return scores, NaN where an id is unknown, and the codes of users and items, or -1."""
        self._check_fitted()
        names = (self.columns_.user, self.columns_.item)
        columns = results.pair_columns(pairs, names)
        users, items = (
            results.resolve(ids, column, kind, unknown, allowed).codes.astype(np.int64)
            for ids, column, kind in zip(
                (self.users_, self.items_), columns, ("user", "item"), strict=True
            )
        )
        known = (users >= 0) & (items >= 0)
        scores = np.full(len(known), np.nan, dtype=np.float32)
        rows, query = np.unique(users[known], return_inverse=True)
        found = self._index().score_pairs(
            self._queries(rows),
            query.astype(np.int64),
            items[known],
            num_threads=self._threads(num_threads),
        )
        scores[known] = self._finish(found)
        return scores, users, items
