"""Models: each learns from `Interactions` and answers through the same methods."""

from penchant.models.base import Recommender
from penchant.models.bpr import BPR
from penchant.models.callbacks import Callback
from penchant.models.histories import Histories
from penchant.models.popularity import Popularity
from penchant.models.prod2vec import Prod2Vec
from penchant.models.state import load
from penchant.models.state import models as list
from penchant.models.word2vec_format import load_word2vec

__all__ = [
    "BPR",
    "Callback",
    "Histories",
    "Popularity",
    "Prod2Vec",
    "Recommender",
    "list",
    "load",
    "load_word2vec",
]
