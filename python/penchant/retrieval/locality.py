"""An order in which vectors that are near each other stand near each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEAF = 16  # vectors: a few cache lines, and a few nodes of a graph


def locality_order(vectors: NDArray[np.float32], seed: int = 0) -> NDArray[np.int64]:
    """Return a permutation that keeps neighbours together.

    A tree of random cuts: every part is halved along the line through two of its vectors, as in
    random projection trees (Dasgupta and Freund 2008), until it has 16 vectors or fewer. Parts of
    one level are halved together.

    Parameters
    ----------
    vectors : float32 array of shape (n, d)
        Finite.
    seed : int, default 0
        Of the pairs of vectors.

    Returns
    -------
    int64 array of shape (n,)
        Rows of `vectors`, each once.

    Examples
    --------
    >>> import numpy as np
    >>> from penchant.retrieval.locality import locality_order
    >>> line = np.arange(64, dtype=np.float32)[::-1, None] % 32  # each number twice
    >>> int(np.abs(np.diff(line[locality_order(line), 0])).max()) < 32
    True
    """
    n = len(vectors)
    order = np.arange(n)
    random = np.random.default_rng(seed)
    bounds = np.array([0, n])
    while n and np.diff(bounds).max() > _LEAF:
        starts, sizes = bounds[:-1], np.diff(bounds)
        ends = (starts + (random.random((2, len(starts))) * sizes).astype(np.int64)).clip(max=n - 1)
        lines = vectors[order[ends[0]]] - vectors[order[ends[1]]]
        part = np.repeat(np.arange(len(starts)), sizes)
        along = np.empty(n, dtype=np.float32)
        for begin in range(0, n, 1 << 16):
            block = slice(begin, begin + (1 << 16))
            along[block] = np.einsum("ij,ij->i", vectors[order[block]], lines[part[block]])
        order = order[np.lexsort((along, part))]
        bounds = np.unique(np.concatenate([bounds, starts + sizes // 2]))
    return order
