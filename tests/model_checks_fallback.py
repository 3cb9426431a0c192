"""The part of the contract suite about unknown users and items with known attributes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import N_ITEMS, N_USERS, ModelFactory, events, interactions, stars
from penchant.errors import ColumnError, DataError, ParameterError

ASKED = pd.DataFrame(
    {"customer": [1000, 7, 8, 9, 1], "country": ["PL", "FR", "PL", None, "nowhere"]}
)


def with_attributes():
    frame = events().assign(stars=stars(events()))
    return pc.Interactions.from_frame(
        frame, user="customer", item="product", value="stars",
        user_features=pd.DataFrame({
            "customer": [10 * u + 1000 for u in range(N_USERS)],
            "country": ["FR" if u % 2 else "PL" for u in range(N_USERS)],
        }),
        item_features=pd.DataFrame({
            "product": [f"item {i:02d}" for i in range(N_ITEMS)],
            "artist": [f"artist {i % 4}" for i in range(N_ITEMS)],
        }),
    )  # fmt: skip


class FallbackChecks(ModelFactory):
    """Run through `model_checks.ModelChecks`."""

    @pytest.fixture
    def attributed(self):
        return self.fitted(with_attributes())

    def test_unknown_users_get_what_is_popular_where_they_live(self, attributed):
        asked = {"k": N_ITEMS, "unknown": "popular", "popular_within": "country"}
        found = attributed.recommend(ASKED, **asked)
        known = attributed.recommend(1000, k=N_ITEMS)
        assert found[found["customer"] == 1000].reset_index(drop=True).equals(known)
        data = events().drop_duplicates()
        data["country"] = np.where(data["customer"] // 10 % 2, "FR", "PL")
        for user, country in ASKED.iloc[1:].to_numpy().tolist():
            own = data[data["country"] == country] if country in ("FR", "PL") else data
            counts = own["product"].value_counts().reindex(attributed.items_.to_list()).fillna(0)
            overall = data["product"].value_counts()
            order = sorted(counts.index, key=lambda item: (-counts[item], -overall[item], item))
            answer = found[found["customer"] == user]
            assert answer["product"].tolist() == order
            assert answer["score"].tolist() == counts[order].tolist()
        alone = attributed.recommend(ASKED.iloc[[2]], **asked)
        assert alone.equals(found[found["customer"] == 8].reset_index(drop=True))
        few = attributed.recommend(ASKED.iloc[1:], where="product < 'item 05'", **asked)
        assert set(few["product"]) == {f"item {i:02d}" for i in range(5)}

    def test_shares_within_a_country_sum_to_one(self, attributed):
        if "softmax" not in attributed.capabilities_:
            pytest.skip("has no relative scores")
        asked = {"unknown": "popular", "popular_within": "country", "scores": "softmax"}
        found = attributed.recommend(ASKED.iloc[1:], k=N_ITEMS, **asked)
        np.testing.assert_allclose(found.groupby("customer")["score"].sum(), 1, rtol=1e-6)
        caps = [pc.rerank.AttributeCap("artist", at_most=99)]
        again = attributed.recommend(ASKED.iloc[1:], k=N_ITEMS, rerank=caps, **asked)
        pd.testing.assert_frame_equal(again, found)

    def test_an_unknown_item_is_like_the_others_of_its_artist(self, attributed):
        history = pd.DataFrame(
            {"customer": 7, "product": ["item 01", "a new track"], "artist": [None, "artist 2"]}
        ).assign(stars=4)
        found = attributed.recommend(
            history=history, unknown="popular", popular_within="artist", k=9, exclude_seen=False
        )
        theirs = [f"item {i:02d}" for i in range(2, N_ITEMS, 4)]
        counts = attributed.item_counts_[attributed.items_.codes(theirs)]
        theirs = [theirs[i] for i in np.argsort(-counts, kind="stable")[:10]]
        spelt_out = pd.DataFrame({"customer": 7, "product": ["item 01", *theirs], "stars": 4})
        same = attributed.recommend(history=spelt_out, k=9, exclude_seen=False)
        pd.testing.assert_frame_equal(found, same, check_exact=True)
        unheard = history.assign(product="?", artist="artist 99")
        popular = attributed.recommend(
            history=unheard, unknown="popular", popular_within="artist", k=2
        )
        assert (
            popular["product"].tolist()
            == attributed.recommend([1], unknown="popular", k=2)["product"].tolist()
        )

    def test_bad_attributes(self, attributed):
        asked = {"unknown": "popular", "popular_within": "country"}
        with pytest.raises(ColumnError, match=r"'town'.*the user table has 'country'"):
            attributed.recommend(ASKED, unknown="popular", popular_within="town")
        with pytest.raises(ColumnError, match="no columns"):
            self.fitted(interactions()).recommend(ASKED, **asked)
        with pytest.raises(ParameterError, match="pass users as a frame"):
            attributed.recommend([7], **asked)
        with pytest.raises(ColumnError, match="'country' is missing"):
            attributed.recommend(ASKED[["customer"]], **asked)
        with pytest.raises(ParameterError, match="give unknown='popular' too"):
            attributed.recommend(ASKED, popular_within="country")
        with pytest.raises(ParameterError, match="pass history as a frame"):
            attributed.recommend(
                history=self.history("item 03"), unknown="popular", popular_within="artist"
            )
        with pytest.raises(DataError, match="must be one column or a list"):
            attributed.recommend(ASKED, unknown="popular")
