"""`penchant-sagemaker train` as a process: the contract of SageMaker's training jobs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tarfile

import pandas as pd
import pytest
from trees import COMMAND, csv_text, make_tree, rows, run

import penchant as pc
from penchant.storage.archive import unpack

QUICK = {"model": "bpr", "factors": "8", "epochs": "6", "metrics": "precision,ndcg", "k": "3"}


def epochs_of(log):
    """Return [(epoch, {name: value})] of the lines of the log."""
    found = []
    for line in log.splitlines():
        if match := re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z epoch=(\d+); (.*)", line):
            values = re.findall(r"(\w+)=([0-9.eE+-]+);", match[2])
            found.append((int(match[1]), {name: float(value) for name, value in values}))
    return found


def test_a_job(tmp_path):
    channels = {
        "training": {"part-0.csv": csv_text(rows()[:100]), "part-1.csv": csv_text(rows()[100:])},
        "testing": {"held_out.csv": csv_text(rows(held_out=True))},
    }
    root = make_tree(tmp_path, QUICK, channels)
    done = run("train", root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (root / "output" / "failure").exists()
    found = epochs_of(done.stdout)
    assert [epoch for epoch, _ in found] == [1, 2, 3, 4, 5, 6]
    assert all({"loss", "precision_at_3", "ndcg_at_3"} <= set(values) for _, values in found)

    model = pc.load(root / "model")
    assert model.get_params()["factors"] == 8
    assert (len(model.users_), len(model.items_)) == (40, 16)
    assert model.columns_.user == "user_id"
    # What the log says is what the model does.
    test = pd.DataFrame(rows(held_out=True), columns=["user_id", "item_id"])
    data = pc.Interactions.from_frame(test, user="user_id", item="item_id")
    measured = pc.evaluate(model, data, ["precision@3", "ndcg@3"])["value"].tolist()
    last = found[-1][1]
    assert measured == pytest.approx([last["precision_at_3"], last["ndcg_at_3"]], rel=1e-5)

    unpack(root / "output" / "model.tar.gz", tmp_path / "unpacked")
    assert pc.load(tmp_path / "unpacked").recommend(17000, k=3).equals(model.recommend(17000, k=3))
    summary = json.loads((root / "output" / "data" / "training.json").read_text())
    assert (summary["events"], summary["epochs"], summary["stopped"]) == (200, 6, False)


def test_a_table_with_everything(tmp_path):
    """Parquet, names of one's own, values, times, a share for validation and early stopping."""
    frame = pd.DataFrame(rows(), columns=["Kunde", "Artikel"])
    frame["Menge"] = range(1, len(frame) + 1)
    frame["Zeit"] = 1_700_000_000
    (tmp_path / "data").mkdir()
    frame.to_parquet(tmp_path / "a.parquet")
    hyperparameters = {
        "model": '"IALS"', "factors": "4", "epochs": "30", "alpha": "1.5", "num_threads": "1",
        "user_column": "Kunde", "item_column": "Artikel", "value_column": "Menge",
        "timestamp_column": "Zeit", "timestamp_unit": "s", "validation": "0.2", "patience": "1",
        "metrics": "ndcg_at_2, recall@4", "sagemaker_region": "eu-west-1",
    }  # fmt: skip
    channels = {
        "training": {"sub/x": (tmp_path / "a.parquet").read_bytes()},
        "testing": {"t.csv": csv_text(rows(held_out=True), "Kunde,Artikel\n")},
    }
    root = make_tree(
        tmp_path / "ml",
        hyperparameters,
        channels,
        inputdataconfig={"training": {"TrainingInputMode": "File"}, "testing": {}},
        resourceconfig={"current_host": "algo-1", "hosts": ["algo-1"]},
    )
    done = run("train", root, TRAINING_JOB_ARN="arn:aws:sagemaker:x")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"held out \d\d of the training rows", done.stdout)
    found = epochs_of(done.stdout)
    assert len(found) < 30
    assert {"ndcg_at_2", "recall_at_4"} <= set(found[0][1])
    assert re.search(r"Z test; test_ndcg_at_2=[0-9.e-]+; test_recall_at_4=", done.stdout)
    model = pc.load(root / "model")
    columns = model.columns_
    assert (columns.user, columns.value, columns.timestamp) == ("Kunde", "Menge", "Zeit")
    assert model.get_params()["alpha"] == 1.5
    assert not (root / "output" / "model.tar.gz").exists()  # SageMaker packs it itself


