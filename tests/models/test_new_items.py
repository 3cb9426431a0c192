"""Which vector `partial_fit` gives to a new item or user: that of what it goes with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc

N_USERS, N_ITEMS = 60, 20


def read(frame, **tables):
    return pc.Interactions.from_frame(frame, user="who", item="what", value="stars", **tables)


def tastes(seed=0):
    """Even users take even items and give them 5, odd ones odd items; of others they give 1 to few.

    Low numbers are more popular.
    """
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(N_USERS), 10)
    pairs = 2 * (N_ITEMS / 2 * rng.random(len(users)) ** 2).astype(int) + users % 2
    other = np.where(rng.random(len(users)) < 0.15, 1, 0)
    items = pairs ^ other
    frame = pd.DataFrame({"who": users, "what": items, "stars": 5.0 - 4.0 * other})
    return frame.drop_duplicates(["who", "what"], ignore_index=True)


def takers(item, users, stars=5.0):
    return pd.DataFrame({"who": users, "what": item, "stars": stars})


MODELS = {
    "IALS": pc.IALS(factors=8),
    "BPR": pc.BPR(factors=8, epochs=40),
    "Prod2Vec": pc.Prod2Vec(vector_size=16, min_count=1, epochs=40, sample=0),
    "SVD": pc.SVD(factors=8, epochs=40),
    "SVDpp": pc.SVDpp(factors=8, epochs=40),
    "BayesianSVD": pc.BayesianSVD(factors=4, epochs=20, n_samples=8),
}


def fitted(name, **tables):
    return MODELS[name].fit(read(tastes(), **tables), progress=False)


@pytest.mark.parametrize("name", list(MODELS))
def test_new_items_are_like_those_that_the_same_users_took(name):
    """The first of the new items is of the odd users, so that two in the wrong order show."""
    even, odd = np.arange(0, 24, 2), np.arange(1, 16, 2)
    new = [takers(100, odd), takers(101, even)]
    model = fitted(name)
    if model._needs_values():
        new += [takers(100, even[:6], 1.0), takers(101, odd[:6], 1.0)]
    similar = model.partial_fit(read(pd.concat(new))).similar_items([100, 101], k=5)
    assert (similar["what"] % 2 != similar["neighbor"] % 2).all()
    assert len(model.guessed_items_) == 0


@pytest.mark.parametrize("name", ["SVD", "SVDpp", "BayesianSVD"])
def test_liked_and_disliked_items_get_such_ratings(name):
    users = np.arange(30)
    new = pd.concat([takers(100, users, 1.0), takers(101, users)])
    model = fitted(name).partial_fit(read(new))
    others = pd.DataFrame({"who": np.arange(30, N_USERS)})
    bad, good = (model.predict(others.assign(what=item)) for item in (100, 101))
    assert (bad < 3).all()
    assert (good > 3).all()
    assert good.mean() - bad.mean() > 1


@pytest.mark.parametrize(
    "options", [{"regularization": 0.1}, {"optimizer": "adagrad", "learning_rate": 0.5}]
)
def test_new_items_of_bpr_are_no_larger_than_known_ones(options):
    """Every item gets a twin that the same users took."""
    frame = tastes()
    model = pc.BPR(factors=8, epochs=40, **options).fit(read(frame), progress=False)
    known, biases = model.item_factors_.copy(), model.item_biases_.copy()
    model.partial_fit(read(frame.assign(what=frame["what"] + 1000)))
    twins, own_biases = model.item_factors_[N_ITEMS:], model.item_biases_[N_ITEMS:]
    lengths, own = (np.linalg.norm(vectors, axis=1) for vectors in (known, twins))
    assert 0.75 < np.median(own / lengths) < 1.33
    assert np.median((known * twins).sum(axis=1) / lengths / own) > 0.8
    if "optimizer" in options:  # the other keeps biases near 0
        assert np.corrcoef(biases, own_biases)[0, 1] > 0.9
        assert np.abs(own_biases - biases).mean() < 0.5 * np.abs(biases).mean()


@pytest.mark.parametrize("name", ["SVD", "SVDpp", "BayesianSVD"])
def test_many_new_users_are_what_they_would_be_as_strangers(name):
    """The rows that new users have before they learn anything say nothing of what users like."""
    model = fitted(name)
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(1000, 1300), 4)
    new = pd.DataFrame({"who": users, "what": rng.integers(0, N_ITEMS, len(users))})
    new = new.assign(stars=rng.integers(1, 6, len(users))).drop_duplicates(["who", "what"])
    asked = {"k": N_ITEMS, "exclude_seen": False}
    strangers = model.recommend(history=new, **asked)
    found = model.partial_fit(read(new)).predict(strangers)
    np.testing.assert_allclose(found, strangers["score"], rtol=1e-5)


@pytest.mark.parametrize("name", list(MODELS))
def test_described_items_are_most_like_what_is_most_alike(name):
    """Items 0 to 2 share the kind, 2 and 3 the maker, with different weights; the rest nothing."""
    kinds = ["tea", "tea", "tea", *(f"kind {i}" for i in range(3, N_ITEMS))]
    makers = ["maker 0", "maker 1", "Ann", "Ann", *(f"maker {i}" for i in range(4, N_ITEMS))]
    table = pd.DataFrame({"what": range(N_ITEMS), "kind": kinds, "maker": makers})
    model = fitted(name, item_features=table)
    learnt = {
        part: getattr(model, part).copy()
        for part, weight in model._weights.items()
        if weight.shape[0] == "items" and getattr(model, part) is not None
    }
    model.partial_fit(items=pd.DataFrame({"what": [100], "kind": ["tea"], "maker": ["Ann"]}))
    # Cosines of TF-IDF vectors: three items hold "tea", two "Ann" and one each other word.
    tea, ann, alone = (np.log1p(N_ITEMS / count) for count in (3, 2, 1))
    both = np.hypot(tea, ann)
    weights = np.array([
        tea**2 / both / np.hypot(tea, alone),
        tea**2 / both / np.hypot(tea, alone),
        1.0,
        ann**2 / both / np.hypot(ann, alone),
    ])  # fmt: skip
    assert len(set(weights)) == 3
    for part, known in learnt.items():
        expected = np.average(known[:4], axis=0, weights=weights)
        whole = known.dtype.kind == "i"
        found = getattr(model, part)[model.items_.code(100)]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=0.5 if whole else 1e-6)


@pytest.mark.parametrize("name", ["SVD", "SVDpp", "BayesianSVD"])
def test_ratings_of_strangers_say_how_good_an_item_is(name):
    news = pd.concat([takers(100, np.arange(200, 220), 5.0), takers(101, np.arange(220, 240), 1.0)])
    model = fitted(name).partial_fit(read(news))
    assert model.guessed_items_.tolist() == model.items_.codes([100, 101]).tolist()
    good, bad = model.item_biases_[model.items_.codes([100, 101])]
    assert good > bad


@pytest.mark.parametrize("name", ["SVD", "SVDpp", "BayesianSVD"])
def test_ratings_of_strangers_count_where_attributes_say_nothing(name):
    """Items 102 and 103 are as all even ones are, whatever a stranger says of them."""
    kinds = pd.DataFrame({"what": range(N_ITEMS), "kind": N_ITEMS // 2 * ["even", "odd"]})
    new = pd.DataFrame({"what": range(100, 104), "kind": [None, None, "even", "even"]})
    users = np.arange(200, 280).reshape(4, 20)
    rated = [takers(100 + i, users[i], 1.0 + 4 * (i % 2 == 0)) for i in range(4)]
    model = fitted(name, item_features=kinds).partial_fit(read(pd.concat(rated)), items=new)
    codes = model.items_.codes(range(100, 104))
    assert model.guessed_items_.tolist() == codes.tolist()
    good, bad, *even = model.item_biases_[codes]
    assert good > bad
    assert even[0] == even[1]


def test_items_that_were_left_at_zero_are_learnt_later():
    """Early versions left those of strangers there."""
    model = fitted("IALS").partial_fit(read(takers(100, [200])))
    model.item_factors_[model.items_.codes([100])] = 0
    model.user_factors_[model.users_.codes([200])] = 0
    model.guessed_items_ = np.empty(0, dtype=np.int32)
    model._weights_changed()
    popular = model.recommend([300], k=N_ITEMS, unknown="popular")["what"].tolist()
    for how in ({}, {"scores": "softmax"}):
        found = model.recommend(200, k=N_ITEMS, **how)
        assert found["what"].tolist() == [item for item in popular if item != 100]
        assert (found["score"] > 0).all()
        assert model.recommend(history=[100], k=N_ITEMS, **how)["score"].equals(found["score"])
        reranked = model.recommend(200, k=3, rerank=[pc.rerank.PopularityDiscount()], **how)
        assert (reranked["score"] > 0).all()
    several = model.recommend([3, 200, 4], k=3)
    assert several[several["who"] == 200]["what"].tolist() == popular[:3]
    model.partial_fit(read(takers(100, np.arange(0, 24, 2))))
    assert len(model.guessed_items_) == 0
    assert (model.similar_items(100, k=5).iloc[:, 1] % 2 == 0).all()
    found = model.recommend(200, k=5)["score"]
    assert found[0] not in (0, model.item_counts_.max())
    assert model.recommend(history=[100], k=5)["score"].equals(found)
