"""implicit's side (https://github.com/benfred/implicit); import it only where it is installed."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NAMES = {"cosine": "implicit CosineRecommender.fit", "bm25": "implicit BM25Recommender.fit"}


def fit(matrix: csr_matrix, similarity: str, neighbors: int, threads: int) -> Any:
    """Fit to a users x items matrix; it counts an item as a neighbour of its own."""
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender

    model = {"cosine": CosineRecommender, "bm25": BM25Recommender}[similarity](
        K=neighbors + 1, num_threads=threads
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a conversion it makes itself
        model.fit(matrix, show_progress=False)
    return model


def lists_of(model: Any, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the neighbours of every item, best first, itself left out; -1 and -inf pad."""
    matrix = model.similarity
    n_items = matrix.shape[0]
    owners = np.repeat(np.arange(n_items), np.diff(matrix.indptr))
    kept = (owners != matrix.indices) & (matrix.data > 0)
    owners, items, scores = owners[kept], matrix.indices[kept], matrix.data[kept]
    order = np.lexsort((items, -scores, owners))
    owners, items, scores = owners[order], items[order], scores[order]
    starts = np.searchsorted(owners, np.arange(n_items))
    places = np.arange(len(owners)) - starts[owners]
    first = places < k
    rows = np.full((n_items, k), -1, np.int64)
    values = np.full((n_items, k), -np.inf)
    rows[owners[first], places[first]] = items[first]
    values[owners[first], places[first]] = scores[first]
    return rows, values
