"""Columns of tables as numbers that trees go by."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import penchant as pc
from model_support import bits
from penchant.errors import ColumnError, PenchantWarning
from penchant.models.ranking_features import (
    Column,
    categorical_places,
    choose_columns,
    encode,
    feature_names,
)


def test_columns_become_numbers():
    table = pa.table(
        {
            "kind": pa.array(["b", None, "a", "new"]),
            "category": pa.array(["x", "y", None, "x"]).dictionary_encode(),
            "price": pa.array([1, 2, None, 2**62]),
            "rate": pa.array([0.5, np.nan, np.inf, 1e300]),
            "flag": pa.array([True, False, None, True]),
            "day": pa.array([0, 1, None, 3], pa.date32()),
            "vector": pa.array([[0.5], [], None, [1.0]]),
        }
    )
    with pytest.warns(
        PenchantWarning, match=r"'vector' \(list<.*\) of the item table are left out"
    ):
        columns = choose_columns(table.slice(0, 3), None, "what", "item")
    assert columns[:2] == (Column("kind", ("a", "b")), Column("category", ("x", "y")))
    nan = np.nan
    expected = [[1, 0, 1, 0.5, 1, 0], [nan, 1, 2, nan, 0, 1], [0, nan, nan, nan, nan, nan],
                [nan, 0, 2.0**62, nan, 1, 3]]  # fmt: skip
    np.testing.assert_array_equal(encode(table, columns, 4), np.array(expected, np.float32))
    assert np.isnan(encode(None, columns, 2)).all()
    assert np.isnan(encode(table.select(["price"]), columns[:1], 4)).all()
    with pytest.raises(ColumnError, match=r"'vector' is list<.*, neither numbers nor texts"):
        choose_columns(table, ["vector"], "what", "item")


@pytest.mark.parametrize(
    "texts",
    [
        pa.array(["b|a", "a", None, "", "new|b|b"]),
        pa.array(["b|a", "a", None, "", "new|b|b"]).dictionary_encode(),
        pa.array([["b", "a"], ["a"], None, [], ["new", "b", None, "b"]]),
    ],
)
def test_each_element_becomes_a_feature(texts):
    table = pa.table({"kind": ["x", "y", "x", "y", "x"], "tags": texts, "price": range(5)})
    columns = choose_columns(table.slice(0, 4), None, "what", "item")
    assert columns[1] == Column("tags", ("a", "b"), several=True)
    expected = [[1, 1], [1, 0], [np.nan, np.nan], [0, 0], [0, 1]]
    np.testing.assert_array_equal(encode(table, columns, 5)[:, 1:3], np.array(expected, np.float32))
    both = {"item": columns, "user": (Column("team", ("r", "b")),)}
    assert feature_names(["IALS"], both)[5:] == [
        "item: kind", "item: tags=a", "item: tags=b", "item: price", "user: team"
    ]  # fmt: skip
    assert categorical_places(1, both) == [5, 9]


def test_the_elements_that_most_rows_have():
    """Ties by the lower; a row that has one twice counts once."""
    rows = [[f"t{j:02d}" for j in range(40) if (i + j) % 40 >= j // 10 * 9] for i in range(40)]
    rows[0] += ["t39"] * 50
    counts = {text: sum(text in row for row in rows) for row in rows for text in row}
    (column,) = choose_columns(pa.table({"tags": rows}), None, "what", "item")
    most = sorted(counts, key=lambda text: (-counts[text], text))[:32]
    assert column.categories == tuple(sorted(most))
    assert "t39" not in most


def test_lists_of_what_hardly_any_rows_share_are_left_out():
    table = pa.table({"codes": [[2 * i, 2 * i + 1] for i in range(30)]})
    with pytest.warns(PenchantWarning, match=r"'codes' \(60 texts in 60 rows\)"):
        assert choose_columns(table, None, "what", "item") == ()


def genres(joined=True):
    """Lately everybody buys drama, whatever else it is."""
    rng = np.random.default_rng(4)
    names = np.array([f"item {i:02d}" for i in range(30)])
    sets = [[kind for kind in ("action", "comedy", "drama", "war") if rng.random() < 0.4]
            for _ in names]  # fmt: skip
    drama = np.flatnonzero(["drama" in each for each in sets])
    rows = [
        (user, names[item])
        for user in range(300)
        for item in (*rng.choice(30, 6, replace=False), rng.choice(drama))
    ]
    frame = pd.DataFrame(rows, columns=["who", "what"]).assign(when=np.arange(len(rows)))
    kinds = ["|".join(each) for each in sets] if joined else sets
    items = pd.DataFrame({"what": names, "genres": kinds})
    return pc.Interactions.from_frame(
        frame, user="who", item="what", order="when", item_features=items
    )


def trees():
    rank = pc.LambdaMART(n_estimators=40, min_child_samples=20, num_leaves=7)
    return pc.Pipeline(retrieve=pc.IALS(factors=4, epochs=3, regularization=2), k=20, rank=rank)


def test_each_genre_is_a_feature(tmp_path):
    pytest.importorskip("lightgbm")
    model = trees().fit(genres(), progress=False)
    kinds = ["action", "comedy", "drama", "war"]
    assert model.rank_.names[4:] == [f"item: genres={kind}" for kind in kinds]
    assert model.feature_importances_["feature"][0] == "item: genres=drama"
    assert "num_cat=1" not in model.rank_.text
    as_lists = trees().fit(genres(joined=False), progress=False)
    assert as_lists.rank_.text == model.rank_.text
    model.save(tmp_path)
    again = pc.load(tmp_path)
    assert again.rank_.columns == model.rank_.columns
    pd.testing.assert_frame_equal(again.recommend(), model.recommend())
    pairs = model.recommend(k=20)
    assert bits(again.predict(pairs)) == bits(pairs["score"])
