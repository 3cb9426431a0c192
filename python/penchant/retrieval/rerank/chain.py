"""Re-rankers one after the other, on pools that grow where they leave too few items."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from penchant.errors import ParameterError
from penchant.retrieval.rerank.lists import (
    Catalogue,
    Flags,
    RankedLists,
    Request,
    Reranker,
    Rows,
    Scores,
)

POOL_FACTOR = 10
_WIDER = 4
_ENTRIES_AT_ONCE = 1 << 20  # of pools: bounds the memory


class Search(Protocol):
    """Searches for some of the users of a batch."""

    def __call__(self, users: Rows, k: int, flags: Flags | None, /) -> tuple[Rows, Scores]:
        """Return the `k` best items among those flagged, after all filters; -1 and -inf pad.

        `users` are places in the batch, flags None means all items.
        """
        ...


def read_rerankers(given: Any) -> tuple[Reranker, ...]:
    """Return what the caller gave as ``rerank=``: one re-ranker or several, in order.

    Raises
    ------
    ParameterError
        Naming what is no re-ranker.
    """
    if given is None:
        return ()
    single = isinstance(given, str) or not isinstance(given, Iterable)
    rerankers = (given,) if single else tuple(given)
    for one in rerankers:
        if not isinstance(one, Reranker):
            hint = f": call it, {one.__name__}(...)" if isinstance(one, type) else ""
            raise ParameterError(
                f"rerank takes re-rankers such as pc.rerank.MMR(), got {one!r:.100}{hint}"
            )
    return rerankers


def pool_size(pool: object, k: int) -> int:
    """Return the number of items that re-rankers choose from at first, ten times `k` by default."""
    if pool is None:
        return POOL_FACTOR * k
    if isinstance(pool, bool) or not isinstance(pool, int | np.integer) or pool < k:
        raise ParameterError(f"pool must be an integer of at least k={k}, got {pool!r}")
    return int(pool)


def rerank_all(
    rerankers: tuple[Reranker, ...],
    catalogue: Catalogue,
    users: NDArray[np.uint64],
    *,
    k: int,
    pool: int,
    search: Search,
    num_threads: int = 0,
) -> tuple[Rows, Scores]:
    """Search pools and apply re-rankers to them, in order.

    Users are handled in blocks; each answer depends on the user's own pool alone. Those who are
    left with fewer than `k` items, although their pool was full, get a pool four times as wide,
    until it is the whole catalogue.

    Parameters
    ----------
    rerankers : tuple of Reranker
    catalogue : Catalogue
    users : uint64 array of shape (q,)
        See `RankedLists`.
    k, pool : int
        Length of the answers and of the first pools.
    search : Search
    num_threads : int, default 0
        0 stands for the default.

    Returns
    -------
    items : int64 array of shape (q, min(k, n_items))
        -1 where none are left.
    scores : float32 array of the same shape
        The model's own; -inf where `items` is -1.
    """
    for one in rerankers:
        one.check(catalogue)
    width, size = min(k, len(catalogue)), min(pool, len(catalogue))
    items = np.full((len(users), width), -1, dtype=np.int64)
    scores = np.full((len(users), width), -np.inf, dtype=np.float32)
    beside = min(max((one.reach() for one in rerankers), default=0), len(catalogue))
    left = np.arange(len(users), dtype=np.int64)
    while len(left):
        wanting = []
        step = max(1, _ENTRIES_AT_ONCE // max(size, beside, 1))
        for start in range(0, len(left), step):
            part = left[start : start + step]
            found = search(part, size, None)
            lists = RankedLists.from_search(*found, users[part])
            for number, one in enumerate(rerankers, start=1):
                depth = width if number == len(rerankers) else min(pool, size)
                request = Request(
                    catalogue, width, pool, depth, _part_search(search, part), num_threads
                )
                lists = one.apply(lists, request)
            items[part], scores[part] = lists.items[:, :width], lists.scores[:, :width]
            wanting.append(part[(found[0][:, -1] >= 0) & (items[part, -1] < 0)])
        if size == len(catalogue):
            break
        left, size = np.concatenate(wanting), min(_WIDER * size, len(catalogue))
    return items, scores


def _part_search(search: Search, part: Rows) -> Any:
    def of_part(flags: Flags, k: int) -> tuple[Rows, Scores]:
        return search(part, k, flags)

    return of_part
