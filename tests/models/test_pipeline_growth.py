"""`partial_fit` and `explain` of a `Pipeline`, beyond the contract: each model does its part."""

from __future__ import annotations

import pandas as pd
import pytest

import penchant as pc
from model_checks_partial import new_events
from model_support import assert_same_model, events, interactions
from penchant.errors import UnsupportedError
from penchant.models.incremental import GrowingRanker
from penchant.models.two_stages import NO_SCORE

IALS = pc.IALS(factors=6, epochs=3)


class Fixed(pc.Popularity):
    """Learns no more."""

    _grow = GrowingRanker._grow


def fitted(rank, retrieve=IALS, data=None):
    model = pc.Pipeline(retrieve=retrieve, k=40, rank=rank)
    return model.fit(interactions() if data is None else data, progress=False)


def test_both_stages_learn_what_they_would_alone():
    model = fitted(pc.SVD(factors=3)).partial_fit(new_events())
    for stage in (model.retrieve_, model.rank_):
        alone = type(stage)(**stage.get_params()).fit(interactions(), progress=False)
        assert_same_model(stage, alone.partial_fit(new_events()))
    assert model.users_ == model.retrieve_.users_
    found = model.recommend(1005, k=40)
    assert found["score"].tolist() == model.rank_.predict(found).tolist()


def test_what_was_answered_before_does_not_linger():
    model = fitted(pc.SVD(factors=3))
    asked = {"users": [1000, 1050], "k": 9, "scores": "raw"}
    model.recommend(**asked)
    model.recommend(history={"item 03": 4})
    model.explain(1000, "item 03")
    fresh = fitted(pc.SVD(factors=3)).partial_fit(new_events())
    model.partial_fit(new_events())
    for users in ([1000, 1050], [1005, 1007]):
        found = model.recommend(users, k=40)
        pd.testing.assert_frame_equal(found, fresh.recommend(users, k=40), check_exact=True)
    for user in (1000, 1005):
        found = model.explain(user, "item 03")
        pd.testing.assert_frame_equal(found, fresh.explain(user, "item 03"), check_exact=True)


@pytest.mark.filterwarnings("ignore:LambdaMART. the trees do not better the order")
def test_trees_stay_while_their_models_learn(tmp_path):
    pytest.importorskip("lightgbm")
    trees = pc.LambdaMART(models=[pc.ItemKNN()], n_estimators=4, min_child_samples=5, validation=0)
    model = fitted(trees)
    before, text = model.rank_, model.rank_.text
    assert text is not None
    model.partial_fit(new_events())
    assert model.rank_.text == text
    knn = model.rank_.models["ItemKNN"]
    assert {1005, 1007} <= set(knn.users_.to_list())
    assert 1005 not in before.models["ItemKNN"].users_.to_list()
    expected = pc.ItemKNN().fit(interactions(), progress=False).partial_fit(new_events())
    assert_same_model(knn, expected)
    model.save(tmp_path)
    assert_same_model(pc.load(tmp_path), model)


@pytest.mark.parametrize("place", ["retrieve", "rank"])
def test_every_model_has_to_learn_more(place):
    model = fitted(**{"retrieve": IALS, "rank": pc.ItemKNN(), place: Fixed()})
    before = dict(vars(model))
    assert "partial_fit" not in model.capabilities_
    with pytest.raises(UnsupportedError, match="Fixed cannot learn more events"):
        model.partial_fit(new_events())
    assert vars(model) == before
    assert "partial_fit" in fitted(pc.ItemKNN()).capabilities_


def test_a_pipeline_explains_by_the_model_that_ranks():
    model = fitted(pc.ItemKNN(neighbors=5))
    assert "explain" in model.capabilities_
    found = model.explain(1000, "item 03", k=None)
    expected = model.rank_.explain(1000, "item 03", k=None)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    asked = pd.DataFrame({"customer": [1000], "product": ["item 03"]})
    assert found["contribution"].sum() == pytest.approx(model.predict(asked)[0], rel=1e-5)
    assert model.explain(history=[], item="item 03").empty
    assert "explain" not in fitted(pc.Popularity()).capabilities_
    with pytest.raises(UnsupportedError, match="the same scores"):
        fitted(pc.Popularity()).explain(1000, "item 03")


def test_an_explanation_is_in_the_codes_of_the_model_that_ranks():
    counts = events()["product"].value_counts()
    least = int(counts.median())
    ranker = pc.Prod2Vec(vector_size=4, epochs=3, min_count=least, popularity_weight=0)
    loner = pd.DataFrame({"customer": [1], "product": [counts.idxmin()]})
    model = fitted(ranker, data=interactions(pd.concat([events(), loner])))
    known = model.rank_.items_.to_list()
    rare = counts.idxmin()
    assert rare not in known
    found = model.explain(history=[known[3], rare, known[1]], item=known[0], k=None)
    expected = model.rank_.explain(history=[known[3], known[1]], item=known[0], k=None)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    shown = model.recommend(history=[known[3], rare, known[1]], candidates=[known[0], rare])
    assert found["contribution"].sum() == pytest.approx(shown["score"].iloc[0], rel=1e-4)
    for asked in (
        {"user": 1000, "item": rare},
        {"user": 1, "item": known[0]},
        {"history": [rare], "item": known[0]},
    ):
        with pytest.raises(UnsupportedError, match="Prod2Vec, which ranks, does not know this"):
            model.explain(**asked)
    pair = pd.DataFrame({"customer": [1], "product": [known[0]]})
    assert model.predict(pair)[0] == NO_SCORE


@pytest.mark.filterwarnings("ignore:LambdaMART. the trees do not better the order")
def test_trees_do_not_explain():
    pytest.importorskip("lightgbm")
    model = fitted(pc.LambdaMART(n_estimators=2))
    assert "explain" not in model.capabilities_
    with pytest.raises(UnsupportedError, match=r"model\.retrieve_\.explain"):
        model.explain(1000, "item 03")


def test_new_items_without_events_need_models_that_can_compare_them():
    model = fitted(pc.ItemKNN())
    assert "new_items" not in model.capabilities_
    assert "new_items" in fitted(pc.SVD(factors=3)).capabilities_
