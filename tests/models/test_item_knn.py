"""ItemKNN beyond the contract: its similarities, values, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import penchant as pc
from model_support import bits, events, interactions
from penchant.errors import ArtifactError, DataError, ParameterError


def valued(values, users=None, items=None):
    """Interactions with a value column; three users by default."""
    users = users or ["ann", "ann", "bob", "bob", "cid"]
    items = items or ["tea", "jam", "tea", "pen", "jam"]
    frame = pd.DataFrame({"who": users, "what": items, "stars": values})
    return pc.Interactions.from_frame(frame, user="who", item="what", value="stars")


def matrix(model):
    n = len(model.items_)
    parts = (model.neighbor_values_, model.neighbor_indices_, model.neighbor_indptr_)
    return sp.csr_matrix(parts, shape=(n, n)).toarray()


def dense(data, reduce="distinct"):
    return data.to_csr(reduce).toarray().astype(np.float64)


def test_cosine_is_that_of_the_columns():
    data = interactions()
    x = dense(data)
    expected = x.T @ x / np.outer(np.linalg.norm(x, axis=0), np.linalg.norm(x, axis=0))
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(matrix(pc.ItemKNN().fit(data)), expected, rtol=1e-5)


def test_scores_are_sums_over_the_history():
    data = valued([5, 3, 4, 1, 2])
    model = pc.ItemKNN(values="sum").fit(data)
    expected = dense(data, "sum") @ matrix(model)
    pairs = pd.DataFrame([(u, i) for u in data.users.to_list() for i in data.items.to_list()])
    scores = model.predict(pairs.set_axis(["who", "what"], axis=1))
    np.testing.assert_allclose(scores.reshape(expected.shape), expected, rtol=1e-5)


def test_rare_values_weigh_as_they_are():
    x = dense(valued([5, 3, 4, 1, 2]), "sum")
    expected = x.T @ x / np.outer(np.linalg.norm(x, axis=0), np.linalg.norm(x, axis=0))
    np.fill_diagonal(expected, 0)
    model = pc.ItemKNN(values="last").fit(valued([5, 3, 4, 1, 2]))
    np.testing.assert_allclose(matrix(model), expected, rtol=1e-5)


def test_similar_items_are_the_stored_neighbours():
    model = pc.ItemKNN(neighbors=4).fit(interactions())
    frame = model.similar_items("item 03", k=9)
    assert len(frame) == 4
    row = matrix(model)[model.items_.code("item 03")]
    assert frame["score"].tolist() == sorted(row[row > 0], reverse=True)
    codes = model.items_.codes(frame["neighbor"].tolist())
    np.testing.assert_array_equal(row[codes], frame["score"])
    assert len(set(codes.tolist())) == 4


@pytest.mark.parametrize("model", [pc.ItemKNN, pc.EASE])
def test_what_repeated_pairs_count(model):
    frame = events()
    frame = pd.concat([frame, frame.iloc[::3]], ignore_index=True)
    frame["amount"] = 1 + np.arange(len(frame)) % 5
    data = pc.Interactions.from_frame(frame, user="customer", item="product", value="amount")
    ids = data.users.to_list()
    found = {}
    for values in ("distinct", "count", "sum", "last"):
        x = dense(data, values)
        fitted = model(values=values).fit(data, progress=False)
        weights = fitted.item_weights_ if model is pc.EASE else matrix(fitted)
        found[values] = bits(np.ascontiguousarray(weights))
        scores = fitted.recommend_codes(np.arange(len(ids)), k=3, exclude_seen=False)[1]
        best = -np.sort(-(x @ weights), axis=1)[:, :3]
        np.testing.assert_allclose(scores, best, rtol=1e-4, atol=1e-5)
    assert len(set(found.values())) == 4


def test_more_neighbours_keep_the_best_of_fewer():
    few, many = (matrix(pc.ItemKNN(neighbors=k).fit(interactions())) for k in (3, 12))
    assert ((few > 0).sum(axis=1) == 3).all()
    assert bits(few[few > 0]) == bits(many[few > 0])
    dropped = np.where(few > 0, 0, many).max(axis=1)
    assert (np.where(few > 0, few, np.inf).min(axis=1) >= dropped).all()


@pytest.mark.parametrize(
    ("similarity", "name", "value"),
    [
        ("cosine", "neighbors", 3),
        ("cosine", "similarity", "tfidf"),
        ("cosine", "shrinkage", 5),
        ("cosine", "values", "count"),
        ("bm25", "K1", 3),
        ("bm25", "B", 0.2),
        ("rp3beta", "alpha", 0.5),
        ("rp3beta", "beta", 0.1),
    ],
)
def test_every_option_matters(similarity, name, value):
    plain = {"similarity": similarity}
    one, other = (pc.ItemKNN(**p).fit(interactions()) for p in (plain, {**plain, name: value}))
    assert bits(one.neighbor_values_) != bits(other.neighbor_values_)


def test_shrinkage_favours_pairs_with_many_users():
    data = interactions()
    x = dense(data)
    both = x.T @ x
    np.fill_diagonal(both, 0)
    plain, shrunk = (matrix(pc.ItemKNN(shrinkage=s).fit(data)) for s in (0, 4))
    np.testing.assert_allclose(shrunk, plain * both / (both + 4), rtol=1e-5)


def test_beta_turns_to_rare_items():
    frame = pd.concat([events(), pd.DataFrame({"customer": range(90), "product": "item 00"})])
    data = interactions(frame)
    hit = data.items.code("item 00")
    share = [
        matrix(pc.ItemKNN(similarity="rp3beta", beta=beta).fit(data))[:, hit].sum()
        / matrix(pc.ItemKNN(similarity="rp3beta", beta=beta).fit(data)).sum()
        for beta in (0, 1)
    ]
    assert share[1] < share[0] / 2


@pytest.mark.parametrize("values", ["sum", "last"])
@pytest.mark.parametrize("bad", [0, -1])
def test_values_that_are_not_above_zero_are_refused(values, bad):
    frame = pd.DataFrame({"who": ["ann", "bob"], "what": ["tea", "jam"], "stars": [1.0, 2.0]})
    data = pc.Interactions.from_frame(frame, user="who", item="what", value="stars")
    model = pc.ItemKNN(values=values).fit(data)
    strangers = frame.assign(stars=[1.0, bad])
    message = "the value of history 1 and item 'jam' is"
    if bad < 0:  # no model takes those
        message = "column 'stars' is -1.0 in row 1, item 'jam' of user 'bob'"
    with pytest.raises(DataError, match=f"history: {message}"):
        model.recommend(history=strangers)
    if bad == 0:
        with pytest.raises(DataError, match=r"user 'bob' and item 'tea' is 0.*values='distinct'"):
            pc.ItemKNN(values=values).fit(valued([5, 3, 0, 1, 2]))
    pc.ItemKNN().fit(valued([5, 3, 0, 1, 2]))


def test_a_history_counts_as_training_does():
    data = valued([5, 3, 4, 1, 2])
    model = pc.ItemKNN(values="sum").fit(data)
    own = pd.DataFrame({"who": ["x", "x"], "what": ["tea", "pen"], "stars": [4, 1]})
    stranger = model.recommend(history=own, k=3)
    known = model.recommend("bob", k=3)
    pd.testing.assert_frame_equal(stranger.drop(columns="who"), known.drop(columns="who"))
    counted = pc.ItemKNN(values="count").fit(data)
    twice = counted.recommend(history=["tea", "tea"], k=1)
    once = counted.recommend(history=["tea"], k=1)
    assert twice["score"].iloc[0] == 2 * once["score"].iloc[0]


def test_items_nothing_points_to_come_last_by_code():
    data = pc.Interactions.from_sequences([["b", "c"], ["b", "c"], ["a"], ["d"]])
    frame = pc.ItemKNN().fit(data).recommend(history=["b"], k=9)
    assert frame["item"].tolist() == ["c", "a", "d"]
    assert frame["score"].tolist()[1:] == [0, 0]


def test_a_user_of_every_item():
    pairs = [(0, f"i{i}") for i in range(20)] + [(u, f"i{u % 20}") for u in range(1, 40)]
    frame = pd.DataFrame(pairs, columns=["customer", "product"])
    for similarity in ("cosine", "tfidf", "bm25", "rp3beta"):
        model = pc.ItemKNN(similarity=similarity).fit(interactions(frame))
        assert len(model.recommend(0)) == 0
        assert np.isfinite(model.neighbor_values_).all()


def test_loading_refuses_lists_that_do_not_fit(tmp_path):
    for name, change in (
        ("neighbor_indices_", lambda a: a + 1000),
        ("neighbor_indices_", lambda a: a[::-1].copy()),
        ("neighbor_indptr_", lambda a: a[::-1].copy()),
        ("neighbor_values_", lambda a: np.full_like(a, np.nan)),
        ("neighbor_values_", lambda a: None),
    ):
        model = pc.ItemKNN(neighbors=3).fit(interactions())
        setattr(model, name, change(getattr(model, name)))
        model.save(tmp_path)
        with pytest.raises(ArtifactError, match="neighbor"):
            pc.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("similarity", "jaccard", "one of 'cosine', 'bm25', 'tfidf', 'rp3beta'"),
        ("neighbors", 0, "an integer from 1"),
        ("neighbors", None, "an integer from 1"),
        ("K1", -1, "a number >= 0"),
        ("B", 1.5, "a number >= 0 and <= 1"),
        ("alpha", float("nan"), "a number >= 0"),
        ("beta", 9, "a number >= 0 and <= 5"),
        ("shrinkage", -0.1, "a number >= 0"),
        ("values", "binary", "one of 'distinct', 'count', 'sum', 'last'"),
        ("num_threads", 0, "an integer from 1"),
    ],
)
def test_values_out_of_range_are_named(name, value, allowed):
    with pytest.raises(ParameterError, match=f"ItemKNN: {name} must be {allowed}"):
        pc.ItemKNN(**{name: value})
