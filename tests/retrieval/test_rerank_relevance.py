"""What re-rankers take for relevant, what they pass on, and what Exploration takes for new."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from penchant import rerank
from penchant.models.reranking import catalogue_of


def shop(users_of, **columns):
    """Items a, b, ... with so many users; user 0 has none of them."""
    names = [chr(ord("a") + i) for i in range(len(users_of))]
    pairs = [(u, name) for name, n in zip(names, users_of, strict=True) for u in range(1, n + 1)]
    frame = pd.DataFrame([*pairs, (0, "other")], columns=["who", "what"])
    table = pd.DataFrame({"what": names, **columns})
    data = pc.Interactions.from_frame(frame, user="who", item="what", item_features=table)
    return pc.Popularity().fit(data)


class Spy(rerank.Reranker):
    """Keeps the lists that it gets."""

    def apply(self, lists, request):
        self.lists = lists
        return lists


def test_scores_are_scaled_over_the_pool_and_are_1_where_all_are_equal():
    spy = Spy()
    model = shop([9, 7, 6, 5])
    model.recommend(0, k=2, pool=3, rerank=[spy])
    np.testing.assert_allclose(spy.lists.relevance, [[1, 1 / 3, 0]])
    equal = shop([4, 4, 4])
    equal.recommend(0, k=2, pool=3, rerank=[spy])
    assert spy.lists.relevance.tolist() == [[1, 1, 1]]
    equal.recommend(0, k=3, candidates=["b"], rerank=[spy])
    assert (spy.lists.items >= 0).sum() == 1
    assert spy.lists.relevance[0, 0] == 1
    assert not spy.lists.relevance[0, 1:].any()


def test_items_without_a_score_do_not_make_the_others_alike():
    low = np.finfo(np.float32).min
    items = np.array([[7, 8, 9, 6], [7, 8, 9, -1], [7, 8, -1, -1], [7, -1, -1, -1]])
    scores = np.array(
        [[3, 2, 1, low], [2, 2, low, -np.inf], [low, low, -np.inf, -np.inf], [low] + [-np.inf] * 3],
        np.float32,
    )
    lists = rerank.RankedLists.from_search(items, scores, np.zeros(4, np.uint64))
    assert lists.relevance.tolist() == [[1, 0.5, 0, 0], [1, 1, 0, 0], [0] * 4, [0] * 4]


def test_equal_scores_are_as_relevant_as_the_best_can_be():
    """What the discount leaves of them is added to what it gives."""
    model = shop([4, 4, 4], kind=["x", "x", "y"])
    spy = Spy()
    model.recommend(0, k=3, pool=3, rerank=[rerank.PopularityDiscount(weight=0.25), spy])
    counts = model.item_counts_[spy.lists.items[0]]
    novelty = 1 - np.log1p(counts) / np.log1p(model.item_counts_.max())
    np.testing.assert_allclose(spy.lists.relevance[0], 0.75 + 0.25 * novelty)


@pytest.mark.parametrize("kind", [rerank.MMR, rerank.DPP])
def test_diversity_passes_the_place_on(kind):
    """The order is a, d, b, c: what follows sees these places and not the model's scores."""
    model = shop([40, 30, 20, 2], kind=["tea", "tea", "tea", "jam"])
    spy = Spy()
    diverse = kind(by=["kind"], relevance_weight=0.3)
    model.recommend(0, k=4, pool=4, rerank=[diverse, spy])
    names = model.items_.to_list()
    assert [names[i] for i in spy.lists.items[0]] == ["a", "d", "b", "c"]
    assert spy.lists.relevance.tolist() == [[1, 0.75, 0.5, 0.25]]
    assert spy.lists.scores.tolist() == [[40, 2, 30, 20]]


@pytest.mark.parametrize("column", [None, "born"])
def test_an_item_of_exactly_the_greatest_age_is_new(column):
    """The latest event is ten days after that of `edge`, and a microsecond more after `past`."""
    days = pd.to_datetime(["2026-01-01", "2026-01-08", "2026-01-08", "2026-01-18"])
    days -= pd.to_timedelta([0, 0, 1, 0], unit="us")
    items = ["oldest", "edge", "past", "last"]
    frame = pd.DataFrame({"who": range(4), "what": items, "day": days})
    data = pc.Interactions.from_frame(
        frame, user="who", item="what", timestamp="day",
        item_features=pd.DataFrame({"what": items, "born": days}),
    )  # fmt: skip
    model = pc.Popularity().fit(data)

    def new_items(max_age_days):
        explore = rerank.Exploration(weight=1, max_age_days=max_age_days, age_column=column)
        found = model.recommend(0, k=4, exclude_seen=False, rerank=[explore])["what"].tolist()
        flags = explore._new_items(catalogue_of(model))
        new = {model.items_.to_list()[i] for i in np.flatnonzero(flags)}
        assert set(found[: len(new)]) == new  # they come first
        return new

    microsecond = 1 / 86_400_000_000
    assert new_items(10) == {"edge", "last"}
    assert new_items(10 + microsecond) == {"edge", "past", "last"}
    assert new_items(10 - microsecond) == {"last"}
    assert new_items(0) == {"last"}
    assert new_items(17) == set(items)


def test_what_is_known_of_the_whole_catalogue_is_made_once(monkeypatch):
    """Not again for each block of users, nor in the next call."""
    model = shop([9, 7, 6, 5])
    catalogue = catalogue_of(model)
    logarithm, codes, made = np.log1p, catalogue.codes, []
    monkeypatch.setattr("penchant.retrieval.rerank.chain._ENTRIES_AT_ONCE", 1)
    monkeypatch.setattr(np, "log1p", lambda counts: made.append("logs") or logarithm(counts))
    object.__setattr__(catalogue, "codes", lambda ids: made.append(tuple(ids)) or codes(ids))
    chain = [rerank.Promotions(["c", "a"], slots=[2, 1]), rerank.PopularityDiscount(weight=0.5)]
    for _ in range(2):
        found = model.recommend([0, 9, 8], k=2, rerank=chain[::-1])
        assert found.groupby("who", sort=False)["what"].agg("".join).tolist() == ["ac", "bc", "bc"]
    assert made == [("c", "a"), "logs"]
    model.recommend(0, k=2, rerank=[rerank.Promotions(["d"])])
    assert made == [("c", "a"), "logs", ("d",)]
