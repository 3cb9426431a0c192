"""What goes on around training: callbacks, validation data, history, plot, progress bar."""

from __future__ import annotations

import subprocess
import sys
import types

import pandas as pd
import pytest

import penchant as pc
from model_support import BACKENDS, events, interactions, pandas_frame
from penchant.errors import DataError, MissingExtraError, ParameterError
from penchant.models.history import history_rows, history_table
from penchant.models.progress import Progress, in_notebook


class Recorder(pc.Callback):
    def __init__(self, stop_at=None):
        self.calls = []
        self.stop_at = stop_at

    def on_fit_begin(self, model, train):
        assert len(model.recommend(1000, k=2)) == 2
        self.calls.append(("begin", len(train)))

    def on_epoch_end(self, model, epoch, logs):
        logs["double"] = 2.0 * epoch
        self.calls.append((epoch, sorted(logs), len(model.history_)))
        return epoch == self.stop_at

    def on_fit_end(self, model):
        self.calls.append(("end", len(model.history_)))


def small(**params):
    return pc.BPR(**{"factors": 4, "epochs": 3, **params})


def test_callbacks_run_in_order():
    recorder = Recorder()
    model = small().fit(interactions(), progress=False, callbacks=recorder)
    logs = ["auc", "double", "loss"]
    assert recorder.calls == [
        ("begin", 320), (1, logs, 1), (2, logs, 2), (3, logs, 3), ("end", 3),
    ]  # fmt: skip
    assert model.history_["double"].tolist() == [2.0, 4.0, 6.0]


def test_a_callback_stops_training():
    first, second = Recorder(stop_at=2), Recorder()
    model = small(epochs=50).fit(interactions(), progress=False, callbacks=(first, second))
    assert model.history_["epoch"].tolist() == [1, 2]
    assert [call[0] for call in second.calls] == ["begin", 1, 2, "end"]


def test_callbacks_see_the_factors_of_their_epoch():
    class Scores(pc.Callback):
        def __init__(self):
            self.seen = []

        def on_epoch_end(self, model, epoch, logs):
            self.seen.append(model.recommend(1000, k=1)["score"].iloc[0])

    scores = Scores()
    model = small(epochs=8).fit(interactions(), progress=False, callbacks=[scores])
    assert len(set(scores.seen)) == 8
    assert scores.seen[-1] == model.recommend(1000, k=1)["score"].iloc[0]


def test_a_callback_that_fails_stops_the_fit_with_its_error():
    class Broken(pc.Callback):
        def on_epoch_end(self, model, epoch, logs):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        small().fit(interactions(), progress=False, callbacks=[Broken()])


@pytest.mark.parametrize("bad", [print, Recorder, "early", 3])
def test_what_is_no_callback(bad):
    with pytest.raises(ParameterError, match=r"must be penchant\.Callback objects"):
        small().fit(interactions(), callbacks=[bad])


def test_validation_data_nobody_uses():
    with pytest.raises(ParameterError, match=r"EarlyStopping.*ValidationMetric"):
        small().fit(interactions(), interactions(), callbacks=[Recorder()])


def test_validation_must_be_interactions():
    with pytest.raises(DataError, match="validation must be"):
        small().fit(interactions(), validation=events(), callbacks=[pc.EarlyStopping()])


@pytest.mark.parametrize("backend", BACKENDS)
def test_history(backend):
    data = interactions(backend=backend)
    history = small().fit(data, progress=False).history_
    assert type(history) is type(data.to_frame())
    table = pandas_frame(history)
    assert list(table.columns) == ["epoch", "loss", "auc", "seconds"]
    assert table["epoch"].tolist() == [1, 2, 3]
    assert (table["seconds"] > 0).all()
    assert table["auc"].between(0, 1).all()


def test_history_without_epochs():
    history = pc.Popularity().fit(interactions()).history_
    assert list(history.columns) == ["epoch", "loss", "seconds"]
    assert len(history) == 0
    with pytest.raises(DataError, match="does not train in epochs"):
        pc.Popularity().fit(interactions()).plot_history()


def test_history_of_sparse_measures():
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "ndcg@10": 0.125}]
    table = history_table(rows)
    assert table["ndcg@10"].to_pylist() == [None, 0.125]
    assert history_rows(table) == rows


@pytest.fixture
def measured():
    watch = pc.ValidationMetric(interactions(), "ndcg@5", every=2, exclude_seen=False)
    return small(epochs=6).fit(interactions(), progress=False, callbacks=[watch])


