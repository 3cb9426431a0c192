"""BPR itself: what it learns, its options, and what stops it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import bits, events, interactions, run_python
from penchant.errors import DivergenceError, ParameterError, PenchantWarning
from penchant.models.drafts import Drafts
from penchant.models.training import has_diverged


@pytest.mark.parametrize("negatives", ["uniform", "popular", "dynamic"])
@pytest.mark.parametrize("use_biases", [True, False])
def test_learns_who_likes_what(negatives, use_biases):
    """Even users took even items only: so are their recommendations."""
    # Few candidates: the best of many would mostly be items the user has yet to discover.
    options = {"negatives": negatives, "n_candidates": 2, "use_biases": use_biases}
    model = pc.BPR(factors=8, epochs=80, regularization=0.002, learning_rate_decay=0, **options)
    model.fit(interactions(), progress=False)
    frame = model.recommend(k=3)
    even = (frame["customer"] // 10) % 2 == 0
    right = frame["product"].str[-1].astype(int) % 2 == np.where(even, 0, 1)
    assert right.mean() > 0.95
    history = model.history_
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] / 2
    assert history["auc"].iloc[-1] > 0.9


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("factors", 9),
        ("epochs", 4),
        ("learning_rate", 0.043),
        ("learning_rate_decay", 0.51),
        ("regularization", 0.11),
        ("user_regularization", 0.11),
        ("positive_regularization", 0.11),
        ("negative_regularization", 0.11),
        ("bias_regularization", 0.11),
        ("use_biases", False),
        ("negatives", "popular"),
        ("negatives", "uniform"),
        ("n_candidates", 3),
        ("init_scale", 0.2),
        ("random_state", 1),
    ],
)
def test_every_option_matters(name, value):
    plain = {"factors": 8, "epochs": 3, "negatives": "dynamic", "use_biases": True}
    model = pc.BPR(**plain).fit(interactions(), progress=False)
    other = pc.BPR(**{**plain, name: value}).fit(interactions(), progress=False)
    assert bits(model.item_factors_) != bits(other.item_factors_)


def test_users_of_everything_alone_teach_nothing_and_say_so():
    pairs = pd.DataFrame([(u, i) for u in "abc" for i in "xy"], columns=["customer", "product"])
    with pytest.warns(PenchantWarning, match="every user has every item"):
        pc.BPR(factors=4, epochs=2).fit(interactions(pairs), progress=False)


def norms(array):
    return np.linalg.norm(array, axis=-1)


def with_a_hit():
    """Everybody took the hit, so it is never drawn as an item that somebody did not take."""
    frame = events()
    hit = pd.DataFrame({"customer": frame["customer"].unique(), "product": "hit"})
    return interactions(pd.concat([frame, hit]))


@pytest.mark.parametrize("side", ["user", "positive", "negative"])
def test_regularization_shrinks_its_own_factors(side):
    data = with_a_hit()
    options = {"factors": 8, "epochs": 30, "negatives": "uniform", "regularization": 0}
    hit = data.items.code("hit")

    def sizes(value):
        strength = {"user_regularization": 0, f"{side}_regularization": value}
        model = pc.BPR(**options | strength).fit(data, progress=False)
        of_items = norms(model.item_factors_)
        return {
            "user": norms(model.user_factors_).mean(),
            "positive": of_items[hit],
            "negative": np.delete(of_items, hit).mean(),
        }

    free, weak, strong = sizes(0), sizes(0.05), sizes(0.5)
    assert strong[side] < weak[side] < free[side]
    assert strong[side] < free[side] / 2
    if side == "negative":  # the hit's own factors are never penalized
        assert strong["positive"] > free["positive"] / 2


def test_bias_regularization_shrinks_the_biases():
    free, weak, strong = (
        np.abs(
            pc.BPR(factors=8, epochs=30, bias_regularization=value)
            .fit(with_a_hit(), progress=False)
            .item_biases_
        ).mean()
        for value in (0, 0.05, 0.5)
    )
    assert strong < weak < free
    assert strong < free / 2


class Steps(pc.Callback):
    """How far the item factors move in each epoch, and where they start."""

    def on_fit_begin(self, model, train):
        self.start = self.last = model.item_factors_.copy()
        self.sizes = []

    def on_epoch_end(self, model, epoch, logs):
        self.sizes.append(float(norms(model.item_factors_ - self.last).mean()))
        self.last = model.item_factors_.copy()


def steps(**options):
    steps = Steps()
    plain = {"factors": 8, "epochs": 20, "negatives": "uniform"}
    pc.BPR(**plain | options).fit(interactions(), progress=False, callbacks=[steps])
    return steps


def test_decay_makes_the_last_steps_small():
    constant, half, full = (steps(learning_rate_decay=decay).sizes for decay in (0, 0.5, 1))
    assert constant[0] == half[0] == full[0]  # the first epoch runs at the full rate
    assert constant[-1] > 1.5 * half[-1] > 1.5 * 1.5 * full[-1]


def test_a_larger_learning_rate_makes_larger_steps():
    slow, fast = (steps(learning_rate=rate).sizes for rate in (0.01, 0.05))
    assert fast[0] > 3 * slow[0]


def test_init_scale_is_the_size_of_the_first_factors():
    small, large = (steps(init_scale=scale, epochs=1).start for scale in (0.1, 0.3))
    np.testing.assert_allclose(large, 3 * small, rtol=1e-5)
    assert norms(small).mean() == pytest.approx(0.1, rel=0.2)


def test_adagrad_is_another_optimizer():
    data = interactions()
    plain, adagrad = (
        pc.BPR(factors=8, epochs=30, learning_rate=0.5, optimizer=name).fit(data, progress=False)
        for name in ("sgd", "adagrad")
    )
    assert bits(plain.item_factors_) != bits(adagrad.item_factors_)
    # Its steps shrink from the first epoch on, so it moves less.
    assert norms(adagrad.item_factors_).mean() < norms(plain.item_factors_).mean()
    assert adagrad.history_["loss"].iloc[-1] < adagrad.history_["loss"].iloc[0]


def test_popularity_exponent_matters():
    frame = pd.concat([events(), pd.DataFrame({"customer": range(90), "product": "item 00"})])
    one, other = (
        pc.BPR(factors=8, epochs=3, negatives="popular", popularity_exponent=exponent).fit(
            interactions(frame), progress=False
        )
        for exponent in (0, 1)
    )
    assert bits(one.item_factors_) != bits(other.item_factors_)


def test_one_regularization_stands_for_four():
    sides = {"user": 1.0, "positive": 0.2, "negative": 0.2, "bias": 0.2}
    four = {f"{side}_regularization": value for side, value in sides.items()}
    one = pc.BPR(factors=8, epochs=3, regularization=0.2).fit(interactions(), progress=False)
    own = pc.BPR(factors=8, epochs=3, **four).fit(interactions(), progress=False)
    assert bits(one.user_factors_) == bits(own.user_factors_)
    assert bits(one.item_biases_) == bits(own.item_biases_)


def test_numpy_numbers_do_as_well(tmp_path):
    model = pc.BPR(factors=np.int32(8), epochs=np.int64(3), learning_rate=np.float32(0.05))
    model.fit(interactions(), progress=False).save(tmp_path)
    assert pc.load(tmp_path).get_params() == model.get_params()
    assert repr(model) == "BPR(factors=8, epochs=3, learning_rate=0.05000000074505806)"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("factors", 0, "an integer from 1 to 2048"),
        ("factors", 2049, "an integer from 1 to 2048"),
        ("factors", 8.0, "an integer"),
        ("factors", True, "an integer"),
        ("factors", None, "an integer"),
        ("epochs", 0, "an integer"),
        ("learning_rate", 0, "a number > 0"),
        ("learning_rate", float("nan"), "a number > 0"),
        ("learning_rate", float("inf"), "a number > 0"),
        ("learning_rate", "fast", "a number > 0"),
        ("learning_rate_decay", 1.5, "a number >= 0 and <= 1"),
        ("regularization", -0.01, "a number >= 0"),
        ("regularization", None, "a number >= 0"),
        ("user_regularization", -1, "a number >= 0 and <= 100 or None"),
        ("use_biases", 1, "True or False"),
        ("negatives", "hard", "one of 'dynamic', 'uniform', 'popular'"),
        ("n_candidates", 257, "an integer from 1 to 256"),
        ("init_scale", 0, "a number > 0"),
        ("random_state", -1, "an integer from 0"),
        ("random_state", None, "an integer from 0"),
        ("num_threads", 0, "an integer from 1 to 4096 or None"),
    ],
)
def test_values_out_of_range_are_named(name, value, allowed):
    message = rf"BPR: {name} must be {allowed}.*, got {value!r}"
    with pytest.raises(ParameterError, match=message):
        pc.BPR(**{name: value})
    with pytest.raises(ParameterError, match=message):
        pc.BPR().set_params(**{name: value})
    model = pc.BPR()
    setattr(model, name, value)
    with pytest.raises(ParameterError, match=message):
        model.fit(interactions())


def test_divergence_at_once_leaves_no_model():
    model = pc.BPR(factors=8, epochs=200, learning_rate=10, regularization=100)
    with pytest.raises(DivergenceError, match=r"diverged in epoch 1 .*smaller learning_rate"):
        model.fit(interactions(), progress=False)
    with pytest.raises(pc.errors.NotFittedError):
        model.recommend()


def test_divergence_keeps_the_last_good_state(monkeypatch):
    """The kernel's own arrays turn infinite after epoch 3, so that the next one cannot learn."""
    drafts = {}
    add = Drafts.add
    monkeypatch.setattr(Drafts, "add", lambda self, name: drafts.setdefault(name, add(self, name)))

    class Spoil(pc.Callback):
        def on_epoch_end(self, model, epoch, logs):
            if epoch == 3:
                self.before = model.snapshot()
                drafts["user_factors_"][...] = np.inf

    spoil = Spoil()
    model = pc.BPR(factors=16, epochs=9)
    with pytest.raises(DivergenceError, match="diverged in epoch 4"):
        model.fit(interactions(), progress=False, callbacks=[spoil])
    for name, array in spoil.before.items():
        assert bits(getattr(model, name)) == bits(array)
    assert len(model.history_) == 3
    assert np.isfinite(model.recommend()["score"]).all()


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [
        ([0.7], False),
        ([np.nan], True),
        ([0.7, 0.2, np.inf], True),
        ([0.7, 0.1, 0.6], False),  # negatives became harder
        ([0.7, 0.2, 0.65, 0.71], True),
        ([0.7, 0.69, 0.71, 1.5], False),
        ([0.7, 0.69, 0.71, 2.2], True),
    ],
)
def test_when_a_loss_counts_as_diverged(losses, diverged):
    assert has_diverged(losses) is diverged


