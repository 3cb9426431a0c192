"""Artifacts of every format version load for ever and answer as they did when they were saved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import penchant as pc
from penchant.storage.manifest import FORMAT_VERSION

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
STRANGER = ["TRAY № 1", "Kerze № 3"]
FOLDERS = sorted(
    path.parent / name
    for path in GOLDEN.glob("v*/expected.json")
    for name in json.loads(path.read_text("utf-8"))
)


def test_there_is_one_of_every_model_and_version():
    found = {
        (path.parent.name, json.loads((path / "model.json").read_text())["class"])
        for path in FOLDERS
    }
    versions = [f"v{number + 1}" for number in range(FORMAT_VERSION)]
    assert {("v1", "BPR"), ("v1", "Popularity"), ("v1", "Prod2Vec")} <= found
    assert sorted({version for version, _ in found}) == versions


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_golden_artifact(folder, tmp_path):
    expected = json.loads((folder.parent / "expected.json").read_text("utf-8"))[folder.name]
    # A copy: loading must not need a writable place, and must not change the files either.
    copy = shutil.copytree(folder, tmp_path / "copy")
    for path in copy.iterdir():
        path.chmod(0o444)
    if folder.name.startswith("trees"):
        pytest.importorskip("lightgbm")
    model = pc.load(copy)
    parameters = model.get_params()
    assert {name: parameters[name] for name in expected["parameters"]} == expected["parameters"]
    check_frame(model.recommend(k=4), expected["recommend"])
    if expected.get("stranger") is not None:
        check_frame(model.recommend(history=STRANGER, k=4), expected["stranger"])
    if expected["similar_items"] is not None:
        check_frame(model.similar_items(k=4), expected["similar_items"])
    history = model.history_.astype(object).where(model.history_.notna(), None)
    # Which columns a history without rows has is up to the version that reads it.
    if expected["history"]["epoch"]:
        assert history.to_dict("list") == expected["history"]
    else:
        assert len(history) == 0
    for path in folder.iterdir():
        assert (copy / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["word2vec", "word2vec_early"])
def test_vectors_from_elsewhere_take_events_again_and_again(name):
    """Early versions saved no counts of what nobody had taken."""
    model = pc.load(GOLDEN / "v1" / name)
    assert len(model.seen_.indices) == 0
    for items in (["MUG № 0", "TRAY № 1"], ["TRAY № 1", "Kerze № 3"]):
        model.partial_fit(pc.Interactions.from_sequences([items], users=[7]))
    own = [("MUG № 0", 1), ("TRAY № 1", 2), ("Kerze № 3", 1)]
    vectors = model.item_vectors_[model.items_.codes([item for item, _ in own])]
    mean = np.average(vectors, axis=0, weights=[count for _, count in own])
    np.testing.assert_allclose(model.user_vectors_[0], mean, rtol=1e-5, atol=1e-7)
    assert sorted(model.history_values_.tolist()) == [1, 1, 2]


def check_frame(frame, expected):
    """Ids are the same everywhere; the last bits of scores depend on the instruction set."""
    assert list(frame.columns) == list(expected)
    for column, values in expected.items():
        if column == "score":
            np.testing.assert_allclose(frame[column], values, rtol=1e-5, atol=1e-6)
        else:
            assert frame[column].tolist() == values
