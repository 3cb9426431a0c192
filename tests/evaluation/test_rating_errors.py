"""Callbacks that measure the errors of estimated ratings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc


def ratings_of_two(seed, value="stars"):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"who": rng.integers(0, 40, 600), "what": rng.integers(0, 30, 600)}
    ).drop_duplicates()
    parity = (frame["who"] + frame["what"]) % 2
    frame["stars"] = 2.5 + 2.0 * parity + rng.normal(0, 0.3, len(frame)).clip(-0.5, 0.5)
    return frame, pc.Interactions.from_frame(frame, user="who", item="what", value=value)


@pytest.mark.parametrize("metric", ["rmse", "mae"])
def test_models_of_ratings_stop_on_the_error_of_held_out_ratings(metric):
    _, train = ratings_of_two(1)
    frame, valid = ratings_of_two(2)
    stop = pc.EarlyStopping(metric, patience=3)
    model = pc.SVD(factors=20, epochs=400, learning_rate=0.03, regularization=0)
    model.fit(train, valid, progress=False, callbacks=[stop])
    history = model.history_[f"validation_{metric}"]
    assert stop.stopped
    assert stop.best_value == history.min() < history.iloc[0]
    assert stop.best_epoch == history.argmin() + 1
    gaps = model.predict(frame, unknown="average").astype(float) - frame["stars"].to_numpy()
    expected = np.abs(gaps).mean() if metric == "mae" else np.sqrt((gaps**2).mean())
    assert stop.best_value == pytest.approx(expected, rel=1e-12)


def test_errors_of_ratings_want_ratings():
    _, data = ratings_of_two(1)
    with pytest.raises(pc.errors.ParameterError, match="BPR does not estimate ratings"):
        pc.BPR(epochs=1).fit(data, data, callbacks=[pc.EarlyStopping("rmse")])
    _, plain = ratings_of_two(1, value=None)
    with pytest.raises(pc.errors.DataError, match="no ratings"):
        pc.SVD(epochs=1).fit(data, plain, callbacks=[pc.ValidationMetric(None, "rmse")])