def test_ctrl_c_in_a_callback_keeps_the_history():
    class Press(pc.Callback):
        def on_epoch_end(self, model, epoch, logs):
            if epoch == 3:
                raise KeyboardInterrupt

    model = pc.BPR(factors=4, epochs=10)
    with pytest.raises(KeyboardInterrupt):
        model.fit(interactions(), progress=False, callbacks=[Press()])
    assert len(model.history_) == 3
    assert len(model.recommend(1000, k=3)) == 3


def test_a_forked_child_answers_and_trains():
    """OpenMP's threads do not survive a fork: the child must work serially instead of hanging."""
    code = """
        import multiprocessing
        import pandas as pd
        import penchant as pc

        pairs = [(u, i) for u in range(200) for i in range(u % 7, 60, 3)]
        frame = pd.DataFrame(pairs, columns=["u", "i"])
        data = pc.Interactions.from_frame(frame, user="u", item="i")

        def train():
            return pc.BPR(factors=16, epochs=5, num_threads=2).fit(data, progress=False)

        model = train()
        expected = model.recommend(k=5)

        def child(queue):
            same = model.recommend(k=5).equals(expected)
            same &= (model.predict(expected) == expected["score"].to_numpy()).all()
            again = train()
            same &= again.item_factors_.tobytes() == model.item_factors_.tobytes()
            queue.put(bool(same))

        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        process = context.Process(target=child, args=(queue,))
        process.start()
        process.join(20)
        if process.is_alive():
            process.kill()
            raise SystemExit("the child hangs")
        assert process.exitcode == 0
        print(queue.get(), model.recommend(k=5).equals(expected))
    """
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True"]
