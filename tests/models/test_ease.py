"""EASE beyond the contract: the closed form, its limits, and Ctrl-C."""

from __future__ import annotations

import numpy as np
import pytest

import penchant as pc
from model_support import bits, interactions
from penchant import _core
from penchant.errors import NotFittedError, ParameterError


def dense(data, reduce="distinct"):
    return data.to_csr(reduce).toarray().astype(np.float64)


def closed_form(x, regularization, dropout=0.0):
    gram = x.T @ x
    diagonal = regularization + dropout / (1 - dropout) * np.diag(gram)
    inverse = np.linalg.inv(gram + np.diag(np.broadcast_to(diagonal, len(gram))))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_weights_are_the_closed_form(dropout):
    data = interactions()
    model = pc.EASE(regularization=3, dropout=dropout).fit(data)
    expected = closed_form(dense(data), 3, dropout)
    np.testing.assert_allclose(model.item_weights_, expected, atol=1e-6)
    scores = dense(data) @ expected
    rows, found = model.recommend_codes(k=5, exclude_seen=False)
    np.testing.assert_allclose(found, -np.sort(-scores, axis=1)[:, :5], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(scores, rows, 1), found, atol=1e-5)


def test_counts_as_weights():
    data = interactions()
    model = pc.EASE(regularization=3, values="count").fit(data)
    x = dense(data, "count")
    # The penalty goes with the trace of the Gram matrix, which counts make larger.
    unit = np.square(x).sum() / (x > 0).sum()
    np.testing.assert_allclose(model.item_weights_, closed_form(x, 3 * unit), atol=1e-6)


def test_a_small_penalty_is_as_exact_as_lapack():
    """12 users of 40 items: the Gram matrix is singular, its condition number is 1e10."""
    rng = np.random.default_rng(3)
    x = (rng.random((12, 40)) < 0.4).astype(np.float64)
    indptr = np.r_[0, np.cumsum(x.sum(axis=1))].astype(np.int64)
    indices = np.nonzero(x)[1].astype(np.int32)
    params = dict.fromkeys(("dropout", "user_exponent", "item_exponent"), 0.0)
    params |= {"popularity_discount": 0.0, "rank_share": 0.0, "rank_power": 0.0}
    penalty = 1e-8
    options = _core.EaseParams(**params, regularization=penalty, rank=0, neighbors=0, num_threads=1)
    found = _core.fit_ease(indptr, indices, None, 40, options)
    expected = closed_form(x, penalty)
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error < 1e-5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("regularization", 6),
        ("dropout", 0.3),
        ("user_exponent", 0.5),
        ("item_exponent", 0.5),
        ("popularity_discount", 0.2),
        ("rank", 3),
        ("rank_share", 0.5),
        ("rank_power", 1.0),
        ("values", "count"),
    ],
)
def test_every_option_matters(name, value):
    plain = {"regularization": 5, "rank": 4}
    one, other = (pc.EASE(**p).fit(interactions()) for p in (plain, {**plain, name: value}))
    assert bits(one.item_weights_) != bits(other.item_weights_)


def test_neighbors_are_the_largest_weights():
    full = pc.EASE(regularization=5).fit(interactions()).item_weights_
    model = pc.EASE(regularization=5, neighbors=4).fit(interactions())
    assert model.item_weights_ is None
    assert np.diff(model.neighbor_indptr_).tolist() == [4] * len(full)
    for row, start in zip(full, model.neighbor_indptr_[:-1], strict=True):
        kept = model.neighbor_indices_[start : start + 4]
        assert bits(model.neighbor_values_[start : start + 4]) == bits(row[kept])
        assert np.abs(np.delete(row, kept)).max() <= np.abs(row[kept]).min()


def test_rank_share_mixes():
    data = interactions()
    plain = {"regularization": 5, "item_exponent": 0.2}
    ease = pc.EASE(**plain).fit(data).item_weights_
    low = pc.EASE(**plain, rank=4, rank_share=1).fit(data).item_weights_
    mixed = pc.EASE(**plain, rank=4, rank_share=0.3).fit(data).item_weights_
    np.testing.assert_allclose(mixed, 0.7 * ease + 0.3 * low, atol=1e-6)


def test_low_rank_weights_are_a_low_pass_filter():
    data = interactions()
    model = pc.EASE(rank=3, rank_share=1, rank_power=1).fit(data)
    _, sizes, vectors = np.linalg.svd(dense(data))
    expected = vectors[:3].T @ np.diag(sizes[:3] / sizes[0]) @ vectors[:3]
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(model.item_weights_, expected, atol=1e-5)


def test_popularity_discount_divides_scores():
    data = interactions()
    plain, other = (
        pc.EASE(regularization=5, popularity_discount=d).fit(data).item_weights_ for d in (0, 0.4)
    )
    counts = dense(data).sum(axis=0)
    np.testing.assert_allclose(other, plain / counts**0.4, rtol=1e-5)


def test_too_many_items_are_refused_with_an_estimate():
    model = pc.EASE(max_items=29)
    with pytest.raises(ParameterError, match=r"30 items, more than max_items=29.* GiB.*neighbors="):
        model.fit(interactions())
    with pytest.raises(NotFittedError):
        model.recommend()
    model.set_params(max_items=30).fit(interactions())


def test_the_estimate_grows_with_the_square_of_the_items():
    small, large = (
        _core.ease_bytes(100, n, neighbors=0, rank=0, num_threads=2) for n in (20_000, 40_000)
    )
    assert 8 * 20_000**2 < small < 10 * 20_000**2
    assert large / small == pytest.approx(4, rel=0.05)
    sparse = _core.ease_bytes(100, 20_000, neighbors=100, rank=0, num_threads=2)
    assert 4 * 20_000**2 < sparse < 0.6 * small


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("regularization", 0, "a number > 0"),
        ("dropout", 1, "a number >= 0 and <= 0.999"),
        ("user_exponent", 3, "a number >= -2 and <= 2"),
        ("item_exponent", None, "a number"),
        ("popularity_discount", "x", "a number"),
        ("rank", -1, "an integer from 0"),
        ("rank_share", 1.1, "a number >= 0 and <= 1"),
        ("rank_power", -1, "a number >= 0"),
        ("neighbors", 0, "an integer from 1 to 1000000 or None"),
        ("values", True, "one of"),
        ("max_items", 0, "an integer from 1"),
    ],
)
def test_values_out_of_range_are_named(name, value, allowed):
    with pytest.raises(ParameterError, match=f"EASE: {name} must be {allowed}"):
        pc.EASE(**{name: value})


def test_what_memory_cannot_hold_is_refused_before_it_is_taken(monkeypatch):
    monkeypatch.setattr("penchant.models.ease.available_memory", lambda: 1 << 20)
    model = pc.EASE().fit(interactions())  # some kilobytes
    before = model.recommend(k=3)
    monkeypatch.setattr("penchant.models.ease.available_memory", lambda: 1000)
    with pytest.raises(
        MemoryError, match=r"30 items takes 0\.0 GiB of memory, and 0\.0 GiB are free"
    ):
        model.fit(interactions())
    assert model.recommend(k=3).equals(before)
    plain, ranked = (
        _core.ease_bytes(10_000, 5_000, neighbors=0, rank=rank, num_threads=2) for rank in (0, 100)
    )
    assert ranked - plain > 8 * 208 * (10_000 + 3 * 5_000)
