"""Diversity: maximal marginal relevance and determinantal point processes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.errors import ParameterError, UnsupportedError, choose
from penchant.retrieval.exact import unit_rows
from penchant.retrieval.rerank.attribute_sets import attribute_sets
from penchant.retrieval.rerank.lists import (
    Catalogue,
    RankedLists,
    Request,
    Reranker,
    Rows,
    check_number,
)


@dataclass(frozen=True, kw_only=True)
class _Diversity(Reranker):
    by: Literal["vectors"] | Sequence[str] = "vectors"
    relevance_weight: float = 0.7
    similarity: Literal["jaccard", "cosine"] = "jaccard"

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_number(self, "relevance_weight", self.relevance_weight, 0, 1)
        choose("similarity", self.similarity, ("jaccard", "cosine"))
        if isinstance(self.by, str) and self.by == "vectors":
            return
        columns = self.by if isinstance(self.by, list | tuple) else ()
        if not columns or not all(isinstance(column, str) for column in columns):
            raise ParameterError(
                f"{name}: by must be 'vectors' or a list of columns of the item table, such as "
                f"by=['genre'], got {self.by!r}"
            )
        object.__setattr__(self, "by", tuple(columns))

    def check(self, catalogue: Catalogue) -> None:
        """Raise an error where there are no vectors or columns to compare items by."""
        self._items(catalogue)

    def apply(self, lists: RankedLists, request: Request) -> RankedLists:
        """Return the lists in an order that trades relevance for diversity."""
        kernel, options = self._kernel(), self._items(request.catalogue)
        # What a wider pool has brought follows as it is: the work stays that of the pool.
        items, own = lists.items[:, : request.pool], options.pop("of")
        if items.size < len(request.catalogue):  # a copy of a few is quicker to check than all
            codes, places = np.unique(items[items >= 0], return_inverse=True)
            own = own[codes] if isinstance(own, np.ndarray) else own.take(codes)
            items = items.copy()
            items[items >= 0] = places
        if not isinstance(own, np.ndarray):
            options["n_values"], own = own.n_values, tuple(own.lists)
        order = kernel(
            np.ascontiguousarray(items),
            np.ascontiguousarray(lists.relevance[:, : request.pool]),
            own,
            relevance_weight=float(self.relevance_weight),
            depth=request.depth,
            num_threads=request.num_threads,
            **options,
        )
        rest = np.arange(order.shape[1], lists.items.shape[1])
        rest = np.where(lists.items[:, order.shape[1] :] >= 0, rest, -1)
        return lists.reorder(np.hstack([order, rest])).by_place()

    @abstractmethod
    def _kernel(self) -> Callable[..., Rows]: ...

    def _items(self, catalogue: Catalogue) -> dict[str, Any]:
        """Return what items are compared by."""
        if self.by != "vectors":
            sets = attribute_sets(catalogue, tuple(self.by), type(self).__name__)
            return {"of": sets, "jaccard": self.similarity == "jaccard"}
        return {"of": catalogue.cached("unit vectors", lambda: self._vectors(catalogue))}

    def _vectors(self, catalogue: Catalogue) -> NDArray[np.float32]:
        try:
            vectors = catalogue.vectors()
        except UnsupportedError:
            name = type(self).__name__
            raise UnsupportedError(
                f"{catalogue.model} learns no vectors that {name}(by='vectors') could compare: "
                f"compare items by columns of the item table, such as {name}(by=['genre'])"
            ) from None
        return unit_rows(np.ascontiguousarray(vectors))


@dataclass(frozen=True, kw_only=True)
class MMR(_Diversity):
    """Maximal marginal relevance: each place goes to what is relevant and not yet said.

    From place to place the item with the largest ``w * relevance - (1 - w) * s`` is chosen, where
    ``w`` is `relevance_weight` and ``s`` its largest similarity to an item chosen before
    (Carbonell and Goldstein, SIGIR 1998). Relevance is what the re-rankers before it have left,
    at first the model's score scaled to 0..1 over the user's pool. Where caps have widened the
    pool, the first `pool` items are ordered and the others follow.

    Parameters
    ----------
    by : "vectors" or list of str, default "vectors"
        Compare items by the cosine of the model's item vectors (0 for a vector of zeros), or by
        the values of columns of the item table: single ones, lists, or text that joins them by
        ``|``. An item without values is like no other.
    relevance_weight : float, default 0.7
        From 0 (diversity alone) to 1 (the order as it is).
    similarity : {"jaccard", "cosine"}, default "jaccard"
        Of sets of values: shared / all, or shared / square root of the product of their sizes.

    Raises
    ------
    ParameterError
        A setting is out of range.
    UnsupportedError, ColumnError
        When recommending: the model has no vectors, or the item table no such column.

    Examples
    --------
    >>> import pandas as pd, penchant as pc
    >>> pairs = pd.DataFrame([(u, i) for i, n in zip("abcd", (4, 3, 2, 1)) for u in range(n)])
    >>> kinds = pd.DataFrame({"i": list("abcd"), "kind": ["tea", "tea", "tea", "jam"]})
    >>> data = pc.Interactions.from_frame(
    ...     pairs.set_axis(["u", "i"], axis=1), user="u", item="i", item_features=kinds
    ... )
    >>> model = pc.Popularity().fit(data)
    >>> diverse = pc.rerank.MMR(by=["kind"], relevance_weight=0.5)
    >>> model.recommend(0, exclude_seen=False, rerank=[diverse])["i"].tolist()
    ['a', 'd', 'b', 'c']
    """

    def _kernel(self) -> Callable[..., Rows]:
        return _core.rerank_mmr


@dataclass(frozen=True, kw_only=True)
class DPP(_Diversity):
    """A determinantal point process: the list as a whole is relevant and spread out.

    Greedy search for the list with the largest
    ``w * sum(relevance) + (1 - w) * log(det(similarities))``, where ``w`` is `relevance_weight`
    (Chen, Zhang and Zhou, NeurIPS 2018, algorithm 1 and equation 20). Where no item is left that
    is not a mixture of those chosen, as after d places with vectors of d dimensions or among items
    with equal attributes, the rest follows as it was.

    Parameters
    ----------
    by, similarity
        As in `MMR`.
    relevance_weight : float, default 0.7
        From 0 (diversity alone) to 1 (the order as it is).

    Raises
    ------
    ParameterError
        A setting is out of range.
    UnsupportedError, ColumnError
        When recommending: the model has no vectors, or the item table no such column.

    Examples
    --------
    >>> import penchant as pc
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea", "milk"], ["jam", "pen"]])
    >>> model = pc.IALS(factors=2).fit(data, progress=False)
    >>> spread = pc.rerank.DPP(relevance_weight=0.5)
    >>> len(model.recommend(k=2, rerank=[spread]))
    6
    """

    def _kernel(self) -> Callable[..., Rows]:
        return _core.rerank_dpp
