from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest

from penchant.data import Interactions, split
from penchant.errors import DataError, ParameterError


@pytest.fixture
def data() -> Interactions:
    rng = np.random.RandomState(3)
    days = pd.Timestamp("2011-01-01") + pd.to_timedelta(rng.randint(0, 60, 300), unit="D")
    frame = pd.DataFrame({"u": rng.randint(0, 30, 300), "i": rng.randint(0, 20, 300), "t": days})
    return Interactions.from_frame(frame, user="u", item="i", timestamp="t")


def rows(part: Interactions) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in part.to_frame().itertuples(index=False)]


def test_random_is_the_documented_mask(data: Interactions) -> None:
    train, test = split.random(data, test_size=0.3, random_state=41)
    mask = np.random.RandomState(41).rand(len(data)) < 0.7
    frame = data.to_frame()
    assert rows(train) == [tuple(row) for row in frame[mask].itertuples(index=False)]
    assert rows(test) == [tuple(row) for row in frame[~mask].itertuples(index=False)]


def test_random_stays_the_same_for_ever() -> None:
    data = Interactions.from_sequences([list("abcdefgh")])
    _, test = split.random(data, test_size=0.5, random_state=41)
    assert test.to_frame()["item"].tolist() == ["c", "f", "h"]
    _, again = split.random(data, test_size=0.5, random_state=41)
    assert rows(again) == rows(test)
    _, other = split.random(data, test_size=0.5, random_state=40)
    assert rows(other) != rows(test)


def test_every_part_knows_only_its_own_ids(data: Interactions) -> None:
    for train, test in (
        split.random(data, test_size=0.02, random_state=1),
        split.leave_last(data),
        split.temporal(data, cutoff="2011-02-25"),
    ):
        assert len(train) + len(test) == len(data)
        assert sorted(rows(train) + rows(test)) == sorted(rows(data))
        for part in (train, test):
            assert len(np.unique(part.array("user"))) == part.n_users
            assert len(np.unique(part.array("item"))) == part.n_items
        assert test.n_items < data.n_items
        assert test.dropped == {}


@pytest.mark.parametrize("n", [1, 2, 5])
def test_leave_last_takes_the_newest_events_of_each_user(data: Interactions, n: int) -> None:
    _, test = split.leave_last(data, n)
    frame = data.to_frame().sort_values("t", kind="stable")
    expected = frame.groupby("u").filter(lambda user: len(user) > n).groupby("u").tail(n)
    assert sorted(rows(test)) == sorted(tuple(row) for row in expected.itertuples(index=False))


def test_leave_last_uses_the_order_column_and_keeps_short_users() -> None:
    frame = pd.DataFrame({"u": [1, 1, 1, 2], "i": list("abca"), "n": [3, 1, 2, 1]})
    train, test = split.leave_last(Interactions.from_frame(frame, user="u", item="i", order="n"))
    assert rows(test) == [(1, "a", 3)]
    assert rows(train) == [(1, "b", 1), (1, "c", 2), (2, "a", 1)]


@pytest.mark.parametrize("test_size", [0.1, 0.3, 0.9])
def test_temporal_keeps_moments_together(data: Interactions, test_size: float) -> None:
    train, test = split.temporal(data, test_size=test_size)
    assert train.array("timestamp").max() < test.array("timestamp").min()
    largest_day = np.unique(data.array("timestamp"), return_counts=True)[1].max()
    assert 0 <= len(test) - test_size * len(data) <= largest_day + 1


@pytest.mark.parametrize(
    "cutoff",
    ["2011-02-01", dt.date(2011, 2, 1), dt.datetime(2011, 2, 1), pd.Timestamp("2011-02-01")],
)
def test_temporal_cutoff_is_the_first_moment_of_the_test_part(
    data: Interactions, cutoff: Any
) -> None:
    train, test = split.temporal(data, cutoff=cutoff)
    assert (train.to_frame()["t"] < "2011-02-01").all()
    assert (test.to_frame()["t"] >= "2011-02-01").all()
    assert test.to_frame()["t"].min() == pd.Timestamp("2011-02-01")


@pytest.mark.parametrize("test_size", [0, 1, -0.5, 1.5, True, None, "0.3", float("nan")])
def test_the_share_is_checked(data: Interactions, test_size: Any) -> None:
    with pytest.raises(ParameterError, match=r"test_size=.* must be between 0 and 1"):
        split.random(data, test_size=test_size)
    if test_size is not None:
        with pytest.raises(ParameterError, match="test_size="):
            split.temporal(data, test_size=test_size)


@pytest.mark.parametrize("random_state", [-1, 2**32, 0.5, None, True])
def test_the_seed_is_checked(data: Interactions, random_state: Any) -> None:
    with pytest.raises(ParameterError, match=f"random_state={random_state}"):
        split.random(data, random_state=random_state)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2"])
def test_n_is_checked(data: Interactions, n: Any) -> None:
    with pytest.raises(ParameterError, match=f"n={n!r} must be a positive integer"):
        split.leave_last(data, n)


def test_temporal_needs_one_way_to_cut_and_timestamps(data: Interactions) -> None:
    with pytest.raises(ParameterError, match="either test_size= or cutoff="):
        split.temporal(data)
    with pytest.raises(ParameterError, match="either test_size= or cutoff="):
        split.temporal(data, test_size=0.3, cutoff="2011-02-01")
    with pytest.raises(ParameterError, match="cutoff='soon' is not a date"):
        split.temporal(data, cutoff="soon")
    with pytest.raises(DataError, match="no timestamps"):
        split.temporal(Interactions.from_sequences([["a", "b"]]), test_size=0.5)


def test_parts_are_never_empty(data: Interactions) -> None:
    one = Interactions.from_sequences([["a"]])
    with pytest.raises(DataError, match="leaves the test part empty"):
        split.random(one, test_size=0.3)
    with pytest.raises(DataError, match="leaves the training part empty"):
        split.random(one, test_size=0.999)
    with pytest.raises(DataError, match="leaves the test part empty"):
        split.leave_last(one)
    for cutoff in ("2010-01-01", "2012-01-01", "2011-01-01"):
        with pytest.raises(DataError, match=r"events run from 2011-01-01 to 2011-03-01; cutting"):
            split.temporal(data, cutoff=cutoff)
    with pytest.raises(DataError, match="leaves one part empty"):
        split.temporal(
            data.select(data.array("timestamp") == data.array("timestamp")[0]), test_size=0.5
        )
