"""Models: each learns from `Interactions` and answers through the same methods."""

from penchant.models.base import Recommender
from penchant.models.bayesian_svd import BayesianSVD
from penchant.models.bpr import BPR
from penchant.models.callbacks import Callback
from penchant.models.histories import Histories
from penchant.models.popularity import Popularity
from penchant.models.state import load
from penchant.models.state import models as list
from penchant.models.svd import SVD
from penchant.models.svdpp import SVDpp

__all__ = [
    "BPR",
    "SVD",
    "BayesianSVD",
    "Callback",
    "Histories",
    "Popularity",
    "Recommender",
    "SVDpp",
    "list",
    "load",
]
