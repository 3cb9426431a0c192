"""The popularity baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.models.base import Recommender
from penchant.models.histories import Histories
from penchant.models.params import Rule
from penchant.models.ranker import Rows

if TYPE_CHECKING:
    from penchant.models.growth import Growth


class Popularity(Recommender):
    """Recommends the items with the most users; the yardstick for every other model.

    The score is the number of distinct users of the item in the training data.

    Examples
    --------
    >>> import pandas as pd, penchant as pc
    >>> shop = pd.DataFrame({"who": [1, 1, 2, 2, 3], "what": ["tea", "jam", "tea", "milk", "tea"]})
    >>> model = pc.Popularity().fit(pc.Interactions.from_frame(shop, user="who", item="what"))
    >>> model.recommend(2)
       who what  score  rank
    0    2  jam    1.0     1
    """

    _rules: ClassVar[Mapping[str, Rule]] = {}
    _explains: ClassVar[bool] = False

    def __init__(self) -> None:
        pass

    # One dimension: every query is 1, an item is its count.

    def _index(self) -> _core.TopkIndex:
        def make() -> _core.TopkIndex:
            return _core.TopkIndex(self.item_counts_.astype(np.float32)[:, None])

        return self._topk("topk", make)

    def _queries(self, codes: Rows | None) -> NDArray[np.float32]:
        n_queries = len(self.users_) if codes is None else len(codes)
        return np.ones((n_queries, 1), dtype=np.float32)

    def _grow(self, growth: Growth) -> None:
        """Count again: `item_counts_` is all there is."""

    def _fold_in(self, histories: Histories) -> NDArray[np.float32]:
        return np.ones((histories.n, 1), dtype=np.float32)