@pytest.mark.parametrize("model", ["popularity", "itemknn", "svd"])
def test_other_models(tmp_path, model):
    """Models without epochs print one line; models of ratings are measured by rmse."""
    table = [(user, item, 1 + (user + len(item)) % 5) for user, item in rows()]
    held_out = [(user, item, 3) for user, item in rows(held_out=True)]
    channels = {
        "training": {"a.csv": csv_text(table)},
        "testing": {"b.csv": csv_text(held_out)},
    }
    hyperparameters = {"model": model} | ({"epochs": "2"} if model == "svd" else {})
    done = run("train", make_tree(tmp_path, hyperparameters, channels))
    assert done.returncode == 0, done.stdout + done.stderr
    found = epochs_of(done.stdout)
    assert len(found) == (2 if model == "svd" else 1)
    assert ("rmse" if model == "svd" else "precision_at_10") in found[0][1]


def test_sigterm_saves_what_was_learnt(tmp_path):
    hyperparameters = {"model": "bpr", "factors": "8", "epochs": "1000000"}
    root = make_tree(tmp_path, hyperparameters)
    command = [*COMMAND, "train", "--root", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "epoch=3;" in line:
                process.send_signal(signal.SIGTERM)
                break
        rest = process.communicate(timeout=300)[0]
    assert process.returncode == 0
    assert "told to stop" in rest
    model = pc.load(root / "model")
    epochs = len(model.history_)
    assert 3 <= epochs < 1_000_000
    summary = json.loads((root / "output" / "data" / "training.json").read_text())
    assert (summary["stopped"], summary["epochs"]) == (True, epochs)
    with tarfile.open(root / "output" / "model.tar.gz") as archive:
        assert archive.getnames()[0] == "model.json"


def test_the_root_of_the_environment(tmp_path):
    root = make_tree(tmp_path, {"model": "popularity"})
    environment = {**os.environ, "PENCHANT_ML_ROOT": str(root)}
    done = subprocess.run([*COMMAND, "train"], env=environment, timeout=300, check=False)
    assert done.returncode == 0
    assert (root / "model" / "model.json").exists()


def test_a_failure_is_told(tmp_path):
    root = make_tree(tmp_path, {"model": "bpr", "epochs": "many"})
    (root / "output").mkdir()
    (root / "output" / "failure").write_text("an old one")
    done = run("train", root)
    assert done.returncode == 1
    text = (root / "output" / "failure").read_text()
    assert text == "BPR: epochs must be an integer from 1 to 1000000, got 'many' (str)"
    assert "Traceback" not in done.stdout + done.stderr
    assert f"failed: {text}" in done.stdout
    assert not (root / "model").exists()


def test_a_fault_tells_where(tmp_path, monkeypatch):
    """What nobody foresaw: the sentence first, in what SageMaker shows, then the traceback."""
    from penchant.container import training

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(training, "read_settings", lambda _: 1 // 0)
    assert training.train(make_tree(tmp_path)) == 1
    text = (tmp_path / "output" / "failure").read_text()
    assert text.startswith("unexpected ZeroDivisionError: ")
    assert "Traceback" in text
    assert signal.getsignal(signal.SIGINT) is before


def test_no_tree(tmp_path):
    done = run("train", tmp_path / "missing")
    assert done.returncode == 1
    assert "has no folder 'input': --root or PENCHANT_ML_ROOT names the tree" in done.stdout


def test_usage(tmp_path):
    for arguments in ([], ["learn"], ["train", "--rot", "x"]):
        done = subprocess.run(
            [*COMMAND, *arguments], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 2
        assert "usage: penchant-sagemaker" in done.stderr


def test_kill_leaves_no_model(tmp_path):
    """Killed in the middle, a job leaves no half a model behind."""
    root = make_tree(tmp_path, {"model": "bpr", "epochs": "1000000"})
    command = [*COMMAND, "train", "--root", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "epoch=1;" in line:
                process.kill()
                break
        process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert not (root / "model" / "model.json").exists()


def test_what_an_earlier_run_has_told_is_not_beside_the_failure_of_a_later_one(tmp_path):
    """The model itself stays, since it may be in use; the failure says whose it is."""
    root = make_tree(tmp_path, {"model": "popularity"})
    assert run("train", root).returncode == 0
    before = (root / "model" / "model.json").read_bytes()
    (root / "input" / "data" / "training" / "a.csv").write_text("1\n")
    assert run("train", root).returncode == 1
    assert [path.name for path in (root / "output").rglob("*") if path.is_file()] == ["failure"]
    failure = (root / "output" / "failure").read_text()
    assert failure.startswith("training/a.csv has 1 columns")
    assert f"({root / 'model'} holds the model of an earlier run" in failure
    assert (root / "model" / "model.json").read_bytes() == before
    fresh = make_tree(tmp_path / "fresh", {"model": "popularity"}, {"training": {"a.csv": "1\n"}})
    assert run("train", fresh).returncode == 1
    assert "earlier run" not in (fresh / "output" / "failure").read_text()
