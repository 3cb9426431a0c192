"""The part of the contract suite about relative scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from model_support import N_ITEMS, ModelFactory, bits, interactions
from penchant.errors import ParameterError, UnsupportedError
from penchant.models.histories import read_histories


class ScoreChecks(ModelFactory):
    """Run through `model_checks.ModelChecks`."""

    def relating(self):
        model = self.fitted()
        if "softmax" not in model.capabilities_:
            wanted = f"of all items, and {self.model.__name__} does not make them in any search"
            with pytest.raises(UnsupportedError, match=wanted):
                model.recommend(scores="softmax")
            pytest.skip("has no relative scores")
        return model

    def softmax(self, model):
        """Users x items in float64, of scores before they are clipped to a scale of ratings."""
        n, m = len(model.users_), len(model.items_)
        users, items = np.repeat(np.arange(n), m), np.tile(np.arange(m), n)
        raw = model._index().score_pairs(model._queries(None), users, items, num_threads=1)
        raw = raw.reshape(n, m).astype(np.float64)
        powers = np.exp(raw - raw.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def test_softmax_sums_to_one_in_the_same_order(self):
        model = self.relating()
        raw = model.recommend(k=N_ITEMS, exclude_seen=False)
        found = model.recommend(k=N_ITEMS, exclude_seen=False, scores="softmax")
        pd.testing.assert_frame_equal(found.drop(columns="score"), raw.drop(columns="score"))
        assert found["score"].dtype == np.float32
        sums = found.astype({"score": np.float64}).groupby("customer")["score"].sum()
        np.testing.assert_allclose(sums, 1, rtol=3e-6)
        expected = self.softmax(model)
        users = model.users_.codes(found["customer"].tolist())
        items = model.items_.codes(found["product"].tolist())
        np.testing.assert_allclose(found["score"], expected[users, items], rtol=2e-6, atol=1e-37)

    def test_filters_leave_relative_scores_alone(self):
        model = self.relating()
        whole = model.recommend([1050], k=N_ITEMS, exclude_seen=False, scores="softmax")
        whole = whole.set_index("product")["score"]
        names = ["item 02", "item 11", "item 05"]
        for options in ({}, {"candidates": names}, {"exclude": names}, {"k": 2}):
            found = model.recommend([1050], scores="softmax", **options)
            assert bits(found["score"]) == bits(whole[found["product"]])

    def test_relative_scores_are_the_same_alone_and_in_company(self):
        model = self.relating()
        rows, scores = model.recommend_codes(k=7, scores="softmax", num_threads=1)
        for threads in (2, 5):
            again = model.recommend_codes(k=7, scores="softmax", num_threads=threads)
            assert (bits(again[0]), bits(again[1])) == (bits(rows), bits(scores))
        for user in (0, 7, len(rows) - 1):
            alone = model.recommend_codes([user], k=7, scores="softmax")
            assert (bits(alone[0]), bits(alone[1])) == (bits(rows[user]), bits(scores[user]))

    def test_relative_scores_of_the_unknown_are_shares_of_users(self):
        model = self.relating()
        found = model.recommend(
            ["who?"], k=N_ITEMS, scores="softmax", unknown="popular", exclude_seen=False
        )
        counts = model.item_counts_ / model.item_counts_.sum()
        expected = counts[model.items_.codes(found["product"].tolist())].astype(np.float32)
        assert bits(found["score"]) == bits(expected)
        assert np.isclose(found["score"].sum(), 1, rtol=1e-6)

    def test_relative_scores_of_strangers(self):
        model = self.relating()
        history = self.history("item 03", "item 05")
        _, own = read_histories(history, model.items_, model.columns_, "error")
        pairs = np.zeros(N_ITEMS, np.int64), np.arange(N_ITEMS)
        raw = model._index().score_pairs(model._fold_in(own), *pairs, num_threads=1)
        powers = np.exp(raw.astype(np.float64) - raw.max())
        expected = powers / powers.sum()
        options = {"history": history, "k": N_ITEMS, "exclude_seen": False}
        found = model.recommend(**options, scores="softmax")
        assert found["product"].tolist() == model.recommend(**options)["product"].tolist()
        items = model.items_.codes(found["product"].tolist())
        np.testing.assert_allclose(found["score"], expected[items], rtol=2e-6, atol=1e-37)
        nothing = model.recommend(history=self.history(), k=2, scores="softmax", unknown="popular")
        top = np.sort(model.item_counts_)[::-1][:2] / model.item_counts_.sum()
        np.testing.assert_allclose(nothing["score"], top, rtol=1e-6)

    def test_scores_of_another_kind(self):
        model = self.fitted(interactions())
        with pytest.raises(ParameterError, match="scores"):
            model.recommend(scores="probability")
        with pytest.raises(ParameterError, match="scores"):
            model.recommend_codes([0], scores=None)

    def test_an_approximate_index_has_no_softmax(self):
        model = self.fitted()
        if not {"approximate_index", "softmax"} <= model.capabilities_:
            pytest.skip("has no approximate index")
        pytest.importorskip("usearch")
        expected = model.recommend([1050], scores="softmax")
        model.build_index()
        with pytest.raises(UnsupportedError, match="search with index='exact'"):
            model.recommend([1050], scores="softmax")
        found = model.recommend([1050], scores="softmax", index="exact")
        assert found.equals(expected)
