"""Exact nearest-neighbour search and the filters that go with it."""

from penchant.retrieval.exact import ExactIndex
from penchant.retrieval.neighbors import NeighborIndex

__all__ = ["ExactIndex", "NeighborIndex"]
