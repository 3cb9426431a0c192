"""CSR helpers against plain lists."""

from __future__ import annotations

import numpy as np
import pytest

from penchant.retrieval.filters import (
    ItemFilter,
    RowLists,
    ascend,
    common,
    distinct_lists,
    merged,
    offsets,
    owners_of,
    row_lists,
    take_lists,
)


def random_lists(seed, n_lists, n_items):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, n_items, rng.integers(0, 6)).tolist() for _ in range(n_lists)]


def as_csr(lists):
    return np.cumsum([0, *map(len, lists)]), np.array([i for row in lists for i in row], np.int64)


def as_lists(csr):
    return [
        csr.indices[start:end].tolist()
        for start, end in zip(csr.indptr[:-1], csr.indptr[1:], strict=True)
    ]


@pytest.mark.parametrize("seed", range(30))
def test_row_lists_are_sorted_and_unique(seed):
    lists = random_lists(seed, seed % 7, 5)
    clean = row_lists(as_csr(lists), len(lists), 5, "exclude")
    assert as_lists(clean) == [sorted(set(row)) for row in lists]
    assert clean.indptr.dtype == np.int64
    assert clean.indices.dtype == np.int32


@pytest.mark.parametrize("seed", range(30))
def test_take_lists(seed):
    rng = np.random.default_rng(seed)
    lists = [sorted(set(row)) for row in random_lists(seed, 1 + seed % 7, 9)]
    indptr, indices = as_csr(lists)
    rows = rng.integers(-1, len(lists), seed % 11)
    taken = take_lists(RowLists(indptr.astype(np.int64), indices.astype(np.int32)), rows)
    assert as_lists(taken) == [lists[row] if row >= 0 else [] for row in rows]
    assert taken.indices.dtype == np.int32


def test_no_filter():
    assert row_lists(None, 3, 4, "exclude") is None


def test_offsets():
    assert offsets(np.array([2, 0, 3])).tolist() == [0, 2, 2, 5]
    assert offsets(np.array([], dtype=np.int64)).tolist() == [0]


@pytest.mark.parametrize("seed", range(30))
def test_lists_as_sets(seed):
    n = seed % 7
    mine, theirs = (random_lists(seed + more, n, 9) for more in (0, 100))
    a, b = (row_lists(as_csr(lists), n, 9, "exclude") for lists in (mine, theirs))
    pairs = list(zip(mine, theirs, strict=True))
    assert as_lists(merged(a, b)) == [sorted({*x, *y}) for x, y in pairs]
    assert as_lists(common(a, b)) == [sorted({*x} & {*y}) for x, y in pairs]
    owners = owners_of(a)
    assert owners.tolist() == [i for i, row in enumerate(as_lists(a)) for _ in row]
    again = distinct_lists(np.repeat(owners, 2)[::-1], np.repeat(a.indices, 2)[::-1], n)
    assert as_lists(again) == as_lists(a)


def test_filters_of_some_queries():
    lists = RowLists(np.array([0, 1, 2, 3]), np.array([4, 1, 2], np.int32))
    flags = np.array([[True, False] * 3, [False, True] * 3])
    whole = ItemFilter(flags, lists, None, np.array([0, 1, 0], np.int32))
    some = whole.take(np.array([2, 1]))
    assert as_lists(some.exclude) == [[2], [1]]
    assert some.allowed_rows.tolist() == [0, 1]
    assert some.candidates is None
    assert as_lists(whole.without(lists).exclude) == as_lists(lists)
    only = whole.only(lists).only(RowLists(np.array([0, 1, 1, 2]), np.array([4, 3], np.int32)))
    assert as_lists(only.candidates) == [[4], [], []]
    narrow = whole.flagged(np.array([True] * 2 + [False] * 4))
    assert narrow.allowed.tolist() == [[True] + [False] * 5, [False, True] + [False] * 4]
    assert ItemFilter().flagged(None).without(None).only(None) == ItemFilter()


@pytest.mark.parametrize(
    ("lists", "sorted_"),
    [
        ([], True),
        ([[], []], True),
        ([[], [1, 4], [], [0, 4], []], True),
        ([[2], [1], [0]], True),
        ([[], [4, 1]], False),
        ([[1], [3, 3], []], False),
        ([[0, 5, 2]], False),
    ],
)
def test_whether_lists_are_sorted(lists, sorted_):
    assert ascend(RowLists(*as_csr(lists))) is sorted_
