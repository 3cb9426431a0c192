"""Which items are alike, as their attributes tell."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from penchant.errors import ParameterError
from penchant.models.attributes import most_alike


def alike(columns, known, asked):
    table = pa.table(columns)
    rows, weights = most_alike(table, np.array(known), np.array(asked), 1)
    assert ((rows >= 0) == (weights > 0)).all()
    return [
        {int(row): weight for row, weight in zip(r, w, strict=True) if row >= 0}
        for r, w in zip(rows, weights, strict=True)
    ]


def test_more_that_is_shared_is_more_alike_and_rare_words_say_more():
    found = alike(
        {
            "genres": ["Comedy|Drama", "Comedy", "Drama", "Western", "Drama", "Comedy|Drama"],
            "studio": ["A", "A", "B", "B", "A", "A"],
        },
        [True] * 5 + [False],
        [5],
    )[0]
    assert set(found) == {0, 1, 2, 4}
    assert found[0] == pytest.approx(1)
    assert found[0] > found[1] > found[4] > found[2] > 0


def test_numbers_are_alike_when_near_and_null_is_like_nothing():
    prices = [*range(100), 50, None]
    found = alike({"price": prices}, [True] * 100 + [False, False], [100, 101])
    assert 50 in found[0]
    assert all(abs(row - 50) <= 20 for row in found[0])
    assert found[1] == {}


def test_lists_and_flags_are_words_too():
    found = alike(
        {"tags": [["a", "b"], ["c"], None, ["b", "b"]], "new": [True, False, True, True]},
        [True, True, True, False],
        [3],
    )[0]
    assert list(found) == [0, 2]


def test_all_that_are_equally_alike_count():
    found = alike({"artist": ["Ann"] * 30 + ["Bob"] * 5 + ["Ann"]}, [True] * 35 + [False], [35])[0]
    assert sorted(found) == list(range(30))


def test_structs_are_refused():
    with pytest.raises(ParameterError, match="'place'"):
        alike({"place": [{"x": 1}, {"x": 1}]}, [True, False], [1])


def test_a_table_without_known_rows_or_columns():
    assert alike({"kind": ["a", "a"]}, [False, False], [0]) == [{}]
    assert alike({"kind": pa.nulls(2, pa.string())}, [True, False], [1]) == [{}]
