"""Items below Prod2Vec's min_count in data with times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import assert_same_model, events, stars

SEQUENCES = pc.Prod2Vec(vector_size=4, epochs=2, min_count=2)
MODELS: dict[str, Any] = {
    "sequences": lambda: SEQUENCES,
    "retrieves": lambda: pc.Pipeline(retrieve=SEQUENCES, rank=pc.ItemKNN()),
    "ranks": lambda: pc.Pipeline(retrieve=pc.IALS(factors=4), rank=SEQUENCES),
    "trees": lambda: pc.Pipeline(
        retrieve=pc.IALS(factors=4),
        rank=pc.LambdaMART(models=[SEQUENCES], n_estimators=5, min_child_samples=5, validation=0),
    ),
}


def dated(frame, first_day):
    days = pd.date_range(first_day, periods=len(frame), freq="h")
    return pc.Interactions.from_frame(
        frame.assign(stars=stars(frame), at=days),
        user="customer", item="product", value="stars", timestamp="at",
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:LambdaMART. the trees do not better the order")
@pytest.mark.parametrize("name", list(MODELS))
def test_the_times_of_the_other_items_stay_theirs(name, tmp_path):
    if name == "trees":
        pytest.importorskip("lightgbm")
    # It sorts before all others, so that a list with its time is one ahead.
    rare = pd.DataFrame({"customer": [1000], "product": ["a rare item"]})
    frame = pd.concat([events(), rare], ignore_index=True)
    data = dated(frame, "2024-01-01")
    model = MODELS[name]().fit(data, progress=False)
    assert ("a rare item" in model.items_) == (name in ("ranks", "trees"))
    hours = dict(zip(frame["product"][::-1], frame.index[::-1], strict=True))
    start = pd.Timestamp("2024-01-01").value // 1000
    expected = [start + hours[item] * 3_600_000_000 for item in model.items_.to_list()]
    assert model.item_first_seen_.tolist() == expected
    assert model.last_event_ == start + (len(frame) - 1) * 3_600_000_000
    explore = pc.rerank.Exploration(weight=0.5, max_age_days=10**4)
    shown = model.recommend(1000, k=5, rerank=explore)
    assert len(shown) == 5
    model.save(tmp_path)
    again = pc.load(tmp_path)
    assert_same_model(again, model)
    pd.testing.assert_frame_equal(again.recommend(1000, k=5, rerank=explore), shown)
    if "partial_fit" in model.capabilities_:
        known = dict(zip(model.items_.to_list(), model.item_first_seen_, strict=True))
        new = pd.DataFrame({"customer": [1, 1], "product": ["item 03", "a rare item"]})
        model.partial_fit(dated(new, "2025-01-01"))
        known.setdefault("a rare item", pd.Timestamp("2025-01-01 01:00").value // 1000)
        found = dict(zip(model.items_.to_list(), model.item_first_seen_, strict=True))
        assert found == known
    assert np.isfinite(model.recommend(k=3)["score"]).all()
