"""ExactIndex against float64 oracles, and the input it takes and refuses."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from penchant.errors import DataError, ParameterError
from penchant.retrieval import ExactIndex

SIZES = (1, 7, 15, 16, 17, 33, 97)
METRICS = ("ip", "cosine", "l2")


def random_vectors(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def oracle_scores(queries, vectors, metric):
    q, v = queries.astype(np.float64), vectors.astype(np.float64)
    if metric == "ip":
        return q @ v.T
    if metric == "l2":
        return -np.square(q[:, None] - v[None]).sum(axis=2)
    lengths = [np.linalg.norm(x, axis=1, keepdims=True) for x in (q, v)]
    lengths = [np.where(length == 0, 1, length) for length in lengths]
    return (q / lengths[0]) @ (v / lengths[1]).T


def assert_top(rows, scores, expected, k, scale=1.0):
    """Rows are right up to scores that agree within float32 rounding."""
    n = expected.shape[1]
    best = -np.sort(-expected, axis=1)[:, :k]
    width = min(k, n)
    assert rows.shape == scores.shape == (len(expected), k)
    assert (rows[:, width:] == -1).all()
    assert np.isneginf(scores[:, width:]).all()
    rows, scores = rows[:, :width], scores[:, :width]
    assert all(len(set(row)) == width for row in rows.tolist())
    np.testing.assert_allclose(scores, best, rtol=1e-5, atol=1e-5 * scale)
    np.testing.assert_allclose(np.take_along_axis(expected, rows, 1), best, atol=1e-5 * scale)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dimension", SIZES)
@pytest.mark.parametrize("n", SIZES)
def test_search_matches_oracle(metric, dimension, n):
    vectors, queries = random_vectors(n, n, dimension), random_vectors(dimension, 5, dimension)
    rows, scores = ExactIndex(vectors, metric).search(queries, k=20)
    assert_top(rows, scores, oracle_scores(queries, vectors, metric), 20, scale=dimension)


@pytest.mark.parametrize("metric", METRICS)
def test_one_query_gives_the_bits_of_the_batch(metric):
    index = ExactIndex(random_vectors(0, 300, 33), metric)
    queries = random_vectors(1, 40, 33)
    rows, scores = index.search(queries, k=7)
    for number, query in enumerate(queries):
        alone = index.search(query, k=7)
        np.testing.assert_array_equal(alone[0][0], rows[number])
        np.testing.assert_array_equal(alone[1][0].view(np.int32), scores[number].view(np.int32))


@pytest.mark.parametrize("metric", METRICS)
def test_bits_do_not_depend_on_threads(metric):
    index, queries = ExactIndex(random_vectors(0, 500, 17), metric), random_vectors(1, 64, 17)
    rows, scores = index.search(queries, k=9, num_threads=1)
    for threads in (2, 3, 8):
        again = index.search(queries, k=9, num_threads=threads)
        np.testing.assert_array_equal(again[0], rows)
        np.testing.assert_array_equal(again[1].view(np.int32), scores.view(np.int32))


@pytest.mark.parametrize("metric", METRICS)
def test_ties_go_to_the_lower_row(metric):
    vectors = np.tile(random_vectors(0, 1, 8), (50, 1))
    rows, _ = ExactIndex(vectors, metric).search(vectors[:2], k=50)
    np.testing.assert_array_equal(rows, np.tile(np.arange(50), (2, 1)))


def test_l2_stays_exact_far_from_the_origin():
    vectors = (1000 + random_vectors(0, 400, 8)).astype(np.float32)
    queries = (1000 + random_vectors(1, 20, 8)).astype(np.float32)
    rows, scores = ExactIndex(vectors, "l2").search(queries, k=5)
    expected = oracle_scores(queries, vectors, "l2")
    np.testing.assert_array_equal(rows, np.argsort(-expected, axis=1, kind="stable")[:, :5])
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :5], rtol=1e-6)


class Widths:
    """Stands in for the kernel's index and keeps how wide it was searched."""

    def __init__(self, index):
        self._index, self.size, self.dim, self.seen = index, index.size, index.dim, []

    def search(self, queries, width, **options):
        self.seen.append(width)
        return self._index.search(queries, width, **options)


@pytest.mark.parametrize("n_candidates", [None, 0, 5, 9])
def test_l2_searches_once_where_nothing_can_be_hidden(n_candidates):
    """Distances well apart, or all candidates found already: no wider scan can add to that."""
    vectors, queries = random_vectors(12, 6000, 8), random_vectors(13, 30, 8)
    index = ExactIndex(vectors, "l2")
    index._index = widths = Widths(index._index)
    only = None
    if n_candidates is not None:
        only = np.arange(31) * n_candidates, np.arange(30 * n_candidates) * 7 % 6000
    rows, _ = index.search(queries, k=10, candidates=only)
    assert widths.seen == [26]
    assert ((rows >= 0).sum(axis=1) == (10 if only is None else n_candidates)).all()


def test_l2_widens_the_scan_until_rounding_cannot_hide_a_neighbour():
    # One far vector makes the scan too coarse to tell the others apart.
    vectors = np.concatenate([1e-3 * random_vectors(0, 500, 4), [[1e4, 0, 0, 0]]])
    rows, _ = ExactIndex(vectors, "l2").search(1e-3 * random_vectors(1, 10, 4), k=3)
    expected = oracle_scores(1e-3 * random_vectors(1, 10, 4), vectors.astype(np.float32), "l2")
    np.testing.assert_array_equal(rows, np.argsort(-expected, axis=1, kind="stable")[:, :3])


def test_cosine_of_a_zero_vector_is_zero():
    rows, scores = ExactIndex([[0.0, 0.0], [-1.0, 0.0]], "cosine").search([[2.0, 0.0]], k=2)
    assert rows.tolist() == [[0, 1]]
    assert scores.tolist() == [[0.0, -1.0]]


