"""Vectors of users and items as frames."""

from __future__ import annotations

from typing import Any, Literal

from penchant.models import results
from penchant.models.incremental import GrowingRanker


class VectorFrames(GrowingRanker):
    """Adds `user_vectors` and `item_vectors`."""

    def user_vectors(self) -> Any:
        """Return the user factors, one row per user.

        Returns
        -------
        frame of n_users rows
            Columns factor_0, factor_1, ... (float32). pandas: indexed by user id; polars and
            pyarrow: the id is the first column.

        Raises
        ------
        NotFittedError
            Before `fit`.
        UnsupportedError
            The model learns no vectors.

        Examples
        --------
        >>> import penchant as pc
        >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea", "milk"]])
        >>> model = pc.BPR(factors=4, epochs=3).fit(data, progress=False)
        >>> model.user_vectors().shape
        (2, 4)
        """
        return self._vector_frame("user")

    def item_vectors(self) -> Any:
        """Return the item factors, one row per item; biases are in ``item_biases_``.

        Returns
        -------
        frame of n_items rows
            Columns factor_0, factor_1, ... (float32). pandas: indexed by item id; polars and
            pyarrow: the id is the first column.

        Raises
        ------
        NotFittedError
            Before `fit`.
        UnsupportedError
            The model learns no vectors.

        Examples
        --------
        >>> import penchant as pc
        >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea", "milk"]])
        >>> model = pc.BPR(factors=4, epochs=3).fit(data, progress=False)
        >>> model.item_vectors().index.tolist()
        ['jam', 'milk', 'tea']
        >>> model.item_vectors().shape
        (3, 4)
        """
        return self._vector_frame("item")

    def _vector_frame(self, side: Literal["user", "item"]) -> Any:
        self._check_fitted()
        ids = self.users_ if side == "user" else self.items_
        name = self.columns_.user if side == "user" else self.columns_.item
        return results.vector_frame(ids, self._vectors(side), name, self.backend_)