def test_plot_history(measured, tmp_path):
    axes = measured.plot_history(tmp_path / "run.png")
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    left, right = axes.figure.axes
    assert left is axes
    assert left.get_ylabel() == "loss"
    assert left.lines[0].get_ydata().tolist() == measured.history_["loss"].tolist()
    (line,) = right.lines
    assert line.get_label() == "ndcg@5"
    assert list(line.get_xdata()) == [2, 4, 6]
    assert list(line.get_ydata()) == measured.history_["ndcg@5"].dropna().tolist()
    labels = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert labels == ["loss", "ndcg@5"]
    measured.plot_history(tmp_path / "run.svg")
    assert b"<svg" in (tmp_path / "run.svg").read_bytes()


def test_plot_history_without_metrics_shows_the_auc(tmp_path):
    axes = small().fit(interactions(), progress=False).plot_history(tmp_path / "run.png")
    assert [line.get_label() for line in axes.figure.axes[1].lines] == ["auc"]


def test_plot_history_on_screen(measured, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    import matplotlib.pyplot as plt

    axes = measured.plot_history()
    assert plt.fignum_exists(axes.figure.number)
    plt.close(axes.figure)


def test_plot_history_without_matplotlib(measured, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"penchant\[plot\]"):
        measured.plot_history("never.png")


def test_progress_shows_the_measures(capsys):
    watch = pc.ValidationMetric(interactions(), "ndcg@5", every=2, exclude_seen=False)
    small(epochs=3).fit(interactions(), callbacks=[watch])
    shown = capsys.readouterr().err
    assert "BPR: 100%" in shown
    assert "3/3" in shown
    for name in ("loss=", "auc=", "ndcg@5="):
        assert name in shown.splitlines()[-1].rpartition("\r")[2]


def test_no_progress(capsys):
    small().fit(interactions(), progress=False)
    pc.Popularity().fit(interactions())
    assert capsys.readouterr() == ("", "")


def test_progress_in_a_notebook_without_widgets(monkeypatch, capsys):
    """Warnings are errors here: tqdm.auto would warn."""
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    fake = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.delitem(sys.modules, "tqdm.notebook", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert in_notebook()
    bar = Progress(2, "BPR")
    bar.update({"loss": 0.5})
    bar.update({"loss": 0.25})
    bar.close()
    assert "loss=0.2500" in capsys.readouterr().err


def test_progress_in_a_notebook_with_widgets(monkeypatch):
    import tqdm.std

    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    made = []

    class Widget(tqdm.std.tqdm):
        def __init__(self, *args, **kwargs):
            made.append(kwargs["total"])
            super().__init__(*args, **kwargs)

    monkeypatch.setitem(sys.modules, "tqdm.notebook", types.SimpleNamespace(tqdm=Widget))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    Progress(7, "BPR").close()
    assert made == [7]


def test_popularity_counts_users_not_events():
    frame = pd.DataFrame({"customer": [1, 1, 1, 2, 3], "product": ["a", "a", "a", "b", "b"]})
    model = pc.Popularity().fit(interactions(frame))
    assert model.item_counts_.tolist() == [1, 2]
    result = model.recommend(1, exclude_seen=False)
    assert result["product"].tolist() == ["b", "a"]
    assert result["score"].tolist() == [2.0, 1.0]


def test_import_of_the_models_pulls_in_nothing_heavy():
    code = "import sys, penchant.models, penchant.evaluation; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    loaded = {name.partition(".")[0] for name in names}
    assert "penchant" in loaded
    assert not loaded & {"pandas", "polars", "matplotlib", "sklearn", "scipy", "joblib", "tqdm"}


def test_data_that_a_model_refuses_leave_the_old_fit():
    model = pc.Prod2Vec(vector_size=4, epochs=2, min_count=1).fit(interactions(), progress=False)
    expected = model.recommend(k=5)
    with pytest.raises(DataError, match="set min_count"):
        model.set_params(min_count=10_000).fit(interactions(), progress=False)
    pd.testing.assert_frame_equal(model.recommend(k=5), expected)
    assert len(model.history_) == 2
    fresh = pc.Prod2Vec(min_count=10_000)
    with pytest.raises(DataError):
        fresh.fit(interactions(), progress=False)
    assert not fresh.__sklearn_is_fitted__()
