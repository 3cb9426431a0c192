"""Pairs of codes as single numbers, up to the largest codes there are."""

from __future__ import annotations

import numpy as np
import pytest

from penchant.data._limits import MAX_IDS
from penchant.data._repeats import group, pair_keys

LAST = MAX_IDS - 1
USERS = np.array([0, 0, 1, LAST, LAST, LAST - 1], np.int32)
ITEMS = np.array([0, LAST, 0, LAST, 0, LAST], np.int32)


def test_the_largest_codes_do_not_overflow() -> None:
    assert LAST == 2**31 - 2
    keys = pair_keys(USERS, ITEMS, MAX_IDS)
    assert keys.dtype == np.int64
    pairs = zip(USERS.tolist(), ITEMS.tolist(), strict=True)
    assert keys.tolist() == [user * MAX_IDS + item for user, item in pairs]
    assert keys.max() == MAX_IDS**2 - 1 < 2**63
    np.testing.assert_array_equal(keys // MAX_IDS, USERS)
    np.testing.assert_array_equal(keys % MAX_IDS, ITEMS)


@pytest.mark.parametrize("n_items", [2, MAX_IDS])
def test_keys_sort_by_user_then_item(n_items: int) -> None:
    items = np.minimum(ITEMS, n_items - 1)
    keys = pair_keys(USERS, items, n_items)
    np.testing.assert_array_equal(np.argsort(keys, kind="stable"), np.lexsort((items, USERS)))


def test_the_largest_codes_are_grouped_by_pair() -> None:
    keys = pair_keys(np.tile(USERS, 3), np.tile(ITEMS, 3), MAX_IDS)
    pairs = group(keys, None)
    assert pairs.counts.tolist() == [3] * len(USERS)
    assert pairs.keys.tolist() == sorted(keys[: len(USERS)].tolist())
