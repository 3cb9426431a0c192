import hashlib
import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pytest
import safetensors.numpy

from penchant.errors import ArtifactError, ParameterError
from penchant.storage import ArtifactNotFoundError, read_artifact, write_artifact

ARRAYS = {
    "factors": np.arange(35, dtype=np.float32).reshape(7, 5),
    "offsets": np.array([0, 3, 9], dtype=np.int64),
    "biases": np.array([np.nan, np.inf, -0.0, 1e-45], dtype=np.float32),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 4), dtype=np.int32),
    "scalar": np.array(3.5),
}
TABLES = {
    "users": pa.table({"id": pa.array(["", "Zoë", "a b", "日本"])}),
    "items": pa.table({"id": pa.array([-5, 2**40], pa.int64()), "name": ["x", None]}),
    "nothing": pa.table({"id": pa.array([], pa.int64())}),
}
META = {"class": "BPR", "parameters": {"factors": 5}, "metrics": {"ndcg@10": 0.25}, "user": "who"}


@pytest.fixture
def artifact(tmp_path):
    path = tmp_path / "artifact"
    write_artifact(path, meta=META, arrays=ARRAYS, tables=TABLES)
    return path


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def file_of(path, name):
    (file,) = path.glob(f"{name}.*")
    return file


def edit_manifest(path, edit):
    document = json.loads((path / "model.json").read_text())
    edit(document)
    (path / "model.json").write_text(json.dumps(document))


@pytest.mark.parametrize("verify", ["full", "size"])
def test_what_is_written_is_read(artifact, verify):
    read = read_artifact(artifact, verify=verify)
    assert read.meta == META
    assert read.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert read.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(read.arrays[name], array)
    assert read.tables == TABLES


def test_arrays_are_mapped_and_read_only(artifact):
    read = read_artifact(artifact)
    array = read.arrays["factors"]
    assert not array.flags.writeable
    assert not array.flags.owndata
    assert array.ctypes.data % 64 == 0
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1
    with open("/proc/self/maps") as maps:
        assert str(file_of(artifact, "factors")) in maps.read()


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(ARRAYS["factors"]),
        np.arange(70, dtype=np.float32).reshape(7, 10)[:, ::2] / 2,
        ARRAYS["factors"].astype(">f4"),
    ],
    ids=["fortran", "strided", "big-endian"],
)
def test_memory_order_does_not_matter(tmp_path, artifact, array):
    array.setflags(write=False)
    write_artifact(tmp_path / "other", meta={}, arrays={"factors": array}, tables={})
    assert file_of(tmp_path / "other", "factors").name == file_of(artifact, "factors").name
    read = read_artifact(tmp_path / "other").arrays["factors"]
    assert read.flags.c_contiguous
    assert read.dtype == np.float32


@pytest.mark.parametrize("name", list(ARRAYS))
def test_the_safetensors_library_reads_our_files(artifact, name):
    read = safetensors.numpy.load_file(file_of(artifact, name))
    assert list(read) == ["data"]
    np.testing.assert_array_equal(read["data"], ARRAYS[name])


def test_arrow_reads_our_tables_uncompressed(artifact):
    with pa.memory_map(str(file_of(artifact, "users"))) as source:
        before = pa.total_allocated_bytes()
        assert pa.ipc.open_file(source).read_all() == TABLES["users"]
        assert pa.total_allocated_bytes() == before


def test_equal_content_gives_equal_bytes(tmp_path, artifact):
    chunked = pa.concat_tables([TABLES["users"][:1], TABLES["users"][1:]])
    reordered = dict(reversed(META.items()))
    arrays = dict(reversed(ARRAYS.items()))
    tables = {**TABLES, "users": chunked}
    write_artifact(tmp_path / "again", meta=reordered, arrays=arrays, tables=tables)
    assert contents(tmp_path / "again") == contents(artifact)


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


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.array([1j])])
def test_arrays_that_cannot_be_stored(tmp_path, array):
    with pytest.raises(ArtifactError, match=r"array 'x' has dtype .* cannot hold"):
        write_artifact(tmp_path / "a", meta={}, arrays={"x": array}, tables={})


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "a.b", "1a", "x" * 65])
def test_names_that_cannot_be_files(tmp_path, name):
    with pytest.raises(ArtifactError, match="cannot name an array"):
        write_artifact(tmp_path / "a", meta={}, arrays={name: np.zeros(1)}, tables={})


# ---- what is refused on reading ------------------------------------------------------------------


def test_nothing_there(tmp_path):
    with pytest.raises(ArtifactNotFoundError, match="no such directory") as caught:
        read_artifact(tmp_path / "missing")
    assert isinstance(caught.value, FileNotFoundError)
    assert isinstance(caught.value, ArtifactError)
    with pytest.raises(ArtifactError, match=r"model\.json: missing"):
        read_artifact(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="it is a file"):
        read_artifact(tmp_path / "file")


