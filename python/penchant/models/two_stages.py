"""The search of a `Pipeline`: one model retrieves, another ranks what it has found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from penchant.data.ids import IdMap
from penchant.models.histories import Histories
from penchant.models.ranker import Ranker, Rows, Scores
from penchant.retrieval.filters import RowLists, take_lists
from penchant.retrieval.protocol import NO_SCORE

_PAIRS_AT_ONCE = 1 << 20  # bounds the memory of pairs and their features


class UsersOrHistories(NamedTuple):
    """Whom a search is for: users by their codes, or strangers by their histories.

    `first` are the queries of all the strangers to the first stage, where they are made already.
    """

    users: Rows | None = None
    histories: Histories | None = None
    first: Any = None

    @property
    def n(self) -> int:
        """Number of queries."""
        if self.histories is not None:
            return self.histories.n
        return 0 if self.users is None else len(self.users)

    def take(self, rows: NDArray[np.integer[Any]]) -> UsersOrHistories:
        """Return some of the queries."""
        if self.histories is not None:
            taken = self.histories.take(rows)
            return self if taken is self.histories else UsersOrHistories(histories=taken)
        return UsersOrHistories(None if self.users is None else self.users[rows])

    def seen(self, lists: RowLists) -> RowLists:
        """Return what each has taken: of `lists` that of each user, or the history."""
        if self.histories is not None:
            matrix = self.histories.matrix("distinct")
            return RowLists(matrix.indptr, matrix.indices)
        assert self.users is not None
        return take_lists(lists, self.users)


class Stage:
    """A fitted model of a pipeline, asked in the codes of the pipeline.

    Parameters
    ----------
    model : Ranker
    users, items : IdMap
        Of the pipeline. The model may know fewer or others.
    """

    def __init__(self, model: Ranker, users: IdMap, items: IdMap) -> None:
        self.model = model
        self._users = _code_map(users, model.users_)
        self._items = _code_map(items, model.items_)

    def own(self, who: int | Histories, item: int) -> tuple[int | Histories, int] | None:
        """Return a user or a history, and an item, in the model's codes; None if it lacks one."""
        if self._items is not None:
            item = int(self._items[item])
        if isinstance(who, Histories):
            given, who = who, who if self._items is None else _recoded(who, self._items)
            known = len(who.items) > 0 or len(given.items) == 0
        else:
            who = who if self._users is None else int(self._users[who])
            known = who >= 0
        return (who, item) if known and item >= 0 else None

    def queries(self, asked: UsersOrHistories) -> tuple[Any, Rows]:
        """Return the queries of those whom the model knows, and the place of each, -1 for none."""
        if asked.histories is not None:
            histories = asked.histories
            if self._items is not None:
                histories = _recoded(histories, self._items)
            known = np.diff(histories.indptr) > 0
        else:
            assert asked.users is not None
            codes = asked.users if self._users is None else self._users[asked.users]
            known = codes >= 0
        place = np.where(known, np.cumsum(known) - 1, -1)
        if not known.any():
            return None, place
        if asked.histories is not None:
            return self.model._fold_in(histories.take(np.flatnonzero(known))), place
        return self.model._queries(codes[known].astype(np.int64)), place

    def score(self, asked: UsersOrHistories, rows: Rows, items: Rows, num_threads: int) -> Scores:
        """Score query ``rows[i]`` and item ``items[i]``; NaN where the model knows too little."""
        queries, place = self.queries(asked)
        found = np.full(len(rows), np.nan, dtype=np.float32)
        codes = items if self._items is None else self._items[items]
        known = (codes >= 0) & (place[rows] >= 0)
        if known.any():
            found[known] = self.model._index().score_pairs(
                queries,
                place[rows[known]],
                codes[known].astype(np.int64),
                num_threads=num_threads or self.model._threads(None),
            )
        return found


class Found(NamedTuple):
    """Pairs of a few queries and items, with the score of the retrieving stage.

    Attributes
    ----------
    asked : UsersOrHistories
    rows, items : int64 arrays of shape (p,)
        Query and item of each pair.
    scores : float32 array of shape (p,)
    ranks : float32 array of shape (p,), or None
        1 for the best of what is retrieved without filters, where that is known already.
    """

    asked: UsersOrHistories
    rows: Rows
    items: Rows
    scores: Scores
    ranks: Scores | None = None


class Second(Protocol):
    """What scores the pairs that the first stage has found."""

    def score(self, found: Found, num_threads: int) -> Scores:
        """Return a score for each pair, NaN where there is none."""
        ...


class ModelRanks:
    """Ranks by the scores of a model."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def score(self, found: Found, num_threads: int) -> Scores:
        """Return the model's own scores."""
        return self._stage.score(found.asked, found.rows, found.items, num_threads)


class Retriever:
    """The first stage: finds the best items of some queries, and scores any pair.

    Parameters
    ----------
    model : Ranker
        Its users, items and codes are those of the pipeline.
    by : {"exact"} or None, default "exact"
        None searches by the model's approximate index, where it has one.
    """

    def __init__(self, model: Ranker, by: Literal["exact"] | None = "exact") -> None:
        self.model = model
        self._by = by

    def queries(self, asked: UsersOrHistories) -> Any:
        """Return the model's queries."""
        if asked.histories is not None:
            return self.model._fold_in(asked.histories) if asked.first is None else asked.first
        return self.model._queries(asked.users)

    def search(
        self, asked: UsersOrHistories, depth: int, filters: dict[str, Any], num_threads: int
    ) -> tuple[Rows, Scores]:
        """Return the `depth` best items of each query; see `Index.search`."""
        width = min(depth, len(self.model.items_))
        threads = num_threads or self.model._threads(None)
        return self.model._searcher(self._by).search(
            self.queries(asked), width, num_threads=threads, **filters
        )

    def score(self, asked: UsersOrHistories, rows: Rows, items: Rows, num_threads: int) -> Scores:
        """Score query ``rows[i]`` and item ``items[i]``."""
        threads = num_threads or self.model._threads(None)
        return self.model._index().score_pairs(
            self.queries(asked), rows, items, num_threads=threads
        )


