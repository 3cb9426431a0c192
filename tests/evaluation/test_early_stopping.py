"""`ValidationMetric` and `EarlyStopping` during a fit."""

from __future__ import annotations

import numpy as np
import pytest

import penchant as pc
from model_support import bits, events, interactions
from penchant.errors import DataError, ParameterError, PenchantWarning


@pytest.fixture(scope="module")
def train():
    return interactions(events(seed=0))


@pytest.fixture(scope="module")
def valid():
    return interactions(events(seed=1))


def small(epochs=30, **params):
    return pc.BPR(factors=8, epochs=epochs, learning_rate=0.1, **params)


def fit(model, train, valid, *callbacks):
    return model.fit(train, valid, progress=False, callbacks=callbacks)


class SetFactors(pc.Callback):
    """Replaces the epochs' results: item factors filled with a number, biases with scores."""

    def on_epoch_end(self, model, epoch, logs):
        model.item_factors_[...] = epoch
        model._weights_changed()


class Script(pc.EarlyStopping):
    """Reads its values from a list."""

    def __init__(self, values, **options):
        super().__init__("ndcg@5", **options)
        self.values = iter(values)

    def value(self, model):
        return next(self.values)


def test_validation_metric_is_what_evaluate_says(train, valid):
    watch = pc.ValidationMetric(valid, "ndcg@5")
    again = pc.ValidationMetric(None, "recall@3", every=4, exclude_seen=False, name="again")
    model = fit(small(10), train, valid, watch, again)
    history = model.history_
    assert list(history.columns) == ["epoch", "loss", "auc", "seconds", "ndcg@5", "again"]
    assert history["again"].notna().tolist() == [(e % 4) == 0 for e in range(1, 11)]
    last = pc.evaluate(model, valid, ["ndcg@5"])["value"].iloc[0]
    assert history["ndcg@5"].iloc[-1] == last
    model = fit(small(8), train, valid, again)
    last = pc.evaluate(model, valid, ["recall@3"], exclude_seen=False)["value"].iloc[0]
    assert model.history_["again"].iloc[-1] == last


def test_watching_does_not_change_the_training(train, valid):
    plain = fit(small(6), train, None)
    watched = fit(small(6), train, valid, pc.ValidationMetric(None, "ndcg@5"))
    assert bits(plain.item_factors_) == bits(watched.item_factors_)


def test_a_metric_without_data(train):
    for callback in (pc.ValidationMetric(None), pc.EarlyStopping()):
        with pytest.raises(ParameterError, match=r"fit\(validation=\.\.\.\)"):
            fit(small(), train, None, callback)


def test_data_given_to_the_callback_itself_win(train, valid):
    own = interactions(events(seed=2))
    watch = pc.ValidationMetric(own, "ndcg@5")
    model = fit(small(3), train, valid, watch, pc.ValidationMetric(None, "mrr@5"))
    expected = pc.evaluate(model, own, ["ndcg@5"])["value"].iloc[0]
    assert model.history_["ndcg@5"].iloc[-1] == expected


def test_stops_after_patience_and_restores_the_best_epoch(train, valid):
    stop = Script([0.1, 0.3, 0.2, 0.3, 0.1, 0.9], patience=3)
    model = fit(small(), train, valid, SetFactors(), stop)
    assert len(model.history_) == 5
    assert (stop.best_epoch, stop.best_value, stop.stopped) == (2, 0.3, True)
    assert np.unique(model.item_factors_).tolist() == [2.0]


def test_restored_factors_answer(train, valid):
    """Nothing derived from the later factors may be left over."""
    stop = pc.EarlyStopping("ndcg@5", patience=4)
    model = fit(small(200, learning_rate_decay=0), train, valid, stop)
    assert stop.stopped
    assert 0 < stop.best_epoch == len(model.history_) - 4
    assert stop.best_value == model.history_["ndcg@5"].max()
    assert pc.evaluate(model, valid, ["ndcg@5"])["value"].iloc[0] == stop.best_value
    shorter = fit(small(stop.best_epoch, learning_rate_decay=0), train, None)
    assert bits(model.item_factors_) == bits(shorter.item_factors_)
    assert bits(model.item_biases_) == bits(shorter.item_biases_)


def test_restores_also_when_patience_is_not_over(train, valid):
    stop = Script([0.1, 0.3, 0.2], patience=5)
    model = fit(small(3), train, valid, SetFactors(), stop)
    assert np.unique(model.item_factors_).tolist() == [2.0]
    assert not stop.stopped


def test_restores_after_ctrl_c(train, valid):
    class Press(pc.Callback):
        def on_epoch_end(self, model, epoch, logs):
            if epoch == 3:
                raise KeyboardInterrupt

    model = small()
    with pytest.raises(KeyboardInterrupt):
        fit(model, train, valid, SetFactors(), Script([0.1, 0.3, 0.2]), Press())
    assert np.unique(model.item_factors_).tolist() == [2.0]


def test_can_keep_the_last_epoch(train, valid):
    stop = Script([0.1, 0.3, 0.2, 0.2], patience=2, restore_best=False)
    model = fit(small(), train, valid, SetFactors(), stop)
    assert np.unique(model.item_factors_).tolist() == [4.0]


def test_min_delta(train, valid):
    stop = Script([0.1, 0.15, 0.2, 0.21, 0.9], patience=2, min_delta=0.1)
    model = fit(small(), train, valid, stop)
    assert len(model.history_) == 3
    assert stop.best_epoch == 1


def test_every(train, valid):
    stop = Script([0.3, 0.2, 0.1], patience=2, every=2)
    model = fit(small(), train, valid, SetFactors(), stop)
    assert len(model.history_) == 6
    assert stop.best_epoch == 2
    assert model.history_["ndcg@5"].notna().tolist() == [False, True] * 3


def test_watching_the_training_itself_needs_no_data(train):
    for metric in ("loss", "auc"):
        stop = pc.EarlyStopping(metric, patience=3)
        model = fit(small(500), train, None, stop)
        best = model.history_[metric].min() if metric == "loss" else model.history_[metric].max()
        assert stop.best_value == best
        assert stop.stopped


def test_can_be_used_again(train, valid):
    stop = pc.EarlyStopping("ndcg@5", patience=2)
    first = fit(small(50), train, valid, stop)
    best = stop.best_epoch
    second = fit(small(50), train, valid, stop)
    assert stop.best_epoch == best
    assert bits(first.item_factors_) == bits(second.item_factors_)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pc.EarlyStopping("ndgc@10"), "did you mean 'ndcg@10'"),
        (lambda: pc.EarlyStopping(patience=0), "EarlyStopping: patience must be"),
        (lambda: pc.EarlyStopping(restore_best="yes"), "restore_best must be True or False"),
        (lambda: pc.EarlyStopping(min_delta=-1), "min_delta must be"),
        (lambda: pc.ValidationMetric(None, every=0), "ValidationMetric: every must be"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_data_must_be_interactions():
    with pytest.raises(DataError, match="test must be"):
        pc.ValidationMetric(events())


@pytest.mark.parametrize("callback", [pc.ValidationMetric(None), pc.EarlyStopping()])
def test_models_without_epochs_have_nothing_to_watch(train, valid, callback):
    with pytest.warns(PenchantWarning, match="EASE is fitted in one step, without epochs"):
        fit(pc.EASE(), train, valid, callback)


def test_a_measure_that_the_model_lacks_is_named(train):
    with pytest.raises(ParameterError, match=r"IALS does not report 'auc', only loss"):
        pc.IALS(factors=4).fit(train, progress=False, callbacks=[pc.EarlyStopping("auc")])
