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


class TestPopularity(ModelChecks):
    model = pc.Popularity
    has_vectors = False
    has_neighbors = False
    folds_in = True


class TestSVD(ModelChecks):
    model = pc.SVD
    params: ClassVar[dict[str, Any]] = {"factors": 7, "epochs": 4}
    other_params: ClassVar[dict[str, Any]] = {
        "factors": 9,
        "learning_rate": 0.02,
        "user_regularization": 0,
        "rating_scale": (0.5, 5),
        "num_threads": 2,
    }


class TestSVDWithoutBiases(TestSVD):
    params: ClassVar[dict[str, Any]] = {"factors": 16, "epochs": 3, "biased": False}


class TestSVDpp(TestSVD):
    model = pc.SVDpp


class TestSVDppWithoutBiases(TestSVD):
    model = pc.SVDpp
    params: ClassVar[dict[str, Any]] = {"factors": 33, "epochs": 3, "biased": False}


class TestBayesianSVD(ModelChecks):
    model = pc.BayesianSVD
    params: ClassVar[dict[str, Any]] = {"factors": 3, "epochs": 6, "n_samples": 2}
    other_params: ClassVar[dict[str, Any]] = {
        "factors": 9,
        "implicit": "users",
        "rating_scale": (0.5, 5),
        "num_threads": 2,
    }
