"""SVD and SVDpp themselves: ratings, their scale, unknown pairs, options, what stops them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import bits, events, interactions, stars
from penchant.errors import (
    DataError,
    DivergenceError,
    NotFittedError,
    ParameterError,
    UnknownIdError,
)

MODELS = [pc.SVD, pc.SVDpp]
both = pytest.mark.parametrize("model", MODELS)


def rated(frame: pd.DataFrame | None = None, **columns: str) -> pc.Interactions:
    frame = ratings() if frame is None else frame
    return pc.Interactions.from_frame(frame, user="u", item="i", value="r", **columns)


def ratings(n_users: int = 60, n_items: int = 40, seed: int = 0) -> pd.DataFrame:
    """High ratings where user and item are both even or both odd."""
    rng = np.random.default_rng(seed)
    u, i = np.nonzero(rng.random((n_users, n_items)) < 0.4)
    r = np.where((u + i) % 2 == 0, 4.5, 2.0) + rng.choice([-0.5, 0, 0.5], len(u))
    return pd.DataFrame({"u": u, "i": i, "r": r})


@both
@pytest.mark.parametrize("biased", [True, False])
def test_learns_who_likes_what(model, biased):
    frame = ratings()
    held_out = np.random.default_rng(1).random(len(frame)) < 0.2
    options = {"factors": 8, "epochs": 150, "learning_rate": 0.02, "biased": biased}
    fitted = model(**options).fit(rated(frame[~held_out]), progress=False)
    test = frame[held_out]
    errors = fitted.predict(test) - test["r"].to_numpy()
    assert np.sqrt(np.mean(errors**2)) < 0.7  # guessing the mean is wrong by 1.3
    history = fitted.history_
    assert list(history.columns) == ["epoch", "loss", "rmse", "seconds"]
    assert history["rmse"].iloc[-1] < 0.5 < history["rmse"].iloc[0]
    assert (history["loss"] > history["rmse"] ** 2).all()


OPTIONS = [
    ("factors", 9),
    ("epochs", 4),
    ("learning_rate", 0.0043),
    ("learning_rate_decay", 0.51),
    ("user_learning_rate", 0.0),
    ("item_learning_rate", 0.1),
    ("user_bias_learning_rate", 0.1),
    ("item_bias_learning_rate", 0.1),
    ("regularization", 0.11),
    ("user_regularization", 0.11),
    ("item_regularization", 0.11),
    ("user_bias_regularization", 0.5),
    ("item_bias_regularization", 0.5),
    ("biased", False),
    ("init_mean", 0.1),
    ("init_std", 0.2),
    ("random_state", 1),
]


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [(model, *option) for model in MODELS for option in OPTIONS]
    + [(pc.SVDpp, "implicit_learning_rate", 0.1), (pc.SVDpp, "implicit_regularization", 0.5)],
)
def test_every_option_matters(model, name, value):
    plain = model(factors=8, epochs=3).fit(rated(), progress=False)
    other = model(**{"factors": 8, "epochs": 3, name: value}).fit(rated(), progress=False)
    assert bits(plain.item_factors_) != bits(other.item_factors_)


def test_a_rate_of_zero_leaves_a_group_alone():
    fitted = pc.SVD(factors=4, epochs=3, user_learning_rate=0, user_bias_learning_rate=0)
    fitted.fit(rated(), progress=False)
    first = pc.SVD(factors=4, epochs=1, learning_rate=1e-30).fit(rated(), progress=False)
    assert bits(fitted.user_factors_) == bits(first.user_factors_)
    assert not fitted.user_biases_.any()
    assert fitted.item_biases_.any()


def test_one_rate_stands_for_all():
    groups = ("user", "item", "user_bias", "item_bias")
    own = {f"{group}_{what}": 0.01 for group in groups for what in OWN}
    one = pc.SVD(learning_rate=0.01, regularization=0.01).fit(rated(), progress=False)
    four = pc.SVD(**own).fit(rated(), progress=False)
    assert bits(one.user_factors_) == bits(four.user_factors_)
    assert bits(one.item_biases_) == bits(four.item_biases_)


OWN = ("learning_rate", "regularization")


@both
def test_first_factors_have_the_mean_and_deviation_asked_for(model):
    options = {"factors": 500, "epochs": 1, "learning_rate": 1e-30}
    fitted = model(init_mean=2.0, init_std=0.5, **options).fit(rated(), progress=False)
    for factors in (fitted.user_factors_, fitted.item_factors_):
        assert factors.mean() == pytest.approx(2, abs=0.02)
        assert factors.std() == pytest.approx(0.5, rel=0.02)


# ---- ratings and their scale --------------------------------------------------------------------


@both
def test_ratings_are_needed(model):
    data = pc.Interactions.from_frame(ratings(), user="u", item="i")
    with pytest.raises(DataError, match=r"no value column: name it with .*value='rating'"):
        model().fit(data)


@both
def test_a_rating_outside_the_scale_is_named(model):
    frame = ratings()
    frame.loc[7, "r"] = 5.5
    user, item = frame.loc[7, ["u", "i"]].astype(int)
    message = rf"rating 5.5 of user {user} and item {item} \(event 7\) is outside .*\(1, 5\)"
    with pytest.raises(DataError, match=message):
        model(rating_scale=(1, 5)).fit(rated(frame))
    model(rating_scale=(1, 5.5), epochs=1).fit(rated(frame), progress=False)


@pytest.mark.parametrize("scale", [(5, 1), (1, 1), [1, 5], (1, float("inf")), (1,), "15", 5])
def test_what_is_no_scale(scale):
    with pytest.raises(ParameterError, match=r"rating_scale must be a tuple \(low, high\)"):
        pc.SVD(rating_scale=scale)


@both
def test_estimates_stay_within_the_scale(model):
    frame = ratings()
    options = {"factors": 8, "epochs": 200, "learning_rate": 0.05, "regularization": 0}
    own = model(**options).fit(rated(frame), progress=False)
    lowest, highest = frame["r"].min(), frame["r"].max()
    everything = own.recommend(k=99, exclude_seen=False)["score"]
    assert everything.min() == lowest
    assert everything.max() == highest
    wide = model(**options, rating_scale=(0, 10)).fit(rated(frame), progress=False)
    assert wide.recommend(k=99, exclude_seen=False)["score"].max() > highest
    # Ranked before clipping: both put the same items first.
    first = [m.recommend(k=5, exclude_seen=False)["i"].tolist() for m in (own, wide)]
    assert first[0] == first[1]


@both
def test_the_scale_survives_saving(model, tmp_path):
    fitted = model(factors=2, epochs=1, rating_scale=(0, 10)).fit(rated(), progress=False)
    fitted.save(tmp_path)
    loaded = pc.load(tmp_path)
    assert loaded.get_params() == fitted.get_params()
    assert loaded.scale_.tolist() == [0, 10]


@both
def test_the_latest_rating_of_a_pair_counts(model):
    frame = ratings().assign(t=2)
    older = frame.assign(r=1.0, t=1)
    once = model(factors=4).fit(rated(frame, timestamp="t", timestamp_unit="s"), progress=False)
    both_times = rated(pd.concat([frame, older]), timestamp="t", timestamp_unit="s")
    twice = model(factors=4).fit(both_times, progress=False)
    assert bits(once.user_factors_) == bits(twice.user_factors_)


@both
def test_constant_ratings(model):
    fitted = model(factors=4).fit(rated(ratings().assign(r=3.0)), progress=False)
    assert (fitted.recommend(k=9)["score"] == 3).all()


@both
def test_a_user_with_every_item(model):
    frame = pd.DataFrame({"u": 1, "i": range(50), "r": [1, 2, 3, 4, 5] * 10})
    fitted = model(factors=4).fit(rated(frame), progress=False)
    assert len(fitted.recommend(1)) == 0
    assert np.isfinite(fitted.predict(frame)).all()


# ---- unknown pairs ------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("biased", [True, False])
def test_unknown_pairs_get_averages_and_are_flagged(model, biased):
    fitted = model(factors=4, biased=biased).fit(rated(), progress=False)
    pairs = pd.DataFrame({"u": [0, 999, 0, 999], "i": [0, 0, 999, 999]})
    found, known = fitted.predict(pairs, unknown="average", return_known=True)
    assert known.tolist() == [True, False, False, False]
    mean = np.float32(ratings()["r"].mean())
    assert found.dtype == np.float32
    assert found[0] == fitted.predict(pairs[:1])[0]
    expected = [mean, mean, mean]
    if biased:
        expected = [mean + fitted.item_biases_[0], mean + fitted.user_biases_[0], mean]
    np.testing.assert_allclose(found[1:], expected, rtol=1e-6)
    plain, known = fitted.predict(pairs, unknown="nan", return_known=True)
    assert np.isnan(plain).tolist() == [False, True, True, True]
    assert known.tolist() == [True, False, False, False]
    with pytest.raises(UnknownIdError, match="999"):
        fitted.predict(pairs)


def test_averages_stay_within_the_scale():
    frame = pd.DataFrame({"u": [1, 2, 3], "i": [1, 1, 2], "r": [5.0, 5.0, 1.0]})
    fitted = pc.SVD(factors=1, epochs=500, regularization=0).fit(rated(frame), progress=False)
    fitted.item_biases_[0] = 9
    assert fitted.predict(pd.DataFrame({"u": [9], "i": [1]}), unknown="average").tolist() == [5]


# ---- the model itself ---------------------------------------------------------------------------


@both
def test_scores_are_the_formula(model):
    fitted = model(factors=5, epochs=5).fit(rated(), progress=False)
    users = fitted.user_factors_.astype(np.float64)
    if model is pc.SVDpp:
        seen = rated().to_csr("distinct").astype(np.float64)
        roots = np.sqrt(np.diff(seen.indptr))[:, None]
        users = users + (seen @ fitted.implicit_factors_) / roots
    expected = (
        users @ fitted.item_factors_.T
        + fitted.mean_
        + fitted.user_biases_[:, None]
        + fitted.item_biases_
    )
    frame = ratings()
    rows = fitted.users_.codes(frame["u"]), fitted.items_.codes(frame["i"])
    np.testing.assert_allclose(fitted.predict(frame), expected[rows].clip(1.5, 5), rtol=1e-5)
    np.testing.assert_allclose(fitted.user_vectors().to_numpy(), users, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(fitted.item_vectors().to_numpy(), fitted.item_factors_)


@pytest.mark.parametrize(("model", "rate"), [(pc.SVD, 0.3), (pc.SVDpp, 0.2)])
def test_divergence_keeps_the_last_good_state(model, rate):
    class Remember(pc.Callback):
        def on_epoch_end(self, model, epoch, logs):
            self.state, self.epoch = model.snapshot(), epoch

    seen = Remember()
    wild = model(factors=8, epochs=500, learning_rate=rate, regularization=0)
    with pytest.raises(DivergenceError, match=r"diverged.*smaller learning_rate"):
        wild.fit(rated(), progress=False, callbacks=[seen])
    assert len(wild.history_) == seen.epoch >= 1
    for name, array in seen.state.items():
        assert bits(getattr(wild, name)) == bits(array)
    assert np.isfinite(wild.predict(ratings())).all()


@both
def test_divergence_in_the_first_epoch_leaves_the_model_as_it_was(model):
    wild = model(factors=8, epochs=100, learning_rate=0.9)
    with pytest.raises(DivergenceError, match="diverged in epoch 1"):
        wild.fit(rated(), progress=False)
    with pytest.raises(NotFittedError):
        wild.predict(ratings())
    wild.set_params(learning_rate=0.01).fit(rated(), progress=False)
    before = wild.snapshot()
    with pytest.raises(DivergenceError, match="diverged in epoch 1"):
        wild.set_params(learning_rate=0.9).fit(rated(), progress=False)
    assert all(bits(getattr(wild, name)) == bits(array) for name, array in before.items())
    assert len(wild.history_) == 100


def test_events_of_the_contract_have_a_taste():
    """Else the contract suite would say little about rating models."""
    values = stars(events())
    assert len(set(values)) == 5
    assert interactions().columns.value == "stars"


@both
def test_strangers_are_estimated_as_well_as_users_of_the_training(model):
    frame = pc.datasets.make_ratings(9_000, n_users=300, n_films=80, random_state=3)
    user, item, rating = "user", "title", "rating"

    def data(rows):
        return pc.Interactions.from_frame(rows, user=user, item=item, value=rating)

    strange = frame[user].isin(frame[user].unique()[::4])
    test = np.random.default_rng(0).random(len(frame)) < 0.3
    held_out = frame[strange & test]

    def rmse(estimates):
        return float(np.sqrt(np.mean((estimates - held_out[rating]) ** 2)))

    trained = model(factors=10, epochs=30).fit(data(frame[~(strange & test)]), progress=False)
    stranger = model(factors=10, epochs=30).fit(data(frame[~strange]), progress=False)
    found = stranger.recommend(
        history=frame[strange & ~test][[user, item, rating]], k=80, exclude_seen=False
    )
    folded = held_out[[user, item]].merge(found, how="left")["score"].to_numpy()
    assert np.isfinite(folded).all()
    assert rmse(folded) < 1.01 * rmse(trained.predict(held_out))
    assert rmse(folded) < 0.97 * rmse(held_out[rating].mean())


@both
def test_artifacts_of_versions_that_kept_no_ratings_say_so(model):
    old = model(factors=2, epochs=1).fit(rated(), progress=False)
    old.history_values_ = None
    user, item = old.users_.to_list()[0], old.items_.to_list()[0]
    with pytest.raises(pc.errors.UnsupportedError, match="fit it again, or pass history="):
        old.explain(user, item)
