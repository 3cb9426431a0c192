"""The mean audience of a group that some users have seen nearly all of, against float64."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from penchant.models.factor_model import FactorModel

N_USERS, N_ITEMS, GROUP = 40, 400, 390


def events():
    """Every third user has taken all items but one to five, the others 30."""
    rng = np.random.default_rng(0)
    lengths = [N_ITEMS - 1 - u % 5 if u % 3 == 0 else 30 for u in range(N_USERS)]
    items = [rng.choice(N_ITEMS, length, replace=False) for length in lengths]
    frame = pd.DataFrame(
        {"user": np.repeat(np.arange(N_USERS), lengths), "item": np.concatenate(items)}
    )
    frame["value"] = 1 + (7 * frame["user"] + frame["item"]) % 5
    groups = pd.DataFrame({"item": np.arange(N_ITEMS), "number": np.arange(N_ITEMS)})
    return pc.Interactions.from_frame(
        frame, user="user", item="item", value="value", item_features=groups
    )


def float64_scores(model):
    """Users x items, from what the model keeps."""
    queries = model._queries(None)
    if isinstance(model, FactorModel):
        users, items, biases = model._factors()
        scores = users.astype(np.float64) @ items.T.astype(np.float64)
        return scores if biases is None else scores + biases.astype(np.float64)
    weights = model.item_weights_
    if weights is None:
        weights = dense(model._neighbor_lists(), N_ITEMS)
    return dense(queries, N_USERS) @ np.asarray(weights, np.float64)


def dense(matrix, n):
    _, indices, values = matrix
    found = np.zeros((n, N_ITEMS))
    found[matrix.rows(), indices] = values
    return found


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize(
    "model",
    [
        pc.EASE(regularization=5, values="sum"),
        pc.EASE(regularization=5, neighbors=50),
        pc.ItemKNN(values="sum"),
        pc.IALS(factors=8, epochs=2),
        pc.BPR(factors=8, epochs=5, learning_rate=0.2),
    ],
    ids=lambda model: f"{type(model).__name__}",
)
def test_a_mean_keeps_its_digits_where_little_is_left(model, exclude_seen):
    model.fit(events(), progress=False)
    scores = float64_scores(model)
    if exclude_seen:
        scores[np.repeat(np.arange(N_USERS), np.diff(model.seen_.indptr)), model.seen_.indices] = (
            np.nan
        )
    scores = scores[:, model.items_.codes(list(range(GROUP)))]
    left = ~np.isnan(scores).all(axis=1)
    expected = np.nanmean(scores[left], axis=1)
    options = {"where": f"number < {GROUP}", "reduce": "mean", "exclude_seen": exclude_seen}
    found = model.recommend_users(**options, k=N_USERS)
    assert sorted(found["user"]) == np.asarray(model.users_.to_list())[left].tolist()
    order = np.searchsorted(np.flatnonzero(left), model.users_.codes(found["user"]))
    np.testing.assert_allclose(found["score"], expected[order], rtol=1e-6)
    again = model.recommend_users(**options, k=N_USERS, num_threads=3)
    pd.testing.assert_frame_equal(found, again, check_exact=True)
