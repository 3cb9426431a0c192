"""The contract suite on every model."""

from __future__ import annotations

from typing import Any, ClassVar

import penchant as pc
from model_checks import ModelChecks


class TestBPR(ModelChecks):
    model = pc.BPR
    params: ClassVar[dict[str, Any]] = {"factors": 7, "epochs": 4}
    other_params: ClassVar[dict[str, Any]] = {
        "factors": 9,
        "learning_rate": 0.02,
        "user_regularization": 0,
        "use_biases": False,
        "negatives": "popular",
        "num_threads": 2,
    }


class TestBPRWithoutBiases(TestBPR):
    params: ClassVar[dict[str, Any]] = {"factors": 16, "epochs": 3, "use_biases": False}


class TestBPRPopularNegatives(TestBPR):
    params: ClassVar[dict[str, Any]] = {"factors": 1, "epochs": 3, "negatives": "popular"}


class TestBPRUniformNegatives(TestBPR):
    params: ClassVar[dict[str, Any]] = {"factors": 33, "epochs": 3, "negatives": "uniform"}


class TestIALS(ModelChecks):
    model = pc.IALS
    folds_in = True
    params: ClassVar[dict[str, Any]] = {"factors": 7, "epochs": 3}
    other_params: ClassVar[dict[str, Any]] = {
        "factors": 17,
        "regularization": 0.1,
        "alpha": 2,
        "confidence_scaling": "log",
        "popularity_exponent": 0.5,
        "solver": "subspace",
        "num_threads": 2,
    }


class TestIALSByGradients(TestIALS):
    params: ClassVar[dict[str, Any]] = {"factors": 33, "epochs": 3, "solver": "cg", "alpha": 0.5}


class TestPopularity(ModelChecks):
    model = pc.Popularity
    has_vectors = False
    has_neighbors = False
    folds_in = True


class TestProd2Vec(ModelChecks):
    model = pc.Prod2Vec
    folds_in = True
    params: ClassVar[dict[str, Any]] = {"vector_size": 7, "epochs": 4, "min_count": 1}
    other_params: ClassVar[dict[str, Any]] = {
        "vector_size": 9,
        "window": 2,
        "ns_exponent": -0.5,
        "sample": 0,
        "sg": 0,
        "history_weighting": "recency",
        "num_threads": 2,
    }


class TestProd2VecCbow(TestProd2Vec):
    params: ClassVar[dict[str, Any]] = {
        "vector_size": 16,
        "epochs": 3,
        "min_count": 1,
        "sg": 0,
        "history_weighting": "last",
    }


class TestProd2VecAsGensim(TestProd2Vec):
    params: ClassVar[dict[str, Any]] = {
        "vector_size": 33,
        "epochs": 3,
        "min_count": 1,
        "score_vectors": "input",
        "popularity_weight": 0,
    }
