"""Any search with any filters gives what the naive oracle gives, bit for bit."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from penchant import _core
from penchant.retrieval import ExactIndex, NeighborIndex
from penchant.retrieval.exact import unit_rows
from penchant.retrieval.filters import RowLists, offsets

SEEDS = st.integers(0, 2**32 - 1)
THREADS = st.sampled_from([1, 2, 5])
# From hardly anything left to everything, and without the filter.
LISTS = {
    "exclude": st.sampled_from([None, 0.0, 0.01, 0.5, 0.97, 1.0]),
    "candidates": st.sampled_from([None, 0.0, 0.02, 0.9, 1.0]),
}
FLAGS = {
    "allowed": st.sampled_from([None, 0.0, 0.005, 0.1, 0.9, 1.0]),
    "flag_rows": st.sampled_from([None, 1, 3]),
}


def some_filters(random, n_queries, n, shares):
    """Return filters that take these shares of the vectors, and which each query may have."""
    filters, kept = {}, np.ones((n_queries, n), dtype=bool)
    for name in ("exclude", "candidates"):
        if shares[name] is not None:
            chosen = random.random((n_queries, n)) < shares[name]
            indices = np.nonzero(chosen)[1].astype(np.int32)
            filters[name] = RowLists(offsets(chosen.sum(axis=1)), indices)
            kept &= ~chosen if name == "exclude" else chosen
    if shares.get("allowed") is not None:
        n_rows = shares["flag_rows"]
        flags = random.random((n_rows or 1, n)) < shares["allowed"]
        own = random.integers(0, len(flags), n_queries).astype(np.int32)
        kept &= flags[own]
        filters["allowed"] = flags[0].astype(np.uint8)
        if n_rows is not None:
            filters |= {"allowed": flags.astype(np.uint8), "allowed_rows": own}
    return filters, kept


def some_vectors(random, sizes, dim, *, coarse):
    made = [random.standard_normal((size, dim)).astype(np.float32) for size in sizes]
    return [np.round(part) for part in made] if coarse else made  # many ties


def all_pairs(score_pairs, queries, n_queries, n):
    rows = np.repeat(np.arange(n_queries), n), np.tile(np.arange(n), n_queries)
    return score_pairs(queries, *rows).reshape(n_queries, n)


def check(found, every, kept, k):
    """Check that the answers are the best of every score, ties by the lower row."""
    rows, scores = found
    assert rows.shape == scores.shape == (len(every), k)
    for query, keep in enumerate(kept):
        left = np.flatnonzero(keep)
        best = left[np.argsort(-every[query, left], kind="stable")[:k]]
        assert rows[query].tolist() == best.tolist() + [-1] * (k - len(best))
        expected = every[query, best].astype(np.float32)
        assert scores[query, : len(best)].tobytes() == expected.tobytes()
        assert np.isneginf(scores[query, len(best) :]).all()


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    n=st.integers(1, 3000),
    dim=st.integers(1, 70),
    n_queries=st.integers(1, 80),
    k=st.integers(1, 120),
    biased=st.booleans(),
    coarse=st.booleans(),
    shares=st.fixed_dictionaries(LISTS | FLAGS),
    threads=THREADS,
)
def test_a_search_is_the_sort_of_all_scores(
    seed, n, dim, n_queries, k, biased, coarse, shares, threads
):
    random = np.random.default_rng(seed)
    vectors, queries = some_vectors(random, (n, n_queries), dim, coarse=coarse)
    biases = random.standard_normal(n).astype(np.float32) if biased else None
    filters, kept = some_filters(random, n_queries, n, shares)
    index = _core.TopkIndex(vectors, biases)
    every = all_pairs(index.score_pairs, queries, n_queries, n)
    check(index.search(queries, k, num_threads=threads, **filters), every, kept, k)
    exact = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    exact += 0 if biases is None else biases
    np.testing.assert_allclose(every, exact, rtol=1e-4, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    n=st.integers(1, 3000),
    dim=st.integers(1, 70),
    n_queries=st.integers(1, 40),
    k=st.integers(1, 120),
    metric=st.sampled_from(["cosine", "l2"]),
    coarse=st.booleans(),
    shares=st.fixed_dictionaries(LISTS),
    threads=THREADS,
)
def test_any_metric_is_the_sort_of_all_scores(
    seed, n, dim, n_queries, k, metric, coarse, shares, threads
):
    """Distances are those of float64; cosines are float32's, near those of float64."""
    random = np.random.default_rng(seed)
    vectors, queries = some_vectors(random, (n, n_queries), dim, coarse=coarse)
    filters, kept = some_filters(random, n_queries, n, shares)
    index = ExactIndex(vectors, metric)
    wide = [part.astype(np.float64) for part in (queries, vectors)]
    if metric == "l2":
        every = np.stack([-np.square(query - wide[1]).sum(axis=1) for query in wide[0]])
    else:
        every = all_pairs(index._index.score_pairs, unit_rows(queries), n_queries, n)
        lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in wide]
        units = [part / np.where(size, size, 1) for part, size in zip(wide, lengths, strict=True)]
        np.testing.assert_allclose(every, units[0] @ units[1].T, rtol=1e-4, atol=1e-5)
    check(index.search(queries, k, num_threads=threads, **filters), every, kept, k)


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    n=st.integers(1, 600),
    n_queries=st.integers(1, 60),
    k=st.integers(1, 120),
    density=st.sampled_from([0.0, 0.01, 0.2, 1.0]),
    stored=st.booleans(),
    coarse=st.booleans(),
    shares=st.fixed_dictionaries(LISTS | FLAGS),
    threads=THREADS,
)
def test_neighbors_are_the_sort_of_all_scores(
    seed, n, n_queries, k, density, stored, coarse, shares, threads
):
    random = np.random.default_rng(seed)
    matrix = random.standard_normal((n, n)) * (random.random((n, n)) < density)
    taken = random.standard_normal((n_queries, n)) * (random.random((n_queries, n)) < 0.05)
    matrix, taken = (
        (np.round(part) if coarse else part).astype(np.float32) for part in (matrix, taken)
    )
    filters, kept = some_filters(random, n_queries, n, shares)
    index = NeighborIndex(scipy.sparse.csr_matrix(matrix) if stored else matrix)
    histories = scipy.sparse.csr_matrix(taken)
    every = all_pairs(index.score_pairs, histories, n_queries, n)
    asked = index._queries(histories)
    check(index._index.search(asked, k, num_threads=threads, **filters), every, kept, k)
    exact = taken.astype(np.float64) @ matrix.astype(np.float64)
    np.testing.assert_allclose(every, exact, rtol=1e-4, atol=1e-4)
