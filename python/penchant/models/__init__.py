"""Models: each learns from `Interactions` and answers through the same methods."""

from penchant.models.base import Recommender
from penchant.models.bayesian_svd import BayesianSVD
from penchant.models.bpr import BPR
from penchant.models.callbacks import Callback
from penchant.models.ease import EASE
from penchant.models.histories import Histories
from penchant.models.ials import IALS
from penchant.models.item_knn import ItemKNN
from penchant.models.lambdamart import LambdaMART
from penchant.models.pipeline import Pipeline
from penchant.models.popularity import Popularity
from penchant.models.prepared import load
from penchant.models.prod2vec import Prod2Vec
from penchant.models.state import models as list
from penchant.models.svd import SVD
from penchant.models.svdpp import SVDpp
from penchant.models.word2vec_format import load_word2vec

__all__ = [
    "BPR",
    "EASE",
    "IALS",
    "SVD",
    "BayesianSVD",
    "Callback",
    "Histories",
    "ItemKNN",
    "LambdaMART",
    "Pipeline",
    "Popularity",
    "Prod2Vec",
    "Recommender",
    "SVDpp",
    "list",
    "load",
    "load_word2vec",
]
