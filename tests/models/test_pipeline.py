"""`Pipeline` beyond the contract: what the two stages do with each other."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn.base

import penchant as pc
from model_support import N_ITEMS, assert_same_model, bits, events, interactions
from penchant.errors import ArtifactError, ParameterError, UnsupportedError
from penchant.models.ranker import Ranker
from penchant.models.two_stages import NO_SCORE
from penchant.serving import Requests, Service
from penchant.storage import read_artifact, write_artifact


def pipeline(**params):
    stages = {"retrieve": pc.IALS(factors=6, epochs=3), "k": 8, "rank": pc.SVD(factors=3)}
    return pc.Pipeline(**{**stages, **params})


@pytest.fixture
def model():
    return pipeline().fit(interactions(), progress=False)


def by_hand(model, data, k, **filters):
    """Retrieve with one model and score with another, both fitted apart."""
    retrieve = sklearn.base.clone(model.retrieve).fit(data, progress=False)
    rank = sklearn.base.clone(model.rank).fit(data, progress=False)
    found = retrieve.recommend(k=model.k, **filters)
    found["score"] = rank.predict(found)
    found = found.sort_values(["customer", "score", "product"], ascending=[True, False, True])
    found = found.groupby("customer").head(k)
    return found.assign(rank=found.groupby("customer").cumcount() + 1).reset_index(drop=True)


@pytest.mark.parametrize("k", [3, 8, 20])
@pytest.mark.parametrize("seen", [True, False])
def test_it_is_what_the_two_models_do_one_after_the_other(k, seen):
    rank = pc.SVD(factors=3, rating_scale=(-100, 100))  # nothing is clipped, so nothing ties
    model = pipeline(rank=rank).fit(interactions(), progress=False)
    found = model.recommend(k=k, exclude_seen=seen)
    expected = by_hand(model, interactions(), k, exclude_seen=seen)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_filters_hold_for_the_first_stage(model):
    names = [f"item {i:02d}" for i in range(0, N_ITEMS, 3)]
    found = model.recommend(k=8, candidates=names)
    alone = model.retrieve_.recommend(k=8, candidates=names)
    columns = ["customer", "product"]
    assert set(map(tuple, found[columns].to_numpy())) == set(map(tuple, alone[columns].to_numpy()))


def test_many_queries_are_searched_in_parts(monkeypatch):
    people = [*range(1000, 1400, 10)]
    items = [f"item {n:02d}" for n in range(N_ITEMS)]
    data = pc.Interactions.from_frame(
        events(),
        user="customer",
        item="product",
        item_features=pd.DataFrame({"product": items, "kind": ["a", "b"] * (N_ITEMS // 2)}),
        user_features=pd.DataFrame({"customer": people, "age": [n % 17 for n in range(40)]}),
    )
    model = pipeline(rank=pc.ItemKNN()).fit(data, progress=False)
    lists = pd.DataFrame({"customer": people})
    lists["product"] = [items[n % N_ITEMS] for n in range(len(lists))]
    where = 'EXCLUDE ItemID WHERE Items.KIND IN ("a") IF CurrentUser.AGE < 8'
    asked = {"users": people[::-1], "exclude": lists, "where": where, "exclude_seen": False}
    whole = model.recommend(**asked)
    monkeypatch.setattr("penchant.models.two_stages._PAIRS_AT_ONCE", 3 * model.k)
    pd.testing.assert_frame_equal(model.recommend(**asked), whole, check_exact=True)


def test_no_more_than_k_are_retrieved(model):
    assert model.recommend(k=30).groupby("customer").size().max() == 8
    model.set_params(k=3)
    assert model.recommend(k=30).groupby("customer").size().max() == 3
    few = pipeline(k=3).fit(interactions(), progress=False)
    pd.testing.assert_frame_equal(model.recommend(k=3), few.recommend(k=3))
    again = pickle.loads(pickle.dumps(model))
    pd.testing.assert_frame_equal(again.recommend(k=3), few.recommend(k=3))


def test_items_that_the_ranking_model_does_not_know_come_last():
    counts = events()["product"].value_counts()
    least = int(counts.median())
    ranker = pc.Prod2Vec(vector_size=4, epochs=3, min_count=least)
    model = pipeline(k=N_ITEMS, rank=ranker).fit(interactions(), progress=False)
    known = set(counts.index[counts >= least])
    assert 0 < len(known) < len(model.items_)
    found = model.recommend(k=N_ITEMS)
    first = model.retrieve_.recommend(k=N_ITEMS)
    for user, part in found.groupby("customer"):
        is_known = part["product"].isin(known).to_numpy()
        assert is_known[: is_known.sum()].all()
        order = first[(first["customer"] == user) & ~first["product"].isin(known)]["product"]
        assert part["product"].tolist()[is_known.sum() :] == order.tolist()
        assert (part["score"].to_numpy() == NO_SCORE).tolist() == (~is_known).tolist()
    assert bits(model.predict(found)) == bits(found["score"].to_numpy())
    history = model.recommend(history=[min(known)], k=N_ITEMS)
    assert set(history["product"][history["score"] > NO_SCORE]) == known - {min(known)}
    rare = min(set(counts.index) - known)  # a history that the ranker knows nothing of
    expected = model.retrieve_.recommend(history=[rare], k=5)["product"].tolist()
    assert model.recommend(history=[rare], k=5)["product"].tolist() == expected


def test_items_that_the_ranking_model_does_not_know_leave_the_others_in_order():
    least = int(events()["product"].value_counts().median())
    ranker = pc.Prod2Vec(vector_size=4, epochs=3, min_count=least)
    model = pipeline(k=N_ITEMS, rank=ranker).fit(interactions(), progress=False)
    found = model.recommend(k=N_ITEMS)
    assert 0 < (found["score"] == NO_SCORE).sum() < len(found)
    again = model.recommend(k=N_ITEMS, rerank=[pc.rerank.PopularityDiscount(weight=1e-9)])
    orders = [
        part.loc[part["score"] > NO_SCORE, ["customer", "product", "score"]].reset_index(drop=True)
        for part in (again, found)
    ]
    pd.testing.assert_frame_equal(*orders, check_exact=True)


def test_items_that_the_retrieving_model_leaves_out_are_not_in_the_pipeline(tmp_path):
    least = int(events()["product"].value_counts().median())
    model = pipeline(retrieve=pc.Prod2Vec(vector_size=4, epochs=3, min_count=least))
    model.fit(interactions(), progress=False)
    assert model.items_ == model.retrieve_.items_ != interactions().items
    model.save(tmp_path)
    assert_same_model(model, pc.load(tmp_path))


def test_the_models_given_stay_as_they_are():
    model = pipeline().fit(interactions(), progress=False)
    assert not model.retrieve.__sklearn_is_fitted__()
    assert not model.rank.__sklearn_is_fitted__()
    before = model.recommend(k=5)
    model.set_params(retrieve__factors=2, rank__factors=9)
    assert (model.retrieve.factors, model.retrieve_.factors) == (2, 6)
    pd.testing.assert_frame_equal(model.recommend(k=5), before)
    assert model._trained.retrieve.factors == 6


def test_what_was_trained_with_is_saved_beside_what_is_set(model, tmp_path):
    expected = model.recommend(k=5)
    model.set_params(retrieve__factors=2, rank=pc.ItemKNN())
    model.save(tmp_path)
    again = pc.load(tmp_path)
    assert again.retrieve.factors == 2
    assert again._trained.retrieve.factors == 6
    pd.testing.assert_frame_equal(again.recommend(k=5), expected)


def test_nested_parameters_change_all_or_nothing():
    model = pipeline()
    with pytest.raises(ParameterError, match="IALS: factors must be"):
        model.set_params(k=9, rank__factors=5, retrieve__factors=-1)
    with pytest.raises(ParameterError, match="SVD has no parameter 'colour'"):
        model.set_params(k=9, rank__colour=5)
    assert (model.k, model.rank.factors) == (8, 3)
    with pytest.raises(ParameterError, match=r"rank=None has no parameters .* rank__factors"):
        model.set_params(rank=None, rank__factors=5)
    model.set_params(rank=pc.IALS(), rank__factors=5)
    assert repr(model.rank) == "IALS(factors=5)"
    assert model.get_params()["rank__factors"] == 5
    assert set(model.get_params(deep=False)) == {"retrieve", "k", "rank"}


@pytest.mark.parametrize("stage", [pc.IALS, "IALS", 3, object()])
def test_a_stage_must_be_a_model(stage):
    with pytest.raises(ParameterError, match="retrieve must be a model such as IALS"):
        pc.Pipeline(retrieve=stage)
    with pytest.raises(ParameterError, match=r"rank must be a model such as .* or LambdaMART"):
        pc.Pipeline(rank=stage)


class Closed(pc.Popularity):
    """Knows nothing of strangers."""

    _fold_in = Ranker._fold_in


@pytest.mark.parametrize("place", ["retrieve", "rank"])
def test_strangers_need_two_models_that_fold_in(place):
    model = pipeline(**{"rank": pc.ItemKNN(), place: Closed()}).fit(interactions(), progress=False)
    assert "history" not in model.capabilities_
    with pytest.raises(UnsupportedError, match="Closed cannot recommend from the history"):
        model.recommend(history=["item 03"])


def test_only_trees_have_features(model):
    with pytest.raises(UnsupportedError, match="SVD ranks by its own score"):
        _ = model.feature_importances_


@pytest.mark.parametrize("place", ["retrieve", "rank"])
def test_an_interrupted_stage_leaves_the_pipeline_as_it_was(place, model, monkeypatch):
    expected, before = model.recommend(k=5), dict(vars(model))

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(getattr(model, place)), "_fit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(interactions(events(seed=5)), progress=False)
    assert vars(model) == before
    pd.testing.assert_frame_equal(model.recommend(k=5), expected)


def test_it_is_measured_and_served_as_any_model(model, tmp_path):
    test = interactions(events(seed=5))
    value = pc.evaluate(model, test, "recall@8")["value"][0]
    alone = pc.evaluate(model.retrieve_, test, "recall@8")["value"][0]
    assert value == alone > 0  # another order of the same eight
    model.save(tmp_path)
    service = Service(tmp_path)
    records = service.answer(Requests.of([("1000", 5)]))
    shown = model.recommend(1000, k=5)
    assert records.scores.tolist() == shown["score"].tolist()


def test_the_first_stage_says_what_is_alike(model):
    pd.testing.assert_frame_equal(model.similar_items(k=3), model.retrieve_.similar_items(k=3))
    pd.testing.assert_frame_equal(model.similar_users(k=3), model.retrieve_.similar_users(k=3))
    pd.testing.assert_frame_equal(model.item_vectors(), model.retrieve_.item_vectors())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meta: meta["parts"].pop("rank"), "do not fit together"),
        (lambda meta: meta["parts"]["rank"].update({"class": "GPT"}), "does not know"),
        (lambda meta: meta["parts"]["rank"].update(shared=["seen_indices"]), "do not fit"),
        (lambda meta: meta["parts"]["rank"].update(shared=["rank_mean"]), "shares"),
        (lambda meta: meta["parameters"].update(retrieve={"class": "GPT"}), "does not know"),
        (lambda meta: meta["parameters"].update(retrieve=[1]), "must be a model"),
        (lambda meta: meta["parameters"]["retrieve"].pop("parameters"), "are missing"),
        (lambda meta: meta.update(ranking={}), "not that of its hyperparameters"),
    ],
)
def test_a_damaged_artifact_is_refused(change, message, model, tmp_path):
    model.save(tmp_path)
    artifact = read_artifact(tmp_path)
    meta = dict(artifact.meta)
    change(meta)
    write_artifact(tmp_path, meta=meta, arrays=artifact.arrays, tables=artifact.tables)
    with pytest.raises(ArtifactError, match=message):
        pc.load(tmp_path)


def test_a_first_stage_of_other_ids_is_refused(model, tmp_path):
    pipeline().fit(interactions(events(n_users=39)), progress=False).save(tmp_path / "other")
    model.save(tmp_path / "model")
    mine, other = (read_artifact(tmp_path / name) for name in ("model", "other"))
    meta = {**mine.meta, "parts": dict(mine.meta["parts"])}
    arrays, tables = dict(mine.arrays), dict(mine.tables)
    shared = meta["parts"]["retrieve"].pop("shared")
    meta["parts"]["retrieve"]["shared"] = []
    for name in shared:
        part = other.arrays if name in other.arrays else other.tables
        (arrays if name in other.arrays else tables)[f"retrieve_{name}"] = part[name]
    arrays["retrieve_user_factors"] = other.arrays["retrieve_user_factors"]
    write_artifact(tmp_path / "bad", meta=meta, arrays=arrays, tables=tables)
    with pytest.raises(ArtifactError, match="first stage has other users or items"):
        pc.load(tmp_path / "bad")


def test_shared_parts_are_stored_once(model, tmp_path):
    model.save(tmp_path)
    names = sorted(path.name.partition(".")[0] for path in tmp_path.iterdir())
    assert names.count("seen_indices") == 1
    assert not {"retrieve_users", "rank_items", "retrieve_seen_indices"} & set(names)
    arrays = read_artifact(tmp_path).arrays
    np.testing.assert_array_equal(arrays["rank_item_factors"], model.rank_.item_factors_)


@pytest.mark.parametrize("seen", [True, False])
def test_a_mean_leaves_out_what_the_ranking_model_does_not_know(seen):
    counts = events()["product"].value_counts()
    least = int(counts.median())
    ranker = pc.Prod2Vec(vector_size=4, epochs=3, min_count=least)
    stranger = pd.DataFrame({"customer": [1], "product": [counts.idxmin()]})  # to the ranker
    data = interactions(pd.concat([events(), stranger]))
    model = pipeline(rank=ranker).fit(data, progress=False)
    rare = min(set(counts.index) - set(model.rank_.items_.to_list()))
    names = [*sorted(set(model.rank_.items_.to_list()))[:4], rare]
    where = f"product in {tuple(names)}"
    found = model.recommend_users(where=where, reduce="mean", k=99, exclude_seen=seen)
    pairs = pd.DataFrame({"customer": model.users_.to_list()}).merge(
        pd.DataFrame({"product": names}), how="cross"
    )
    pairs["score"] = model.predict(pairs)
    if seen:
        taken = set(map(tuple, data.to_frame()[["customer", "product"]].to_numpy()))
        pairs = pairs[
            [pair not in taken for pair in zip(pairs["customer"], pairs["product"], strict=True)]
        ]
    shown = pairs["score"].where(pairs["score"] > NO_SCORE)
    means = shown.groupby(pairs["customer"]).mean().fillna(float(NO_SCORE))
    assert sorted(found["customer"]) == sorted(means.index)
    np.testing.assert_allclose(found["score"], means[found["customer"]], rtol=1e-5, atol=1e-6)
    assert (found["customer"].iloc[-1], found["score"].iloc[-1]) == (1, NO_SCORE)
    assert (found["score"].iloc[:-1] > -2).all()
    for user in (1, 1000):
        alone = model.recommend_users(
            where=where, reduce="mean", users_where=f"customer == {user}", exclude_seen=seen
        )
        assert bits(alone["score"]) == bits(found.loc[found["customer"] == user, "score"])


@pytest.mark.parametrize("retrieve", [pc.IALS(factors=4, epochs=3), pc.ItemKNN()])
def test_strangers_are_folded_in_once(retrieve, monkeypatch):
    """By the first stage, though it is asked whether it finds anything for them, then searched."""
    model = pipeline(retrieve=retrieve, rank=pc.EASE()).fit(interactions(), progress=False)
    fold_in, folded = type(retrieve)._fold_in, []

    def counted(self, histories):
        folded.append(histories.n)
        return fold_in(self, histories)

    monkeypatch.setattr(type(retrieve), "_fold_in", counted)
    both = [["item 03", "item 10"], ["item 05"]]
    together = model.recommend(history=both, k=3)
    assert folded == [2]
    alone = [model.recommend(history=history, k=3) for history in both]
    assert folded == [2, 1, 1]
    assert bits(together["score"]) == b"".join(bits(found["score"]) for found in alone)
