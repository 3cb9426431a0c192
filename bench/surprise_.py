"""Surprise's side (https://surpriselib.com); import it only where it is installed."""

from __future__ import annotations

from typing import Any

import pandas as pd


def missing() -> str | None:
    """Say why Surprise cannot take part, if it cannot."""
    try:
        import surprise  # noqa: F401
    except ImportError as error:
        return f"Surprise takes no part ({error}): pip install scikit-surprise==1.1.5"
    return None


def trainset(frame: pd.DataFrame, scale: tuple[float, float]) -> Any:
    """Return the ratings as Surprise takes them."""
    from surprise import Dataset, Reader

    columns = frame[["user", "item", "rating"]]
    return Dataset.load_from_df(columns, Reader(rating_scale=scale)).build_full_trainset()


def fit(kind: str, train: Any, params: dict[str, Any]) -> Any:
    """Fit SVD or SVDpp; Surprise's own defaults but for `params`."""
    import surprise

    return getattr(surprise, kind)(**params).fit(train)


def estimates(model: Any, test: pd.DataFrame) -> list[float]:
    pairs = zip(test["user"], test["item"], strict=True)
    return [model.predict(user, item).est for user, item in pairs]