class TwoStageIndex:
    """Searches with one model and scores with another: the `Index` of a pipeline.

    Parameters
    ----------
    retriever : Retriever
    second : Second
    depth : int
        Items retrieved for each query.
    """

    def __init__(self, retriever: Retriever, second: Second, depth: int) -> None:
        self._retriever = retriever
        self._second = second
        self._depth = depth

    def search(
        self,
        queries: UsersOrHistories,
        k: int,
        *,
        exclude: RowLists | None,
        candidates: RowLists | None,
        allowed: NDArray[np.uint8] | None,
        allowed_rows: NDArray[np.int32] | None = None,
        num_threads: int,
    ) -> tuple[Rows, Scores]:
        """Return the `k` best of what is retrieved; see `Index.search`."""
        rows = np.full((queries.n, k), -1, dtype=np.int64)
        best = np.full((queries.n, k), -np.inf, dtype=np.float32)
        for part in _parts(queries.n, self._depth):
            asked = queries.take(part)
            left_out = None if exclude is None else take_lists(exclude, part)
            filters: dict[str, Any] = {
                "exclude": left_out,
                "candidates": None if candidates is None else take_lists(candidates, part),
                "allowed": allowed,
            }
            if allowed_rows is not None:
                filters["allowed_rows"] = allowed_rows[part]
            found, scores = self._retriever.search(asked, self._depth, filters, num_threads)
            plain = candidates is None and allowed is None
            plain = plain and _same_lists(left_out, asked.seen(self._retriever.model.seen_))
            found, scores = self._ranked(asked, found, scores, plain, num_threads)
            width = min(k, found.shape[1])
            rows[part, :width], best[part, :width] = found[:, :width], scores[:, :width]
        return rows, best

    def _ranked(
        self, asked: UsersOrHistories, found: Rows, first: Scores, plain: bool, num_threads: int
    ) -> tuple[Rows, Scores]:
        """Sort what was retrieved by the second stage, what that does not know last."""
        query, place = np.nonzero(found >= 0)
        ranks = (place + 1).astype(np.float32) if plain else None
        pairs = Found(asked, query, found[query, place], first[query, place], ranks)
        scores = np.full(found.shape, -np.inf, dtype=np.float32)
        scores[query, place] = _shown(self._second.score(pairs, num_threads))
        # Ties by the lower code; what has no score keeps the order in which it was retrieved, and
        # so does everything of a query by which the second stage tells nothing apart.
        lowest = np.where(found >= 0, scores, np.inf).min(axis=1, keepdims=True)
        kept = (scores == NO_SCORE) | (lowest == scores.max(axis=1, keepdims=True))
        ties = np.where(kept, np.arange(found.shape[1]), found)
        order = np.lexsort((ties, -scores), axis=1)
        return np.take_along_axis(found, order, 1), np.take_along_axis(scores, order, 1)

    def score_pairs(
        self, queries: UsersOrHistories, query_rows: Rows, vector_rows: Rows, *, num_threads: int
    ) -> Scores:
        """Return the second stage's score of each pair, whether or not it would be retrieved."""
        result = np.empty(len(query_rows), dtype=np.float32)
        order = np.argsort(query_rows, kind="stable")  # each query is prepared once
        for part in _pair_parts(query_rows[order]):
            pairs = order[part]
            asked, rows = np.unique(query_rows[pairs], return_inverse=True)
            own = queries.take(asked)
            rows, items = rows.reshape(-1).astype(np.int64), vector_rows[pairs]
            first = self._retriever.score(own, rows, items, num_threads)
            found = Found(own, rows, items, first)
            result[pairs] = _shown(self._second.score(found, num_threads))
        return result


def _shown(scores: Scores) -> Scores:
    # A score is never lower than what stands for none.
    return np.where(np.isnan(scores), NO_SCORE, scores)


def _parts(n: int, depth: int) -> Iterator[NDArray[np.int64]]:
    step = max(1, _PAIRS_AT_ONCE // max(depth, 1))
    for start in range(0, n, step):
        yield np.arange(start, min(start + step, n), dtype=np.int64)


def _pair_parts(rows: Rows) -> Iterator[slice]:
    """Cut sorted rows into parts of bounded size; a row may be in two of them."""
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        yield slice(start, start + _PAIRS_AT_ONCE)


def _same_lists(a: RowLists | None, b: RowLists) -> bool:
    return (
        a is not None
        and np.array_equal(a.indptr, b.indptr)
        and np.array_equal(a.indices, b.indices)
    )


def _code_map(own: IdMap, other: IdMap) -> NDArray[np.int32] | None:
    """Return the code in `other` of each of `own`, -1 for none; None where they are the same."""
    if own is other or own == other:
        return None
    return other.codes(own.to_arrow())


def _recoded(histories: Histories, code: NDArray[np.int32]) -> Histories:
    """Return histories in other codes; items without one are left out."""
    known = histories.only(code >= 0)
    return known._replace(items=code[known.items])
