"""The contract suite on every model."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

import penchant as pc
from model_checks import ModelChecks
from model_checks_partial import all_events, new_events
from model_support import assert_same_model


@pytest.mark.filterwarnings("ignore:BPR. every user has every item")
class TestBPR(ModelChecks):
    model = pc.BPR
    exact_explanations = False
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


class TestIALS(ModelChecks):
    model = pc.IALS
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


class TestProd2Vec(ModelChecks):
    model = pc.Prod2Vec
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

    def test_one_event(self):
        with pytest.warns(pc.errors.PenchantWarning, match="no sequence holds two items"):
            super().test_one_event()


class TestPipeline(ModelChecks):
    model = pc.Pipeline
    folds_in = True
    params: ClassVar[dict[str, Any]] = {
        "retrieve": pc.IALS(factors=7, epochs=3),
        "k": 32,  # of which there are, once `partial_fit` has brought two
        "rank": pc.ItemKNN(neighbors=5),
    }
    other_params: ClassVar[dict[str, Any]] = {
        "retrieve": pc.BPR(factors=9, num_threads=2),
        "k": 17,
        "rank": pc.SVD(rating_scale=(0.5, 5)),
    }


class TestPipelineOfRatings(TestPipeline):
    rated = True
    exact_explanations = False
    params: ClassVar[dict[str, Any]] = {
        "retrieve": pc.IALS(factors=7, epochs=3),
        "rank": pc.SVD(factors=3, epochs=3),
    }


@pytest.mark.filterwarnings("ignore:LambdaMART. the trees do not better the order")
@pytest.mark.filterwarnings("ignore:LambdaMART. 'born' .* of the item table")
class TestPipelineOfTrees(TestPipeline):
    params: ClassVar[dict[str, Any]] = {
        "retrieve": pc.IALS(factors=7, epochs=3),
        "rank": pc.LambdaMART(
            models=[pc.ItemKNN()], n_estimators=12, min_child_samples=5, validation=0
        ),
    }
    other_params: ClassVar[dict[str, Any]] = {
        "rank": pc.LambdaMART(models=(pc.ItemKNN(neighbors=3), pc.IALS()), item_columns=["price"])
    }

    @pytest.fixture(autouse=True)
    def _lightgbm(self):
        pytest.importorskip("lightgbm")

    def test_models_without_vectors_say_so(self):
        """It is not for want of vectors: see test_pipeline_index.py."""


class TestPipelineInPipeline(TestPipeline):
    params: ClassVar[dict[str, Any]] = {
        "retrieve": pc.Pipeline(retrieve=pc.IALS(factors=7, epochs=3), rank=pc.EASE()),
        "rank": pc.ItemKNN(neighbors=5),
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


class NeighborChecks(ModelChecks):
    has_vectors = False

    def test_more_events_are_as_if_they_had_been_there_at_once(self):
        model = self.fitted().partial_fit(new_events())
        assert_same_model(model, self.fitted(all_events()))

    def similarity(self, model):
        n = len(model.items_)
        if model.item_weights_ is not None:
            return model.item_weights_.astype(np.float64)
        full = np.full((n, n), -np.inf)
        rows = np.repeat(np.arange(n), np.diff(model.neighbor_indptr_))
        full[rows, model.neighbor_indices_] = model.neighbor_values_
        return full


class TestEASE(NeighborChecks):
    model = pc.EASE
    params: ClassVar[dict[str, Any]] = {"regularization": 5}
    other_params: ClassVar[dict[str, Any]] = {
        "regularization": 7.5,
        "dropout": 0.25,
        "user_exponent": 0.3,
        "neighbors": 4,
        "num_threads": 2,
    }


class TestEASESparse(TestEASE):
    params: ClassVar[dict[str, Any]] = {"regularization": 5, "neighbors": 6}


class TestEASELowRank(TestEASE):
    params: ClassVar[dict[str, Any]] = {"regularization": 5, "rank": 4, "item_exponent": 0.3}


class TestEASEOfCounts(TestEASE):
    params: ClassVar[dict[str, Any]] = {"regularization": 5, "values": "count"}


class TestItemKNN(NeighborChecks):
    model = pc.ItemKNN
    other_params: ClassVar[dict[str, Any]] = {
        "similarity": "bm25",
        "neighbors": 7,
        "K1": 2,
        "values": "count",
        "num_threads": 2,
    }


class TestItemKNNBm25(TestItemKNN):
    params: ClassVar[dict[str, Any]] = {"similarity": "bm25", "neighbors": 5, "values": "count"}


class TestItemKNNTfidf(TestItemKNN):
    params: ClassVar[dict[str, Any]] = {"similarity": "tfidf", "neighbors": 3, "shrinkage": 2}


class TestItemKNNRp3beta(TestItemKNN):
    params: ClassVar[dict[str, Any]] = {"similarity": "rp3beta", "values": "count"}


class TestSVD(ModelChecks):
    model = pc.SVD
    rated = True
    exact_explanations = False
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
    rated = True
    exact_explanations = False
    params: ClassVar[dict[str, Any]] = {"factors": 3, "epochs": 6, "n_samples": 2}
    other_params: ClassVar[dict[str, Any]] = {
        "factors": 9,
        "implicit": "users",
        "rating_scale": (0.5, 5),
        "num_threads": 2,
    }
