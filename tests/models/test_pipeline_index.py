"""`Pipeline.build_index`: the approximate index of the first stage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_checks_ann import large_shop
from model_support import bits, interactions
from penchant.errors import UnsupportedError
from penchant.models.pipeline import Pipeline
from penchant.retrieval.graph_search import GraphSearch

pytest.importorskip("usearch")


def pipeline(k=20, **params):
    stages = {"retrieve": pc.IALS(factors=8, epochs=3), "rank": pc.ItemKNN(neighbors=20)}
    return Pipeline(k=k, **{**stages, **params})


def poor_index(model):
    """Make one that looks at so little that it misses a lot, and that always answers."""
    with pytest.warns(pc.errors.PenchantWarning, match="below target_recall"):
        model.build_index(expansion_search=1, connectivity=2, expansion_add=2, target_recall=1)
    graph = model._indexed()._derived["graph"]
    graph.report = replace(graph.report, expansion_deep=1, widest=10**9)
    return model


def pairs(frame):
    return set(frame[["customer", "product"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("retrieve", [None, pipeline(k=40)])
def test_what_is_ranked_is_what_the_index_finds(retrieve):
    retrieve = pc.IALS(factors=8, epochs=3) if retrieve is None else retrieve
    model = pipeline(retrieve=retrieve).fit(large_shop(), progress=False)
    expected = model.recommend(k=20)
    poor_index(model)
    found = model.recommend(k=20)
    assert pairs(found) == pairs(model.retrieve_.recommend(k=20)) != pairs(expected)
    assert bits(model.predict(found)) == bits(found["score"])
    scored = found.assign(score=model.rank_.predict(found[["customer", "product"]]))
    assert bits(scored["score"]) == bits(found["score"])
    exact = model.recommend(k=20, index="exact")
    pd.testing.assert_frame_equal(exact, expected, check_exact=True)
    assert model.build_index("exact") is None
    pd.testing.assert_frame_equal(model.recommend(k=20), expected, check_exact=True)


def test_only_recommend_goes_through_the_index():
    model = pipeline().fit(large_shop(), progress=False)
    asked = pd.DataFrame({"customer": [3, 7, 3], "product": ["item 003", "item 100", "item 555"]})
    before = model.recommend_users(["item 003"], k=30), model.predict(asked)
    poor_index(model)
    pd.testing.assert_frame_equal(model.recommend_users(["item 003"], k=30), before[0])
    assert bits(model.predict(asked)) == bits(before[1])


def test_it_goes_away_when_the_first_stage_learns_more():
    model = pipeline().fit(large_shop(), progress=False)
    assert model.index_ is None
    report = model.build_index()
    assert model.index_ is report is model.retrieve_.index_
    model.set_params(k=30)
    assert model.index_ is report
    old = model.retrieve_
    model.partial_fit(interactions())
    assert model.index_ is None
    assert old.index_ is report


def test_what_cannot_have_one_says_so():
    without = pipeline(retrieve=pc.ItemKNN()).fit(interactions(), progress=False)
    assert "approximate_index" not in without.capabilities_
    with pytest.raises(UnsupportedError, match="ItemKNN has no vectors"):
        without.build_index()
    assert without.index_ is None


@pytest.mark.filterwarnings("ignore:LambdaMART. the trees do not better the order")
def test_trees_rank_what_is_retrieved_exactly(monkeypatch):
    pytest.importorskip("lightgbm")
    rank = pc.LambdaMART(n_estimators=5, min_child_samples=5, validation=0)
    model = pipeline(rank=rank).fit(large_shop(), progress=False)
    expected = model.recommend_codes(k=10)
    assert "approximate_index" not in model.capabilities_
    with pytest.raises(UnsupportedError, match=r"exact search, .* leave index='exact'"):
        model.build_index()
    assert model.build_index("exact") is None
    model.retrieve_.build_index()  # is for the answers of that model
    assert model.index_ is None
    monkeypatch.setattr(GraphSearch, "search", None)
    assert [bits(part) for part in model.recommend_codes(k=10)] == [bits(part) for part in expected]
    assert np.isfinite(expected[1]).all()
