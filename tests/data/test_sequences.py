"""Items in time order, by user and by session."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from penchant.errors import ParameterError


def naive(frame: pd.DataFrame, by: list[str], order: list[str]) -> list[list[str]]:
    ordered = frame.sort_values(order, kind="stable") if order else frame
    return [part["item"].tolist() for _, part in ordered.groupby(by)]


def lists(data: pc.Interactions, by: str | None = None) -> list[list[str]]:
    sequences = data.sequences(by)
    names = np.array(data.items.to_list())
    return [part.tolist() for part in np.split(names[sequences.items], sequences.indptr[1:-1])]


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 200
    return pd.DataFrame(
        {
            "user": rng.integers(0, 7, n),
            "item": [f"i{i}" for i in rng.integers(0, 20, n)],
            "time": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 9, n), "h"),
            "session": rng.integers(0, 3, n),
            "position": rng.integers(0, 5, n),
            "amount": rng.integers(1, 9, n),
        }
    )


def read(frame: pd.DataFrame, **columns: str) -> pc.Interactions:
    return pc.Interactions.from_frame(frame, user="user", item="item", **columns)


def test_users_in_time_order(frame: pd.DataFrame) -> None:
    assert lists(read(frame)) == naive(frame, ["user"], [])
    assert lists(read(frame, timestamp="time")) == naive(frame, ["user"], ["time"])
    both = read(frame, timestamp="time", order="position")
    assert lists(both) == naive(frame, ["user"], ["time", "position"])


def test_sessions_belong_to_their_user(frame: pd.DataFrame) -> None:
    data = read(frame, timestamp="time", session="session")
    assert lists(data) == naive(frame, ["user", "session"], ["time"])
    assert lists(data, "session") == lists(data)
    assert lists(data, "user") == naive(frame, ["user"], ["time"])


def test_values_stay_with_their_events(frame: pd.DataFrame) -> None:
    _, _, values = read(frame, timestamp="time", value="amount").sequences()
    ordered = frame.sort_values("time", kind="stable")
    expected = np.concatenate([part["amount"] for _, part in ordered.groupby("user")])
    assert values.tolist() == expected.tolist()
    assert values.dtype == np.float32
    assert read(frame).sequences()[2].tolist() == [1.0] * len(frame)


def test_by_something_else(frame: pd.DataFrame) -> None:
    with pytest.raises(ParameterError, match="by='basket' is not one of 'user', 'session'"):
        read(frame).sequences("basket")
    with pytest.raises(ParameterError, match="no 'session' column"):
        read(frame).sequences("session")
