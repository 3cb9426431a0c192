"""What the search of the extension refuses: filters of each query, sums and selections."""

from __future__ import annotations

import numpy as np
import pytest

from penchant import _core

FLAGS = np.ones((2, 5), np.uint8)
ROWS = np.zeros(1, np.int32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"allowed": None, "allowed_rows": ROWS}, "rows of allowed, which is missing"),
        ({"allowed": FLAGS[0], "allowed_rows": ROWS}, "1 dimensions, expected 2"),
        ({"allowed": FLAGS, "allowed_rows": None}, "2 dimensions, expected 1"),
        ({"allowed": np.ones((2, 4), np.uint8)}, "allowed has 4 columns, expected 5"),
        ({"allowed_rows": np.zeros(2, np.int32)}, "allowed_rows has 2 entries, expected 1"),
        ({"allowed_rows": np.full(1, 2, np.int32)}, r"allowed_rows\[0\] is 2, outside \[0, 2\)"),
        ({"allowed_rows": np.full(1, -1, np.int32)}, "is -1, outside"),
    ],
)
def test_flags_of_each_query_are_checked(options, message):
    given = {"allowed": FLAGS, "allowed_rows": ROWS, **options}
    vectors = _core.TopkIndex(np.ones((5, 3), np.float32))
    items = _core.NeighborIndex(np.ones((5, 5), np.float32))
    history = (np.array([0, 1], np.int64), np.zeros(1, np.int32), np.ones(1, np.float32))
    for index, query in ((vectors, np.ones((1, 3), np.float32)), (items, history)):
        with pytest.raises(ValueError, match=message):
            index.search(query, 1, **given)


def test_sums_of_scores_are_checked():
    vectors = _core.TopkIndex(np.full((5, 3), 2.0, np.float32))
    assert vectors.log_sum_exp(np.zeros((1, 3), np.float32)) == pytest.approx(np.log(5))
    for bad, message in (
        (np.ones((1, 2), np.float32), "2 columns, the index has 3"),
        (np.full((1, 3), np.nan, np.float32), "NaN"),
        (np.full((1, 3), 1e38, np.float32), "overflow float32"),
    ):
        with pytest.raises(ValueError, match=message):
            vectors.log_sum_exp(bad)
    with pytest.raises(TypeError):
        vectors.log_sum_exp(np.ones((1, 3)))
    items = _core.NeighborIndex(np.ones((5, 5), np.float32))
    indptr, values = np.array([0, 1], np.int64), np.ones(1, np.float32)
    nothing = (np.zeros(2, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    assert items.log_sum_exp(nothing) == pytest.approx(np.log(5))
    with pytest.raises(ValueError, match="outside"):
        items.log_sum_exp((indptr, np.full(1, 5, np.int32), values))


def test_selections_are_checked():
    scores = np.array([[1.0, -np.inf, 3.0, 1.0]], np.float32)
    columns, best = _core.k_largest(scores, 4)
    assert columns.tolist() == [[2, 0, 3, -1]]
    assert best.tolist() == [[3, 1, 1, -np.inf]]
    for k in (-1, 5):
        with pytest.raises(ValueError, match=f"k is {k}, outside 0..4"):
            _core.k_largest(scores, k)
    with pytest.raises(ValueError, match="1 dimensions"):
        _core.k_largest(scores[0], 1)
    with pytest.raises(TypeError):
        _core.k_largest(scores.astype(np.float64), 1)
