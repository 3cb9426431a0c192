"""What every index answers, whatever its queries are."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from penchant.retrieval.filters import RowLists

# Of pairs that an index cannot score, such as those a second stage does not know: finite, so that
# they are shown and served, and below every score.
NO_SCORE = np.finfo(np.float32).min


class Index(Protocol):
    """Exact search by one definition of a score.

    `search` and `score_pairs` give the same bits for the same query and item. Queries are whatever
    the index takes: a float32 matrix for vectors, histories for item-item similarities. An index
    that sees all scores also has ``log_sum_exp(queries, *, num_threads)``, float64 of one number a
    query; without it there are no softmax scores.
    """

    def search(
        self,
        queries: Any,
        k: int,
        *,
        exclude: RowLists | None,
        candidates: RowLists | None,
        allowed: NDArray[np.uint8] | None,
        allowed_rows: NDArray[np.int32] | None = None,
        num_threads: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the `k` best items of each query, ties by the lower row; -1 and -inf pad.

        `exclude` and `candidates` have a list for each query: items left out, and the only ones
        considered. `allowed` has a byte for each item: 0 leaves it out for all queries; with
        `allowed_rows` it has rows of them, and each query goes by its own.
        """
        ...

    def score_pairs(
        self,
        queries: Any,
        query_rows: NDArray[np.int64],
        vector_rows: NDArray[np.int64],
        *,
        num_threads: int,
    ) -> NDArray[np.float32]:
        """Return the score of each pair of a query and an item, `NO_SCORE` where there is none."""
        ...