def test_verify_is_checked(artifact):
    with pytest.raises(ParameterError, match="verify='ful' is not one of 'full', 'size'"):
        read_artifact(artifact, verify="ful")


@pytest.mark.parametrize("name", [*ARRAYS, *TABLES])
@pytest.mark.parametrize("verify", ["full", "size"])
def test_truncated(artifact, name, verify):
    file = file_of(artifact, name)
    os.truncate(file, file.stat().st_size - 1)
    with pytest.raises(ArtifactError, match=rf"{name}\..*truncated: \d+ bytes instead of \d+"):
        read_artifact(artifact, verify=verify)


@pytest.mark.parametrize("name", [*ARRAYS, *TABLES])
def test_every_flipped_bit_is_noticed(artifact, name):
    file = file_of(artifact, name)
    sound = file.read_bytes()
    for position in {0, 9, len(sound) // 2, len(sound) - 1}:
        damaged = bytearray(sound)
        damaged[position] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=rf"{name}\..*does not match its SHA-256"):
            read_artifact(artifact)


def test_a_missing_file(artifact):
    file_of(artifact, "users").unlink()
    with pytest.raises(ArtifactNotFoundError, match=r"users\..*missing: .* is incomplete"):
        read_artifact(artifact)


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


@pytest.mark.parametrize("name", ["model.json", "users"])
@pytest.mark.parametrize("inside", [True, False])
def test_links_are_refused(artifact, tmp_path, name, inside):
    file = artifact / name if name == "model.json" else file_of(artifact, name)
    target = (artifact if inside else tmp_path) / "elsewhere"
    file.rename(target)
    file.symlink_to(target)
    with pytest.raises(ArtifactError, match="refused: a symbolic link"):
        read_artifact(artifact)


def test_a_link_to_the_whole_artifact_is_fine(artifact, tmp_path):
    (tmp_path / "current").symlink_to(artifact, target_is_directory=True)
    assert read_artifact(tmp_path / "current").meta == META


def test_a_pipe_does_not_block(artifact):
    file = file_of(artifact, "users")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ArtifactError, match="refused: not a regular file"):
        read_artifact(artifact)


# ---- files whose checksum is right, made by somebody who means harm ------------------------------


def forge(path, name, content):
    """Replace a data file and everything in the manifest that would give it away."""
    digest = hashlib.sha256(content).hexdigest()
    old = file_of(path, name)
    new = ".".join([name, digest[:16], old.suffix[1:]])
    old.unlink()
    (path / new).write_bytes(content)

    def edit(document):
        (entry,) = (entry for entry in document["files"] if entry["name"] == name)
        entry.update(file=new, sha256=digest, size=len(content))

    edit_manifest(path, edit)


def tensor(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"\xff" * 16,
        tensor(b"[]", b""),
        tensor(b"{" * 50_000, b""),
        tensor({}, b""),
        tensor({"data": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
        tensor({"data": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"12345678"),
        tensor({"data": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}, b"1234"),
        tensor({"data": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}, b""),
        tensor({"data": {"dtype": "F32", "shape": [1] * 65, "data_offsets": [0, 4]}}, b"1234"),
        tensor({"data": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}, b"12345678"),
        tensor({"data": {"dtype": "F32", "shape": None, "data_offsets": [0, 4]}}, b"1234"),
        tensor({"other": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
    ],
)
@pytest.mark.parametrize("verify", ["full", "size"])
def test_forged_arrays(artifact, content, verify):
    forge(artifact, "factors", content)
    with pytest.raises(ArtifactError, match=r"factors\..*(safetensors file of one|does not match)"):
        read_artifact(artifact, verify=verify)


def test_forged_tables(artifact):
    sound = file_of(artifact, "users").read_bytes()
    offsets = np.array([0, 0, 4, 7, 13], np.int32).tobytes()
    assert sound.count(offsets) == 1
    forge(artifact, "users", sound.replace(offsets, np.array([0, 0, 4, 7, 2**30], "i4").tobytes()))
    with pytest.raises(ArtifactError, match=r"users\..*not a sound Arrow file"):
        read_artifact(artifact)
    forge(artifact, "users", b"ARROW1\0\0nonsense")
    with pytest.raises(ArtifactError, match=r"users\..*not a sound Arrow file"):
        read_artifact(artifact, verify="size")


def test_files_of_other_safetensors_writers_are_read(artifact):
    array = np.arange(6, dtype=np.int64).reshape(2, 3)
    forge(artifact, "factors", safetensors.numpy.save({"data": array}, {"made": "elsewhere"}))
    np.testing.assert_array_equal(read_artifact(artifact).arrays["factors"], array)


def test_a_copied_artifact_loads(artifact, tmp_path):
    shutil.copytree(artifact, tmp_path / "copy")
    assert read_artifact(tmp_path / "copy").meta == META
