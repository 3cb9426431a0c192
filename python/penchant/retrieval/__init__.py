"""Nearest-neighbour search, exact and approximate, and the filters that go with it."""

from penchant.retrieval.approximate import ApproximateIndex
from penchant.retrieval.exact import ExactIndex
from penchant.retrieval.graph_report import IndexReport
from penchant.retrieval.neighbors import NeighborIndex

__all__ = ["ApproximateIndex", "ExactIndex", "IndexReport", "NeighborIndex"]
