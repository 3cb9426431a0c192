"""Models: each learns from `Interactions` and answers through the same methods."""

from penchant.models.base import Recommender
from penchant.models.bpr import BPR
from penchant.models.callbacks import Callback
from penchant.models.ease import EASE
from penchant.models.histories import Histories
from penchant.models.item_knn import ItemKNN
from penchant.models.popularity import Popularity
from penchant.models.state import load
from penchant.models.state import models as list

__all__ = [
    "BPR",
    "EASE",
    "Callback",
    "Histories",
    "ItemKNN",
    "Popularity",
    "Recommender",
    "list",
    "load",
]
