"""ApproximateIndex against ExactIndex: recall, bits, filters, and graphs that are refused."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from model_support import run_python
from penchant import _core
from penchant.errors import DataError, MissingExtraError, ParameterError, PenchantWarning
from penchant.retrieval import ApproximateIndex, ExactIndex

pytest.importorskip("usearch")

from penchant.retrieval import graph as graph_module
from penchant.retrieval.graph import HnswGraph, Settings
from penchant.retrieval.locality import locality_order

METRICS = ("ip", "cosine", "l2")


def clustered(n, dim=16, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(20, dim))
    return (centres[rng.integers(0, 20, n)] + 0.5 * rng.normal(size=(n, dim))).astype(np.float32)


@pytest.fixture(scope="module", params=METRICS)
def pair(request):
    vectors, queries = clustered(4000), clustered(400, seed=1)
    biases = np.random.default_rng(2).normal(size=4000) if request.param == "ip" else None
    # One thread makes the same graph each time.
    index = ApproximateIndex(vectors, request.param, biases, queries=queries, num_threads=1)
    index._search.report = replace(index.report, widest=10**9)
    return index, ExactIndex(vectors, request.param, biases), queries


def recall(scores, best):
    return (scores >= best[:, -1:]).mean()


def test_recall_is_what_the_report_says(pair):
    index, exact, queries = pair
    scores = index.search(queries)[1]
    assert recall(scores, exact.search(queries)[1]) == pytest.approx(index.recall)
    assert index.recall >= 0.95
    assert f"recall={index.recall:.3f}" in repr(index)


@pytest.mark.parametrize("k", [1, 10, 60])
def test_scores_have_the_bits_of_the_scan(pair, k):
    index, exact, queries = pair
    rows, scores = index.search(queries, k)
    candidates = (np.arange(len(rows) + 1) * k, rows.ravel())
    again = exact.search(queries, k, candidates=candidates)
    assert np.array_equal(rows, again[0])
    assert np.array_equal(scores, again[1])
    assert recall(scores, exact.search(queries, k)[1]) > 0.9


def test_alone_or_in_a_batch_on_any_number_of_threads(pair):
    index, _, queries = pair
    rows, scores = index.search(queries, num_threads=2)
    for number in (0, 7, 399):
        alone = index.search(queries[number], num_threads=1)
        assert np.array_equal(alone[0][0], rows[number])
        assert np.array_equal(alone[1][0], scores[number])


@pytest.mark.parametrize("length", [3, 40, 3995])
def test_excluded_vectors_leave_nobody_short(pair, length):
    index, exact, queries = pair
    best = exact.search(queries[:50], length)[0]
    lists = (np.arange(51) * length, best.ravel())
    rows, scores = index.search(queries[:50], 10, exclude=lists)
    expected, exact_scores = exact.search(queries[:50], 10, exclude=lists)
    assert ((rows >= 0) == (expected >= 0)).all()
    assert not (rows[:, :, None] == best[:, None, :]).any()
    kept = np.isfinite(exact_scores)
    lowest = np.where(kept, exact_scores, np.inf).min(axis=1, keepdims=True)
    assert (scores >= lowest)[kept].mean() > 0.9


def test_candidates_are_searched_exactly(pair):
    index, exact, queries = pair
    lists = (np.arange(401) * 20, np.tile(np.arange(0, 4000, 200), 400))
    for mine, theirs in zip(
        index.search(queries, 30, candidates=lists),
        exact.search(queries, 30, candidates=lists),
        strict=True,
    ):
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("dtype", ["i8", "bf16", "f32"])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_every_dtype_at_every_scale(dtype, scale):
    vectors, queries = clustered(800) * np.float32(scale), clustered(60, seed=1)
    for metric in ("ip", "l2"):
        asked = queries * np.float32(scale) if metric == "l2" else queries
        index = ApproximateIndex(vectors, metric, queries=asked, dtype=dtype)
        assert index.report.dtype == dtype
        assert index.recall >= 0.95


@pytest.mark.parametrize("n", [0, 1, 2, 17])
def test_few_vectors(n):
    vectors = clustered(17)[:n]
    index = ApproximateIndex(vectors, queries=clustered(3))
    rows, scores = index.search(clustered(5), k=20)
    expected = ExactIndex(vectors).search(clustered(5), k=20)
    assert np.array_equal(rows, expected[0])
    assert np.array_equal(scores, expected[1])


def test_equal_vectors_and_zeros():
    for vectors in (np.zeros((300, 4)), np.ones((300, 4))):
        rows, scores = ApproximateIndex(vectors).search(np.ones((2, 4)), k=5)
        assert (scores == vectors.sum(axis=1)[0]).all()
        assert all(len(set(row)) == 5 for row in rows.tolist())


def test_a_recall_below_the_target_is_told():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(5000, 48))
    with pytest.warns(PenchantWarning, match="below target_recall=1"):
        index = ApproximateIndex(
            vectors, queries=random.normal(size=(200, 48)), connectivity=2, expansion_add=4,
            expansion_search=14, target_recall=1.0,
        )  # fmt: skip
    assert index.recall < 1


def test_searches_of_several_python_threads(pair):
    index, _, queries = pair
    expected = index.search(queries)[0]
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(index.search(queries)[0])) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert all(np.array_equal(rows, expected) for rows in found)


@pytest.fixture(scope="module")
def graph():
    return HnswGraph.build(clustered(900), None, Settings("ip", "f32", 4, 32))


def test_links_make_the_same_graph(graph):
    again = HnswGraph.load(clustered(900), None, graph.settings, graph.links)
    for mine, theirs in zip(graph.links, again.links, strict=True):
        assert np.array_equal(mine, theirs)


def test_an_order_is_kept(graph, monkeypatch):
    assert sorted(graph.order.tolist()) == list(range(900))
    with monkeypatch.context() as patch:
        patch.setattr(graph_module, "locality_order", None)  # it takes most of a load
        again = HnswGraph.load(
            clustered(900), None, graph.settings, graph.links, graph.order[::-1].copy()
        )
    assert np.array_equal(again.order, graph.order[::-1])
    for mine, theirs in zip(graph.links, again.links, strict=True):
        assert np.array_equal(mine, theirs)
    twice = np.where(graph.order == 7, 8, graph.order)
    with pytest.raises(DataError, match="order lacks row 7"):
        HnswGraph.load(clustered(900), None, graph.settings, graph.links, twice)


def test_every_vector_can_be_reached():
    lengths = np.random.default_rng(5).lognormal(0, 1, (900, 1)).astype(np.float32)
    vectors = clustered(900) * lengths
    graph = HnswGraph.build(vectors, None, Settings("ip", "i8", 8, 16))
    everything = np.array([[900, 900]], dtype=np.int32)
    rows, _ = graph.search(_core.TopkIndex(vectors, None), clustered(2), 900, everything)
    assert all(len(set(found)) == 900 for found in rows.tolist())


def test_the_kernel_checks_what_it_is_given(graph):
    vectors, links = clustered(900), graph.links
    order = np.arange(900)
    made = _core.GraphIndex(vectors, None, links, order, "i8")
    assert (made.size, made.dim) == (900, 16)
    twice = np.where(order == 7, 8, order)
    for wrong, message in (
        ((vectors, None, links, twice, "i8"), "order lacks row 7"),
        ((vectors, None, links, order + 1, "i8"), "outside"),
        ((vectors, None, links, order, "i4"), "dtype is 'i4'"),
        ((vectors * np.float32(np.nan), None, links, order, "i8"), "NaN"),
        ((vectors, np.ones(3, np.float32), links, order, "i8"), "biases has 3 entries"),
        ((vectors[:-1], None, links, order[:-1], "i8"), "the graph has 900 vectors"),
    ):
        with pytest.raises(ValueError, match=message):
            _core.GraphIndex(*wrong)
    exact, one = _core.TopkIndex(vectors, None), np.ones((1, 2), np.int32)
    for index, queries, efforts, message in (
        (_core.TopkIndex(vectors[1:], None), vectors[:3], one, "over other vectors"),
        (exact, vectors[:3, :5].copy(), one, "queries have 5 columns"),
        (exact, vectors[:3], np.ones((2, 2), np.int32), "one, or one a query"),
        (exact, vectors[:3], one - 2, "width below 0"),
        (exact, vectors[:3], one - 1, "expansion below 1"),
    ):
        with pytest.raises(ValueError, match=message):
            made.search(index, queries, 3, efforts)


def damaged(links, name):
    levels, base, upper = links.levels.copy(), links.base.copy(), links.upper.copy()
    low = int(np.flatnonzero(levels == 0)[0])
    if name == "length":
        base[5, 0] = 9
    elif name == "negative length":
        base[5, 0] = -1
    elif name == "row":
        base[5, :2] = 1, 900
    elif name == "negative row":
        upper[0, :2] = 1, -1
    elif name == "level":
        upper[0, :2] = 1, low
    elif name == "levels":
        levels[low] = 30_000
    elif name == "negative level":
        levels[low] = -1
    elif name == "entry":
        return links._replace(entry=low)
    elif name == "far entry":
        return links._replace(entry=900)
    else:
        base = base[:-1]
    return links._replace(levels=levels, base=base, upper=upper)


@pytest.mark.parametrize(
    "name",
    ["length", "negative length", "row", "negative row", "level", "levels", "negative level",
     "entry", "far entry", "short"],
)  # fmt: skip
def test_damaged_links_are_refused(graph, name):
    with pytest.raises(DataError, match="the graph"):
        HnswGraph.load(clustered(900), None, graph.settings, damaged(graph.links, name))


def test_without_usearch_the_extra_is_named(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    assert len(HnswGraph.load(clustered(900), None, graph.settings, graph.links)) == 900
    with pytest.raises(MissingExtraError, match=r"pip install 'penchant\[ann\]'"):
        ApproximateIndex(clustered(50))


@pytest.mark.parametrize(
    "wrong",
    [{"dtype": "f8"}, {"connectivity": 1.5}, {"expansion_search": 0}, {"target_recall": "high"}],
)
def test_options_out_of_range(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        ApproximateIndex(clustered(50), **wrong)
    with pytest.raises(ParameterError, match="queries have 3 columns, not 16"):
        ApproximateIndex(clustered(50), queries=np.ones((2, 3)))


def test_locality_order_is_a_permutation_that_keeps_neighbours_together():
    vectors = clustered(3000)
    order = locality_order(vectors)
    assert np.array_equal(np.sort(order), np.arange(3000))
    gaps = np.linalg.norm(np.diff(vectors[order], axis=0), axis=1).mean()
    assert gaps < 0.8 * np.linalg.norm(np.diff(vectors, axis=0), axis=1).mean()
    assert locality_order(vectors[:0]).shape == (0,)


def test_usearch_does_not_spoil_the_streams_of_libraries_that_are_loaded_after_it():
    code = """
        import sys
        import penchant.retrieval
        assert "pyarrow" not in sys.modules, "what is loaded later is what this test is about"
        import usearch.index
        import pyarrow
        print(pyarrow.decimal128(4, 2))
    """
    done = run_python(code)
    assert done.stdout == "decimal128(4, 2)\n", done.stderr
