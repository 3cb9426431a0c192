"""model.json: what is written there, and what is refused."""

import json

import numpy as np
import pytest

from artifact_support import ARRAYS, META, TABLES, contents, edit_manifest
from penchant.errors import ArtifactError
from penchant.storage import read_artifact, write_artifact


def test_the_manifest_is_for_people_too(artifact):
    document = json.loads((artifact / "model.json").read_text())
    assert document["format_version"] == 1
    assert document["class"] == "BPR"
    assert document["parameters"] == {"factors": 5}
    assert document["metrics"] == {"ndcg@10": 0.25}
    assert document["meta"] == {"user": "who"}
    assert document["created_by"].startswith("penchant ")
    assert {entry["file"] for entry in document["files"]} | {"model.json"} == set(
        contents(artifact)
    )
    for entry in document["files"]:
        assert entry["size"] == (artifact / entry["file"]).stat().st_size
        assert entry["file"].split(".")[1] == entry["sha256"][:16]


def test_numpy_scalars_and_tuples_become_json(tmp_path):
    meta = {"parameters": {"a": np.float32(0.5), "b": np.int64(3), "c": (1, np.bool_(True))}}
    write_artifact(tmp_path, meta=meta, arrays={}, tables={})
    assert read_artifact(tmp_path).meta == {"parameters": {"a": 0.5, "b": 3, "c": [1, True]}}


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"metrics": {"loss": float("nan")}}, r"meta\['metrics'\]\['loss'\] is nan"),
        ({"x": [0, {"y": np.float32("inf")}]}, r"meta\['x'\]\[1\]\['y'\] is inf"),
        ({"x": {3: 4}}, r"meta\['x'\] has the key 3"),
        ({"x": {1, 2}}, r"meta\['x'\] is a set"),
        ({"x": "\ud800"}, "not valid Unicode"),
    ],
)
def test_meta_that_json_cannot_hold(tmp_path, meta, message):
    with pytest.raises(ArtifactError, match=message):
        write_artifact(tmp_path / "a", meta=meta, arrays=ARRAYS, tables=TABLES)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("bit", range(8))
def test_every_byte_of_the_manifest_is_guarded(artifact, bit):
    """One flipped bit is refused, whichever byte it is in, unless it says the same (1e-5, 1E-5)."""
    file = artifact / "model.json"
    sound = file.read_bytes()
    same = 0
    for position in range(len(sound)):
        damaged = bytearray(sound)
        damaged[position] ^= 1 << bit
        file.write_bytes(damaged)
        try:
            meant = json.loads(damaged)
        except ValueError:
            meant = None
        if meant == json.loads(sound):
            same += 1
            assert read_artifact(artifact, verify="size").meta == META
            continue
        with pytest.raises(ArtifactError, match=r"model\.json: (damaged|not a Penchant artifact)"):
            read_artifact(artifact, verify="size")
    assert same <= 1


@pytest.mark.parametrize("verify", ["full", "size"])
def test_an_edited_manifest_is_refused(artifact, verify):
    file = artifact / "model.json"
    sound = json.loads(file.read_text())
    file.write_text(json.dumps(sound))  # another layout of the same
    assert read_artifact(artifact, verify=verify).meta == META
    for change in (
        {"parameters": {"factors": 6}},
        {"metrics": {}},
        {"extra": None},
        {"created_by": "x"},
        {"sha256": "0" * 64},
        {"sha256": None},
    ):
        file.write_text(json.dumps(sound | change))
        with pytest.raises(ArtifactError, match=r"model\.json: damaged: .* SHA-256 .* save the"):
            read_artifact(artifact, verify=verify)
    for text in ('"factors": 1e999', '"factors": "\\ud800"'):
        file.write_text(json.dumps(sound).replace('"factors": 5', text))
        with pytest.raises(ArtifactError, match=r"model\.json: damaged"):
            read_artifact(artifact, verify=verify)
    del sound["sha256"]
    file.write_text(json.dumps(sound))
    with pytest.raises(ArtifactError, match=r"model\.json: damaged"):
        read_artifact(artifact, verify=verify)


@pytest.mark.parametrize(
    "text",
    [b"", b"\x80\x02}q\x00.", b"{", b"[]", b"{}", b'{"format": "other"}', b"[" * 100_000],
    ids=["empty", "pickle", "cut", "list", "no format", "other format", "deep"],
)
def test_foreign(artifact, text):
    (artifact / "model.json").write_bytes(text)
    with pytest.raises(ArtifactError, match="not a Penchant artifact"):
        read_artifact(artifact)


def test_newer(artifact):
    edit_manifest(artifact, lambda d: d.update(format_version=2, created_by="penchant 9.0"))
    message = r"written in format 2 by penchant 9\.0.*reads formats up to 1: upgrade"
    with pytest.raises(ArtifactError, match=message):
        read_artifact(artifact)


@pytest.mark.parametrize("version", [None, "1", 0, -1, 1.0, True])
def test_versions_that_make_no_sense(artifact, version):
    edit_manifest(artifact, lambda d: d.update(format_version=version))
    with pytest.raises(ArtifactError, match="damaged: format_version is"):
        read_artifact(artifact)


@pytest.mark.parametrize(
    "file",
    [
        "../secret.0123456789abcdef.arrow",
        "/etc/passwd",
        "a/../../x",
        "sub/x",
        "..\\x",
        "C:\\x",
        "..",
    ],
)
def test_escaping_names(artifact, file):
    edit_manifest(artifact, lambda d: d["files"][0].update(file=file))
    with pytest.raises(ArtifactError, match=r"refused: it names .* outside the artifact"):
        read_artifact(artifact)


@pytest.mark.parametrize(
    "change",
    [
        {"file": "model.json"},
        {"file": None},
        {"size": -1},
        {"size": 0},
        {"size": "128"},
        {"size": True},
        {"sha256": "0" * 64},
        {"sha256": 5},
        {"kind": "table"},
        {"name": "other"},
        {"extra": 1},
    ],
)
def test_entries_that_make_no_sense(artifact, change):
    edit_manifest(artifact, lambda d: d["files"][0].update(change))
    with pytest.raises(ArtifactError, match="damaged: the entry of 'files'"):
        read_artifact(artifact)


@pytest.mark.parametrize("part", ["files", "meta"])
@pytest.mark.parametrize("value", [None, 3, "x"])
def test_parts_that_make_no_sense(artifact, part, value):
    edit_manifest(artifact, lambda d: d.update({part: value}))
    with pytest.raises(ArtifactError, match="damaged: 'meta' or 'files'"):
        read_artifact(artifact)


def test_a_name_listed_twice(artifact):
    edit_manifest(artifact, lambda d: d["files"].append(d["files"][0]))
    with pytest.raises(ArtifactError, match="lists the same name twice"):
        read_artifact(artifact)


def test_nan_in_the_manifest(artifact):
    edit_manifest(artifact, lambda d: d["meta"].update(x=float("nan")))
    with pytest.raises(ArtifactError, match="NaN is not JSON"):
        read_artifact(artifact)
