"""The generated ratings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from penchant.data import datasets
from penchant.errors import ParameterError


@pytest.fixture(scope="module")
def films() -> pd.DataFrame:
    return datasets.make_ratings()


def test_ratings_look_like_those_of_movielens(films: pd.DataFrame) -> None:
    assert list(films) == ["user", "title", "genres", "rating", "timestamp"]
    assert len(films) == 100_000
    assert films["user"].nunique() == films["user"].max() == 600
    assert 1500 < films["title"].nunique() <= 2000
    assert not films.duplicated(["user", "title"]).any()
    assert films["title"].str.fullmatch(r"The [A-Z][a-z]+ [A-Z][a-z]+ \((19|20)\d\d\)").all()
    assert set(films["rating"]) == set(np.arange(1, 11) / 2)
    assert 3.2 < films["rating"].mean() < 3.8
    assert 0.8 < films["rating"].std() < 1.2
    assert films.groupby("user")["timestamp"].is_monotonic_increasing.all()
    counts = films["title"].value_counts()
    assert counts.iloc[:200].sum() > 0.25 * len(films)


def test_a_film_has_one_set_of_genres(films: pd.DataFrame) -> None:
    assert films[["title", "genres"]].drop_duplicates()["title"].is_unique
    assert films["genres"].str.split("|").str.len().between(1, 3).all()


def test_there_is_a_taste_to_learn(films: pd.DataFrame) -> None:
    """The mean of a user's other ratings of a genre says more than that of the film and user."""
    first = films.assign(genre=films["genres"].str.partition("|")[0])
    residual = first["rating"] - first.groupby("title")["rating"].transform("mean")
    residual -= residual.groupby(first["user"]).transform("mean")
    groups = residual.groupby([first["user"], first["genre"]])
    others = (groups.transform("sum") - residual) / (groups.transform("size") - 1)
    enough = groups.transform("size") > 5
    assert np.corrcoef(residual[enough], others[enough])[0, 1] > 0.1


def test_the_same_arguments_give_the_same_table(films: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(datasets.make_ratings(), films)
    other = datasets.make_ratings(random_state=1)
    assert not other["title"].head(100).equals(films["title"].head(100))


@pytest.mark.parametrize(
    ("n_ratings", "n_users", "n_films"), [(1, 1, 2), (50, 50, 7), (300, 3, 200)]
)
def test_small_tables(n_ratings: int, n_users: int, n_films: int) -> None:
    frame = datasets.make_ratings(n_ratings, n_users, n_films)
    assert len(frame) == n_ratings
    assert frame["user"].nunique() == n_users


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_films": 3001}, "n_films=3,001 must be at most 3,000"),
        ({"n_users": 0}, "n_users=0 must be a positive integer"),
        ({"n_ratings": 600_001}, "n_ratings=600,001 must be at most 600,000"),
        ({"n_ratings": 599}, "must be at least n_users"),
        ({"random_state": -1}, "random_state"),
    ],
)
def test_sizes_out_of_range(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        datasets.make_ratings(**sizes)
