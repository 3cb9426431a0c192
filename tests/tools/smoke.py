"""The whole arc in a bare environment: table in, trained, saved, loaded elsewhere, same answers.

Run from an empty folder against an installed penchant, with no test library and no extra installed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import penchant as pc

AGAIN = """
import pandas as pd, penchant as pc
pd.testing.assert_frame_equal(pc.load("artifact").recommend(k=3), pd.read_pickle("expected.pkl"))
"""


def purchases() -> pd.DataFrame:
    """Two tastes: even customers buy even products, odd ones odd products."""
    random = np.random.RandomState(0)
    customer = random.randint(0, 60, 2000)
    product = 2 * random.randint(0, 20, 2000) + customer % 2
    return pd.DataFrame({"customer": customer, "product": [f"product {i}" for i in product]})


def main() -> None:
    data = pc.Interactions.from_frame(purchases(), user="customer", item="product")
    train, test = pc.split.random(data, test_size=0.3, random_state=41)
    model = pc.BPR(factors=8, epochs=20, random_state=0).fit(train, progress=False)
    metrics = pc.evaluate(model, test, metrics=["precision@3"], exclude_seen=False)
    assert metrics["value"].between(0.2, 1.0).all(), metrics
    recommended = model.recommend(k=3)
    assert list(recommended.columns) == ["customer", "product", "score", "rank"]
    model.save("artifact")
    recommended.to_pickle("expected.pkl")
    subprocess.run([sys.executable, "-c", AGAIN], check=True)
    subprocess.run([Path(sys.executable).with_name("penchant"), "config"], check=True)
    print(f"penchant {pc.__version__} from {Path(pc.__file__).parent} works")


if __name__ == "__main__":
    main()
