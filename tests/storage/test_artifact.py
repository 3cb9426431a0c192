import hashlib
import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pytest
import safetensors.numpy

from artifact_support import ARRAYS, META, TABLES, contents, edit_manifest, file_of
from penchant.errors import ArtifactError, ArtifactNotFoundError, ParameterError
from penchant.storage import read_artifact, write_artifact


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


@pytest.mark.parametrize("path", ["", None, 3, b"x"])
def test_paths_that_are_none(artifact, tmp_path, monkeypatch, path):
    monkeypatch.chdir(artifact)  # what an empty path would mean
    before = contents(artifact)
    message = "path is empty" if path == "" else "path must be text or a pathlib.Path, got"
    with pytest.raises(ParameterError, match=message):
        read_artifact(path)
    with pytest.raises(ParameterError, match=message):
        write_artifact(path, meta={}, arrays={}, tables={})
    assert contents(artifact) == before
    assert read_artifact(".").meta == META


def test_a_missing_file(artifact):
    file_of(artifact, "users").unlink()
    with pytest.raises(ArtifactNotFoundError, match=r"users\..*missing: .* is incomplete"):
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
