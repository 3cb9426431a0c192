"""Questions about users: who is like somebody, and who would want an item."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from penchant.errors import ParameterError
from penchant.models import results
from penchant.models.ranker import Ranker, Rows, Scores
from penchant.retrieval.exact import check_k
from penchant.retrieval.filters import RowLists, offsets, take_lists

_PAIRS_AT_ONCE = 1 << 22  # bounds the memory of scores that are made one by one


class AudienceRanker(Ranker):
    """Adds what asks for users instead of items."""

    def similar_users(
        self,
        users: Any = None,
        *,
        k: int = 10,
        unknown: Literal["error", "drop"] = "error",
        num_threads: int | None = None,
    ) -> Any:
        """Find the users most like some users, by the cosine of their vectors.

        Parameters
        ----------
        users : id, sequence of ids, Series or array, optional
            None means every user.
        k : int, default 10
            Neighbours per user; the user is not one of them.
        unknown : {"error", "drop"}, default "error"
            What to do about users outside the training data.
        num_threads : int, optional
            Default: the model's ``num_threads``.

        Returns
        -------
        frame
            <user column>, neighbor, score (float32), rank (int64, from 1); best first.

        Raises
        ------
        UnknownIdError
            With ``unknown="error"``, naming the first five unknown users.
        UnsupportedError
            The model has no vectors of users.
        ParameterError
            `k`, `unknown` or `num_threads` is out of range.
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> import penchant as pc
        >>> baskets = [["tea", "jam"], ["tea", "jam"], ["pen", "ink"], ["pen", "ink"]]
        >>> data = pc.Interactions.from_sequences(baskets, users=["ann", "bob", "eve", "joe"])
        >>> model = pc.IALS(factors=2).fit(data, progress=False)
        >>> model.similar_users("eve", k=1)["neighbor"].to_list()
        ['joe']
        """
        self._check_fitted()
        check_k(k)
        asked = results.resolve(self.users_, users, "user", unknown, ("error", "drop"))
        rows, scores = self._nearest(
            "user",
            asked.codes.astype(np.int64),
            min(int(k), len(self.users_)),
            self._threads(num_threads),
        )
        names = (self.columns_.user, "neighbor")
        return results.ranked_frame(asked.labels, self.users_, rows, scores, names, self.backend_)

    def recommend_users(
        self,
        items: Any = None,
        *,
        k: int = 100,
        min_score: float | None = None,
        exclude_seen: bool = True,
        unknown: Literal["error", "drop"] = "error",
        num_threads: int | None = None,
    ) -> Any:
        """Find the users to whom items should be shown: an audience segment for each.

        Parameters
        ----------
        items : id, sequence of ids, Series or array, optional
            None means every item.
        k : int, default 100
            Users per item.
        min_score : float, optional
            Leave out users with a lower score.
        exclude_seen : bool, default True
            Leave out users who have the item in their training data.
        unknown : {"error", "drop"}, default "error"
            What to do about items outside the training data.
        num_threads : int, optional
            Default: the model's ``num_threads``. The answer does not depend on it.

        Returns
        -------
        frame
            <item column>, <user column>, score (float32, the same bits as that of `recommend`),
            rank (int64, from 1); best first, ties by the order of ``users_``.

        Raises
        ------
        UnknownIdError
            With ``unknown="error"``, naming the first five unknown items.
        ParameterError
            `k`, `min_score`, `unknown` or `num_threads` is out of range.
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> import penchant as pc
        >>> baskets = [["tea", "jam"], ["tea", "jam"], ["tea"], ["pen", "ink"]]
        >>> data = pc.Interactions.from_sequences(baskets, users=["ann", "bob", "eve", "joe"])
        >>> model = pc.IALS(factors=2).fit(data, progress=False)
        >>> model.recommend_users("jam", k=1)[["item", "sequence"]].to_numpy().tolist()
        [['jam', 'eve']]
        """
        self._check_fitted()
        check_k(k)
        if min_score is not None and not np.isfinite(min_score):
            raise ParameterError(f"min_score must be a finite number, got {min_score!r}")
        asked = results.resolve(self.items_, items, "item", unknown, ("error", "drop"))
        codes = asked.codes.astype(np.int64)
        seen = take_lists(self._seen_by(), codes) if exclude_seen else None
        width = min(int(k), len(self.users_))
        rows, scores = self._best_users(codes, width, seen, self._threads(num_threads))
        scores = np.where(rows >= 0, self._finish(scores), scores)
        if min_score is not None:
            rows = np.where(scores >= min_score, rows, -1)
        names = (self.columns_.item, self.columns_.user)
        return results.ranked_frame(asked.labels, self.users_, rows, scores, names, self.backend_)

    def _best_users(
        self, codes: Rows, k: int, exclude: RowLists | None, num_threads: int
    ) -> tuple[Rows, Scores]:
        """Return the `k` users with the highest score of each item; -1 and -inf pad.

        Every score is made: models with vectors do better.
        """
        n_users = len(self.users_)
        rows = np.full((len(codes), k), -1, dtype=np.int64)
        best = np.full((len(codes), k), -np.inf, dtype=np.float32)
        queries = self._queries(None)
        step = max(1, _PAIRS_AT_ONCE // max(n_users, 1))
        for start in range(0, len(codes), step):
            part = codes[start : start + step]
            scores = self._index().score_pairs(
                queries,
                np.tile(np.arange(n_users), len(part)),
                np.repeat(part, n_users),
                num_threads=num_threads,
            )
            scores = scores.reshape(len(part), n_users).copy()
            for number in range(len(part)):
                own = scores[number]
                left_out = _row(exclude, start + number)
                own[left_out] = -np.inf
                order = np.argsort(-own, kind="stable")[: min(k, n_users - len(left_out))]
                rows[start + number, : len(order)] = order
                best[start + number, : len(order)] = own[order]
        return rows, best

    def _seen_by(self) -> RowLists:
        """Return the users of each item in the training data."""
        lists: RowLists | None = self._derived.get("seen by")
        if lists is None:
            indptr, items = self.seen_
            users = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
            counts = np.bincount(items, minlength=len(self.items_))
            order = np.argsort(items, kind="stable")
            lists = self._derived["seen by"] = RowLists(offsets(counts), users[order])
        return lists


def _row(lists: RowLists | None, row: int) -> NDArray[np.int32]:
    if lists is None:
        return np.empty(0, dtype=np.int32)
    return lists.indices[lists.indptr[row] : lists.indptr[row + 1]]
