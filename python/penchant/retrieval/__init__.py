"""Exact nearest-neighbour search and the filters that go with it."""

from penchant.retrieval.exact import ExactIndex

__all__ = ["ExactIndex"]
