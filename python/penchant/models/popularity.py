"""The popularity baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from penchant.models.base import Factors, Recommender
from penchant.models.params import Rule


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
    _has_vectors: ClassVar[bool] = False

    def __init__(self) -> None:
        pass

    def _factors(self) -> Factors:
        # One dimension: every user is 1, an item is its count. The view costs no memory.
        users = np.broadcast_to(np.float32(1), (len(self.users_), 1))
        return Factors(users, self.item_counts_.astype(np.float32)[:, None], None)
