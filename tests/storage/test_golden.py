"""Artifacts of every format version load for ever: these files are never written again."""

from pathlib import Path

import numpy as np
import pytest

from penchant.storage import read_artifact
from penchant.storage.manifest import FORMAT_VERSION

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


@pytest.mark.parametrize("verify", ["full", "size"])
def test_format_1(verify):
    read = read_artifact(GOLDEN / "v1" / "arrays", verify=verify)
    assert read.meta == {
        "class": "Golden",
        "parameters": {"factors": 3, "rate": 0.05, "name": "Zoë", "seed": None},
        "metrics": {"ndcg@10": 0.25},
        "columns": ["user", "item"],
    }
    np.testing.assert_array_equal(
        read.arrays["factors"], np.arange(12, dtype=np.float32).reshape(4, 3) / 8
    )
    assert read.arrays["factors"].dtype == np.float32
    assert read.arrays["offsets"].tolist() == [0, 2, 2, 2**40]
    assert read.arrays["flags"].tolist() == [True, False]
    assert read.arrays["empty"].shape == (0, 4)
    assert read.tables["users"]["id"].to_pylist() == [-1, 17850]
    assert read.tables["items"]["id"].to_pylist() == ["", "MUG", "TÊTE À TÊTE"]


def test_every_version_has_one():
    versions = range(1, FORMAT_VERSION + 1)
    assert {path.parent.name for path in GOLDEN.glob("*/arrays")} == {f"v{n}" for n in versions}
