"""Questions about users: who is like somebody, and who would want an item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.errors import ParameterError, choose
from penchant.models import expression_filters, results
from penchant.models.columns import columns_beside
from penchant.models.indexed import IndexedRanker
from penchant.models.ranker import Rows, Scores
from penchant.retrieval.exact import check_k
from penchant.retrieval.filters import ItemFilter, RowLists, offsets, owners_of, take_lists
from penchant.retrieval.protocol import NO_SCORE, Index

Flags = NDArray[np.bool_]
Reduce = Literal["max", "mean"]

_DEFAULT_K = 100  # users of an audience without a least score
_PAIRS_AT_ONCE = 1 << 22  # bounds the memory of scores that are made one by one


class Sums(NamedTuple):
    """Of each user: what scores add up to, and how many these are."""

    totals: NDArray[np.float64]
    counts: NDArray[np.int64]


class AudienceRanker(IndexedRanker):
    """Adds what asks for users instead of items."""

    def similar_users(
        self,
        users: Any = None,
        *,
        k: int = 10,
        with_columns: Iterable[str] = (),
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
        with_columns : sequence of str, optional
            Columns of the user table to add to the answer, those of the neighbours.
        unknown : {"error", "drop"}, default "error"
            What to do about users outside the training data.
        num_threads : int, optional
            Default: the model's ``num_threads``.

        Returns
        -------
        frame
            <user column>, neighbor, score (float32), rank (int64, from 1); best first. Empty where
            the model has no users, such as one of vectors from elsewhere.

        Raises
        ------
        UnknownIdError
            With ``unknown="error"``, naming the first five unknown users.
        UnsupportedError
            The model has no vectors of users.
        ColumnError
            The user table lacks a column that `with_columns` names.
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
        about = columns_beside(self, "user", with_columns)
        asked = results.resolve(self.users_, users, "user", unknown, ("error", "drop"))
        codes, width = asked.codes.astype(np.int64), min(int(k), len(self.users_))
        threads = self._threads(num_threads)
        rows, scores = self._nearest("user", codes, width, threads) if width else _nobody(0)
        names = (self.columns_.user, "neighbor")
        return results.ranked_frame(
            asked.labels, self.users_, rows, scores, names, self.backend_, about
        )

    def recommend_users(
        self,
        items: Any = None,
        *,
        where: str | None = None,
        where_values: Mapping[str, Any] | None = None,
        reduce: Reduce = "max",
        users_where: str | None = None,
        k: int | None = None,
        min_score: float | None = None,
        exclude_seen: bool = True,
        with_columns: Iterable[str] = (),
        unknown: Literal["error", "drop"] = "error",
        num_threads: int | None = None,
    ) -> Any:
        """Find the users to whom items should be shown: an audience segment for each.

        Either for single items, or, with `where`, one audience for all items that an expression
        chooses together, such as everything of a brand.

        Parameters
        ----------
        items : id, sequence of ids, Series or array, optional
            None without `where` means every item.
        where : str, optional
            An expression on the item table, as in `recommend`, in place of `items`; the same for
            all users: without ``IF CurrentUser`` and events.
        where_values : mapping, optional
            What ``$NAME`` in the expressions stands for.
        reduce : {"max", "mean"}, default "max"
            With `where`, the score of a user: that of the best of the items, which is the first
            that ``recommend([user], where=...)`` answers, or the mean of the scores that
            `recommend` shows for the items; what has no score of its own (see `Pipeline`) is left
            out of it. Users whom the model knows too little of to tell items apart have scores of
            0 or next to it here, where `recommend` answers with what is popular.
        users_where : str, optional
            An expression on the user table that says who may be in an audience, such as
            ``"country == 'FR'"`` or ``"INCLUDE UserID WHERE Users.AGE >= 18"``.
        k : int, optional
            Users per audience. Default: 100; with `min_score` everybody who reaches that.
        min_score : float, optional
            Leave out users whose score, as it is shown, is lower.
        exclude_seen : bool, default True
            Leave out users who have the item in their training data. With `where` these items do
            not count for them, so that somebody who knows half of a category is judged by the
            other half; who has all of the items is left out.
        with_columns : sequence of str, optional
            Columns of the user table to add to the answer.
        unknown : {"error", "drop"}, default "error"
            What to do about items outside the training data.
        num_threads : int, optional
            Default: the model's ``num_threads``. The answer does not depend on it.

        Returns
        -------
        frame
            <item column> (not with `where`), <user column>, score (float32, but for means the same
            bits as that of `recommend`), rank (int64, from 1); best first, ties by the order of
            ``users_``. Users whose scores are clipped to the same end of a rating scale stand in
            the order of what they were before, as in `recommend`; but for means, which are of
            clipped scores. Empty where the model has no users.

        Raises
        ------
        UnknownIdError
            With ``unknown="error"``, naming the first five unknown items.
        ParameterError
            `k`, `min_score`, `reduce`, `unknown` or `num_threads` is out of range; both `items`
            and `where`; an expression that cannot be read.
        ColumnError
            The item or user table lacks a column that an expression or `with_columns` names.
        UnsupportedError
            An expression that is about events, or about the other table.
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
        >>> model.recommend_users(where="item in ('pen', 'jam')", k=1)["sequence"].to_list()
        ['eve']
        """
        self._check_fitted()
        if k is None:
            k = _DEFAULT_K if min_score is None else max(len(self.users_), 1)
        check_k(k)
        least = None if min_score is None else _least(min_score)
        choose("reduce", reduce, ("max", "mean"))
        expression_filters.check_values(where_values, where, users_where)
        allowed = None
        if users_where is not None:
            allowed = expression_filters.chosen(self, "user", users_where, where_values)
        if where is not None and items is not None:
            raise ParameterError("give items or where, not both")
        about = columns_beside(self, "user", with_columns)
        width = min(int(k), len(self.users_))
        threads = self._threads(num_threads)
        labels = None
        if where is None:
            asked = results.resolve(self.items_, items, "item", unknown, ("error", "drop"))
            labels, codes = asked.labels, asked.codes.astype(np.int64)
            rows, scores = self._audiences(codes, width, least, exclude_seen, allowed, threads)
        else:
            flags = expression_filters.chosen(self, "item", where, where_values)
            rows, scores = _nobody(1)
            if width:
                everyone = self._affinities(flags, reduce, exclude_seen, threads)
                if allowed is not None:
                    everyone[~allowed] = -np.inf
                found = _core.k_largest(everyone[None, :], width, num_threads=threads)
                rows, scores = self._reaching(*found, least)
        names = (self.columns_.item, self.columns_.user)
        return results.ranked_frame(labels, self.users_, rows, scores, names, self.backend_, about)

    def _reaching(
        self, rows: Rows, scores: Scores, least: np.float32 | None
    ) -> tuple[Rows, Scores]:
        """Return answers with the scores that are shown, cut where they are too low for all."""
        scores = np.where(rows >= 0, self._finish(scores), scores)
        if least is None:
            return rows, scores
        rows = np.where(scores >= least, rows, -1)
        width = int(np.count_nonzero(rows >= 0, axis=1).max(initial=0))
        return rows[:, :width], scores[:, :width]

    def _audiences(
        self,
        codes: Rows,
        k: int,
        least: np.float32 | None,
        exclude_seen: bool,
        allowed: Flags | None,
        num_threads: int,
    ) -> tuple[Rows, Scores]:
        """Return the `k` best users of each item whose score reaches the least; -1 pads.

        Some items at a time: where `k` is everybody, most of what is found is left out again.
        """
        parts = [_nobody(0)]
        step = max(1, _PAIRS_AT_ONCE // k) if k else 1
        for start in range(0, len(codes) if k else 0, step):
            part = codes[start : start + step]
            seen = take_lists(self._seen_by(), part) if exclude_seen else None
            found = self._best_users(part, k, seen, allowed, num_threads)
            parts.append(self._reaching(*found, least))
        rows, scores = _nobody(len(codes), max(part[0].shape[1] for part in parts))
        start = 0
        for some, theirs in parts:
            place = slice(start, start + len(some)), slice(some.shape[1])
            rows[place], scores[place] = some, theirs
            start += len(some)
        return rows, scores

    # ---- users by their score of one item -------------------------------------------------------

    def _best_users(
        self,
        codes: Rows,
        k: int,
        exclude: RowLists | None,
        allowed: Flags | None,
        num_threads: int,
    ) -> tuple[Rows, Scores]:
        """Return the `k` users with the highest score of each item; -1 and -inf pad.

        `exclude` has the users that are left out for each item, `allowed` a flag for each user.
        Every score is made, some items at a time: models with vectors do better.
        """
        n_users = len(self.users_)
        rows, best = _nobody(len(codes), k)
        queries = self._queries(None)
        step = max(1, _PAIRS_AT_ONCE // max(n_users, 1))
        for start in range(0, len(codes), step):
            part = codes[start : start + step]
            scores = self._index_of(part).score_pairs(
                queries,
                np.repeat(np.arange(n_users), len(part)),
                np.tile(part, n_users),
                num_threads=num_threads,
            )
            scores = np.array(scores.reshape(n_users, len(part)).T, order="C")
            if exclude is not None:
                left_out = take_lists(exclude, np.arange(start, start + len(part)))
                scores[owners_of(left_out), left_out.indices] = -np.inf
            if allowed is not None:
                scores[:, ~allowed] = -np.inf
            found = _core.k_largest(scores, k, num_threads=num_threads)
            rows[start : start + step], best[start : start + step] = found
        return rows, best

    def _index_of(self, items: Rows) -> Index:
        """Return an index that scores these items as `_index` does, if need be no others."""
        return self._index()

    # ---- users by their scores of many items ----------------------------------------------------

    def _affinities(
        self, flags: Flags, reduce: Reduce, exclude_seen: bool, num_threads: int
    ) -> Scores:
        """Return every user's score of the items that are flagged; -inf where there are none.

        The maximum is that of scores as searched, the mean that of scores as shown.
        """
        queries = self._queries(None)
        if reduce == "max":
            wanted = ItemFilter(flags).without(self.seen_ if exclude_seen else None)
            options = self._filters(wanted, None) | {"num_threads": num_threads}
            return self._index().search(queries, 1, **options)[1][:, 0].copy()
        left_out = None
        left = np.full(len(self.users_), np.count_nonzero(flags))
        if exclude_seen:
            chosen = flags[self.seen_.indices]
            lengths = np.bincount(owners_of(self.seen_)[chosen], minlength=len(self.users_))
            left_out = RowLists(offsets(lengths), self.seen_.indices[chosen])
            left -= lengths
        sums, counts = self._sums(queries, flags, left_out, num_threads)
        means = (sums / np.maximum(counts, 1)).astype(np.float32)
        means[counts == 0] = NO_SCORE
        return np.where(left > 0, means, np.float32(-np.inf))

    def _sums(
        self, queries: Any, flags: Flags, left_out: RowLists | None, num_threads: int
    ) -> Sums:
        """Return every user's sum of the scores, as shown, of the flagged items that have one.

        `left_out` are flagged items of each user that do not count, which may be nearly all of
        them: scores in float32 must not be added first and taken off again. Here every score is
        made, some items at a time: models that are sums themselves do better.
        """
        n_users = len(self.users_)
        total, counts = np.zeros(n_users), np.zeros(n_users, dtype=np.int64)
        codes = np.flatnonzero(flags)
        step = max(1, _PAIRS_AT_ONCE // max(n_users, 1))
        for start in range(0, len(codes), step):
            part = codes[start : start + step]
            users = np.repeat(np.arange(n_users), len(part))
            scores = self._index().score_pairs(
                queries, users, np.tile(part, n_users), num_threads=num_threads
            )
            shown = self._finish(scores).reshape(n_users, len(part))
            there = scores.reshape(shown.shape) != NO_SCORE
            if left_out is not None:
                theirs = take_lists(self._seen_by(), part)
                there[theirs.indices, owners_of(theirs)] = False
            total += np.where(there, shown, np.float32(0)).sum(axis=1, dtype=np.float64)
            counts += np.count_nonzero(there, axis=1)
        return Sums(total, counts)

    def _seen_by(self) -> RowLists:
        """Return the users of each item in the training data."""
        lists: RowLists | None = self._derived.get("seen by")
        if lists is None:
            items = self.seen_.indices
            users = owners_of(self.seen_).astype(np.int32)
            counts = np.bincount(items, minlength=len(self.items_))
            order = np.argsort(items, kind="stable")
            lists = self._derived["seen by"] = RowLists(offsets(counts), users[order])
        return lists


def _nobody(n: int, k: int = 0) -> tuple[Rows, Scores]:
    """Return answers to `n` questions that hold nobody."""
    return np.full((n, k), -1, dtype=np.int64), np.full((n, k), -np.inf, dtype=np.float32)


def _least(min_score: object) -> np.float32:
    """Return a least score in the precision of those that are shown."""
    if isinstance(min_score, Real) and not isinstance(min_score, bool):
        try:
            if np.isfinite(float(min_score)):
                with np.errstate(over="ignore"):
                    return np.float32(min_score)
        except OverflowError:  # an integer of hundreds of digits
            pass
    raise ParameterError(f"min_score must be a finite number, got {min_score!r:.100}")
