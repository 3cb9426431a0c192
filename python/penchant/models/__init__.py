"""Models: each learns from `Interactions` and answers through the same methods."""

from penchant.models.base import Recommender
from penchant.models.bpr import BPR
from penchant.models.callbacks import Callback
from penchant.models.popularity import Popularity
from penchant.models.state import load

__all__ = ["BPR", "Callback", "Popularity", "Recommender", "load"]
