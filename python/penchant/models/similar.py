"""Which items are most like others, as a frame and as arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from penchant.models import results
from penchant.models.columns import columns_beside
from penchant.models.ranker import Rows, Scores
from penchant.models.vector_frames import VectorFrames
from penchant.retrieval.exact import check_k


class SimilarItems(VectorFrames):
    """Adds `similar_items` and `similar_codes`."""

    def similar_items(
        self,
        items: Any = None,
        *,
        k: int = 10,
        with_columns: Iterable[str] = (),
        unknown: Literal["error", "drop"] = "error",
        num_threads: int | None = None,
    ) -> Any:
        """Find the items most like some items.

        Models with vectors go by their cosine (biases play no part), item-item models by the
        similarities they have learnt.

        Parameters
        ----------
        items : id, sequence of ids, Series or array, optional
            None means every item.
        k : int, default 10
            Neighbours per item; the item itself is not one of them.
        with_columns : sequence of str, optional
            Columns of the item table to add to the answer, those of the neighbours.
        unknown : {"error", "drop"}, default "error"
            What to do about items outside the training data.
        num_threads : int, optional
            Default: the model's ``num_threads``.

        Returns
        -------
        frame
            <item column>, neighbor, score (float32), rank (int64, from 1); at most k rows
            for each item asked about, best first.

        Raises
        ------
        UnknownIdError
            With ``unknown="error"``, naming the first five unknown items.
        UnsupportedError
            The model learns nothing about items that could be compared.
        DataError
            `items` is a whole frame, not one column of ids.
        ColumnError
            The item table lacks a column that `with_columns` names.
        ParameterError
            `k`, `unknown` or `num_threads` is out of range.
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> import penchant as pc
        >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea", "jam"], ["pen", "ink"]])
        >>> model = pc.BPR(factors=8, random_state=1).fit(data, progress=False)
        >>> len(model.similar_items("tea", k=2))
        2
        """
        self._check_fitted()
        check_k(k)
        about = columns_beside(self, "item", with_columns)
        asked = results.resolve(self.items_, items, "item", unknown, ("error", "drop"))
        rows, scores = self.similar_codes(asked.codes, k, num_threads=num_threads)
        names = (self.columns_.item, "neighbor")
        return results.ranked_frame(
            asked.labels, self.items_, rows, scores, names, self.backend_, about
        )

    def similar_codes(
        self, items: ArrayLike, k: int = 10, *, num_threads: int | None = None
    ) -> tuple[Rows, Scores]:
        """Find the items most like some items: the array form of `similar_items`.

        Parameters
        ----------
        items : int array of shape (q,)
            Codes of `items_`.
        k, num_threads
            As in `similar_items`.

        Returns
        -------
        rows : int64 array of shape (q, min(k, n_items))
            Codes of `items_`, best first; -1 where none are left.
        scores : float32 array of the same shape
            -inf where `rows` is -1.

        Raises
        ------
        NotFittedError, ParameterError, UnsupportedError
            As in `similar_items`.
        IndexError
            A code below 0, or of `n_items` or more.

        Examples
        --------
        >>> import penchant as pc
        >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea", "jam"], ["pen", "ink"]])
        >>> model = pc.ItemKNN().fit(data, progress=False)
        >>> model.similar_codes(model.items_.codes(["pen"]), k=1)[0].tolist()
        [[0]]
        """
        self._check_fitted()
        check_k(k)
        codes = np.asarray(items, dtype=np.int64)
        if len(codes) and not 0 <= codes.min() <= codes.max() < len(self.items_):
            raise IndexError(f"item codes must be from 0 to {len(self.items_) - 1}")
        return self._neighbors(codes, min(int(k), len(self.items_)), self._threads(num_threads))
