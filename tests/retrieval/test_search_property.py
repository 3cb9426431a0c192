"""Any search with any filters gives what the naive oracle gives, bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from penchant import _core
from penchant.retrieval.filters import RowLists, offsets


def some_lists(random, n_lists, n, share):
    chosen = random.random((n_lists, n)) < share
    return RowLists(offsets(chosen.sum(axis=1)), np.nonzero(chosen)[1].astype(np.int32))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 3000),
    dim=st.integers(1, 70),
    n_queries=st.integers(1, 80),
    k=st.integers(1, 120),
    biased=st.booleans(),
    coarse=st.booleans(),
    excluded=st.sampled_from([None, 0.0, 0.01, 0.5]),
    candidates=st.sampled_from([None, 0.0, 0.02, 0.9]),
    allowed=st.sampled_from([None, 0.0, 0.005, 0.1, 0.9]),
    threads=st.sampled_from([1, 2, 5]),
)
def test_a_search_is_the_sort_of_all_scores(
    seed, n, dim, n_queries, k, biased, coarse, excluded, candidates, allowed, threads
):
    random = np.random.default_rng(seed)
    vectors, queries = (
        random.standard_normal((rows, dim)).astype(np.float32) for rows in (n, n_queries)
    )
    if coarse:  # many ties
        vectors, queries = np.round(vectors), np.round(queries)
    biases = random.standard_normal(n).astype(np.float32) if biased else None
    exclude = None if excluded is None else some_lists(random, n_queries, n, excluded)
    only = None if candidates is None else some_lists(random, n_queries, n, candidates)
    flags = None if allowed is None else (random.random(n) < allowed).astype(np.uint8)
    index = _core.TopkIndex(vectors, biases)
    rows, scores = index.search(
        queries, k, exclude=exclude, candidates=only, allowed=flags, num_threads=threads
    )
    every = index.score_pairs(
        queries, np.repeat(np.arange(n_queries), n), np.tile(np.arange(n), n_queries)
    ).reshape(n_queries, n)
    for query in range(n_queries):
        keep = np.ones(n, dtype=bool)
        if only is not None:
            keep[:] = False
            keep[only.indices[only.indptr[query] : only.indptr[query + 1]]] = True
        if exclude is not None:
            keep[exclude.indices[exclude.indptr[query] : exclude.indptr[query + 1]]] = False
        if flags is not None:
            keep &= flags > 0
        left = np.flatnonzero(keep)
        best = left[np.argsort(-every[query, left], kind="stable")[:k]]
        assert rows[query].tolist() == best.tolist() + [-1] * (k - len(best))
        assert scores[query, : len(best)].tobytes() == every[query, best].tobytes()
        assert np.isneginf(scores[query, len(best) :]).all()
    exact = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    exact += 0 if biases is None else biases
    np.testing.assert_allclose(every, exact, rtol=1e-4, atol=1e-4)
