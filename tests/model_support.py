"""What the contract suite is made of: data, comparison by bits, and how a model is made."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from penchant.models.state import head

N_USERS, N_ITEMS = 40, 30
COLUMNS = ["customer", "product", "score", "rank"]
BACKENDS = ("pandas", "polars", "pyarrow")
STARS = {"item 00": 1, "item 03": 5, "item 05": 2, "item 10": 4, "item 21": 1}  # of strangers


def events(n_users: int = N_USERS, n_items: int = N_ITEMS, seed: int = 0) -> pd.DataFrame:
    """Users of even and odd number like items of even and odd number; some pairs repeat."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(n_users), 8)
    items = (2 * rng.integers(0, n_items, len(users)) + users) % n_items
    return pd.DataFrame(
        {"customer": users * 10 + 1000, "product": [f"item {i:02d}" for i in items]}
    )


def convert(frame: pd.DataFrame, backend: str) -> Any:
    if backend == "polars":
        return pytest.importorskip("polars").from_pandas(frame)
    return pytest.importorskip("pyarrow").table(dict(frame)) if backend == "pyarrow" else frame


def interactions(frame: pd.DataFrame | None = None, backend: str = "pandas") -> pc.Interactions:
    rated = events() if frame is None else frame
    rated = rated.assign(stars=stars(rated))
    return pc.Interactions.from_frame(
        convert(rated, backend), user="customer", item="product", value="stars"
    )


def stars(frame: pd.DataFrame) -> Any:
    """Ratings from 1 to 5, the same for the same pair of ids whatever their dtype."""
    users, items = (
        np.array([sum(map(ord, str(value).removesuffix(".0"))) for value in frame[name]], np.int64)
        for name in ("customer", "product")
    )
    return 1 + (users + items) % 2 * 2 + users * items % 3


def pandas_frame(frame: Any) -> pd.DataFrame:
    return frame if isinstance(frame, pd.DataFrame) else frame.to_pandas()


def bits(array: Any) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def assert_same_model(model: Any, other: Any) -> None:
    assert type(model) is type(other)
    assert parameters(model) == parameters(other)
    assert model.users_.to_list() == other.users_.to_list()
    assert model.items_.to_list() == other.items_.to_list()
    assert model.columns_ == other.columns_
    assert model.backend_ == other.backend_
    assert bits(model.item_counts_) == bits(other.item_counts_)
    assert model.last_event_ == other.last_event_
    assert bits(model.guessed_items_) == bits(other.guessed_items_)
    assert bits(model.item_first_seen_) == bits(other.item_first_seen_)
    for mine, theirs in zip(model.seen_, other.seen_, strict=True):
        assert bits(mine) == bits(theirs)
    for name in model._weights:
        assert bits(getattr(model, name)) == bits(getattr(other, name)), name
    for mine, theirs in zip(inner_models(model), inner_models(other), strict=True):
        assert_same_model(mine, theirs)
    assert_same_answers(model, other)


def parameters(model: Any) -> dict[str, Any]:
    """Hyperparameters to compare: models among them by their class and hyperparameters."""
    return head(model)["parameters"]


def inner_models(model: Any) -> list[Any]:
    """The fitted models that a model is made of."""
    found = [getattr(model, name) for name in ("retrieve_", "rank_") if hasattr(model, name)]
    return [inner for part in found for inner in getattr(part, "models", {"": part}).values()]


def leaves(model: Any) -> list[Any]:
    """The fitted models that learn: the model itself, or those it is made of."""
    inner = inner_models(model)
    return [leaf for part in inner for leaf in leaves(part)] if inner else [model]


def assert_same_answers(model: Any, other: Any) -> None:
    for exclude_seen in (True, False):
        for mine, theirs in zip(
            model.recommend_codes(k=N_ITEMS, exclude_seen=exclude_seen),
            other.recommend_codes(k=N_ITEMS, exclude_seen=exclude_seen),
            strict=True,
        ):
            assert bits(mine) == bits(theirs)


class ModelFactory:
    """How the model under test is made."""

    model: ClassVar[type[Any]]
    params: ClassVar[dict[str, Any]] = {}  # small and quick
    other_params: ClassVar[dict[str, Any]] = {}  # differs from the defaults
    has_vectors: ClassVar[bool] = True
    has_neighbors: ClassVar[bool] = True
    # Whether a history needs the value of each item.
    rated: ClassVar[bool] = False
    # Whether a score is a sum over the history; else explanations leave items out.
    exact_explanations: ClassVar[bool] = True

    def history(self, *items: Any) -> Any:
        """Return what one stranger took, as the model wants it."""
        return {item: STARS.get(item, 3) for item in items} if self.rated else list(items)

    def make(self, **params: Any) -> Any:
        return self.model(**{**self.params, **params})

    def fitted(self, data: pc.Interactions | None = None, **params: Any) -> Any:
        return self.make(**params).fit(interactions() if data is None else data, progress=False)


def run_python(code: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Return what a Python of its own says to some code."""
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
