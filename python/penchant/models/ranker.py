"""What every model answers in codes and arrays: the part that evaluation, batch and serving use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from penchant import _core
from penchant.errors import UnsupportedError, choose
from penchant.models.fallback import Among
from penchant.models.fitted import FittedModel
from penchant.models.histories import Histories
from penchant.models.params import Integer
from penchant.models.reranking import read_chain, reranked_codes, reranked_histories
from penchant.retrieval.exact import MAX_THREADS, ExactIndex, check_k, thread_count
from penchant.retrieval.filters import ItemFilter, RowLists, places_of, take_lists
from penchant.retrieval.protocol import Index

Rows = NDArray[np.int64]
Scores = NDArray[np.float32]
Shown = Literal["raw", "softmax"]

EVERYTHING = ItemFilter()
NUM_THREADS = Integer(1, MAX_THREADS, optional=True)


class How(NamedTuple):
    """How a question is answered; see `Ranker.recommend_codes`."""

    k: int
    scores: Shown
    by: Literal["exact"] | None  # the argument `index`
    num_threads: int | None
    among: Among | None = None

    def checked(self) -> How:
        """Return it; an error names what is out of range."""
        check_k(self.k)
        choose("scores", self.scores, ("raw", "softmax"))
        if self.by is not None:
            choose("index", self.by, ("exact",))
        return self


class Ranker(FittedModel):
    """Ranks items for codes of users and for histories; `Recommender` adds ids and frames."""

    # ---- what a model defines -------------------------------------------------------------------

    _has_softmax: ClassVar[bool] = True

    def _index(self) -> Index:
        """Return what the queries of `_queries` and `_fold_in` search."""
        raise NotImplementedError

    def _queries(self, codes: Rows | None) -> Any:
        """Return one query for each of these users, None meaning everyone."""
        raise NotImplementedError

    def _fold_in(self, histories: Histories) -> Any:
        """Return one query for each history of a stranger."""
        raise UnsupportedError(
            f"{type(self).__name__} cannot recommend from the history of somebody it was not "
            "trained on: fit it again with their data"
        )

    def _telling(self, queries: Callable[[], Any]) -> NDArray[np.bool_] | None:
        """Return which queries tell one item from another; None: all of them."""
        return None

    def _needs_values(self) -> bool:
        """Whether a history without values says nothing to the model."""
        return False

    def _own_histories(self, codes: NDArray[np.integer[Any]]) -> Histories:
        """Return what users of the training data took, items ascending."""
        if self.history_values_ is None:
            if self._needs_values():
                raise UnsupportedError(
                    f"this {type(self).__name__} was saved by a version that did not keep the "
                    "values of its users' histories: fit it again, or pass history="
                )
            own = take_lists(self.seen_, codes)
            return Histories(*own, np.ones(len(own.indices), np.float32), valued=False)
        indptr, chosen = places_of(self.seen_, codes)
        return Histories(indptr, self.seen_.indices[chosen], self.history_values_[chosen])

    def _check_folds_in(self) -> None:
        """Raise the `UnsupportedError` of a model that has no `_fold_in`, whatever the history."""
        if type(self)._fold_in is Ranker._fold_in:
            Ranker._fold_in(self, Histories.none())

    def _neighbors(self, codes: Rows, k: int, num_threads: int) -> tuple[Rows, Scores]:
        """Return the items most similar to some items, themselves left out."""
        raise self._no_vectors()

    def _nearest(
        self, side: Literal["user", "item"], codes: Rows, k: int, num_threads: int
    ) -> tuple[Rows, Scores]:
        """Return the users or items whose vectors have the largest cosine, themselves left out."""
        vectors = self._vectors(side)
        topk = self._topk(f"similar_{side}s", lambda: ExactIndex(vectors, "cosine").topk)
        index = ExactIndex.over(topk, "cosine")
        itself = RowLists(np.arange(len(codes) + 1, dtype=np.int64), codes.astype(np.int32))
        return index.search(vectors[codes], k, exclude=itself, num_threads=num_threads or None)

    def _vectors(self, side: Literal["user", "item"]) -> NDArray[np.float32]:
        """Return the vectors of all users or items."""
        raise self._no_vectors()

    def _finish(self, scores: Scores) -> Scores:
        """Return finite scores as they are shown; the order must not change."""
        return scores

    def _no_vectors(self) -> UnsupportedError:
        return UnsupportedError(
            f"{type(self).__name__} learns no vectors: use another model, such as BPR"
        )

    def recommend_codes(
        self,
        users: ArrayLike | None = None,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        item_filter: ItemFilter = EVERYTHING,
        rerank: Any = (),
        pool: int | None = None,
        scores: Shown = "raw",
        index: Literal["exact"] | None = None,
        among: Among | None = None,
        num_threads: int | None = None,
    ) -> tuple[Rows, Scores]:
        """Recommend for rows of the user factors: the array form of `recommend`.

        Evaluation, batch and serving use it too, so all give the same bits.

        Parameters
        ----------
        users : int array of shape (q,), optional
            Codes of `users_`; -1, and a user for whom all items would score 0 or next to it, asks
            for the most popular items. None means everyone.
        k : int, default 10
            Items per user, at most the size of the catalogue.
        exclude_seen : bool, default True
            Leave out the items of the user's own training data.
        item_filter : ItemFilter, optional
            Which items answers may hold, with lists for as many queries as `users`.
        rerank, pool
            As in `Recommender.recommend`.
        scores : {"raw", "softmax"}, default "raw"
            The model's scores, or their softmax over the whole catalogue, whatever the filters;
            see `Recommender.recommend`.
        index : "exact", optional
            Search exactly, also where `build_index` made an approximate index.
        among : Among, optional
            Whose favourites users with code -1 get; default: everybody's.
        num_threads : int, optional
            Default: the model's ``num_threads``. The answer does not depend on it.

        Returns
        -------
        rows : int64 array of shape (q, min(k, n_items))
            Codes of `items_`, best first, ties by the lower code, or as `rerank` has them; -1
            where none are left.
        scores : float32 array of the same shape
            -inf where `rows` is -1.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ParameterError
            `k` or `num_threads` is not a positive integer, `pool` below `k`, or no re-ranker;
            `scores` is something else.
        UnsupportedError
            "softmax" with an approximate index, which does not see all scores.
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
        how = How(k, scores, index, num_threads, among).checked()
        everyone = users is None
        codes = np.arange(len(self.users_)) if users is None else np.asarray(users, dtype=np.int64)

        def ask(rows: Rows) -> Any:
            return self._queries(None if everyone and len(rows) == len(codes) else codes[rows])

        chain = read_chain(rerank, pool)
        if chain:
            search: dict[str, Any] = {"exclude_seen": exclude_seen, "item_filter": item_filter}
            search |= {"index": index, "among": among}
            found = reranked_codes(self, codes, k, chain, pool, num_threads=num_threads, **search)
            if scores == "raw":
                return found
            return self._relative(found[0], *self._told(codes >= 0, ask), how)
        seen = None
        if exclude_seen:
            seen = self.seen_ if users is None else take_lists(self.seen_, codes)
        return self._answer(*self._told(codes >= 0, ask), item_filter.without(seen), how)

    def recommend_histories(
        self,
        histories: Histories,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        item_filter: ItemFilter = EVERYTHING,
        rerank: Any = (),
        pool: int | None = None,
        scores: Shown = "raw",
        index: Literal["exact"] | None = None,
        num_threads: int | None = None,
    ) -> tuple[Rows, Scores]:
        """Recommend to strangers: the array form of ``recommend(history=...)``.

        Parameters
        ----------
        histories : Histories
            Item codes and values, oldest first. A history that is empty, or by which all items
            would score 0 or next to it, gets the most popular items.
        k, exclude_seen, item_filter, rerank, pool, scores, index, num_threads
            As in `recommend_codes`.

        Returns
        -------
        rows, scores
            As in `recommend_codes`, one row for each history.
        """
        self._check_fitted()
        how = How(k, scores, index, num_threads).checked()
        histories.check(len(self.items_))
        chain = read_chain(rerank, pool)
        if chain:
            search = {"exclude_seen": exclude_seen, "item_filter": item_filter, "index": index}
            found = reranked_histories(
                self, histories, k, chain, pool, num_threads=num_threads, **search
            )
            if scores == "raw":
                return found
            return self._relative(found[0], *self._told_histories(histories), how)
        seen = RowLists(*histories.matrix()[:2]) if exclude_seen else None
        known, queries = self._told_histories(histories)
        return self._answer(known, queries, item_filter.without(seen), how)

    def _told(
        self, known: NDArray[np.bool_], ask: Callable[[Rows], Any]
    ) -> tuple[NDArray[np.bool_], Any]:
        """Return who has a query that tells items apart, and what `ask` returns for those rows."""
        rows = np.flatnonzero(known)
        queries = ask(rows)
        telling = self._telling(lambda: queries)
        if telling is None or telling.all():
            return known, queries
        rows = rows[telling]
        told = np.zeros_like(known)
        told[rows] = True
        return told, ask(rows)

    def _told_histories(self, histories: Histories) -> tuple[NDArray[np.bool_], Any]:
        known = np.diff(histories.indptr) > 0
        return self._told(known, lambda rows: self._fold_in(histories.take(rows)))

    def _answer(
        self, known: NDArray[np.bool_], queries: Any, wanted: ItemFilter, how: How
    ) -> tuple[Rows, Scores]:
        """Search for those who are known, whose queries these are, and fill up the others."""
        some = wanted if known.all() else wanted.take(np.flatnonzero(known))
        return self._fill_popular(known, self._search(queries, some, how), wanted, how)

    def _searcher(self, index: str | None) -> Index:
        """Return what answers `recommend`: the index, or an approximate one in front of it."""
        raise NotImplementedError

    def _search(self, queries: Any, wanted: ItemFilter, how: How) -> tuple[Rows, Scores]:
        rows, scores = self._searcher(how.by).search(
            queries, min(int(how.k), len(self.items_)), **self._filters(wanted, how.num_threads)
        )
        found = self._finish(scores) if how.scores == "raw" else self._softmax(queries, scores, how)
        return rows, np.where(rows >= 0, found, scores)

    def _softmax(self, queries: Any, scores: Scores, how: How) -> Scores:
        """Return exp(score) over its sum over all items, for scores of the index."""
        searcher = self._searcher(how.by)
        log_sum_exp = getattr(searcher, "log_sum_exp", None)
        if log_sum_exp is None:
            if hasattr(self._index(), "log_sum_exp"):
                advice = "this search does not make them: search with index='exact', or"
            else:
                advice = f"{type(self).__name__} does not make them in any search:"
            raise UnsupportedError(
                f"scores='softmax' needs the scores of all items, and {advice} use scores='raw'"
            )
        sums: NDArray[np.float64] = log_sum_exp(queries, num_threads=self._threads(how.num_threads))
        return np.exp(scores - sums[:, None]).astype(np.float32)

    def _relative(
        self, rows: Rows, known: NDArray[np.bool_], queries: Any, how: How
    ) -> tuple[Rows, Scores]:
        """Return rows with their softmax scores; `queries` are of those who are known."""
        scores = np.full(rows.shape, -np.inf, dtype=np.float32)
        place = np.cumsum(known) - 1
        query, column = np.nonzero((rows >= 0) & known[:, None])
        raw = np.full((int(np.count_nonzero(known)), rows.shape[1]), -np.inf, dtype=np.float32)
        raw[place[query], column] = self._index().score_pairs(
            queries,
            place[query],
            rows[query, column],
            num_threads=self._threads(how.num_threads),
        )
        scores[known] = self._softmax(queries, raw, how)
        others = ~known[:, None] & (rows >= 0)
        if how.among is None:
            scores[others] = self._shares(self.item_counts_[rows[others]])
        else:
            scores[others] = how.among.shares(rows)[others]
        return rows, np.where(rows >= 0, scores, np.float32(-np.inf))

    def _shares(self, counts: NDArray[Any]) -> Scores:
        """Return the share of items' users among those of all items."""
        found: Scores = (counts / max(int(self.item_counts_.sum()), 1)).astype(np.float32)
        return found

    def _filters(self, wanted: ItemFilter, num_threads: int | None) -> dict[str, Any]:
        """Return the arguments of an index's `search` besides queries and k."""
        return {
            "exclude": wanted.exclude,
            "candidates": wanted.candidates,
            "allowed": None if wanted.allowed is None else wanted.allowed.view(np.uint8),
            "num_threads": self._threads(num_threads),
        } | ({} if wanted.allowed_rows is None else {"allowed_rows": wanted.allowed_rows})

    def _fill_popular(
        self,
        known: NDArray[np.bool_],
        found: tuple[Rows, Scores],
        item_filter: ItemFilter,
        how: How,
    ) -> tuple[Rows, Scores]:
        """Give the popular items, by the number of their users, to those who are not known.

        Their softmax is the share of an item's users among those of all items: it sums to 1 too.
        """
        if known.all():
            return found
        k = found[0].shape[1]
        others = np.flatnonzero(~known)
        rows = np.empty((len(known), k), dtype=np.int64)
        scores = np.empty((len(known), k), dtype=np.float32)
        rows[known], scores[known] = found
        groups = np.full(len(others), -1) if how.among is None else how.among.groups[others]
        for group in np.unique(groups):
            own = others[groups == group]
            filters = self._filters(item_filter.take(own), how.num_threads)
            if how.among is None:
                nothing = np.zeros((len(own), 1), dtype=np.float32)
                rows[own], scores[own] = self._popularity().search(nothing, k, **filters)
            else:
                favourites = how.among.favourites(int(group))
                rows[own], scores[own] = favourites.search(len(own), k, **filters)
        if how.scores == "softmax" and how.among is None:
            scores[others] = self._shares(scores[others])
        elif how.scores == "softmax" and how.among is not None:
            shares = how.among.take(others).shares(rows[others])
            scores[others] = np.where(rows[others] >= 0, shares, np.float32(-np.inf))
        return rows, scores

    def _popularity(self) -> _core.TopkIndex:
        """Return an index in which every query finds the items with the most users."""

        def make() -> _core.TopkIndex:
            nothing = np.zeros((len(self.items_), 1), dtype=np.float32)
            return _core.TopkIndex(nothing, self.item_counts_.astype(np.float32))

        return self._topk("popularity", make)

    def _prepare(self) -> None:
        """Make what every answer needs; what only some need is made with the first of them."""
        # What takes one thread goes first, while others verify the files; the index takes them all.
        self._popularity()
        self._searcher(None)

    def _threads(self, num_threads: int | None) -> int:
        own: int | None = getattr(self, "num_threads", None)
        return thread_count(own if num_threads is None else num_threads)
