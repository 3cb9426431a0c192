"""What the extension refuses before a kernel runs: nothing may crash the interpreter."""

from __future__ import annotations

import numpy as np
import pytest

from penchant import _core

INDPTR = np.array([0, 2, 3], dtype=np.int64)
INDICES = np.array([0, 2, 1], dtype=np.int32)


def fit(indptr=INDPTR, indices=INDICES, users=None, items=None, biases=None, on_epoch=None, **own):
    params = {
        **{"epochs": 1, "learning_rate": 0.1, "learning_rate_decay": 0.0, "seed": 0},
        **{f"{side}_regularization": 0.0 for side in ("user", "positive", "negative", "bias")},
        **{
            "negatives": "uniform",
            "popularity_exponent": 1.0,
            "optimizer": "sgd",
            "n_candidates": 2,
            "num_threads": 1,
        },
        **own,
    }
    users = np.ones((2, 4), np.float32) if users is None else users
    items = np.ones((3, 4), np.float32) if items is None else items
    on_epoch = on_epoch or (lambda epoch, loss, auc: True)
    return _core.fit_bpr(indptr, indices, users, items, biases, on_epoch=on_epoch, **params)


def unaligned(rows: int, cols: int) -> np.ndarray:
    return np.zeros(rows * cols * 4 + 1, np.uint8)[1:].view(np.float32).reshape(rows, cols)


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


SHARED = np.ones((3, 4), np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"indptr": INDPTR[:-1]}, "indptr has 2 entries, expected 3"),
        ({"indptr": np.array([0, 3, 2], np.int64)}, "must run from 0 to 3"),
        ({"indptr": np.array([0, 9, 3], np.int64)}, "indptr falls at row 0"),
        ({"indices": np.array([0, 3, 1], np.int32)}, r"row 0 holds 3, outside \[0, 3\)"),
        ({"indices": np.array([0, -1, 1], np.int32)}, "row 0 holds -1"),
        ({"indices": np.array([2, 0, 1], np.int32)}, "row 0 is not sorted and unique"),
        ({"users": np.ones(8, np.float32)}, "user_factors has 1 dimensions, expected 2"),
        ({"users": np.ones((2, 5), np.float32)}, "differ in their number of columns"),
        ({"users": read_only(np.ones((2, 4), np.float32))}, "user_factors is read-only"),
        ({"users": unaligned(2, 4)}, "user_factors is not aligned"),
        ({"users": SHARED[:2], "items": SHARED}, "user_factors and item_factors share memory"),
        ({"biases": np.zeros(2, np.float32)}, "item_biases has 2 entries, expected 3"),
        ({"items": SHARED, "biases": SHARED.ravel()[:3]}, "item_biases and item_factors share"),
        ({"negatives": "hard"}, "negatives is 'hard'"),
        ({"n_candidates": 257}, "n_candidates must be between 1 and 256"),
        ({"learning_rate": float("nan")}, "finite"),
    ],
)
def test_training_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"indices": INDICES.astype(np.int64)},
        {"users": np.ones((2, 4))},
        {"users": np.asfortranarray(np.ones((2, 4), np.float32))},
        {"users": np.ones((2, 8), np.float32)[:, ::2]},
    ],
)
def test_training_never_converts(arguments):
    with pytest.raises(TypeError):
        fit(**arguments)


def test_an_error_in_the_callback_comes_out():
    def fail(epoch, loss, auc):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        fit(on_epoch=fail)


