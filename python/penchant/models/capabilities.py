"""What a model can do of what not every model can: read off what its class defines."""

from __future__ import annotations

from penchant.models.incremental import GrowingRanker
from penchant.models.indexed import IndexedRanker
from penchant.models.ranker import Ranker


def capabilities(cls: type[GrowingRanker]) -> frozenset[str]:
    """Return the names of what models of a class can do; see `Recommender.capabilities_`."""
    folds_in = cls._fold_in is not Ranker._fold_in
    vectors = cls._vectors is not Ranker._vectors
    found = {
        "history": folds_in,
        "explain": folds_in and cls._explains,
        "partial_fit": cls._grow is not GrowingRanker._grow,
        "new_items": cls._describes,
        "softmax": cls._has_softmax,
        "approximate_index": cls._make_graph is not IndexedRanker._make_graph,
        "similar_items": vectors or cls._neighbors is not Ranker._neighbors,
        "similar_users": vectors,
        "user_vectors": vectors,
        "item_vectors": vectors,
    }
    return frozenset(name for name, can in found.items() if can)
