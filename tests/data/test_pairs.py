"""Rows grouped by codes, up to the largest codes there are."""

from __future__ import annotations

import numpy as np
import pytest

from penchant.data._limits import MAX_IDS
from penchant.data._repeats import group, order_by

LAST = MAX_IDS - 1
USERS = np.array([0, 0, 1, LAST, LAST, LAST - 1], np.int32)
ITEMS = np.array([0, LAST, 0, LAST, 0, LAST], np.int32)


@pytest.mark.parametrize("largest", [1, 50, LAST])
@pytest.mark.parametrize("listed", [False, True])
def test_rows_are_ordered_as_a_stable_sort_orders_them(largest: int, listed: bool) -> None:
    random = np.random.default_rng(largest)
    codes = random.integers(0, largest, 300, endpoint=True).astype(np.int32)
    rows = random.permutation(300) if listed else np.arange(300)
    expected = rows[np.argsort(codes[rows], kind="stable")]
    np.testing.assert_array_equal(order_by(codes, rows if listed else None), expected)


def test_no_rows_are_no_groups() -> None:
    empty = group(None, np.array([], np.int32), np.array([], np.int32))
    assert len(empty.order) == len(empty.starts) == len(empty.counts) == 0


def test_the_largest_codes_are_grouped_by_pair() -> None:
    assert LAST == 2**31 - 2
    users, items = np.tile(USERS, 3), np.tile(ITEMS, 3)
    pairs = group(None, users, items)
    assert pairs.counts.tolist() == [3] * len(USERS)
    first = pairs.order[pairs.starts]
    found = list(zip(users[first].tolist(), items[first].tolist(), strict=True))
    assert found == sorted(zip(USERS.tolist(), ITEMS.tolist(), strict=True))
    assert pairs.last.tolist() == [row + 12 for row in first.tolist()]
