"""The arrays a model learns: their names and shapes, and what can be wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from penchant.models.fitted import FittedModel


class Weight(NamedTuple):
    """An array that a model learns.

    `shape` names its axes: a number, "users", "items", "users+1", "items+1", "entries" (of
    `seen_`), or any other word for a size that must be the same wherever the word is used. Where
    `optional`, the model may do without it (None). Where `given`, it is kept from the training data
    and not learnt: snapshots leave it out.
    """

    shape: tuple[str | int, ...]
    optional: bool = False
    dtype: Literal["float32", "float64", "int32", "int64"] = "float32"
    given: bool = False


# The values of `seen_`, of models that go by values.
HISTORY_VALUES = {"history_values_": Weight(("entries",), optional=True, given=True)}


def weights_problem(model: FittedModel) -> str | None:
    """Say what is wrong with a model's weights, if anything: shapes, NaN, its own rules."""
    n_users, n_items = len(model.users_), len(model.items_)
    sizes: dict[str | int, int] = {
        "users": n_users,
        "items": n_items,
        "users+1": n_users + 1,
        "items+1": n_items + 1,
        "entries": len(model.seen_.indices),
    }
    for name, weight in model._weights.items():
        array = getattr(model, name)
        if array is None:
            continue
        for axis, size in zip(weight.shape, array.shape, strict=True):
            expected = axis if isinstance(axis, int) else sizes.setdefault(axis, size)
            if expected != size:
                return f"{name} has {size} {axis}, expected {expected}"
        if problem := finite_problem(name, array):
            return problem
    return model._weights_problem()


def finite_problem(name: str, array: NDArray[Any]) -> str | None:
    """Say so if an array has NaN or infinite values."""
    # Minimum and maximum pass NaN on and need no temporary array.
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        return f"{name} has NaN or infinite values"
    return None
