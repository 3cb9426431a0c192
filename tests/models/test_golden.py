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
    assert {("v1", "BPR"), ("v1", "Popularity")} <= found
    assert sorted({version for version, _ in found}) == versions


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_golden_artifact(folder, tmp_path):
    expected = json.loads((folder.parent / "expected.json").read_text("utf-8"))[folder.name]
    # A copy: loading must not need a writable place, and must not change the files either.
    copy = shutil.copytree(folder, tmp_path / "copy")
    for path in copy.iterdir():
        path.chmod(0o444)
    model = pc.load(copy)
    parameters = model.get_params()
    assert {name: parameters[name] for name in expected["parameters"]} == expected["parameters"]
    check_frame(model.recommend(k=4), expected["recommend"])
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


def check_frame(frame, expected):
    """Ids are the same everywhere; the last bits of scores depend on the instruction set."""
    assert list(frame.columns) == list(expected)
    for column, values in expected.items():
        if column == "score":
            np.testing.assert_allclose(frame[column], values, rtol=1e-5, atol=1e-6)
        else:
            assert frame[column].tolist() == values
