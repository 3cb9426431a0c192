"""gensim's side (https://github.com/piskvorky/gensim); import it only where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.prod2vec.sequences import K, Split, hit_rate

NAME = "gensim Word2Vec"


def fit(split: Split, params: dict[str, Any], workers: int) -> Any:
    """Train on the sequences; building gensim's vocabulary is part of it, as it is of our fit."""
    from gensim.models import Word2Vec

    return Word2Vec(split.train, workers=workers, seed=42, **params)


def hit_rate_of(model: Any, held_out: list[list[str]]) -> float:
    """HitRate@100 by cosine; an item the model does not know counts as a miss."""
    vectors = model.wv.get_normed_vectors()
    code = model.wv.key_to_index

    def answers(items: list[str]) -> NDArray[np.int64]:
        found = np.full((len(items), K), -1, dtype=np.int64)
        known = [(row, code[item]) for row, item in enumerate(items) if item in code]
        for start in range(0, len(known), 1000):
            rows, queries = map(np.array, zip(*known[start : start + 1000], strict=True))
            scores = vectors[queries] @ vectors.T
            scores[np.arange(len(queries)), queries] = -np.inf
            k = min(K, scores.shape[1] - 1)
            found[rows, :k] = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        return found

    return hit_rate(held_out, answers, lambda item: code.get(item, -1))


def missing() -> str | None:
    """Say why gensim takes no part; None if it does."""
    import importlib.util

    return None if importlib.util.find_spec("gensim") else "gensim is not installed: left out"
