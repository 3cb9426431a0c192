"""Re-ranking of what a model finds: how `penchant.retrieval.rerank` sees a model."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from penchant.errors import ParameterError
from penchant.models import results
from penchant.models.expression_filters import feature_table
from penchant.models.histories import Histories
from penchant.retrieval.filters import ItemFilter
from penchant.retrieval.rerank.chain import Search, pool_size, read_rerankers, rerank_all
from penchant.retrieval.rerank.exploration import mixed
from penchant.retrieval.rerank.lists import Catalogue, Flags, Reranker, Rows, Scores

if TYPE_CHECKING:
    from penchant.models.fallback import Among
    from penchant.models.ranker import Ranker


def read_chain(rerank: Any, pool: int | None) -> tuple[Reranker, ...]:
    """Return the caller's re-rankers, in order; a pool for none of them is an error."""
    chain = read_rerankers(rerank)
    if not chain and pool is not None:
        raise ParameterError("pool is what re-rankers choose from: give rerank=[...] too")
    return chain


def catalogue_of(model: Ranker) -> Catalogue:
    """Return what re-rankers may know of a model's items; made once for each set of weights."""
    made: Catalogue | None = model._derived.get("catalogue")
    if made is None:
        items, own = model.items_, weakref.ref(model)  # a cycle would outlive the model

        def codes(ids: Any) -> NDArray[np.int32]:
            return results.resolve(items, ids, "item", "keep", ("error", "keep")).codes

        def vectors() -> NDArray[np.float32]:
            alive = own()
            assert alive is not None
            return alive._vectors("item")

        made = model._derived["catalogue"] = Catalogue(
            model=type(model).__name__,
            table=feature_table(model, "item"),
            counts=model.item_counts_,
            first_seen=model.item_first_seen_,
            last_event=model.last_event_,
            vectors=vectors,
            codes=codes,
        )
    return made


def reranked_codes(
    model: Ranker, codes: Rows, k: int, chain: tuple[Reranker, ...], pool: int | None, **search: Any
) -> tuple[Rows, Scores]:
    """Answer `Ranker.recommend_codes` with re-rankers; `search` has its other arguments."""
    wanted: ItemFilter = search.pop("item_filter")
    among: Among | None = search.pop("among")

    def find(part: Rows, n: int, flags: Flags | None) -> tuple[Rows, Scores]:
        some = wanted.take(part).flagged(flags)
        own = None if among is None else among.take(part)
        return model.recommend_codes(codes[part], n, item_filter=some, among=own, **search)

    return _reranked(model, codes.astype(np.uint64), k, chain, pool, find, search["num_threads"])


def reranked_histories(
    model: Ranker,
    histories: Histories,
    k: int,
    chain: tuple[Reranker, ...],
    pool: int | None,
    **search: Any,
) -> tuple[Rows, Scores]:
    """Answer `Ranker.recommend_histories` with re-rankers."""
    wanted: ItemFilter = search.pop("item_filter")

    def find(part: Rows, n: int, flags: Flags | None) -> tuple[Rows, Scores]:
        some = wanted.take(part).flagged(flags)
        return model.recommend_histories(histories.take(part), n, item_filter=some, **search)

    keys = history_keys(histories)
    return _reranked(model, keys, k, chain, pool, find, search["num_threads"])


def _reranked(
    model: Ranker,
    users: NDArray[np.uint64],
    k: int,
    chain: tuple[Reranker, ...],
    pool: int | None,
    find: Search,
    num_threads: int | None,
) -> tuple[Rows, Scores]:
    return rerank_all(
        chain,
        catalogue_of(model),
        users,
        k=int(k),
        pool=pool_size(pool, int(k)),
        search=find,
        num_threads=model._threads(num_threads),
    )


def history_keys(histories: Histories) -> NDArray[np.uint64]:
    """Return a number that stands for each history: its items in their order.

    Examples
    --------
    >>> import numpy as np
    >>> ones = np.ones(5, np.float32)
    >>> three = Histories(np.array([0, 2, 2, 5]), np.array([4, 7, 4, 7, 1], np.int32), ones)
    >>> keys = history_keys(three)
    >>> bool(keys[0] == history_keys(three.take(np.array([0])))[0]), len(np.unique(keys))
    (True, 3)
    """
    starts = histories.indptr
    places = np.arange(len(histories.items)) - np.repeat(starts[:-1], np.diff(starts))
    bits = mixed(histories.items.astype(np.uint64) << np.uint64(32) | places.astype(np.uint64))
    sums = np.zeros(len(bits) + 1, dtype=np.uint64)
    np.cumsum(bits, out=sums[1:])  # wraps around
    keys: NDArray[np.uint64] = mixed(sums[starts[1:]] - sums[starts[:-1]])
    return keys
