"""What the extension refuses before a kernel of the rating models runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penchant import _core

INDPTR = np.array([0, 2, 3], dtype=np.int64)
INDICES = np.array([0, 2, 1], dtype=np.int32)
VALUES = np.array([1, 5, 3], dtype=np.float32)
SHARED = np.ones((3, 4), np.float32)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def fit(kind: str = "fit_svd", **own: Any) -> int:
    arrays = {
        "indptr": INDPTR,
        "indices": INDICES,
        "values": VALUES,
        "user_factors": ones(2, 4),
        "item_factors": ones(3, 4),
        "user_biases": ones(2),
        "item_biases": ones(3),
    }
    options = {
        "epochs": 1,
        "learning_rates": (0.1,) * 4,
        "regularizations": (0.1,) * 4,
        "learning_rate_decay": 0.0,
        "mean": 3.0,
        "seed": 0,
        "num_threads": 1,
        "on_epoch": lambda epoch, loss, rmse: True,
    }
    if kind == "fit_svdpp":
        arrays["implicit_factors"] = ones(3, 4)
        options |= {"implicit_learning_rate": 0.1, "implicit_regularization": 0.1}
    return int(getattr(_core, kind)(**{**arrays, **options, **own}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"indptr": INDPTR[:-1]}, "indptr has 2 entries, expected 3"),
        ({"indices": np.array([0, 3, 1], np.int32)}, r"row 0 holds 3, outside \[0, 3\)"),
        ({"values": VALUES[:2]}, "values has 2 entries, expected 3"),
        ({"values": np.array([1, np.nan, 2], np.float32)}, r"values\[1\] is not a finite number"),
        ({"user_factors": ones(2, 5)}, "differ in their number of columns"),
        ({"user_factors": ones(8)}, "user_factors has 1 dimensions, expected 2"),
        ({"user_factors": read_only(ones(2, 4))}, "user_factors is read-only"),
        ({"user_factors": SHARED[:2], "item_factors": SHARED}, "share memory"),
        ({"item_factors": SHARED, "item_biases": SHARED.ravel()[:3]}, "share memory"),
        ({"user_biases": ones(3)}, "user_biases has 3 entries, expected 2"),
        ({"user_biases": None}, "both user_biases and item_biases, or neither"),
        ({"user_factors": ones(2, 2049), "item_factors": ones(3, 2049)}, "between 1 and 2048"),
        ({"learning_rates": (0.1, 0.1, float("nan"), 0.1)}, "finite"),
        ({"regularizations": (float("inf"), 0.1, 0.1, 0.1)}, "finite"),
        ({"mean": float("nan")}, "finite"),
        ({"epochs": -1}, "epochs must be at least 0"),
    ],
)
@pytest.mark.parametrize("kind", ["fit_svd", "fit_svdpp"])
def test_training_refuses(kind, arguments, message):
    if kind == "fit_svdpp" and "item_factors" in arguments:
        arguments = arguments | {"implicit_factors": ones(*arguments["item_factors"].shape)}
    with pytest.raises(ValueError, match=message):
        fit(kind, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"implicit_factors": ones(2, 4)}, "implicit_factors has 2 entries, expected 3"),
        ({"implicit_factors": ones(3, 5)}, "implicit_factors and item_factors differ"),
        ({"implicit_factors": SHARED, "item_factors": SHARED}, "share memory"),
        ({"implicit_learning_rate": float("nan")}, "finite"),
    ],
)
def test_svdpp_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit("fit_svdpp", **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"values": VALUES.astype(np.float64)},
        {"indices": INDICES.astype(np.int64)},
        {"user_factors": np.ones((2, 4))},
        {"user_factors": np.ones((2, 8), np.float32)[:, ::2]},
    ],
)
def test_training_never_converts(arguments):
    with pytest.raises(TypeError):
        fit(**arguments)


def test_an_error_in_the_callback_comes_out():
    def fail(epoch, loss, rmse):
        raise ZeroDivisionError("mine")

    for kind in ("fit_svd", "fit_svdpp"):
        with pytest.raises(ZeroDivisionError, match="mine"):
            fit(kind, on_epoch=fail)


def sample(**own: Any) -> int:
    arguments = {
        "indptr": INDPTR,
        "indices": INDICES,
        "values": VALUES,
        "user_samples": ones(2, 6),
        "item_samples": ones(3, 6),
        "user_biases": ones(2),
        "item_biases": ones(3),
        "kept": ones(1),
        "factors": 3,
        "epochs": 2,
        "burn_in": 0,
        "user_links": True,
        "item_links": True,
        "mean": 3.0,
        "seed": 0,
        "num_threads": 1,
        "on_epoch": lambda epoch, loss, rmse: True,
    }
    return int(_core.fit_bayesian_svd(**{**arguments, **own}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": VALUES[:2]}, "values has 2 entries, expected 3"),
        ({"factors": 0}, "factors must be between"),
        ({"factors": 4}, "need the same multiple of factors"),
        ({"factors": 7}, "need the same multiple of factors"),
        ({"item_samples": ones(3, 3)}, "need the same multiple of factors"),
        ({"user_biases": ones(3)}, "user_biases has 3 entries, expected 2"),
        ({"kept": ones(2)}, "kept has 2 entries, expected 1"),
        ({"kept": read_only(ones(1))}, "kept is read-only"),
        ({"user_samples": read_only(ones(2, 6))}, "user_samples is read-only"),
        ({"burn_in": -1}, "burn_in must be between 0 and epochs"),
        ({"burn_in": 3}, "burn_in must be between 0 and epochs"),
        ({"mean": float("inf")}, "finite"),
    ],
)
def test_sampling_refuses(arguments, message):
    assert sample() == 2
    with pytest.raises(ValueError, match=message):
        sample(**arguments)


@pytest.mark.parametrize(
    ("indptr", "indices", "message"),
    [
        (np.array([0, 2], np.int64), np.array([0, 3], np.int32), "outside"),
        (np.array([], np.int64), np.array([], np.int32), "indptr is empty"),
        (np.array([0, 3], np.int64), np.array([0], np.int32), "must run from 0 to 1"),
    ],
)
def test_implicit_sums_refuse(indptr, indices, message):
    with pytest.raises(ValueError, match=message):
        _core.implicit_sums(indptr, indices, SHARED, num_threads=1)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (np.ones((2, 2)), "prior must have as many columns as item_factors"),
        (np.ones((4, 3)), "prior must have as many columns as item_factors"),
        (np.full((3, 2), np.nan), "prior holds NaN at row 0, column 0"),
        (np.ones((3, 2), dtype=np.float32), "incompatible constructor arguments"),
    ],
)
def test_folding_ratings_in_refuses(prior, message):
    with pytest.raises((ValueError, TypeError), match=message):
        _core.RatingFoldIn(prior, ones(3, 2), None, variance=1.0, num_threads=1)
    with pytest.raises(ValueError, match="no rows or no columns"):
        _core.rating_prior(ones(0, 2), num_threads=1)
    with pytest.raises(ValueError, match="user_factors holds infinity at row 1, column 0"):
        _core.rating_prior(np.float32([[1], [np.inf]]), num_threads=1)
