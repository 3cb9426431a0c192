"""`explain` beyond the contract: repeated items, and blocks of histories."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import interactions
from penchant.models import explain

HISTORY = ["item 03", "item 10", "item 03", "item 05", "item 03", "item 10"]


def test_items_that_repeat_have_one_row_with_all_that_they_add():
    model = pc.Prod2Vec(
        vector_size=4, epochs=3, min_count=1, history_weighting="recency", recency_decay=0.5
    ).fit(interactions(), progress=False)
    found = model.explain(history=HISTORY, item="item 08", k=None)
    assert sorted(found["product"]) == ["item 03", "item 05", "item 10"]
    vectors = model._score_vectors().astype(np.float64)
    codes = model.items_.codes(HISTORY)
    weights = 0.5 ** np.arange(len(HISTORY) - 1, -1, -1)
    target = model._factors().items[model.items_.codes(["item 08"])[0]].astype(np.float64)
    each = weights * (vectors[codes] @ target) / np.linalg.norm(weights @ vectors[codes])
    expected = pd.Series(each).groupby(HISTORY).sum()
    owed = found.set_index("product")["contribution"]
    np.testing.assert_allclose(owed[expected.index], expected, rtol=1e-5, atol=1e-7)
    shares = expected / expected.abs().sum()
    np.testing.assert_allclose(found.set_index("product")["share"][expected.index], shares, 1e-5)


@pytest.mark.parametrize("at_once", [1, 13])
def test_blocks_do_not_show(at_once, monkeypatch):
    model = pc.SVD(factors=3, epochs=3).fit(interactions(), progress=False)
    items = model.items_.to_list()[:9]
    asked = {"history": {item: 1 + n % 5 for n, item in enumerate(items)}, "item": "item 20"}
    whole = model.explain(**asked, k=None)
    assert whole["contribution"].max() > whole["contribution"].min()
    calls = []
    scores = type(model)._folded_scores

    def counted(self, histories, item):
        calls.append(histories.n)
        return scores(self, histories, item)

    monkeypatch.setattr(type(model), "_folded_scores", counted)
    monkeypatch.setattr(explain, "_EVENTS_AT_ONCE", at_once)
    pd.testing.assert_frame_equal(model.explain(**asked, k=None), whole, check_exact=True)
    assert calls == [1] * 10  # the whole history, and then it without each of its items
    monkeypatch.setattr(explain, "_EVENTS_AT_ONCE", 4 * len(items))
    pd.testing.assert_frame_equal(model.explain(**asked, k=None), whole, check_exact=True)
    assert calls[10:] == [1, 4, 4, 1]