def test_biases_are_added():
    index = ExactIndex([[1.0], [2.0], [3.0]], biases=[10.0, 0.0, 0.0])
    rows, scores = index.search([[1.0]], k=3)
    assert rows.tolist() == [[0, 2, 1]]
    assert scores.tolist() == [[11.0, 3.0, 2.0]]


@pytest.mark.parametrize("metric", METRICS)
def test_exclude_and_candidates(metric):
    vectors, queries = random_vectors(0, 60, 5), random_vectors(1, 3, 5)
    expected = oracle_scores(queries, vectors, metric)
    allowed = [[3, 9, 20], [], [59, 0, 9]]
    denied = [[9], [1], [0, 59]]
    as_lists = [
        (np.cumsum([0, *map(len, lists)]), np.concatenate(lists).astype(np.int64))
        for lists in (denied, allowed)
    ]
    rows, _ = ExactIndex(vectors, metric).search(queries, 5, *as_lists)
    for row, scores, deny, allow in zip(rows, expected, denied, allowed, strict=True):
        left = sorted(set(allow) - set(deny), key=lambda i: (-scores[i], i))
        assert row.tolist() == left + [-1] * (5 - len(left))


def test_filters_may_be_unsorted_repeated_or_scipy_and_are_never_changed():
    vectors = np.arange(6, dtype=np.float32)[:, None]
    indptr, indices = np.array([0, 3, 5]), np.array([5, 1, 5, 4, 0])
    rows, _ = ExactIndex(vectors).search([[1.0], [1.0]], 2, exclude=(indptr, indices))
    assert rows.tolist() == [[4, 3], [5, 3]]
    assert indices.tolist() == [5, 1, 5, 4, 0]
    dense = np.zeros((2, 6))
    dense[0, [1, 5]] = dense[1, [0, 4]] = 1
    for kind in (scipy.sparse.csr_matrix, scipy.sparse.coo_matrix):
        again, _ = ExactIndex(vectors).search([[1.0], [1.0]], 2, exclude=kind(dense))
        assert again.tolist() == rows.tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_takes_any_layout_and_never_changes_it(metric):
    vectors, queries = random_vectors(0, 40, 6), random_vectors(1, 8, 6)
    expected = ExactIndex(vectors, metric).search(queries, 4)
    wide = np.zeros((40, 12), np.float32)
    wide[:, ::2] = vectors
    frozen = vectors.copy()
    frozen.flags.writeable = False
    for variant in (np.asfortranarray(vectors), wide[:, ::2], vectors.astype(np.float64), frozen):
        before = variant.copy()
        rows, scores = ExactIndex(variant, metric).search(np.asfortranarray(queries), 4)
        np.testing.assert_array_equal(rows, expected[0])
        np.testing.assert_array_equal(scores, expected[1])
        np.testing.assert_array_equal(variant, before)


def test_later_changes_of_the_array_do_not_reach_the_index():
    for metric in METRICS:
        vectors = random_vectors(0, 10, 3)
        index = ExactIndex(vectors, metric)
        before = index.search([[1, 2, 3]], 3)[1]
        vectors[:] = 7
        np.testing.assert_array_equal(index.search([[1, 2, 3]], 3)[1], before)


@pytest.mark.parametrize("metric", METRICS)
def test_no_vectors_and_no_queries(metric):
    rows, scores = ExactIndex(np.zeros((0, 3)), metric).search(np.zeros((2, 3)), 2)
    assert rows.tolist() == [[-1, -1]] * 2
    assert np.isneginf(scores).all()
    rows, scores = ExactIndex(np.ones((4, 3)), metric).search(np.zeros((0, 3)), 2)
    assert rows.shape == scores.shape == (0, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_bad_values_are_named(bad):
    vectors = np.ones((5, 3))
    vectors[3, 1] = bad
    with pytest.raises(DataError, match="vectors row 3, column 1"):
        ExactIndex(vectors)
    with pytest.raises(DataError, match="queries row 3, column 1"):
        ExactIndex(np.ones((2, 3))).search(vectors)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ExactIndex([1.0, 2.0]), ParameterError, "2-d"),
        (lambda: ExactIndex([["a"]]), DataError, "numbers"),
        (lambda: ExactIndex([[1.0]], metric="dot"), ParameterError, "'ip', 'cosine', 'l2'"),
        (lambda: ExactIndex([[1.0]], biases=[1.0, 2.0]), ParameterError, "2 entries for 1"),
        (lambda: ExactIndex([[1.0]], "l2", biases=[1.0]), ParameterError, "metric='ip'"),
        (lambda: ExactIndex([[1.0]]).search([[1.0, 2.0]]), ParameterError, "2 columns"),
        (lambda: ExactIndex([[1.0]]).search([[1.0]], k=0), ParameterError, "k must be"),
        (lambda: ExactIndex([[1.0]]).search([[1.0]], k=2.0), ParameterError, "k must be"),
        (lambda: ExactIndex([[1.0]]).search([[1.0]], num_threads=0), ParameterError, "num_threads"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        (([0, 1], [0], "extra"), "1 lists, but there are 2 queries"),
        (([0, 2, 1], [0]), "must ascend"),
        (([0, 1, 1], [7]), r"indices\[0\] is 7, outside 0..3"),
        (([0, 1, 1], [-1]), "outside"),
        (([0, 1, 1], [0.5]), "integers"),
        ([0, 1, 1], "tuple"),
    ],
)
def test_bad_filters(exclude, message):
    index = ExactIndex(np.eye(4, 3))
    with pytest.raises(ParameterError, match=message):
        index.search(np.ones((2, 3)), exclude=exclude)
