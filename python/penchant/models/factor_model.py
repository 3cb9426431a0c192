"""Models that score by the inner product of a user's and an item's vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.data.interactions import CSR
from penchant.models.alike_items import most_alike
from penchant.models.audience import Sums
from penchant.models.base import Recommender
from penchant.models.ranker import Rows, Scores
from penchant.retrieval.filters import RowLists, offsets, owners_of
from penchant.retrieval.graph_report import Options
from penchant.retrieval.graph_search import SAMPLE, GraphSearch

if TYPE_CHECKING:
    from penchant.models.growth import Growth
    from penchant.models.histories import Histories

_PAIRS_AT_ONCE = 1 << 16  # bounds the memory of gathered vectors


class Factors(NamedTuple):
    """How a model scores: ``users[u] @ items[i] + biases[i]``.

    `users` is float32 [n_users, d] and may have zero strides; `items` is float32 [n_items, d],
    C-contiguous; `biases` is float32 [n_items] or None.
    """

    users: NDArray[np.float32]
    items: NDArray[np.float32]
    biases: NDArray[np.float32] | None


class FactorModel(Recommender, abstract=True):
    """Base class of models with vectors; they say what those are in `_factors`."""

    _describes: ClassVar[bool] = True

    def _factors(self) -> Factors:
        """Return what scores are made of."""
        raise NotImplementedError

    def _index(self) -> _core.TopkIndex:
        """Return the index over the item factors; made once and kept until they change."""
        index: _core.TopkIndex | None = self._derived.get("topk")
        if index is None:
            factors = self._factors()
            index = self._derived["topk"] = _core.TopkIndex(factors.items, factors.biases)
        return index

    def _queries(self, codes: Rows | None) -> NDArray[np.float32]:
        users = self._factors().users
        return np.ascontiguousarray(users if codes is None else users[codes])

    # ---- the approximate index ------------------------------------------------------------------

    def _make_graph(self, options: Options, num_threads: int) -> GraphSearch:
        _, items, biases = self._factors()
        queries = items[:SAMPLE]  # vectors from elsewhere come without users
        if len(self.users_):
            chosen = np.random.default_rng(0).permutation(len(self.users_))[:SAMPLE]
            queries = self._queries(np.sort(chosen))
        index = self._index()
        return GraphSearch.build(index, index, items, biases, options, queries, num_threads)

    def _kept_index(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        graph: GraphSearch | None = self._derived.get("graph")
        return None if graph is None else graph.state()

    def _restore_index(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        _, items, biases = self._factors()
        self._derived["graph"] = GraphSearch.restore(self._index(), items, biases, meta, arrays)

    def _params_changed(self) -> None:
        """Keep the graph if the new hyperparameters leave the vectors of items as they are."""
        before = self.__dict__.get("_derived", {})
        factors = self._factors() if "graph" in before else None
        super()._params_changed()
        if factors is None:
            return
        new = self._factors()
        old_biases, biases = (
            np.empty(0, np.float32) if part.biases is None else part.biases
            for part in (factors, new)
        )
        if np.array_equal(factors.items, new.items) and np.array_equal(old_biases, biases):
            self._derived["graph"] = before["graph"]

    def _vectors(self, side: Literal["user", "item"]) -> NDArray[np.float32]:
        return self._factors().users if side == "user" else self._factors().items

    def _neighbors(self, codes: Rows, k: int, num_threads: int) -> tuple[Rows, Scores]:
        return self._nearest("item", codes, k, num_threads)

    def _best_users(
        self,
        codes: Rows,
        k: int,
        exclude: RowLists | None,
        allowed: NDArray[np.bool_] | None,
        num_threads: int,
    ) -> tuple[Rows, Scores]:
        factors = self._factors()
        index: _core.TopkIndex | None = self._derived.get("users")
        if index is None:
            # The item's bias is the first summand of a score: here a dimension of its own, so that
            # the sum is the same to the bit.
            users = np.ones((len(factors.users), factors.users.shape[1] + 1), dtype=np.float32)
            users[:, 1:] = factors.users
            index = self._derived["users"] = _core.TopkIndex(users)
        queries = np.zeros((len(codes), factors.items.shape[1] + 1), dtype=np.float32)
        queries[:, 1:] = factors.items[codes]
        if factors.biases is not None:
            queries[:, 0] = factors.biases[codes]
        flags = None if allowed is None else allowed.view(np.uint8)
        return index.search(queries, k, exclude=exclude, allowed=flags, num_threads=num_threads)

    def _sums(
        self,
        queries: NDArray[np.float32],
        flags: NDArray[np.bool_],
        left_out: RowLists | None,
        num_threads: int,
    ) -> Sums:
        if type(self)._finish is not FactorModel._finish:  # a sum of scores as they are shown
            return super()._sums(queries, flags, left_out, num_threads)
        factors = self._factors()
        items = factors.items[flags].sum(axis=0, dtype=np.float64)
        biases = 0.0 if factors.biases is None else factors.biases[flags].sum(dtype=np.float64)
        # einsum adds up in one order; the order of a BLAS product may depend on its threads.
        sums: NDArray[np.float64] = np.einsum("ud,d->u", queries, items) + biases
        counts = np.full(len(sums), np.count_nonzero(flags))
        if left_out is None:
            return Sums(sums, counts)
        users, codes = owners_of(left_out), left_out.indices
        scores = np.empty(len(codes))
        for start in range(0, len(codes), _PAIRS_AT_ONCE):
            some = slice(start, start + _PAIRS_AT_ONCE)
            theirs = queries[users[some]], factors.items[codes[some]]
            scores[some] = np.einsum("pd,pd->p", *theirs, dtype=np.float64)
        if factors.biases is not None:
            scores += factors.biases[codes]
        sums -= np.bincount(users, weights=scores, minlength=len(sums))
        return Sums(sums, counts - np.diff(left_out.indptr))

    # ---- new users and items --------------------------------------------------------------------

    def _adopt_users(self, codes: Rows, queries: NDArray[np.float32]) -> None:
        """Keep rows of `_fold_in` as those of users."""
        raise NotImplementedError

    def _learn_items(self, growth: Growth, takers: CSR) -> None:
        """Set the rows of ``growth.items``, whose users row i of `takers` holds; items fixed."""
        raise NotImplementedError

    def _rows_of(self, histories: Histories, growth: Growth) -> NDArray[np.float32]:
        """Return the rows that users with these histories get."""
        rows: NDArray[np.float32] = self._fold_in(histories)
        return rows

    def _grow(self, growth: Growth) -> None:
        """Solve for users, then for the items they took, then for the users with those items."""
        if len(growth.items):
            own = self._own_histories(growth.users).only(growth.known.items)
            self._adopt_users(growth.users, self._rows_of(own, growth))
            self._weights_changed()
            self._learn_items(growth, self._takers(growth.items))
        if len(growth.described):
            self._describe_items(growth)
        self._weights_changed()
        if len(growth.users):
            own = self._own_histories(growth.users)
            self._adopt_users(growth.users, self._rows_of(own, growth))

    def _takers(self, items: Rows) -> CSR:
        """Return the items x users matrix of some items."""
        place = np.full(len(self.items_), -1)
        place[items] = np.arange(len(items))
        entries = np.flatnonzero(place[self.seen_.indices] >= 0)
        owners = place[self.seen_.indices[entries]]
        order = np.argsort(owners, kind="stable")  # users stay ascending
        entries = entries[order]
        values = self.history_values_
        return CSR(
            offsets(np.bincount(owners, minlength=len(items))),
            owners_of(self.seen_)[entries].astype(np.int32),
            np.ones(len(entries), np.float32) if values is None else values[entries],
        )

    def _describe_items(self, growth: Growth) -> None:
        """Give items the weighted mean of what the known items most like them have learnt."""
        assert self.item_features_ is not None
        rows, weights = most_alike(
            self.item_features_, growth.known.items, growth.described, self._threads(None)
        )
        totals = weights.sum(axis=1, dtype=np.float64)
        alone = totals == 0
        shares = weights / np.where(alone, 1.0, totals)[:, None]
        for name, weight in self._weights.items():
            array = getattr(self, name)
            if array is None or weight.shape[0] != "items":
                continue
            found = np.zeros((len(rows), *array.shape[1:]))
            for like, share in zip(rows.T, shares.T, strict=True):  # at most 100
                found += share.reshape(-1, *[1] * (array.ndim - 1)) * array[like]
            found[alone] = array[growth.known.items].mean(axis=0, dtype=np.float64)
            array[growth.described] = np.rint(found) if array.dtype.kind == "i" else found
