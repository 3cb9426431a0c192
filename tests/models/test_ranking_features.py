"""Columns of tables as numbers that trees go by."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from penchant.errors import PenchantWarning
from penchant.models.ranking_features import Column, choose_columns, encode


def test_columns_become_numbers():
    table = pa.table(
        {
            "kind": pa.array(["b", None, "a", "new"]),
            "category": pa.array(["x", "y", None, "x"]).dictionary_encode(),
            "price": pa.array([1, 2, None, 2**62]),
            "rate": pa.array([0.5, np.nan, np.inf, 1e300]),
            "flag": pa.array([True, False, None, True]),
            "day": pa.array([0, 1, None, 3], pa.date32()),
            "tags": pa.array([["a"], [], None, ["b"]]),
        }
    )
    with pytest.warns(PenchantWarning, match=r"'tags' \(list<.*>\) of the item table are left out"):
        columns = choose_columns(table.slice(0, 3), None, "what", "item")
    assert columns[:2] == (Column("kind", ("a", "b")), Column("category", ("x", "y")))
    nan = np.nan
    expected = [[1, 0, 1, 0.5, 1, 0], [nan, 1, 2, nan, 0, 1], [0, nan, nan, nan, nan, nan],
                [nan, 0, 2.0**62, nan, 1, 3]]  # fmt: skip
    np.testing.assert_array_equal(encode(table, columns, 4), np.array(expected, np.float32))
    assert np.isnan(encode(None, columns, 2)).all()
    assert np.isnan(encode(table.select(["price"]), columns[:1], 4)).all()
