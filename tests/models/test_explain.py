"""`explain` beyond the contract: summands of exact models, repeated items, blocks of histories."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import interactions
from penchant.models import explain

HISTORY = ["item 03", "item 10", "item 03", "item 05", "item 03", "item 10"]


def of_neighbors(model, history):
    """Return value * similarity of each item of a history."""
    reduction = model.get_params()["values"]
    counts = pd.Series(1, list(history)).groupby(level=0).sum()
    values = counts
    if reduction in ("distinct", "last"):  # without values each event has the value 1
        values = counts * 0 + 1
    if reduction in ("sum", "last") and isinstance(history, dict):
        values = pd.Series(history)
    similarity = np.zeros((len(model.items_),) * 2)
    if model.item_weights_ is not None:
        similarity += model.item_weights_
    else:
        rows = np.repeat(np.arange(len(similarity)), np.diff(model.neighbor_indptr_))
        similarity[rows, model.neighbor_indices_] = model.neighbor_values_
    return values * similarity[model.items_.codes(values.index), model.items_.codes(["item 08"])[0]]


def of_ials(model, history):
    """Return c h A^-1 target of each item; A as in the paper's equation of a user's vector."""
    events = pd.Series(history) if isinstance(history, dict) else pd.Series(1, list(history))
    confidence = 1 + model.alpha * events.groupby(level=0).sum()
    items = model.item_factors_.astype(np.float64)
    weight = model.item_counts_**model.popularity_exponent
    cells = model.unobserved_weight * weight / weight.mean()
    own = items[model.items_.codes(confidence.index)]
    system = items.T @ (cells[:, None] * items) + model.regularization * np.eye(items.shape[1])
    system += own.T @ (confidence.to_numpy()[:, None] * own)
    solved = np.linalg.solve(system, items[model.items_.codes(["item 08"])[0]])
    return confidence * (own @ solved)


@pytest.mark.parametrize(
    "history", [HISTORY, HISTORY[::-1], {"item 10": 4, "item 03": 2.5, "item 05": 1}], ids=str
)
@pytest.mark.parametrize(
    "model",
    [
        pc.EASE(regularization=5),
        pc.EASE(regularization=5, values="sum", neighbors=25),
        pc.EASE(regularization=5, values="last"),
        pc.EASE(regularization=5, values="count"),
        pc.ItemKNN(),
        pc.IALS(factors=5, epochs=3),
        pc.IALS(factors=5, epochs=3, alpha=0.7, popularity_exponent=0.5),
    ],
    ids=str,
)
def test_each_item_gets_its_own_summand(model, history):
    summands = of_ials if isinstance(model, pc.IALS) else of_neighbors
    model.fit(interactions(), progress=False)
    found = model.explain(history=history, item="item 08", k=None)
    owed = found.set_index("product")["contribution"]
    expected = summands(model, history)
    assert sorted(owed.index) == sorted(expected.index)
    assert expected.max() > expected.min()
    np.testing.assert_allclose(owed[expected.index], expected, rtol=1e-4, atol=1e-7)


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
