"""IALS itself: what it learns, its options, folding in, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import bits, convert, events, interactions, pandas_frame
from penchant.errors import DataError, ParameterError, UnknownIdError

SOLVERS = ("auto", "cholesky", "subspace", "cg")


def fitted(data=None, **params):
    scaled = {"regularization": 0.003, "regularization_exponent": 1.0}
    options = {"factors": 8, "epochs": 4, "unobserved_weight": 0.3} | scaled | params
    return pc.IALS(**options).fit(interactions() if data is None else data, progress=False)


def with_values(values, backend="pandas"):
    frame = events().drop_duplicates()
    frame["amount"] = np.resize(values, len(frame))
    return pc.Interactions.from_frame(
        convert(frame, backend), user="customer", item="product", value="amount"
    )


def dense(model, data):
    """Confidence of every cell, 0 where there is no pair."""
    indptr, indices, values = data.csr("sum")
    cells = np.zeros((data.n_users, data.n_items))
    rows = np.repeat(np.arange(data.n_users), np.diff(indptr))
    cells[rows, indices] = 1 + model.alpha * values
    return cells


def exact_user(model, cells, weights=None):
    """Solve the normal equations of one user over all items, in float64."""
    items = model.item_factors_.astype(np.float64)
    weights = np.ones(len(items)) if weights is None else weights
    unobserved = model.unobserved_weight * weights
    scale = (cells > 0).sum() + unobserved.sum()
    ridge = model.regularization * scale**model.regularization_exponent
    system = (items.T * (cells + unobserved)) @ items + ridge * np.eye(items.shape[1])
    return np.linalg.solve(system, items.T @ cells)


def objective(model, data):
    cells = dense(model, data)
    users, items = (
        array.astype(np.float64) for array in (model.user_factors_, model.item_factors_)
    )
    counts = data.csr("distinct")
    weights = np.bincount(counts.indices, minlength=data.n_items) ** model.popularity_exponent
    weights = model.unobserved_weight * weights / weights.mean()
    scores = users @ items.T
    loss = (cells * (1 - scores) ** 2).sum() + (weights * scores**2).sum()
    observed = cells > 0
    for array, count, unobserved in (
        (users, observed.sum(1), weights.sum()),
        (items, observed.sum(0), weights * data.n_users),
    ):
        ridge = model.regularization * (count + unobserved) ** model.regularization_exponent
        loss += (ridge * (array**2).sum(1)).sum()
    return loss


@pytest.mark.parametrize("solver", SOLVERS)
def test_learns_who_likes_what(solver):
    """Even users took even items only: so are their recommendations."""
    frame = fitted(solver=solver, factors=2, epochs=8).recommend(k=3)
    even = (frame["customer"] // 10) % 2 == 0
    right = frame["product"].str[-1].astype(int) % 2 == np.where(even, 0, 1)
    assert right.mean() > 0.95


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("exponent", [0, 0.5])
def test_the_loss_is_the_objective_and_falls(solver, exponent):
    data = with_values([1, 2, 5])
    model = fitted(data, solver=solver, alpha=0.5, popularity_exponent=exponent, epochs=6)
    losses = model.history_["loss"].to_numpy()
    assert losses[-1] == pytest.approx(objective(model, data), rel=1e-4)
    assert (np.diff(losses) <= losses[0] * 1e-6).all()
    assert list(model.history_.columns) == ["epoch", "loss", "seconds"]


def test_solvers_agree():
    exact, *others = (
        fitted(solver=solver, epochs=30, cg_steps=5).history_["loss"].iloc[-1] for solver in SOLVERS
    )
    np.testing.assert_allclose(others, exact, rtol=0.01)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("factors", 9),
        ("epochs", 3),
        ("regularization", 0.1),
        ("regularization_exponent", 0.5),
        ("unobserved_weight", 0.4),
        ("alpha", 0.7),
        ("popularity_exponent", 0.5),
        ("init_scale", 0.5),
        ("random_state", 1),
    ],
)
def test_every_option_matters(name, value):
    data = with_values([1, 2, 5])
    assert bits(fitted(data).item_factors_) != bits(fitted(data, **{name: value}).item_factors_)


def test_options_of_the_solvers_matter():
    def factors(**params):
        return bits(fitted(factors=33, regularization=0.01, **params).item_factors_)

    assert factors(solver="cg", cg_steps=1) != factors(solver="cg", cg_steps=2)
    assert factors(solver="cholesky") != factors(solver="cg")
    assert factors(solver="auto") == factors(solver="cholesky")  # short rows are solved exactly
    long_rows = interactions(pd.concat([events(n_items=60, seed=s) for s in range(6)]))
    one, other = (
        bits(fitted(long_rows, factors=33, solver="subspace", block_size=size).item_factors_)
        for size in (16, 32)
    )
    assert one != other


def test_log_scaling_matters():
    data = with_values([1, 2, 5])
    one, other = (
        fitted(data, alpha=1, confidence_scaling=scaling).item_factors_
        for scaling in ("linear", "log")
    )
    assert bits(one) != bits(other)
    logs = with_values(np.log1p([1, 2, 5]).astype(np.float32))
    np.testing.assert_allclose(fitted(logs, alpha=1).item_factors_, other, rtol=1e-3, atol=1e-5)


def test_without_alpha_values_do_not_count():
    assert bits(fitted(with_values([1])).item_factors_) == bits(
        fitted(with_values([3, 7, 0.5])).item_factors_
    )


def test_without_a_value_column_repeats_count():
    frame = events().drop_duplicates()
    twice = pc.Interactions.from_frame(pd.concat([frame, frame]), user="customer", item="product")
    assert bits(fitted(twice, alpha=1).item_factors_) == bits(
        fitted(with_values([2]), alpha=1).item_factors_
    )


@pytest.mark.parametrize("side", ["user", "item"])
def test_more_regularization_makes_factors_smaller(side):
    sizes = [
        np.linalg.norm(getattr(fitted(regularization=value), f"{side}_factors_"))
        for value in (0.01, 0.3)
    ]
    assert sizes[1] < 0.8 * sizes[0]


def test_unobserved_pairs_score_lower_where_they_weigh_more():
    light, heavy = (
        fitted(unobserved_weight=weight).recommend(k=5)["score"].mean() for weight in (0.01, 1)
    )
    assert heavy < 0.5 * light


def test_init_scale_is_the_size_of_the_first_factors():
    class First(pc.Callback):
        def on_fit_begin(self, model, train):
            self.size = np.linalg.norm(model.item_factors_, axis=1).mean()

    sizes = []
    for scale in (0.1, 0.3):
        first = First()
        model = pc.IALS(factors=16, epochs=1, init_scale=scale)
        model.fit(interactions(), progress=False, callbacks=[first])
        sizes.append(first.size)
    assert sizes[0] == pytest.approx(0.1, rel=0.2)
    assert sizes[1] == pytest.approx(3 * sizes[0], rel=1e-4)


# ---- folding in ---------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0, 0.5])
def test_a_history_gives_the_exact_user(exponent):
    model = fitted(popularity_exponent=exponent)
    cells = np.zeros(len(model.items_))
    cells[model.items_.codes(["item 03", "item 05", "item 08"])] = 1
    weights = model.item_counts_**exponent
    expected = model.item_factors_ @ exact_user(model, cells, weights / weights.mean())
    frame = model.recommend(history=["item 05", "item 03", "item 08"], k=30, exclude_seen=False)
    codes = model.items_.codes(frame["product"].tolist())
    np.testing.assert_allclose(frame["score"], expected[codes], atol=1e-5)


def test_folding_in_the_users_of_the_training_data_solves_them_again():
    data = with_values([1, 2, 5])
    model = fitted(data, alpha=0.5)
    found = model.fold_in_users(data)
    assert found.index.tolist() == data.users.to_list()
    cells = dense(model, data)
    expected = [exact_user(model, row) for row in cells]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
def test_folding_in_the_items_of_the_training_data_gives_their_factors(backend):
    """Items are solved last, exactly, and from the users as they are."""
    data = with_values([1, 2, 5], backend)
    options = {"alpha": 0.5, "popularity_exponent": 0.5, "solver": "cholesky"}
    model = fitted(data, **options)
    frame = pandas_frame(model.fold_in_items(data))
    vectors = frame[[f"factor_{j}" for j in range(8)]].to_numpy()
    np.testing.assert_allclose(vectors, model.item_factors_, atol=1e-5)


def test_folding_in_takes_ids_in_any_order_and_part():
    data = with_values([1, 2, 5])
    model = fitted(data, alpha=0.5)
    frame = data.to_frame()
    some = frame[frame["product"].isin(["item 09", "item 03"])].sample(frac=1, random_state=1)
    some["product"] = some["product"].map({"item 09": "new a", "item 03": "new z"})
    columns = {"user": "customer", "item": "product", "value": "amount"}
    found = model.fold_in_items(pc.Interactions.from_frame(some, **columns))
    assert found.index.tolist() == ["new a", "new z"]
    expected = model.fold_in_items(data).loc[["item 09", "item 03"]]
    assert bits(found.to_numpy()) == bits(expected.to_numpy())


def test_folding_in_does_not_change_the_model_or_depend_on_threads():
    model = fitted()
    before = bits(model.item_factors_), bits(model.user_factors_)
    frames = [model.fold_in_users(interactions(), num_threads=n) for n in (1, 2, 3, 8)]
    for frame in frames:
        pd.testing.assert_frame_equal(frame, frames[0], check_exact=True)
    assert before == (bits(model.item_factors_), bits(model.user_factors_))


def test_folding_in_refuses_the_unknown():
    model = fitted()
    frame = pd.DataFrame({"customer": [1, 1000], "product": ["pie", "item 03"]})
    data = pc.Interactions.from_frame(frame, user="customer", item="product")
    with pytest.raises(UnknownIdError, match="not among the items"):
        model.fold_in_users(data)
    with pytest.raises(UnknownIdError, match="not among the users"):
        model.fold_in_items(data)
    with pytest.raises(DataError, match="from_frame"):
        model.fold_in_items(frame)
    with pytest.raises(pc.errors.NotFittedError):
        pc.IALS().fold_in_users(data)


# ---- what is refused ----------------------------------------------------------------------------


def test_a_pair_without_confidence_is_named():
    values = np.ones(300)
    values[7] = 1e35
    data = with_values(values)
    row = data.to_frame().iloc[7]
    message = (
        rf"IALS: customer {row['customer']} and product '{row['product']}' have the value 1e\+35, "
        r"so a confidence of 1e\+41; .*\(1 such"
    )
    with pytest.raises(DataError, match=message):
        fitted(data, alpha=1e6)
    model = fitted(alpha=1e6)
    with pytest.raises(DataError, match=message):
        model.fold_in_users(data)
    with pytest.raises(DataError, match=r"IALS: product 'item \d\d' and customer \d+ have"):
        model.fold_in_items(data)
    assert len(fitted(data).users_) == len(data.users)  # alpha is 0


@pytest.mark.parametrize("amount", [-1, -3])
@pytest.mark.parametrize("scaling", ["linear", "log"])
def test_a_history_without_confidence_is_refused(amount, scaling):
    model = fitted(with_values([1, 2]), alpha=1, confidence_scaling=scaling)
    history = pd.DataFrame({"customer": [5], "product": ["item 03"], "amount": [amount]})
    message = f"'amount' is {amount} in row 0, item 'item 03' of user 5: give .* not negative"
    with pytest.raises(DataError, match=message):
        model.recommend(history=history)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("factors", 2049, "an integer from 1 to 2048"),
        ("epochs", 0, "an integer"),
        ("regularization", -0.1, "a number >= 0"),
        ("regularization", float("nan"), "a number >= 0"),
        ("regularization_exponent", 3, "a number >= -2 and <= 2"),
        ("unobserved_weight", -1, "a number >= 0"),
        ("alpha", -1, "a number >= 0"),
        ("confidence_scaling", "square", "one of 'linear', 'log'"),
        ("solver", "magic", "one of 'auto', 'cholesky', 'subspace', 'cg'"),
        ("block_size", 0, "an integer from 1"),
        ("cg_steps", 0, "an integer from 1"),
        ("init_scale", 0, "a number > 0"),
        ("num_threads", 0, "an integer from 1 to 4096 or None"),
    ],
)
def test_values_out_of_range_are_named(name, value, allowed):
    with pytest.raises(ParameterError, match=rf"IALS: {name} must be {allowed}.*, got {value!r}"):
        pc.IALS(**{name: value})


def test_nothing_that_holds_the_factors_back():
    with pytest.raises(ParameterError, match="both 0"):
        pc.IALS(regularization=0, unobserved_weight=0)
    model = pc.IALS(regularization=0)
    with pytest.raises(ParameterError, match="both 0"):
        model.set_params(unobserved_weight=0)
    assert model.unobserved_weight > 0
    assert np.isfinite(fitted(regularization=0).item_factors_).all()
    assert np.isfinite(fitted(unobserved_weight=0).item_factors_).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_more_factors_than_items(solver):
    frame = pd.DataFrame({"customer": [1, 1, 2, 3], "product": ["a", "b", "a", "c"]})
    model = fitted(interactions(frame), factors=200, solver=solver)
    assert model.recommend(2, k=1)["product"].tolist() == ["b"]


def test_one_user_has_everything():
    frame = events()
    everything = pd.DataFrame({"customer": 1, "product": frame["product"].unique()})
    model = fitted(interactions(pd.concat([frame, everything])))
    assert np.isfinite(model.predict(everything)).all()
    assert len(model.recommend(1)) == 0


def test_early_stopping_keeps_the_best():
    data = interactions()
    stop = pc.EarlyStopping("recall@5", patience=1)
    model = pc.IALS(factors=8, epochs=50)
    test = interactions(events(seed=3))
    model.fit(data, validation=test, progress=False, callbacks=[stop])
    history = model.history_
    assert len(history) < 50
    assert history["recall@5"].argmax() + 1 == stop.best_epoch < len(history)


@pytest.mark.parametrize("params", [{"epochs": 16}, {"epochs": 5, "factors": 16}])
def test_what_nobody_else_took_says_nothing(params):
    """Such vectors end near zero, though not at it; what one user of many items took does not."""
    alone = pd.DataFrame({"customer": [1, 2000, 1000], "product": ["odd 1", "odd 2", "rare"]})
    data = interactions(pd.concat([events(), alone]))
    retrieve = pc.IALS(**params)
    for model in (retrieve, pc.Pipeline(retrieve=retrieve, rank=retrieve)):
        model.fit(data, progress=False)
        popular = model.recommend([-1], k=8, unknown="popular")
        for how in ({"users": 1}, {"users": [2000, 1010, 1]}, {"history": ["odd 1"]}):
            found = model.recommend(**how, k=8)
            if "users" in how:
                found = found[found["customer"].isin([1])]
            assert found["product"].tolist() == popular["product"].tolist()
            assert found["score"].tolist() == popular["score"].tolist()
        for history in (["rare"], ["odd 1", "rare"]):
            told = model.recommend(history=history, k=8)
            assert 0 < told["score"].max() < 1
            assert told["product"].tolist() != popular["product"].tolist()
