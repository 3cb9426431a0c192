"""What callers say about an approximate index, and what is told them about one."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from penchant.errors import DataError, ParameterError
from penchant.retrieval.graph import Dtype, Settings, check_integer, check_settings


class Options(NamedTuple):
    """What the caller says about a graph; see `penchant.retrieval.ApproximateIndex`."""

    connectivity: int = 16
    expansion_add: int = 128
    expansion_search: int | None = None
    target_recall: float = 0.95
    dtype: Dtype | None = None

    def checked(self) -> Options:
        """Return self, or raise a ParameterError that names the option out of range."""
        dtype = "f32" if self.dtype is None else self.dtype
        check_settings(Settings("ip", dtype, self.connectivity, self.expansion_add))
        if self.expansion_search is not None:
            check_integer("expansion_search", self.expansion_search, 1, 1 << 16)
        number = isinstance(self.target_recall, (int, float, np.floating))
        if not number or not 0 < self.target_recall <= 1:
            raise ParameterError(
                f"target_recall must be a number above 0 and at most 1, got {self.target_recall!r}"
            )
        return self


@dataclass(frozen=True)
class IndexReport:
    """How an approximate index was made, and what it finds.

    Attributes
    ----------
    dtype, connectivity, expansion_add, expansion_search, target_recall
        See `penchant.retrieval.ApproximateIndex`; as chosen, where the caller left it open.
    recall : float
        Share of the true ten best found by the sample of queries, before filters.
    n_queries : int
        Size of the sample.
    expansion_deep : int
        What finds `target_recall` of the true hundred best; what lies between is interpolated. 0
        where nothing does: then only searches for ten without filters use the graph.
    widest : int
        A query for which the graph would have to offer more candidates than this, because of
        its filters or `k`, is answered by a scan: that is quicker, as measured.
    seconds : float
        To make the graph, without tuning.
    n_bytes : int
        Memory of the graph.
    """

    dtype: Dtype
    connectivity: int
    expansion_add: int
    expansion_search: int
    target_recall: float
    recall: float
    n_queries: int
    expansion_deep: int
    widest: int
    seconds: float
    n_bytes: int

    def checked(self) -> IndexReport:
        """Return self, or raise a DataError or ParameterError: it may come from anywhere."""
        wrong = [
            field.name
            for field in fields(self)
            if type(getattr(self, field.name)) is not _KINDS[field.name]
        ]
        if wrong or not all(map(math.isfinite, (self.recall, self.seconds))):
            raise DataError(f"the report of the index has a wrong {', '.join(wrong) or 'number'}")
        Options(
            self.connectivity,
            self.expansion_add,
            self.expansion_search,
            self.target_recall,
            self.dtype,
        ).checked()
        check_integer("expansion_deep", self.expansion_deep, 0, 1 << 16)
        return self


_KINDS: dict[str, type] = {
    "dtype": str,
    **dict.fromkeys(("connectivity", "expansion_add", "expansion_search"), int),
    **dict.fromkeys(("n_queries", "expansion_deep", "widest", "n_bytes"), int),
    **dict.fromkeys(("target_recall", "recall", "seconds"), float),
}
