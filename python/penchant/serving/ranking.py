"""What Personalize's requests and batch jobs have in common beyond the models' own methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["NONE_KNOWN", "likest", "shares"]

NONE_KNOWN = "none of the items in {} is known to the model"
# Cells (items asked about times neighbours) held at a time.
_BLOCK_CELLS = 2**21


def shares(scores: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the softmax of the scores of each list.

    Parameters
    ----------
    scores : float array of shape (n_lists, k)
        -inf is no score; its share is 0.

    Returns
    -------
    float32 array of the same shape

    Examples
    --------
    >>> import numpy as np
    >>> shares(np.array([[1.0, 1.0, -np.inf]])).tolist()
    [[0.5, 0.5, 0.0]]
    """
    best = np.maximum(scores.max(axis=1, keepdims=True, initial=-np.inf), -3e38)
    parts = np.exp(scores.astype(np.float64) - best)
    sums = np.maximum(parts.sum(axis=1, keepdims=True), 1e-300)
    found: NDArray[np.float32] = (parts / sums).astype(np.float32)
    return found


def likest(
    model: Recommender,
    items: NDArray[np.integer[Any]],
    k: int,
    allowed: NDArray[np.bool_],
    *,
    num_threads: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find, among the items that a filter allows, those most like some items.

    Parameters
    ----------
    model : Recommender
    items : int array of shape (q,)
        Codes of `model.items_`.
    k : int
        From 1.
    allowed : bool array of shape (n_items,)
    num_threads : int, optional

    Returns
    -------
    rows : int64 array of shape (q, min(k, n_items))
        Codes, best first; -1 where none are left.
    scores : float32 array of the same shape
        -inf where `rows` is -1.

    Raises
    ------
    UnsupportedError
        The model learns nothing about items that could be compared.

    Examples
    --------
    >>> import numpy as np, penchant as pc
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea", "jam"], ["pen", "ink"]])
    >>> model = pc.ItemKNN().fit(data, progress=False)
    >>> tea, jam = model.items_.codes(["tea", "jam"])
    >>> allowed = np.arange(4) != jam
    >>> likest(model, np.array([tea]), 2, allowed)[0].tolist()
    [[-1, -1]]
    """
    n = len(model.items_)
    k = min(k, n)
    if allowed.all():
        return model.similar_codes(items, k, num_threads=num_threads)
    rows = np.full((len(items), k), -1, np.int64)
    scores = np.full((len(items), k), -np.inf, np.float32)
    left = np.arange(len(items))
    enough = np.minimum(k, np.count_nonzero(allowed) - allowed[items])  # never itself
    width = min(n, 4 * k)
    while len(left):
        short = []
        step = max(1, _BLOCK_CELLS // width)
        for start in range(0, len(left), step):
            block = left[start : start + step]
            found = model.similar_codes(items[block], width, num_threads=num_threads)
            rows[block], scores[block] = _kept(*found, allowed, k)
            more = found[0][:, -1] >= 0  # there may be others beyond
            short.append(block[more & (np.sum(rows[block] >= 0, axis=1) < enough[block])])
        left = np.concatenate(short) if width < n else left[:0]
        width = min(n, 4 * width)
    return rows, scores


def _kept(
    rows: NDArray[np.int64], scores: NDArray[np.float32], allowed: NDArray[np.bool_], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the first k of each list that are allowed."""
    kept = (rows >= 0) & allowed[rows]
    order = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    kept = np.take_along_axis(kept, order, axis=1)
    chosen = np.where(kept, np.take_along_axis(rows, order, axis=1), -1)
    return chosen, np.where(kept, np.take_along_axis(scores, order, axis=1), -np.inf)
