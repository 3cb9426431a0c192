"""The index over item-item similarities, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from penchant import _core
from penchant.errors import DataError, ParameterError
from penchant.retrieval import NeighborIndex

N = 33


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def random_case(rng, density=0.2):
    similarities = sp.random(N, N, density, random_state=rng, dtype=np.float32).tocsr()
    similarities.data -= 0.3
    histories = sp.random(12, N, 0.15, random_state=rng, dtype=np.float32).tocsr()
    histories.sort_indices()
    similarities.sort_indices()
    return similarities, histories


def expected_order(scores, allowed, k):
    ids = np.flatnonzero(allowed)
    return ids[np.lexsort((ids, -scores[ids]))][:k]


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("filtered", [False, True])
def test_search_is_exact(rng, dense, filtered):
    similarities, histories = random_case(rng)
    index = NeighborIndex(similarities.toarray() if dense else similarities)
    exclude = sp.random(12, N, 0.2, random_state=rng).tocsr() if filtered else None
    candidates = sp.random(12, N, 0.6, random_state=rng).tocsr() if filtered else None
    rows, scores = index.search(histories, k=N, exclude=exclude, candidates=candidates)
    exact = (histories.astype(np.float64) @ similarities.astype(np.float64)).toarray()
    for q in range(12):
        allowed = np.ones(N, bool) if candidates is None else candidates[[q]].toarray()[0] != 0
        if exclude is not None:
            allowed &= exclude[[q]].toarray()[0] == 0
        found = rows[q][rows[q] >= 0]
        assert sorted(found) == np.flatnonzero(allowed).tolist()
        np.testing.assert_allclose(scores[q][: len(found)], exact[q][found], atol=1e-5)
        pairs = index.score_pairs(histories, np.full(N, q), np.arange(N))
        assert pairs[found].tobytes() == scores[q][: len(found)].tobytes()
        assert found.tolist() == expected_order(pairs, allowed, N).tolist()
        assert (rows[q][len(found) :] == -1).all()
        assert np.isneginf(scores[q][len(found) :]).all()


def test_histories_in_any_form_give_the_same(rng):
    similarities, histories = random_case(rng)
    index = NeighborIndex((similarities.indptr, similarities.indices, similarities.data))
    rows, scores = index.search(histories, k=5)
    shuffled = histories.copy()
    for q in range(12):
        part = slice(*shuffled.indptr[q : q + 2])
        shuffled.indices[part] = shuffled.indices[part][::-1]
        shuffled.data[part] = shuffled.data[part][::-1]
    shuffled.has_sorted_indices = False
    before = shuffled.indices.copy()
    for form in (
        shuffled,
        histories.tocoo(),
        (histories.indptr, histories.indices, histories.data),
        (histories.indptr.tolist(), histories.indices.tolist(), histories.data.tolist()),
    ):
        other = index.search(form, k=5)
        assert other[0].tolist() == rows.tolist()
        assert other[1].tobytes() == scores.tobytes()
    assert (shuffled.indices == before).all()
    ones = histories.copy()
    ones.data[:] = 1
    pair = index.search((histories.indptr, histories.indices), k=5)
    assert pair[1].tobytes() == index.search(ones, k=5)[1].tobytes()


def test_neighbors_are_the_largest_of_a_row(rng):
    similarities, _ = random_case(rng)
    rows, scores = NeighborIndex(similarities).neighbors([4, 0], k=50)
    assert rows.shape == (2, 50)
    for q, item in enumerate((4, 0)):
        row = similarities[[item]].toarray()[0]
        stored = np.setdiff1d(similarities[[item]].indices, [item])
        found = rows[q][rows[q] >= 0]
        assert sorted(found) == stored.tolist()
        assert scores[q][: len(found)].tolist() == sorted(row[stored].tolist(), reverse=True)


@pytest.mark.parametrize(
    ("similarities", "error", "message"),
    [
        (np.ones((2, 3)), ParameterError, "must be square"),
        (np.array([[np.nan]]), DataError, "row 0, column 0"),
        (([0, 1], [3], [1.0]), ParameterError, "outside 0..0"),
        (([0, 1], [0], [np.inf]), DataError, "similarities' values row 0"),
        (([0, 1], [0], [1.0, 2.0]), ParameterError, "2 values for 1 entries"),
        (([0, 2, 2], [1, 1], [1.0, 2.0]), DataError, "appears twice"),
    ],
)
def test_similarities_that_are_refused(similarities, error, message):
    with pytest.raises(error, match=message):
        NeighborIndex(similarities)


def test_queries_that_are_refused():
    index = NeighborIndex(np.eye(3))
    for histories, message in (
        (np.ones((1, 3)), "scipy sparse matrix or a tuple"),
        (([0, 1], [3]), "outside 0..2"),
        (([0, 2], [1]), "must ascend"),
    ):
        with pytest.raises(ParameterError, match=message):
            index.search(histories)
    with pytest.raises(ParameterError, match="k must be"):
        index.search(([0, 1], [0]), k=0)
    with pytest.raises(ValueError, match="outside"):
        index.neighbors([3])
    for empty in (np.empty(0, np.int64), np.empty((1, 1), np.int64)):
        with pytest.raises(ValueError, match=r"is empty|dimensions"):
            _core.NeighborIndex(empty, INDICES[:0], ONES[:0])
    with pytest.raises(ValueError, match="overflow"):
        index.search(([0, 1], [0], [3e38]))


INDPTR = np.array([0, 2, 3], dtype=np.int64)
INDICES = np.array([0, 2, 1], dtype=np.int32)
ONES = np.ones(3, np.float32)


def fit_knn(indptr=INDPTR, indices=INDICES, values=None, n_items=3, **own):
    params = {"similarity": "cosine", "neighbors": 2, "k1": 1.2, "b": 0.7, "alpha": 1.0}
    params |= {"beta": 0.5, "shrinkage": 0.0, "num_threads": 1} | own
    return _core.fit_knn(indptr, indices, values, n_items, **params)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"indptr": np.array([0, 9, 3], np.int64)}, "indptr falls at row 0"),
        ({"indices": np.array([0, 3, 1], np.int32)}, r"row 0 holds 3, outside \[0, 3\)"),
        ({"values": np.ones(2, np.float32)}, "values has 2 entries, expected 3"),
        ({"values": np.array([1, 0, 1], np.float32)}, r"values\[1\] is 0.*above zero"),
        ({"values": np.array([1, np.nan, 1], np.float32)}, "NaN"),
        ({"similarity": "jaccard"}, "similarity is 'jaccard'"),
        ({"neighbors": 0}, "neighbors must be at least 1"),
        ({"alpha": float("nan")}, "finite"),
        ({"b": 1.5}, "b must be between 0 and 1"),
        ({"n_items": 2**31}, "at most"),
        ({"indptr": np.empty(0, np.int64)}, "indptr is empty"),
        ({"n_items": -1}, "negative size"),
    ],
)
def test_the_kernel_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_knn(**arguments)


def ease_params(**own):
    names = ("dropout", "user_exponent", "item_exponent", "popularity_discount")
    params = dict.fromkeys(names, 0.0) | {"regularization": 1.0, "rank": 0, "rank_share": 0.5}
    return _core.EaseParams(**params | {"rank_power": 0.5, "neighbors": 0, "num_threads": 1} | own)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"regularization": 0.0}, "regularization must be"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"item_exponent": float("inf")}, "exponents"),
        ({"rank": -1}, "rank must be"),
        ({"rank_share": 1.5}, "rank_share"),
        ({"neighbors": -1}, "neighbors"),
    ],
)
def test_the_closed_form_refuses(own, message):
    with pytest.raises(ValueError, match=message):
        _core.fit_ease(INDPTR, INDICES, None, 3, ease_params(**own))


def test_a_hopeless_penalty_is_named():
    with pytest.raises(ValueError, match=r"not positive definite.*larger regularization"):
        _core.fit_ease(INDPTR, INDICES, None, 3, ease_params(regularization=1e-300))
