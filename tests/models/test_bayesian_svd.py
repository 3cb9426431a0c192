"""BayesianSVD itself: what it learns, which samples it keeps, its options."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import bits
from penchant.errors import DataError, ParameterError

QUICK = {"factors": 3, "epochs": 6, "burn_in": 0.34, "n_samples": 2}


def ratings(n_users: int = 60, n_items: int = 40, seed: int = 0) -> pd.DataFrame:
    """High ratings where user and item are both even or both odd."""
    rng = np.random.default_rng(seed)
    u, i = np.nonzero(rng.random((n_users, n_items)) < 0.4)
    r = np.where((u + i) % 2 == 0, 4.5, 2.0) + rng.choice([-0.5, 0, 0.5], len(u))
    return pd.DataFrame({"u": u, "i": i, "r": r})


def rated(frame: pd.DataFrame) -> pc.Interactions:
    return pc.Interactions.from_frame(frame, user="u", item="i", value="r")


def rmse(model, frame):
    return float(np.sqrt(np.mean((model.predict(frame) - frame["r"].to_numpy()) ** 2)))


def test_learns_who_likes_what_without_tuning():
    frame = ratings()
    held_out = np.random.default_rng(1).random(len(frame)) < 0.2
    data, test = rated(frame[~held_out]), frame[held_out]
    model = pc.BayesianSVD(factors=4, n_samples=40).fit(data, progress=False)
    assert rmse(model, test) < 0.5  # the noise alone is 0.41
    one = pc.BayesianSVD(factors=4, n_samples=1).fit(data, progress=False)
    assert rmse(model, test) < rmse(one, test)  # an average is better than its parts
    assert list(model.history_.columns) == ["epoch", "loss", "rmse", "seconds"]
    assert model.history_["rmse"].iloc[-1] < 0.6


def test_who_rated_what_helps():
    """Users rate what they like; those with few ratings gain from what the choice says."""
    rng = np.random.default_rng(0)
    u, i = np.nonzero(
        rng.random((400, 60)) < np.where(np.add.outer(range(400), range(60)) % 2, 0.02, 0.2)
    )
    r = np.where(i % 3 == u % 2, 5.0, 1.0)
    frame = pd.DataFrame({"u": u, "i": i, "r": r})
    held_out = rng.random(len(frame)) < 0.3
    data, test = rated(frame[~held_out]), frame[held_out]
    known = test["u"].isin(frame[~held_out]["u"]) & test["i"].isin(frame[~held_out]["i"])
    with_it, without = (
        rmse(pc.BayesianSVD(factors=4, implicit=implicit).fit(data, progress=False), test[known])
        for implicit in ("both", "none")
    )
    assert with_it < without


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("factors", 4),
        ("epochs", 7),
        ("burn_in", 0.5),
        ("n_samples", 3),
        ("implicit", "users"),
        ("implicit", "items"),
        ("implicit", "none"),
        ("random_state", 1),
    ],
)
def test_every_option_matters(name, value):
    data = rated(ratings())
    plain = pc.BayesianSVD(**QUICK).fit(data, progress=False)
    other = pc.BayesianSVD(**{**QUICK, name: value}).fit(data, progress=False)
    assert bits(plain.predict(ratings())) != bits(other.predict(ratings()))


def test_samples_are_kept_at_equal_distances():
    """Of epochs 3 to 6 the fourth and the sixth; those are the last of shorter trainings."""
    data = rated(ratings())
    model = pc.BayesianSVD(**QUICK).fit(data, progress=False)
    assert model.kept_.tolist() == [2]
    for epochs, part in ((4, slice(0, 3)), (6, slice(3, 6))):
        options = {**QUICK, "epochs": epochs, "n_samples": 1, "burn_in": (epochs - 0.9) / epochs}
        last = pc.BayesianSVD(**options).fit(data, progress=False)
        assert bits(last.user_factors_) == bits(model.user_factors_[:, part])
        assert bits(last.item_factors_) == bits(model.item_factors_[:, part])


def test_scores_are_the_mean_over_samples():
    data, frame = rated(ratings()), ratings()
    model = pc.BayesianSVD(**QUICK, rating_scale=(-99, 99)).fit(data, progress=False)
    users, items = (
        part.reshape(len(part), 2, 3).astype(np.float64)
        for part in (model.user_factors_, model.item_factors_)
    )
    scores = np.einsum("usk,isk->ui", users, items) / 2
    scores += model.mean_ + model.user_biases_[:, None] + model.item_biases_
    rows = model.users_.codes(frame["u"]), model.items_.codes(frame["i"])
    np.testing.assert_allclose(model.predict(frame), scores[rows], rtol=1e-5)


def test_training_stopped_early_answers_with_what_there_is():
    class Stop(pc.Callback):
        def __init__(self, last):
            self.last = last

        def on_epoch_end(self, model, epoch, logs):
            return epoch == self.last

    data = rated(ratings())
    for last, kept in ((1, 1), (4, 1), (6, 2)):
        model = pc.BayesianSVD(**QUICK).fit(data, progress=False, callbacks=[Stop(last)])
        assert model.kept_.tolist() == [kept]
        assert rmse(model, ratings()) < 1.29  # guessing the mean: 1.2957


def test_estimates_stay_within_the_scale():
    frame = ratings()
    options = {"factors": 3, "epochs": 40, "n_samples": 1}  # one sample is noisy
    tight, wide = (
        pc.BayesianSVD(**options, rating_scale=scale).fit(rated(frame), progress=False)
        for scale in (None, (-99, 99))
    )
    low, high = frame["r"].min(), frame["r"].max()
    everywhere = wide.predict(frame)
    assert (everywhere > high).any()
    np.testing.assert_array_equal(tight.predict(frame), np.clip(everywhere, low, high))


def test_every_sweep_is_kept_where_samples_are_few():
    model = pc.BayesianSVD(factors=3, epochs=4, burn_in=0.5).fit(rated(ratings()), progress=False)
    assert model.kept_.tolist() == [2]
    assert model.user_factors_.shape == (60, 6)


@pytest.mark.parametrize("burn_in", [1, -0.1, "half"])
def test_burn_in_is_a_share(burn_in):
    with pytest.raises(ParameterError, match=r"burn_in must be a number >= 0 and <= 0\.99"):
        pc.BayesianSVD(burn_in=burn_in)


def test_ratings_are_needed():
    data = pc.Interactions.from_frame(ratings(), user="u", item="i")
    with pytest.raises(DataError, match="BayesianSVD learns from ratings"):
        pc.BayesianSVD().fit(data)


@pytest.mark.parametrize("rating", [3.0, 0.0])
def test_constant_ratings(rating):
    model = pc.BayesianSVD(**QUICK).fit(rated(ratings().assign(r=rating)), progress=False)
    assert (model.recommend(k=9)["score"] == rating).all()


def test_more_factors_than_items_and_users():
    frame = pd.DataFrame({"u": [1, 1, 2], "i": [1, 2, 1], "r": [1.0, 5.0, 2.0]})
    model = pc.BayesianSVD(**{**QUICK, "factors": 33}).fit(rated(frame), progress=False)
    assert np.isfinite(model.predict(frame)).all()
