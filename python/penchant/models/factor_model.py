"""Models that score by the inner product of a user's and an item's vector."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.models.base import Recommender
from penchant.models.ranker import Rows, Scores
from penchant.retrieval.filters import RowLists


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

    def _vectors(self, side: Literal["user", "item"]) -> NDArray[np.float32]:
        return self._factors().users if side == "user" else self._factors().items

    def _neighbors(self, codes: Rows, k: int, num_threads: int) -> tuple[Rows, Scores]:
        return self._nearest("item", codes, k, num_threads)

    def _best_users(
        self, codes: Rows, k: int, exclude: RowLists | None, num_threads: int
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
        return index.search(queries, k, exclude=exclude, num_threads=num_threads)
