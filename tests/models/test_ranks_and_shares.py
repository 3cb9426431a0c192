"""Scores that must not depend on what else is asked for: ranks of trees, shares of groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_checks_fallback import ASKED, with_attributes
from model_checks_filters import with_items
from model_support import N_ITEMS

PAIR = ["customer", "product"]


@pytest.fixture(scope="module")
def trees():
    pytest.importorskip("lightgbm")
    rank = pc.LambdaMART(
        models=[pc.ItemKNN()], n_estimators=12, min_child_samples=5, validation=0, item_columns=[]
    )
    model = pc.Pipeline(retrieve=pc.IALS(factors=7, epochs=3), k=N_ITEMS, rank=rank)
    model.fit(with_items(), progress=False)
    assert model.rank_.booster is not None  # or nothing would go by ranks
    return model


SOME = [f"item {i:02d}" for i in range(0, N_ITEMS, 3)]
SAME = {
    "candidates": {"candidates": SOME},
    "exclude": {"exclude": SOME},
    "where": {"where": "product >= 'item 10'"},
    "seen as well": {"exclude_seen": False},
    "seen among some": {"exclude_seen": False, "candidates": SOME},
}


def assert_same_scores(trees, **asked):
    whole = trees.recommend(k=N_ITEMS).set_index(PAIR)["score"]
    found = trees.recommend(k=N_ITEMS, **asked).set_index(PAIR)["score"]
    both = found.index.intersection(whole.index)
    assert len(both) > 100
    pd.testing.assert_series_equal(found[both], whole[both], check_exact=True)
    assert trees.predict(found.reset_index()).tolist() == found.tolist()


@pytest.mark.parametrize("name", list(SAME))
def test_filters_do_not_change_the_rank_that_trees_go_by(name, trees):
    assert_same_scores(trees, **SAME[name])


def test_nor_do_lists_of_each_user(trees):
    indptr, indices = trees.seen_
    users = np.repeat(trees.users_.to_list(), np.diff(indptr))
    names = np.array(trees.items_.to_list())
    some = pd.DataFrame({"customer": users, "product": names[(indices + 3) % N_ITEMS]})
    assert_same_scores(trees, candidates=some)
    # As many as the user has seen, but others.
    assert_same_scores(trees, exclude=some, exclude_seen=False)


def test_filters_do_not_change_the_rank_of_strangers(trees):
    history = ["item 03", "item 10"]
    whole = trees.recommend(history=history, k=N_ITEMS).set_index("product")["score"]
    for asked in SAME.values():
        found = trees.recommend(history=history, k=N_ITEMS, **asked).set_index("product")["score"]
        both = found.index.intersection(whole.index)
        assert len(both) > 5
        pd.testing.assert_series_equal(found[both], whole[both], check_exact=True)


def test_each_country_has_its_own_total():
    """PL and FR differ in events; re-ranked shares are those without re-ranking."""
    data = with_attributes().to_frame()
    extra = data[data["customer"] == 1000]
    extra = extra.assign(product=[f"item {i:02d}" for i in range(1, 2 * len(extra), 2)])
    lands = with_attributes().user_features.to_pandas()
    lands["customer"] = with_attributes().users.to_list()
    model = pc.IALS(factors=4, epochs=2).fit(
        pc.Interactions.from_frame(
            pd.concat([data, extra]), user="customer", item="product", user_features=lands
        ),
        progress=False,
    )
    taken = np.diff(model.seen_.indptr)
    land = np.array(model.user_features_["country"].to_pylist())
    totals = {name: int(taken[land == name].sum()) for name in ("PL", "FR")}
    totals = {7: totals["FR"], 8: totals["PL"], 9: int(taken.sum()), 1: int(taken.sum())}
    assert totals[7] != totals[8]
    asked = {"k": N_ITEMS, "unknown": "popular", "popular_within": "country"}
    counts = model.recommend(ASKED, **asked)
    reverse = [pc.rerank.PopularityDiscount(weight=1)]
    for chain in ((), reverse):
        found = model.recommend(ASKED, scores="softmax", rerank=chain, **asked)
        assert found["customer"].unique().tolist() == ASKED["customer"].tolist()
        both = found.merge(counts, on=PAIR, suffixes=("", "_counted"))
        assert len(both) == len(found)
        unknown = both[both["customer"] != 1000]
        expected = unknown["score_counted"] / unknown["customer"].map(totals)
        np.testing.assert_allclose(unknown["score"], expected, rtol=1e-6)
        known = model.recommend(1000, k=N_ITEMS, scores="softmax", rerank=chain)
        mine = found[found["customer"] == 1000].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, known, check_exact=True)
