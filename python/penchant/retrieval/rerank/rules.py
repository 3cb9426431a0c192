"""Rules of the shop: the long tail, at most so many of a kind, and promoted items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.data import arrow
from penchant.errors import ParameterError, notice
from penchant.retrieval.rerank.attribute_sets import attribute_sets
from penchant.retrieval.rerank.lists import (
    Catalogue,
    Flags,
    RankedLists,
    Request,
    Reranker,
    Rows,
    check_number,
)

_MANY = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class PopularityDiscount(Reranker):
    """Bring up the long tail: ``(1 - w) * relevance + w * novelty`` decides.

    Novelty is ``1 - log(1 + users) / log(1 + users of the most popular item)``: 0 for the most
    popular item of the catalogue, near 1 for one hardly anybody has (after Vargas and Castells,
    RecSys 2011).

    Parameters
    ----------
    weight : float, default 0.3
        From 0 (the order as it is) to 1 (the least popular item of the pool first).

    Raises
    ------
    ParameterError
        `weight` is out of range.

    Examples
    --------
    >>> import penchant as pc
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea", "jam"], ["tea", "pen"]])
    >>> tail = pc.rerank.PopularityDiscount(weight=0.8)
    >>> model = pc.Popularity().fit(data)
    >>> model.recommend(k=3, exclude_seen=False, rerank=[tail])["item"].tolist()[:3]
    ['pen', 'jam', 'tea']
    """

    weight: float = 0.3

    def __post_init__(self) -> None:
        check_number(self, "weight", self.weight, 0, 1)

    def apply(self, lists: RankedLists, request: Request) -> RankedLists:
        """Return the lists by discounted relevance, which later re-rankers go by."""
        catalogue = request.catalogue
        novelty = catalogue.cached("novelty", lambda: _novelty(catalogue))
        there = lists.items >= 0
        mixed = (1.0 - self.weight) * lists.relevance + self.weight * novelty[lists.items]
        lists = replace(lists, relevance=np.where(there, mixed, 0.0))
        order = np.argsort(np.where(there, -mixed, np.inf), axis=1, kind="stable")
        return lists.reorder(np.where(np.take_along_axis(there, order, axis=1), order, -1))


def _novelty(catalogue: Catalogue) -> NDArray[np.float64]:
    shares = np.log1p(catalogue.counts.astype(np.float64))
    novelty: NDArray[np.float64] = 1.0 - shares / max(float(shares.max(initial=0.0)), 1e-300)
    return novelty


@dataclass(frozen=True)
class AttributeCap(Reranker):
    """At most so many items of a kind, such as two of an artist.

    From the top of the list, an item stays unless one of its values in the column is already
    there `at_most` times. Items without a value stay. The pool is widened until each user has `k`
    items or has been offered all there are. What later re-rankers add is not capped: a cap that
    must hold goes last.

    Parameters
    ----------
    column : str
        Of the item table: single values, lists, or text that joins values by ``|``.
    at_most : int, default 2

    Raises
    ------
    ParameterError
        A setting is out of range.
    ColumnError
        When recommending: the item table has no such column.

    Examples
    --------
    >>> import pandas as pd, penchant as pc
    >>> songs = pd.DataFrame({"song": list("abcd"), "artist": ["Abba", "Abba", "Abba|Cher", None]})
    >>> pairs = pd.DataFrame([(u, i) for i, n in zip("abcd", (4, 3, 2, 1)) for u in range(n)])
    >>> data = pc.Interactions.from_frame(
    ...     pairs.set_axis(["who", "song"], axis=1), user="who", item="song", item_features=songs
    ... )
    >>> model = pc.Popularity().fit(data)
    >>> cap = pc.rerank.AttributeCap("artist", at_most=1)
    >>> model.recommend(0, exclude_seen=False, rerank=[cap])["song"].tolist()
    ['a', 'd']
    """

    column: str
    _: KW_ONLY
    at_most: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.column, str):
            raise ParameterError(
                f"AttributeCap: column is the name of one column, got {self.column!r}; "
                "for several give several caps"
            )
        check_number(self, "at_most", self.at_most, 1, _MANY, whole=True)

    def check(self, catalogue: Catalogue) -> None:
        """Raise an error where the item table has no such column."""
        attribute_sets(catalogue, (self.column,), "AttributeCap")

    def apply(self, lists: RankedLists, request: Request) -> RankedLists:
        """Return the lists without the items that are too many."""
        sets = attribute_sets(request.catalogue, (self.column,), "AttributeCap")
        items = lists.items
        if items.size < len(request.catalogue):
            codes, places = np.unique(items[items >= 0], return_inverse=True)
            items, sets = items.copy(), sets.take(codes)
            items[items >= 0] = places
        kept = _core.cap_attributes(
            np.ascontiguousarray(items),
            (sets.lists.indptr, sets.lists.indices),
            n_values=sets.n_values,
            at_most=int(self.at_most),
            num_threads=request.num_threads,
        )
        return lists.keep(kept.view(np.bool_))


class _Promoted(NamedTuple):
    """Promoted items: their codes in the order of their importance, and as flags."""

    codes: Rows
    flags: Flags
    n_unknown: int


@dataclass(frozen=True)
class Promotions(Reranker):
    """Put chosen items at chosen places.

    Each user's first slot gets the first of `items` that the filters and `exclude_seen` leave,
    the second slot the second, and so on. Slots without an item stay with the list, and those
    beyond `k` are left out. Items keep the model's own score.

    Parameters
    ----------
    items : sequence of item ids, Series or array
        In the order of their importance. Those that the model does not know are left out, with a
        `PenchantWarning`.
    slots : sequence of int, default (1,)
        Places to fill, counted from 1.

    Raises
    ------
    ParameterError
        No items or slots, or a slot that is below 1 or named twice.

    Examples
    --------
    >>> import penchant as pc
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea", "jam"], ["pen"]])
    >>> model = pc.Popularity().fit(data)
    >>> offer = pc.rerank.Promotions(["pen"], slots=[2])
    >>> model.recommend([0, 2], rerank=[offer])[["sequence", "item"]].to_numpy().tolist()
    [[0, 'pen'], [2, 'jam'], [2, 'tea']]
    """

    items: Sequence[Any]
    _: KW_ONLY
    slots: Sequence[int] = (1,)

    def __post_init__(self) -> None:
        given = [] if self.items is None else arrow.to_array(self.items, "items").to_pylist()
        if not given or any(one is None or isinstance(one, list | dict) for one in given):
            raise ParameterError(
                f"Promotions: items must be ids, at least one and none null: {self.items!r:.100}"
            )
        object.__setattr__(self, "items", tuple(dict.fromkeys(given)))
        slots: tuple[int, ...] = tuple(self.slots) if np.iterable(self.slots) else (self.slots,)
        for slot in slots:
            check_number(self, "each of slots", slot, 1, _MANY, whole=True)
        if not slots or len(set(slots)) < len(slots):
            raise ParameterError(f"Promotions: slots must be distinct places: {slots}")
        object.__setattr__(self, "slots", tuple(int(slot) for slot in slots))

    def reach(self) -> int:
        """Return the number of promoted items."""
        return len(self.items)

    def check(self, catalogue: Catalogue) -> None:
        """Say how many of the items the model does not know."""
        promoted = self._promoted(catalogue)
        if promoted.n_unknown:
            notice(
                f"Promotions: {promoted.n_unknown} of {len(self.items)} are not items of the "
                "training data; they are left out"
            )

    def apply(self, lists: RankedLists, request: Request) -> RankedLists:
        """Return the lists with the promoted items in their slots."""
        codes, flags, _ = self._promoted(request.catalogue)
        slots = np.array([slot - 1 for slot in self.slots if slot <= request.k], dtype=np.int64)
        if not len(codes) or not len(slots):
            return lists
        found, scores = request.search(flags, len(codes))
        # From the order of the scores to that of the promotions.
        by_code = np.argsort(codes)
        number = by_code[np.searchsorted(codes, found, sorter=by_code)]
        number = np.where(found >= 0, number, len(codes))
        order = np.argsort(number, axis=1, kind="stable")[:, : len(slots)]
        chosen = np.take_along_axis(found, order, axis=1)
        places = np.broadcast_to(slots[: chosen.shape[1]], chosen.shape)
        return lists.insert(chosen, np.take_along_axis(scores, order, axis=1), places)

    def _promoted(self, catalogue: Catalogue) -> _Promoted:
        def make() -> _Promoted:
            codes = catalogue.codes(self.items).astype(np.int64)
            known = codes[codes >= 0]
            # "7" and 7 may be the same item.
            distinct = known[np.sort(np.unique(known, return_index=True)[1])]
            flags = np.zeros(len(catalogue), dtype=np.bool_)
            flags[distinct] = True
            return _Promoted(distinct, flags, len(codes) - len(known))

        kinds = tuple(map(type, self.items))  # 1 == True
        return catalogue.cached(("promotions", self.items, kinds), make)
