"""The part of the contract suite about users as answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from model_support import N_USERS, ModelFactory, bits
from penchant.errors import ParameterError, UnknownIdError, UnsupportedError


class AudienceChecks(ModelFactory):
    """Run through `model_checks.ModelChecks`."""

    @pytest.mark.parametrize("seen", [True, False])
    @pytest.mark.parametrize("k", [1, 7, 500])
    def test_an_audience_has_the_scores_of_predict(self, k, seen):
        model = self.fitted()
        names = ["item 07", "item 12", "item 07"]
        found = model.recommend_users(names, k=k, exclude_seen=seen)
        assert list(found.columns) == ["product", "customer", "score", "rank"]
        users = model.users_.to_list()
        taken = {
            (users[u], model.items_.to_list()[i])
            for u in range(len(users))
            for i in model.seen_.indices[model.seen_.indptr[u] : model.seen_.indptr[u + 1]]
        }
        expected = []
        for name in names:
            pairs = pd.DataFrame({"customer": users, "product": name})
            pairs["score"] = model.predict(pairs)
            if seen:
                pairs = pairs[[(user, name) not in taken for user in users]]
            expected.append(self.ranked(model, pairs, k))
        expected = pd.concat(expected)
        assert found["product"].tolist() == expected["product"].tolist()
        assert found["customer"].tolist() == expected["customer"].tolist()
        assert bits(found["score"]) == bits(expected["score"])

    def ranked(self, model, pairs, k):
        """Sort by the score before it is clipped to a scale of ratings."""
        rows = model.users_.codes(pairs["customer"]).astype(np.int64)
        items = model.items_.codes(pairs["product"]).astype(np.int64)
        raw = model._index().score_pairs(
            model._queries(rows), np.arange(len(rows)), items, num_threads=1
        )
        return pairs.iloc[np.argsort(-raw, kind="stable")[:k]]

    def test_an_audience_is_cut_at_a_score(self):
        model = self.fitted()
        whole = model.recommend_users(["item 03"], k=N_USERS)
        middle = float(whole["score"].median())
        cut = model.recommend_users(["item 03"], k=N_USERS, min_score=middle)
        pd.testing.assert_frame_equal(cut, whole[whole["score"] >= middle])
        with pytest.raises(ParameterError, match="min_score must be a finite number"):
            model.recommend_users(["item 03"], min_score=np.nan)
        with pytest.raises(UnknownIdError, match="no such thing"):
            model.recommend_users(["no such thing"])
        assert len(model.recommend_users(["no such thing"], unknown="drop")) == 0

    def test_similar_users_are_alike(self):
        model = self.fitted()
        try:
            vectors = model.user_vectors().to_numpy().astype(np.float64)
        except UnsupportedError:
            with pytest.raises(UnsupportedError):
                model.similar_users()
            return
        found = model.similar_users([1050, 1000], k=5)
        assert list(found.columns) == ["customer", "neighbor", "score", "rank"]
        users = model.users_.to_list()
        lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-30)
        unit = vectors / lengths[:, None]
        for user, part in found.groupby("customer"):
            own = users.index(user)
            cosines = unit @ unit[own]
            cosines[own] = -np.inf
            assert user not in set(part["neighbor"])
            chosen = [users.index(other) for other in part["neighbor"]]
            np.testing.assert_allclose(cosines[chosen], np.sort(cosines)[::-1][:5], atol=1e-6)
            np.testing.assert_allclose(part["score"], cosines[chosen], atol=1e-6)
