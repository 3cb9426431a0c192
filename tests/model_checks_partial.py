"""The part of the contract suite about `partial_fit`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_checks_filters import with_items
from model_support import (
    ModelFactory,
    assert_same_model,
    bits,
    events,
    interactions,
    leaves,
    stars,
)
from penchant.errors import DataError, ParameterError, UnsupportedError

NEW = pd.DataFrame(
    {
        "customer": [1000, 1000, 1005, 1005, 1005, 1007, 1050, 1060, 1060],
        "product": ["item 03", "new 2", "item 10", "item 00", "new 1", "new 1", "new 1", "new 2",
                    "item 04"],
    }
)  # fmt: skip
NEW["stars"] = [3, 5, 1, 2, 4, 4, 2, 5, 1]
FRESH_USERS, TOUCHED = (1005, 1007), (1000, 1005, 1007, 1050, 1060)


def new_events(frame=NEW):
    return pc.Interactions.from_frame(frame, user="customer", item="product", value="stars")


class PartialFitChecks(ModelFactory):
    """Run through `model_checks.ModelChecks`."""

    @pytest.fixture
    def growing(self):
        model = self.fitted()
        if "partial_fit" not in model.capabilities_:
            with pytest.raises(UnsupportedError):
                model.partial_fit(new_events())
            pytest.skip("cannot learn more")
        return model

    def test_new_users_and_items_join_the_old_ones(self, growing):
        users, items = growing.users_.to_list(), growing.items_.to_list()
        assert growing.partial_fit(new_events()) is growing
        assert growing.users_.to_list() == sorted({*users, *FRESH_USERS})
        assert growing.items_.to_list() == sorted({*items, "new 1", "new 2"})
        everything = pd.concat([events(), NEW]).drop_duplicates(["customer", "product"])
        assert growing.item_counts_.sum() == len(growing.seen_.indices) == len(everything)
        for user in growing.users_.to_list():
            taken = set(everything.loc[everything["customer"] == user, "product"])
            found = growing.recommend(user, k=99)
            assert set(found["product"]) == set(growing.items_.to_list()) - taken
            assert np.isfinite(found["score"]).all()

    def test_what_has_no_news_stays_as_it_was(self, growing):
        if "user_vectors" not in growing.capabilities_:
            pytest.skip("learns no vectors")
        users, items = growing.user_vectors(), growing.item_vectors()
        growing.partial_fit(new_events())
        quiet = [user for user in users.index if user not in TOUCHED]
        assert bits(growing.user_vectors().loc[quiet]) == bits(users.loc[quiet])
        assert bits(growing.item_vectors().loc[items.index]) == bits(items)
        assert np.abs(growing.item_vectors().loc[["new 1", "new 2"]]).max(axis=1).min() > 0

    def test_users_get_what_their_history_says(self, growing):
        ordered = growing.get_params().get("history_weighting", "mean") != "mean"
        growing.partial_fit(new_events())
        rated = interactions().to_frame()
        for user in TOUCHED:
            new = NEW[NEW["customer"] == user].sort_values("product", kind="stable")
            own = pd.concat([rated[rated["customer"] == user], new])
            if not ordered:
                own = own.sort_values("product", kind="stable")
            if ordered:
                history = own["product"].tolist()
            elif all(leaf.history_values_ is None for leaf in leaves(growing)):
                history = own["product"].drop_duplicates().tolist()
            else:
                history = own
            found = growing.recommend(user, k=6)
            same = growing.recommend(history=history, k=6)
            if self.rated:  # kept as parts that are added up again
                np.testing.assert_allclose(found["score"], same["score"], rtol=1e-5)
                continue
            assert found["product"].tolist() == same["product"].tolist()
            assert bits(found["score"]) == bits(same["score"])

    def test_users_get_the_same_in_whatever_company(self, growing, tmp_path):
        if not hasattr(growing, "item_factors_"):
            pytest.skip("learns no factors")
        if isinstance(growing, pc.BPR):
            pytest.skip("its steps go by how many users items have")
        growing.save(tmp_path / "before")
        few = NEW[NEW["product"].str.startswith("item")]
        history = self.history("item 03", "item 10", "item 05")
        said = growing.recommend(history=history, k=99)
        together = growing.partial_fit(new_events(few))
        assert together.recommend(history=history, k=99).equals(said)
        for user in few["customer"].unique():
            alone = pc.load(tmp_path / "before").partial_fit(
                new_events(few[few["customer"] == user])
            )
            vectors = [bits(model.user_vectors().loc[user]) for model in (alone, together)]
            assert vectors[0] == vectors[1]
        together.save(tmp_path / "after")
        assert_same_model(pc.load(tmp_path / "after"), together)

    def test_the_order_of_the_events_does_not_matter(self, growing):
        growing.partial_fit(new_events())
        for seed in range(3):
            shuffled = NEW.sample(frac=1, random_state=seed)
            assert_same_model(self.fitted().partial_fit(new_events(shuffled)), growing)

    def test_more_is_learnt_whatever_the_threads_and_after_loading(self, growing, tmp_path):
        growing.save(tmp_path / "before")
        growing.partial_fit(new_events())
        again = pc.load(tmp_path / "before")
        if "num_threads" in again.get_params():
            again.set_params(num_threads=3).partial_fit(new_events())
            again.set_params(num_threads=growing.num_threads)
        else:
            again.partial_fit(new_events())
        assert_same_model(again, growing)
        growing.save(tmp_path / "after")
        assert_same_model(pc.load(tmp_path / "after"), growing)

    def test_new_items_know_when_they_appeared(self, growing):
        days = pd.date_range("2024-01-01", periods=len(NEW), freq="D")
        old = interactions().to_frame().assign(at=pd.Timestamp("2023-01-01"))

        def dated(frame):
            return pc.Interactions.from_frame(
                frame, user="customer", item="product", value="stars", timestamp="at"
            )

        model = self.fitted(dated(old)).partial_fit(dated(NEW.assign(at=days)))
        codes = model.items_.codes(["item 03", "new 1", "new 2"])
        seen = pd.to_datetime(model.item_first_seen_[codes], unit="us")
        assert seen.strftime("%Y-%m-%d").tolist() == ["2023-01-01", "2024-01-05", "2024-01-02"]
        assert pd.Timestamp(model.last_event_, unit="us") == days[-1]

    def test_a_failure_leaves_the_model_as_it_was(self, growing, monkeypatch):
        answer = growing.recommend()
        parts = [growing, *leaves(growing)]
        before = [dict(vars(part)) for part in parts]

        def fail(*_):
            raise MemoryError("not enough")

        monkeypatch.setattr(type(parts[-1]), "_grow", fail)
        with pytest.raises(MemoryError):
            growing.partial_fit(new_events())
        assert [vars(part) for part in parts] == before
        assert growing.recommend().equals(answer)

    def test_bad_news(self, growing):
        before = dict(vars(growing))
        with pytest.raises(ParameterError, match="new interactions, or a frame"):
            growing.partial_fit()
        with pytest.raises(DataError, match=r"new must be penchant\.Interactions"):
            growing.partial_fit(NEW)
        with pytest.raises(DataError, match="'ann' cannot be an id here: they are int64"):
            growing.partial_fit(new_events(NEW.assign(customer="ann")))
        with pytest.raises(DataError, match="the same customer in the dtype"):
            growing.partial_fit(new_events(NEW.assign(customer=["7", "7.0", *["1000"] * 7])))
        for items, problem in (
            (["new 1"], "items must be a frame"),
            (pd.DataFrame({"price": [1]}), "lacks the column 'product'"),
            (pd.DataFrame({"product": ["new 1", None]}), "has nulls"),
            (
                pd.DataFrame({"product": ["new 1", "new 1"]}),
                "more than one row for product 'new 1'",
            ),
        ):
            with pytest.raises(DataError, match=problem):
                growing.partial_fit(items=items)
        with pytest.raises(UnsupportedError, match="give new items when they have events"):
            growing.partial_fit(items=pd.DataFrame({"product": ["new 3"]}))
        if self.rated:
            plain = pc.Interactions.from_frame(NEW, user="customer", item="product")
            with pytest.raises(DataError, match=r"new has no value column.*'stars'"):
                growing.partial_fit(plain)
        assert vars(growing) == before

    def test_new_items_are_like_those_with_the_same_attributes(self, tmp_path):
        model = self.fitted(with_items())
        if "partial_fit" not in model.capabilities_:
            pytest.skip("cannot learn more")
        if "new_items" not in model.capabilities_:
            with pytest.raises(UnsupportedError, match="from events alone"):
                model.partial_fit(items=pd.DataFrame({"product": ["new 1"], "price": [3.0]}))
            return
        with pytest.raises(pc.errors.ColumnError, match=r"no column 'kid', did you mean 'kind'"):
            model.partial_fit(items=pd.DataFrame({"product": ["new 1"], "kid": ["Horror"]}))
        kinds = pd.DataFrame({"product": ["new 1", "new 2"], "kind": ["Comedy|Drama", None]})
        model = self.fitted(with_kinds())
        learnt = [name for name, weight in model._weights.items()
                  if weight.shape[0] == "items" and getattr(model, name) is not None]  # fmt: skip
        before = {name: getattr(model, name).copy() for name in learnt}
        model.partial_fit(items=kinds)
        codes = model.items_.codes(["new 1", "new 2"])
        for name, known in before.items():
            found = getattr(model, name)[codes]
            whole = known.dtype.kind == "i"
            means = np.array([known[::3].mean(axis=0), known.mean(axis=0)])
            np.testing.assert_allclose(found, means, rtol=1e-4, atol=0.5 if whole else 1e-6)
        assert len(model.recommend(history=self.history(), unknown="popular", k=99)) == 32
        discounted = model.recommend(1000, k=99, rerank=pc.rerank.PopularityDiscount())
        assert {"new 1", "new 2"} <= set(discounted["product"])
        model.save(tmp_path)
        assert_same_model(pc.load(tmp_path), model)
        shown = model.recommend(1000, k=99, with_columns=["kind"]).set_index("product")["kind"]
        assert shown["new 1"] == "Comedy|Drama"
        assert pd.isna(shown["new 2"])

    def test_items_of_strangers_alone_are_guessed_until_others_tell_of_them(self, tmp_path):
        model = self.fitted(with_kinds())
        if "partial_fit" not in model.capabilities_:
            pytest.skip("cannot learn more")
        kinds = pd.DataFrame({"product": ["new 1"], "kind": ["Comedy|Drama"]})
        stranger, told = NEW[NEW["customer"] == 1007], NEW[NEW["customer"] == 1050]
        if "new_items" in model.capabilities_:
            model.partial_fit(new_events(stranger), items=kinds)
        else:
            model.partial_fit(new_events(stranger))
        found, row = model.recommend(1007, k=99), model.users_.codes([1007])
        history = self.history("new 1") if not self.rated else {"new 1": 4}
        same = model.recommend(history=history, k=99)
        first = getattr(model, "retrieve_", model).recommend(1007, k=99)["product"].tolist()
        for answer in (found, same):  # never zeros, or else as the first stage of a pipeline has it
            products = answer["product"].tolist()
            assert set(products) == set(model.items_.to_list()) - {"new 1"}
            assert answer["score"].any() or (products == first and self.model is pc.Pipeline)
        model.save(tmp_path)
        again = pc.load(tmp_path)
        alone, everyone = again.recommend_codes(row, k=99), model.recommend_codes(k=99)
        assert [bits(part) for part in alone] == [bits(part[row]) for part in everyone]
        if "new_items" not in model.capabilities_ or not hasattr(model, "_item_arrays"):
            return
        described = self.fitted(with_kinds()).partial_fit(items=kinds)
        for grown in (model, again, described):
            assert bits(grown.item_vectors()) == bits(described.item_vectors())
            assert grown.guessed_items_.tolist() == grown.items_.codes(["new 1"]).tolist()
        once = self.fitted(with_kinds()).partial_fit(
            new_events(pd.concat([stranger, told])), items=kinds
        )
        assert_same_model(again.partial_fit(new_events(told)), once)
        assert len(once.guessed_items_) == 0
        assert np.abs(
            once.item_vectors().loc["new 1"] - described.item_vectors().loc["new 1"]
        ).max()

    def test_events_of_described_items_come_to_the_same_as_with_the_description(self):
        """What was guessed of them until then is forgotten."""
        if "new_items" not in self.fitted().capabilities_:
            pytest.skip("learns no items without events")
        both = pd.DataFrame({"product": ["new 1", "new 2"], "kind": ["Comedy|Drama", "Horror"]})
        for customers in (TOUCHED, [1007], [1050]):
            some = NEW[NEW["customer"].isin(customers)]
            kinds = both[both["product"].isin(some["product"])]
            described = self.fitted(with_kinds()).partial_fit(items=kinds)
            once = self.fitted(with_kinds()).partial_fit(new_events(some), items=kinds)
            assert_same_model(described.partial_fit(new_events(some)), once)

    def test_items_of_strangers_without_a_table_are_like_all(self, growing):
        names = {"item_factors_", "item_vectors_"} & set(growing._weights)
        if not names:
            pytest.skip("learns no vectors of items")
        (name,) = names
        known = getattr(growing, name).mean(axis=0)
        growing.partial_fit(new_events(NEW[NEW["customer"] == 1007]))
        assert len(growing.guessed_items_) == 1
        found = getattr(growing, name)[growing.items_.code("new 1")]
        if self.rated:  # what they say of it counts for more
            assert not np.allclose(found, known, rtol=1e-4, atol=1e-6)
        else:
            np.testing.assert_allclose(found, known, rtol=1e-4, atol=1e-6)


def with_kinds():
    """The usual events, with an item table."""
    products = [f"item {i:02d}" for i in range(30)]
    kinds = ["Comedy|Drama" if i % 3 == 0 else "Horror" for i in range(30)]
    return pc.Interactions.from_frame(
        interactions().to_frame(), user="customer", item="product", value="stars",
        item_features=pd.DataFrame({"product": products, "kind": kinds}),
    )  # fmt: skip


def all_events():
    """Everything in one, for models that are the same as after one `fit`."""
    both = pd.concat([events().assign(stars=stars(events())), NEW])
    return new_events(both)
