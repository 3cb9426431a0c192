"""The part of the contract suite about re-ranking: every re-ranker against a naive oracle."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import N_ITEMS, STARS, ModelFactory, bits, events, stars
from penchant.errors import ParameterError, UnsupportedError
from penchant.models.histories import Histories
from penchant.models.reranking import history_keys
from rerank_oracle import CHAINS, Oracle

K, POOL = 5, 8


def dated_table():
    days = pd.date_range("2026-01-20", periods=N_ITEMS).strftime("%Y-%m-%d")
    numbers = range(N_ITEMS)
    return pd.DataFrame(
        {
            "product": [f"item {i:02d}" for i in numbers],
            "kind": [("Comedy|Drama", "Horror", "Drama|Horror|War", None)[i % 4] for i in numbers],
            "maker": [None if i % 7 == 0 else f"maker {i % 3}" for i in numbers],
            "tags": [[i % 2, i % 5] if i % 6 else None for i in numbers],
            "born": [None if i % 5 == 0 else day for i, day in enumerate(days)],
        }
    )


def dated():
    frame = events()
    frame["stars"] = stars(frame)
    number = frame["product"].str[-2:].astype(int)
    hours = pd.to_timedelta(number * 48 + np.arange(len(frame)) % 37, unit="h")
    frame["when"] = pd.Timestamp("2026-01-01") + hours
    return pc.Interactions.from_frame(
        frame, user="customer", item="product", value="stars", timestamp="when",
        item_features=dated_table(),
    )  # fmt: skip


def needs_vectors(chain):
    return any(getattr(one, "by", None) == "vectors" for one in chain)


class RerankChecks(ModelFactory):
    """Run through `model_checks.ModelChecks`."""

    @pytest.fixture
    def dated_shop(self):
        return self.fitted(dated())

    @staticmethod
    def whole_lists(rows, scores):
        return [
            [(int(i), s) for i, s in zip(*row, strict=True) if i >= 0]
            for row in zip(rows, scores, strict=True)
        ]

    def assert_like_oracle(self, model, chain, found, whole, users, k=K, pool=POOL):
        oracle = Oracle(model, dated_table())
        for number, ranked in enumerate(self.whole_lists(*whole)):
            expected = oracle.answer(chain, ranked, k, pool, int(users[number]))
            rows = found[0][number]
            assert rows[: len(expected)].tolist() == expected
            assert (rows[len(expected) :] == -1).all()
            own = dict(ranked)
            assert bits(found[1][number, : len(expected)]) == bits(
                np.array([own[item] for item in expected], np.float32)
            )
            assert np.isneginf(found[1][number, len(expected) :]).all()

    @pytest.mark.parametrize("name", list(CHAINS))
    def test_every_reranker_is_what_its_definition_says(self, dated_shop, name):
        model, chain = dated_shop, CHAINS[name]
        if needs_vectors(chain) and not self.has_vectors:
            with pytest.raises(UnsupportedError, match=r"no vectors .*\(by=\['genre'\]\)"):
                model.recommend_codes([0], rerank=chain)
            return
        users = np.array([5, -1, 0, 39, 17, -1])
        for seen in (True, False):
            found = model.recommend_codes(users, K, exclude_seen=seen, rerank=chain, pool=POOL)
            whole = model.recommend_codes(users, N_ITEMS, exclude_seen=seen)
            self.assert_like_oracle(model, chain, found, whole, users)
            for number, user in enumerate(users):
                alone = model.recommend_codes(
                    [user], K, exclude_seen=seen, rerank=chain, pool=POOL, num_threads=3
                )
                for mine, theirs in zip(alone, found, strict=True):
                    assert bits(mine[0]) == bits(theirs[number])

    def three_histories(self, model):
        """Three histories, of which the second is empty."""
        items = np.array([3, 8, 1, 8, 3], np.int32)
        names = model.items_.to_list()
        values = [STARS.get(names[i], 3) if self.rated else 1 for i in items]
        return Histories(np.array([0, 2, 2, 5]), items, np.array(values, np.float32))

    @pytest.mark.parametrize("name", ["mmr kinds", "cap", "explore", "all"])
    def test_strangers_are_reranked_as_well(self, dated_shop, name):
        if "history" not in dated_shop.capabilities_:
            pytest.skip("has no fold-in")
        model, chain = dated_shop, CHAINS[name]
        strangers = self.three_histories(model)
        found = model.recommend_histories(strangers, K, rerank=chain, pool=POOL)
        whole = model.recommend_histories(strangers, N_ITEMS)
        self.assert_like_oracle(model, chain, found, whole, history_keys(strangers))
        last = model.recommend_histories(
            strangers.take(np.array([2])), K, rerank=chain, pool=POOL, num_threads=2
        )
        assert bits(last[0][0]) == bits(found[0][2])
        names = model.items_.to_list()
        history = self.history(names[3], names[8])
        frame = model.recommend(history=history, k=K, rerank=chain, pool=POOL)
        assert frame["product"].tolist() == [names[i] for i in found[0][0] if i >= 0]

    def assert_relative(self, ask):
        """Compare re-ranked softmax scores with those of whole lists; `ask` takes options."""
        chain = {"rerank": CHAINS["cap"], "pool": POOL}
        found, raw = ask(K, **chain, scores="softmax"), ask(K, **chain)
        assert bits(found[0]) == bits(raw[0])
        lists = self.whole_lists(*ask(N_ITEMS, scores="softmax"))
        for rows, scores, whole in zip(*found, lists, strict=True):
            expected = [dict(whole)[i] if i >= 0 else -np.inf for i in rows]
            assert bits(scores) == bits(np.array(expected, np.float32))
        assert (found[0] >= 0).any(axis=1).all()

    def test_relative_scores_are_those_of_items_however_reranked(self, dated_shop):
        model = dated_shop
        if "softmax" not in model.capabilities_:
            pytest.skip("has no relative scores")
        users = np.array([5, -1, 0, -1, 17])
        for some in (users, users[users >= 0], users[users < 0]):
            self.assert_relative(lambda k, some=some, **how: model.recommend_codes(some, k, **how))
        frame = model.recommend(
            [1000, 7], k=K, unknown="popular", scores="softmax", rerank=CHAINS["cap"], pool=POOL
        )
        stranger = frame[frame["customer"] == 7]
        counts = model.item_counts_[model.items_.codes(stranger["product"])]
        np.testing.assert_allclose(stranger["score"], counts / model.item_counts_.sum(), rtol=1e-6)

    def test_relative_scores_of_strangers_are_those_of_items_as_well(self, dated_shop):
        model = dated_shop
        if not {"softmax", "history"} <= model.capabilities_:
            pytest.skip("has no relative scores or no fold-in")
        strangers = self.three_histories(model)
        for rows in ([0, 1, 2], [2, 0], [1]):
            some = strangers.take(np.array(rows))
            self.assert_relative(
                lambda k, some=some, **how: model.recommend_histories(some, k, **how)
            )

    def test_frames_have_the_own_score_and_the_new_rank(self, dated_shop, tmp_path):
        chain = CHAINS["all"]
        asked = {"k": 7, "where": "kind is not null", "exclude": ["item 05"]}
        found = dated_shop.recommend(rerank=chain, **asked)
        assert (found["rank"] == found.groupby("customer").cumcount() + 1).all()
        assert bits(dated_shop.predict(found)) == bits(found["score"].to_numpy())
        kinds = dated_table().set_index("product")["kind"]
        assert kinds[found["product"]].notna().all()
        assert "item 05" not in set(found["product"])
        makers = found.assign(
            maker=dated_table().set_index("product")["maker"][found["product"]].to_numpy()
        )
        assert makers.dropna().groupby(["customer", "maker"]).size().max() == 2
        dated_shop.save(tmp_path / "model")
        again = pc.load(tmp_path / "model")
        assert bits(again.item_first_seen_) == bits(dated_shop.item_first_seen_)
        pd.testing.assert_frame_equal(again.recommend(rerank=chain, **asked), found)

    def test_odd_requests(self, dated_shop):
        chain = CHAINS["all"]
        many = dated_shop.recommend_codes([0, -1], 10**6, rerank=chain)
        assert many[0].shape == (2, N_ITEMS)
        assert len(dated_shop.recommend(where="kind = 'nothing'", rerank=chain)) == 0
        assert dated_shop.recommend_codes([], 3, rerank=chain)[0].shape == (0, 3)
        assert dated_shop.recommend_codes([], 3, rerank=chain[0])[0].shape == (0, 3)
        one = dated_shop.recommend(
            1000, k=3, candidates=["item 07"], exclude_seen=False, rerank=chain
        )
        assert one["product"].tolist() == ["item 07"]
        with pytest.raises(ParameterError, match=r"pool must be an integer of at least k=4, got 3"):
            dated_shop.recommend(1000, k=4, pool=3, rerank=chain)
        with pytest.raises(ParameterError, match=r"give rerank=\[\.\.\.\] too"):
            dated_shop.recommend(1000, pool=30)
        with pytest.raises(ParameterError, match=r"got <class .*MMR'>: call it, MMR\(...\)"):
            dated_shop.recommend(1000, rerank=[pc.rerank.MMR])
