"""Models inside a model: made anew for each fit, saved in the state of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from penchant.errors import ArtifactError
from penchant.models import state
from penchant.models.incremental import ModelT
from penchant.models.params import Parameterized
from penchant.models.state import State

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models.base import Recommender
    from penchant.models.fitted import FittedModel

PartT = TypeVar("PartT", bound=Parameterized)

# Written once, where a model inside has the same as the whole.
_ARRAYS = ("seen_indptr", "seen_indices", "item_counts")
_TABLES = ("users", "items", "item_features", "user_features")


def unfitted(part: PartT) -> PartT:
    """Return a new object with the same hyperparameters."""
    return type(part)(**part.get_params(deep=False))


def grown(part: ModelT, new: Interactions | None, items: Any) -> ModelT:
    """Return a copy of a fitted model that has learnt more; the model itself stays as it is."""
    copied = object.__new__(type(part))
    # `partial_fit` puts new arrays in the place of those it changes.
    vars(copied).update(vars(part))
    return copied.partial_fit(new, items=items)


def add_part(whole: State, name: str, part: FittedModel) -> State:
    """Return the state of a model with that of a model inside it.

    Parameters
    ----------
    whole : State
    name : str
        Lower-case letters and digits: what the names of the part's arrays and tables begin with.
    part : FittedModel
    """
    own = state.capture(part)
    shared = [key for key in _ARRAYS if _same(own.arrays.get(key), whole.arrays.get(key))]
    shared += [key for key in _TABLES if _same(own.tables.get(key), whole.tables.get(key))]
    parts = {
        **whole.meta.get("parts", {}),
        name: {**state.head(part), **own.meta, "shared": shared},
    }
    arrays = {f"{name}_{key}": array for key, array in own.arrays.items() if key not in shared}
    tables = {f"{name}_{key}": table for key, table in own.tables.items() if key not in shared}
    return whole._replace(
        meta={**whole.meta, "parts": parts},
        arrays={**whole.arrays, **arrays},
        tables={**whole.tables, **tables},
    )


def take_part(whole: State, name: str) -> Recommender:
    """Return a model that `add_part` has put into a state.

    Raises
    ------
    ArtifactError
        It is missing or damaged.
    """
    meta = dict(whole.meta["parts"][name])
    shared = meta.pop("shared")
    if not isinstance(shared, list) or not set(shared) <= {*_ARRAYS, *_TABLES}:
        raise ArtifactError(f"the model {name!r} inside it shares {shared!r:.80}")
    shelf = None if whole.shelf is None else whole.shelf.part(name)
    found = State(meta, _own(whole.arrays, name), _own(whole.tables, name), shelf, whole.sound)
    for key in shared:
        if key in _ARRAYS:
            found.arrays[key] = whole.arrays[key]
        else:
            found.tables[key] = whole.tables[key]
    return state.revive(found)


def _own(content: dict[str, Any], name: str) -> dict[str, Any]:
    start = f"{name}_"
    return {key[len(start) :]: value for key, value in content.items() if key.startswith(start)}


def _same(mine: Any, other: Any) -> bool:
    if mine is None or other is None:
        return False
    if isinstance(mine, np.ndarray):
        return mine is other or (mine.dtype == other.dtype and np.array_equal(mine, other))
    return cast("bool", mine is other or mine.equals(other))