def test_threads_are_counted_once(monkeypatch):
    """More threads in the environment while a fit runs must not reach beyond its arrays."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    indptr = np.arange(0, 3001 * 4, 4, dtype=np.int64)
    indices = (np.arange(12000, dtype=np.int32) * 7) % 3000
    indices = np.sort(indices.reshape(3000, 4), axis=1).ravel()

    def grow(epoch, loss, auc):
        monkeypatch.setenv("OMP_NUM_THREADS", "8")
        return True

    users, items = np.ones((3000, 8), np.float32), np.ones((3000, 8), np.float32)
    arguments = {"epochs": 20, "num_threads": 0, "on_epoch": grow}
    assert fit(indptr, indices, users, items, **arguments) == 20


def fit_skipgram(indptr=INDPTR, items=INDICES, input_=None, output=None, on_epoch=None, **own):
    params = {
        **{"epochs": 1, "window": 2, "shrink_windows": True, "negative": 2, "ns_exponent": 0.75},
        **{"sample": 0.0, "skip_gram": True, "alpha": 0.1, "min_alpha": 0.0, "seed": 0},
        **{"num_threads": 1, **own},
    }
    input_ = np.ones((3, 4), np.float32) if input_ is None else input_
    output = np.ones((3, 4), np.float32) if output is None else output
    on_epoch = on_epoch or (lambda epoch, loss: True)
    return _core.fit_skipgram(indptr, items, input_, output, on_epoch=on_epoch, **params)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"indptr": INDPTR[:0]}, "must run from 0 to 3"),
        ({"indptr": np.array([0, 9, 3], np.int64)}, "indptr falls at row 1"),
        ({"items": np.array([0, 3, 1], np.int32)}, r"items\[1\] is 3, outside \[0, 3\)"),
        ({"items": np.array([0, -1, 1], np.int32)}, r"items\[1\] is -1"),
        ({"input_": np.ones(8, np.float32)}, "input_vectors has 1 dimensions, expected 2"),
        ({"input_": np.ones((3, 5), np.float32)}, "differ in shape"),
        ({"output": read_only(np.ones((3, 4), np.float32))}, "output_vectors is read-only"),
        ({"input_": SHARED, "output": SHARED}, "input_vectors and output_vectors share memory"),
        ({"input_": unaligned(3, 4)}, "input_vectors is not aligned"),
        ({"window": 0}, "window must be at least 1"),
        ({"negative": 257}, "negative must be between 1 and 256"),
        ({"epochs": -1}, "epochs must be at least 0"),
        ({"sample": -1.0}, "sample must be at least 0"),
        ({"alpha": float("nan")}, "finite"),
    ],
)
def test_skipgram_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_skipgram(**arguments)


def test_skipgram_never_converts_and_passes_errors_on():
    with pytest.raises(TypeError):
        fit_skipgram(items=INDICES.astype(np.int64))

    def fail(epoch, loss):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        fit_skipgram(on_epoch=fail)
    assert fit_skipgram(window=2**31 - 1, epochs=2) == 2


def test_folding_in_refuses():
    vectors = np.ones((3, 4), np.float32)
    with pytest.raises(ValueError, match="outside"):
        _core.fold_in_histories(INDPTR, INDICES + np.int32(1), vectors, decay=1.0)
    with pytest.raises(ValueError, match="decay must be between 0 and 1"):
        _core.fold_in_histories(INDPTR, INDICES, vectors, decay=1.5)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones(3, np.float32), "1 dimensions"),
        (unaligned(3, 4), "vectors is not aligned"),
        (np.ones((1, 65537), np.float32), "at most 65536"),
        (np.array([[1.0, np.nan]], np.float32), "NaN at row 0, column 1"),
        (np.array([[1.0], [np.inf]], np.float32), "infinity at row 1, column 0"),
        *(
            (np.where(np.arange(9000) == at, np.inf, 1.0).astype(np.float32).reshape(-1, 3), where)
            for at, where in [
                (4095, "row 1365, column 0"),
                (4096, "row 1365, column 1"),
                (8999, "row 2999, column 2"),
            ]
        ),
    ],
)
def test_the_index_refuses(vectors, message):
    with pytest.raises(ValueError, match=message):
        _core.TopkIndex(vectors)


@pytest.mark.parametrize(
    ("queries", "options", "message"),
    [
        (np.ones((1, 2), np.float32), {"k": 1}, "2 columns, the index has 3"),
        (np.ones((1, 3), np.float32), {"k": 0}, "k is 0"),
        (np.ones((9, 3), np.float32), {"k": 2**62}, "too large"),
        (np.full((1, 3), 1e38, np.float32), {"k": 1}, "overflow float32"),
        (np.ones((2, 3), np.float32), {"k": 1, "exclude": (INDPTR, INDICES + 9)}, "outside"),
    ],
)
def test_searching_refuses(queries, options, message):
    index = _core.TopkIndex(np.full((5, 3), 2.0, np.float32))
    with pytest.raises(ValueError, match=message):
        index.search(queries, **options)


def test_a_huge_k_of_a_metric_allocates_nothing():
    lists = np.array([[1, -1]])
    values = _core.ranking_metrics(
        lists, np.array([0, 1]), np.array([1], np.int32), np.array([1]), [("ndcg", 2**31 - 1)]
    )
    assert values.tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("codes", "n_codes", "rows", "message"),
    [
        (np.array([0, 3], np.int32), 3, None, r"codes\[1\] is 3, outside \[0, 3\)"),
        (np.array([-1], np.int32), 3, None, r"codes\[0\] is -1, outside"),
        (np.array([0], np.int32), -1, None, "must not be negative|the codes"),
        (np.array([0, 1], np.int32), 2, np.array([0, 2]), r"rows\[1\] is 2, outside \[0, 2\)"),
        (np.array([0, 1], np.int32), 2, np.array([-1]), r"rows\[0\] is -1, outside"),
        (np.zeros((2, 2), np.int32), 2, None, "codes has 2 dimensions, expected 1"),
    ],
)
def test_bad_orders_are_refused(codes, n_codes, rows, message):
    with pytest.raises(ValueError, match=message):
        _core.stable_order(codes, n_codes, rows)
