"""Which items are alike, as their attributes tell."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from penchant.errors import ParameterError
from penchant.models.alike_items import most_alike


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


def test_integers_that_no_float_holds_are_numbers_too():
    hashes = [2**60 + 1, 2**63 - 1, -(2**62) - 3]
    found = alike({"hash": hashes, "kind": ["a", "b", "a"]}, [True, True, False], [2])
    assert list(found[0]) == [0]


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


def naive_cosines(sets, known, asked):
    """Cosines of TF-IDF vectors, from dicts of words and their strengths."""
    n_known = sum(known)
    words = sorted({word for row in sets for word in row})
    matrix = np.array([[row.get(word, 0.0) for word in words] for row in sets])
    holders = (matrix[np.array(known)] > 0).sum(axis=0)
    matrix = matrix * np.log1p(n_known / np.maximum(holders, 1))
    lengths = np.linalg.norm(matrix, axis=1)
    cosines = matrix @ matrix[asked] / np.maximum(lengths * lengths[asked], 1e-30)
    return {row: cosines[row] for row in np.flatnonzero(known) if cosines[row] > 0}


def assert_cosines(found, expected):
    assert set(found) == set(expected)
    for row, cosine in expected.items():
        assert found[row] == pytest.approx(cosine, rel=1e-5)


def test_words_weigh_by_how_rare_they_are():
    tags = ["a|b", "a|c", "a", "b|c|d", "a|d", "a|e", "a|b|d", "b|d|f"]
    studios = ["A", "A", "B", "A", None, "A", "A", "B"]
    known = [True] * 6 + [False] * 2
    sets = [
        {("tags", tag): 1.0 for tag in text.split("|")} | ({("studio", name): 1.0} if name else {})
        for text, name in zip(tags, studios, strict=True)
    ]
    found = alike({"tags": tags, "studio": studios}, known, [6, 7])
    for asked, answer in zip([6, 7], found, strict=True):
        assert_cosines(answer, naive_cosines(sets, known, asked))
    # Both share one word with row 4: "d" is held by two known rows and "a" by five.
    rare, common = alike({"tags": [*tags[:6], "d|x", "a|x"]}, known, [6, 7])
    assert rare[4] > common[4]


def test_neighbouring_tenths_count_half():
    """Two known numbers to a tenth: 0 and 1 are in the first."""
    numbers = [*range(0, 20), 8, 0, 99]
    known = [True] * 20 + [False] * 3
    tenths = [min(number // 2, 9) for number in numbers]
    sets = [{tenth - 1: 0.5, tenth: 1.0, tenth + 1: 0.5} for tenth in tenths]
    found = alike({"price": numbers}, known, [20, 21, 22])
    for asked, answer in zip([20, 21, 22], found, strict=True):
        assert_cosines(answer, naive_cosines(sets, known, asked))
    assert set(found[0]) == set(range(4, 14))
    assert found[0][8] == pytest.approx(1) != pytest.approx(found[0][10])


def test_a_tenth_begins_with_its_first_number():
    """Where values repeat tenths fall together: those here begin at 0, 0.5 and 1."""
    numbers = [0] * 50 + [1] * 50 + [0.25, 0.5]
    known = [True] * 100 + [False] * 2
    near, between = alike({"price": numbers}, known, [100, 101])
    assert set(near) == set(range(50))
    assert near[0] == pytest.approx(1)
    assert set(between) == set(range(100))
    assert between[0] == pytest.approx(between[99])
