"""The part of the contract suite about what happens around the epochs of a fit."""

from __future__ import annotations

import signal

import numpy as np
import pytest

import penchant as pc
from model_support import ModelFactory, bits, events, interactions, parameters


class Recorder(pc.Callback):
    """Notes what it sees; stops after epoch `last`, by its answer or by Ctrl-C."""

    def __init__(self, last=None, by_signal=False):
        self.last, self.by_signal = last, by_signal
        self.seen, self.states, self.answers, self.ended = [], [], [], 0

    def on_fit_begin(self, model, train):
        assert len(model.recommend_codes(k=3)[0]) == len(model.users_)

    def on_epoch_end(self, model, epoch, logs):
        self.seen.append((epoch, dict(logs)))
        self.states.append(model.snapshot())
        self.answers.append(bits(model.recommend_codes(k=3)[1]))
        logs["twice"] = 2.0 * epoch
        if epoch == self.last and self.by_signal:
            signal.raise_signal(signal.SIGINT)
        return epoch == self.last

    def on_fit_end(self, model):
        self.ended += 1


class TrainingChecks(ModelFactory):
    """Run through `model_checks.ModelChecks`."""

    @pytest.fixture
    def epochs(self):
        if "epochs" not in self.model().get_params():
            pytest.skip("is fitted in one step")
        return self.make().epochs

    def assert_state(self, model, state):
        for name, array in state.items():
            assert bits(getattr(model, name)) == bits(array), name

    def test_history_has_a_row_for_each_epoch(self, epochs):
        recorder = Recorder()
        model = self.make()
        model.fit(interactions(), progress=False, callbacks=recorder)
        history = model.history_
        assert list(history.columns[:2]) == ["epoch", "loss"]
        assert {"seconds", "twice"} < set(history.columns)
        assert history["epoch"].tolist() == list(range(1, epochs + 1))
        assert history["twice"].tolist() == [2.0 * epoch for epoch in range(1, epochs + 1)]
        assert [epoch for epoch, _ in recorder.seen] == history["epoch"].tolist()
        assert [logs["loss"] for _, logs in recorder.seen] == history["loss"].tolist()
        assert np.isfinite(history["loss"]).all()
        assert recorder.ended == 1
        first, last = recorder.states[0], recorder.states[-1]
        assert any(bits(first[name]) != bits(last[name]) for name in first)
        self.assert_state(model, last)

    def test_a_callback_stops_the_training(self, epochs):
        recorder = Recorder(last=2)
        model = self.make()
        model.fit(interactions(), progress=False, callbacks=recorder)
        assert model.history_["epoch"].tolist() == [1, 2]
        self.assert_state(model, recorder.states[1])

    def test_early_stopping_goes_back_to_the_best_epoch(self, epochs):
        recorder = Recorder()
        stop = pc.EarlyStopping("recall@5", patience=1)
        model = self.make()
        valid = interactions(events(seed=5))
        model.fit(interactions(), valid, progress=False, callbacks=[recorder, stop])
        values = model.history_["recall@5"].tolist()
        assert stop.best_epoch == int(np.argmax(values)) + 1
        assert stop.best_value == max(values)
        self.assert_state(model, recorder.states[stop.best_epoch - 1])

    def test_ctrl_c_leaves_the_epochs_that_are_over(self, epochs):
        recorder = Recorder(last=2, by_signal=True)
        model = self.make()
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                model.fit(interactions(), progress=False, callbacks=recorder)
        finally:
            signal.signal(signal.SIGINT, handler)
        assert recorder.ended == 1
        assert model.history_["epoch"].tolist() == [1, 2]
        self.assert_state(model, recorder.states[1])
        assert bits(model.recommend_codes(k=3)[1]) == recorder.answers[1]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, pc.errors.DataError])
    @pytest.mark.parametrize("place", ["_start", "_fit", "on_fit_begin"])
    def test_a_fit_that_learns_nothing_leaves_the_model_as_it_was(self, place, error, monkeypatch):
        class Failing(pc.Callback):
            def on_fit_begin(self, model, train):
                if place == "on_fit_begin":
                    raise error("no more")

        def fail(*arguments):
            model.users_ = model.items_ = None
            raise error("no more")

        model = self.make()
        if place != "on_fit_begin":
            monkeypatch.setattr(type(model), place, fail)
        with pytest.raises(error):
            model.fit(interactions(), progress=False, callbacks=[Failing()])
        assert not model.__sklearn_is_fitted__()
        monkeypatch.undo()
        model.fit(interactions(), progress=False)
        before, answer = dict(vars(model)), bits(model.recommend_codes(k=3)[1])
        if place != "on_fit_begin":
            monkeypatch.setattr(type(model), place, fail)
        with pytest.raises(error):
            model.fit(interactions(events(seed=5)), progress=False, callbacks=[Failing()])
        assert vars(model) == before
        assert bits(model.recommend_codes(k=3)[1]) == answer

    def test_answers_go_by_the_hyperparameters_of_the_training(self, tmp_path):
        """Some shape answers only, and act at once; those that shape what was learnt do not."""
        model = self.make().fit(interactions(), progress=False)
        changed = {"regularization": 7.0, "alpha": 3.0, "values": "sum", "score_vectors": "both"}
        history = self.history(*model.items_.to_list()[:3])
        before = model.recommend(history=history, k=5)
        known = model.get_params()
        model.set_params(**{name: value for name, value in changed.items() if name in known})
        assert model.recommend(history=history, k=5).equals(before)
        model.save(tmp_path / "model")
        again = pc.load(tmp_path / "model")
        assert parameters(again) == parameters(model)
        assert again.recommend(history=history, k=5).equals(before)
