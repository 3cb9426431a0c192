import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_models import WARNINGS, fit

import penchant as pc


@pytest.fixture(scope="session")
def number_model():
    """Customers are numbers: 17850, 17860, ..., 18340."""
    return fit(np.arange(17850, 18350, 10))


@pytest.fixture(scope="session")
def text_model():
    """Customers are text: u0, u1, ..., and some that a CSV or JSON file must quote."""
    return fit(np.array([*(f"u{i}" for i in range(20)), 'a "b", c', "007", "tab\there", "日本"]))


@pytest.fixture(scope="session")
def artifact(number_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("batch") / "artifact"
    number_model.save(path)
    return path


@pytest.fixture(scope="session")
def retail():
    """A fitted model of Online Retail II, where the data are there."""
    root = os.environ.get("PENCHANT_DATA")
    path = Path(root or "missing") / "online-retail-ii" / "transactions.parquet"
    if not path.exists():
        pytest.skip("Online Retail II is not there (set PENCHANT_DATA)")
    events = pd.read_parquet(path, columns=["CustomerID", "Description"]).dropna()
    data = pc.Interactions.from_frame(events, user="CustomerID", item="Description")
    return pc.BPR(factors=64, epochs=1).fit(data, progress=False)


@pytest.fixture
def command():
    """Run `penchant batch ...` as a process of its own."""

    def run(*arguments, **options):
        line = [sys.executable, *WARNINGS, "-m", "penchant", "batch", *map(str, arguments)]
        return subprocess.run(line, capture_output=True, check=False, timeout=120, **options)

    return run
