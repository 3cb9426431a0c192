"""Why an item is recommended: what each item of a history adds to its score."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant.data.frames import from_arrow
from penchant.errors import ParameterError, UnsupportedError
from penchant.models import results
from penchant.models.audience import AudienceRanker
from penchant.models.histories import Histories, read_histories
from penchant.retrieval.exact import check_k
from penchant.retrieval.filters import offsets

_EVENTS_AT_ONCE = 1 << 22  # bounds the memory of histories that lack an event each


class Contributions(NamedTuple):
    """What items of a history add to a score; those of an item that repeats are added up.

    `items` is int32 [m], codes of the model's `items_` in any order; `values` is float32 [m].
    """

    items: NDArray[np.int32]
    values: NDArray[np.float32]


class ExplainingRanker(AudienceRanker):
    """Adds explanations."""

    _explains: ClassVar[bool] = True

    def explain(
        self, user: Any = None, item: Any = None, *, history: Any = None, k: int | None = 3
    ) -> Any:
        """Say which items of a history argue for an item.

        `EASE`, `ItemKNN`, `IALS` and `Prod2Vec` have scores that are sums over the history: its
        summands are returned, exactly [1]_. They add up to the score of
        ``recommend(history=...)``; in `Prod2Vec` to the cosine in it, without what the item's
        popularity adds. The vector that an `IALS` user has from training differs from that of
        their history a little, and so does their score. A `Pipeline` explains by the model that
        ranks. Of other models an item contributes what
        the score loses when the item is left out of the history, however often it is there, and
        the rest folded in: such contributions need not add up to the score, and where items stand
        in for each other, as in `BPR`, many may be negative.

        Parameters
        ----------
        user : id
            A user of the training data, explained by what they took there.
        item : id
            The item recommended, or any other.
        history : sequence of item ids, or mapping of item ids to values, optional
            Instead of `user`: what a stranger took, oldest first.
        k : int, default 3
            At most so many items, the strongest arguments first. None: the whole history.

        Returns
        -------
        frame
            <item column> of the history, contribution (float32, negative where the item argues
            against), share (float64, the contribution over the sum of all absolute contributions),
            rank (int64, from 1). Ties by the order of ``items_``.

        Raises
        ------
        UnknownIdError
            The user or an item is not part of the training data.
        UnsupportedError
            The model does not go by histories, or is a `Pipeline` whose second stage is trees or
            does not know the user or the item; or it was saved by an early version, without the
            values of its users' histories.
        ParameterError
            Not exactly one of `user` and `history`, more than one user, item or history, or `k`
            out of range.
        NotFittedError
            Before `fit`.

        References
        ----------
        .. [1] Hu, Koren, Volinsky: "Collaborative filtering for implicit feedback datasets", ICDM
           2008, section 5.

        Examples
        --------
        >>> import penchant as pc
        >>> baskets = [["tea", "jam"], ["tea", "jam"], ["tea", "milk"], ["pen", "ink"]]
        >>> data = pc.Interactions.from_sequences(baskets, users=["ann", "bob", "eve", "joe"])
        >>> model = pc.ItemKNN().fit(data)
        >>> model.explain("eve", "jam")[["item", "share"]].to_numpy().tolist()
        [['tea', 1.0], ['milk', 0.0]]
        """
        self._check_fitted()
        if k is not None:
            check_k(k)
        if (user is None) == (history is None):
            raise ParameterError("explain wants a user or a history, and not both")
        if item is None:
            raise ParameterError("explain wants the item whose score is to be explained: item=...")
        self._check_explains()
        target = self._code_of(self.items_, item, "item")
        if history is None:
            return self._explained(self._code_of(self.users_, user, "user"), target, k)
        labels, own = read_histories(
            history, self.items_, self.columns_, "error", policies=("error",)
        )
        if labels is not None:
            raise ParameterError("explain wants the history of one stranger, not of several")
        return self._explained(own, target, k)

    def _code_of(self, ids: Any, value: Any, kind: str) -> int:
        codes = results.resolve(ids, value, kind, "error", ("error",)).codes
        if len(codes) != 1:
            raise ParameterError(f"explain wants one {kind}, got {len(codes)}")
        return int(codes[0])

    def _argument_frame(self, found: Contributions, k: int | None) -> Any:
        codes, place = np.unique(found.items, return_inverse=True)
        sums = np.bincount(place, weights=found.values, minlength=len(codes))
        best = np.argsort(-sums, kind="stable")[:k]
        shares = sums / (np.abs(sums).sum() or 1.0)
        names = [self.columns_.item, "contribution", "share", "rank"]
        columns = [
            self.items_.take(codes[best]),
            pa.array(sums[best].astype(np.float32)),
            pa.array(shares[best]),
            pa.array(np.arange(1, len(best) + 1, dtype=np.int64)),
        ]
        table = pa.Table.from_arrays(columns, names=results.distinct_names(names))
        return from_arrow(table, self.backend_)

    # ---- what a model may define ----------------------------------------------------------------

    def _check_explains(self) -> None:
        """Raise the `UnsupportedError` of a model that explains nothing."""
        self._check_folds_in()
        if not self._explains:
            raise UnsupportedError(
                f"{type(self).__name__} gives everybody the same scores: there is nothing in a "
                "history to explain them by"
            )

    def _explained(self, who: int | Histories, item: int, k: int | None) -> Any:
        """Explain the score of an item: to a user, by their code, or to a stranger."""
        own = who if isinstance(who, Histories) else self._own_history(who)
        return self._argument_frame(self._contributions(own, item), k)

    def _own_history(self, code: int) -> Histories:
        """Return what a user of the training data took, items ascending."""
        return self._own_histories(np.array([code]))

    def _contributions(self, history: Histories, item: int) -> Contributions:
        """Return what the items of a history add to an item's score: here by leaving each out."""
        codes = np.unique(history.items)
        whole = self._folded_scores(history, item)
        step = max(1, _EVENTS_AT_ONCE // max(len(history.items), 1))
        parts = [
            self._folded_scores(_without(history, codes[first : first + step]), item)
            for first in range(0, len(codes), step)
        ]
        return Contributions(codes, whole - np.concatenate([np.empty(0, np.float32), *parts]))

    def _folded_scores(self, histories: Histories, item: int) -> NDArray[np.float32]:
        """Return the score that an item has for each history."""
        return self._index().score_pairs(
            self._fold_in(histories),
            np.arange(histories.n, dtype=np.int64),
            np.full(histories.n, item, dtype=np.int64),
            num_threads=self._threads(None),
        )


def _without(history: Histories, codes: NDArray[np.int32]) -> Histories:
    """Return the history once for each item, without all events of that item."""
    stays = history.items != codes[:, None]
    kept = np.nonzero(stays)[1]
    indptr = offsets(np.count_nonzero(stays, axis=1))
    return history._replace(indptr=indptr, items=history.items[kept], values=history.values[kept])
