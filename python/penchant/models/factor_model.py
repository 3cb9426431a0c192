"""Models that score by the inner product of a user's and an item's vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from penchant.retrieval.protocol import Index

if TYPE_CHECKING:
    import pyarrow as pa

    from penchant.data.interactions import Interactions
    from penchant.models.growth import Growth

_Floats = NDArray[np.float32]
# Length of a user's vector, relative to the typical one, below which it is rounding.
_NOTHING = 1e-6
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

        def make() -> _core.TopkIndex:
            factors = self._factors()
            return _core.TopkIndex(factors.items, factors.biases)

        return self._topk("topk", make)

    def _kept_factors(
        self, vectors: Callable[[], Sequence[_Floats]], biases: Callable[[], _Floats | None]
    ) -> Factors:
        """Return factors of users' and items' vectors, made once and kept until weights change."""
        derived = self._derived

        def keep(both: Sequence[_Floats]) -> None:
            users, items = both
            derived["factors"] = Factors(users, items, biases())

        if "factors" not in derived:
            self._shelved(("factor_users", "factor_items"), vectors, keep)
        factors: Factors = derived["factors"]
        return factors

    def _queries(self, codes: Rows | None) -> NDArray[np.float32]:
        users = self._factors().users
        return np.ascontiguousarray(users if codes is None else users[codes])

    def _telling(self, queries: Callable[[], NDArray[np.float32]]) -> NDArray[np.bool_] | None:
        """Return which are more than rounding; with biases items differ for everybody.

        Users whose items nobody else took end near zero, how near being a matter of the epochs.
        """
        if self._factors().biases is not None:
            return None
        asked = queries()
        lengths = np.sqrt(np.einsum("ud,ud->u", asked, asked, dtype=np.float64))
        told: NDArray[np.bool_] = lengths > _NOTHING * self._typical_length()
        return told

    def _typical_length(self) -> float:
        """Return the root mean square of the lengths of users' vectors."""
        derived = self._derived

        def make() -> tuple[NDArray[np.float64]]:
            users = self._factors().users
            squares = np.einsum("ud,ud->", users, users, dtype=np.float64)
            return (np.sqrt([squares / max(len(users), 1)]),)

        def keep(lengths: Sequence[NDArray[np.float64]]) -> None:
            derived["typical"] = float(lengths[0][0])

        if "typical" not in derived:
            self._shelved(("typical",), make, keep)
        length: float = derived["typical"]
        return length

    def _prepare(self) -> None:
        if self._factors().biases is None:
            self._typical_length()
        super()._prepare()

    # ---- the approximate index ------------------------------------------------------------------

    def _make_graph(self, options: Options, num_threads: int) -> GraphSearch:
        _, items, biases = self._factors()
        queries = items[:SAMPLE]  # vectors from elsewhere come without users
        if len(self.users_):
            chosen = np.random.default_rng(0).permutation(len(self.users_))[:SAMPLE]
            queries = self._queries(np.sort(chosen))
        index = self._index()
        return GraphSearch.build(index, index, items, biases, options, queries, num_threads)

    def _searcher(self, index: str | None) -> Index:
        found = super()._searcher(index)
        if isinstance(found, GraphSearch):
            # The same index may lie in mapped memory by now; see `Shelf`.
            found.exact = found.topk = self._index()
        return found

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

        def make() -> _core.TopkIndex:
            # The item's bias is the first summand of a score: here a dimension of its own, so that
            # the sum is the same to the bit.
            users = np.ones((len(factors.users), factors.users.shape[1] + 1), dtype=np.float32)
            users[:, 1:] = factors.users
            return _core.TopkIndex(users)

        index = self._topk("users", make)
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

    def _take_in(self, new: Interactions | None, rows: pa.Table | None) -> None:
        zero = ~_any(self._vectors("item"))
        if not zero.all():  # early versions left at zero what they should have guessed
            guessed = np.union1d(self.guessed_items_, np.flatnonzero(zero))
            self.guessed_items_ = guessed.astype(np.int32)
        super()._take_in(new, rows)

    def _grow(self, growth: Growth) -> None:
        """Solve for users, then for the items they took, then for the users with those items."""
        users, told = growth.users, self._are_told_of(growth)
        learnt = growth.items[told | self._are_rated(growth)]
        if len(learnt):
            takers = self._takers(learnt)
            for array in self._item_arrays():
                array[learnt] = 0  # what was a guess until now
            # All of them: who took what was a guess until now has news too.
            users = np.union1d(users, takers.indices).astype(np.int64)
            own = self._own_histories(users).only(growth.known.items)
            self._adopt_users(users, self._fold_in(own))
            self._weights_changed()
            self._learn_items(growth._replace(items=learnt), takers)
        self._guess_items(growth, learnt, growth.items[told])
        self._weights_changed()
        if len(users):
            self._adopt_users(users, self._fold_in(self._own_histories(users)))

    def _are_told_of(self, growth: Growth) -> NDArray[np.bool_]:
        """Return which of ``growth.items`` were taken by somebody who took a known item too."""
        owners = owners_of(self.seen_)
        knows = np.zeros(len(self.users_), dtype=np.bool_)
        knows[owners[growth.known.items[self.seen_.indices]]] = True
        told = np.zeros(len(self.items_), dtype=np.bool_)
        told[self.seen_.indices[knows[owners]]] = True
        return told[growth.items]

    def _are_rated(self, growth: Growth) -> NDArray[np.bool_]:
        """Return of which of ``growth.items`` even strangers tell something."""
        return np.zeros(len(growth.items), dtype=np.bool_)

    def _item_arrays(self) -> list[NDArray[Any]]:
        """Return the arrays with a row for each item."""
        named = ((getattr(self, name), weight) for name, weight in self._weights.items())
        return [
            array for array, weight in named if array is not None and weight.shape[0] == "items"
        ]

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

    def _guess_items(
        self, growth: Growth, learnt: NDArray[np.int64], told: NDArray[np.int64]
    ) -> None:
        """Give new items that are not learnt what the known items most like them have learnt.

        It is their weighted mean; that of all where none is alike, or without an item table. What
        is not among `told` counts as a guess.
        """
        unsure = np.setdiff1d(np.flatnonzero(~growth.known.items), told)
        self.guessed_items_ = unsure.astype(np.int32)
        guessed = np.setdiff1d(growth.fresh, learnt)
        if not len(guessed):
            return
        known = growth.known.items
        rows = np.empty((len(guessed), 0), dtype=np.int64)
        weights = np.empty(rows.shape, dtype=np.float32)
        if self.item_features_ is not None:
            rows, weights = most_alike(self.item_features_, known, guessed, self._threads(None))
        totals = weights.sum(axis=1, dtype=np.float64)
        alone = totals == 0
        shares = weights / np.where(alone, 1.0, totals)[:, None]
        for array in self._item_arrays():
            found = np.zeros((len(rows), *array.shape[1:]))
            for like, share in zip(rows.T, shares.T, strict=True):  # at most 100
                found += share.reshape(-1, *[1] * (array.ndim - 1)) * array[like]
            found[alone] = array[known].mean(axis=0, dtype=np.float64)
            array[guessed] = np.rint(found) if array.dtype.kind == "i" else found


def _any(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which rows are not all zero."""
    found: NDArray[np.bool_] = np.any(rows != 0, axis=1)
    return found
