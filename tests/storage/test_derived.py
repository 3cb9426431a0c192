"""Files made from an artifact: trusted only as long as they are the very files we made."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout  # the built-in one from 3.11 on

import numpy as np
import pytest

from artifact_support import ARRAYS, META, TABLES
from penchant.errors import ArtifactError
from penchant.storage import pack, read_artifact, unpack, write_artifact
from penchant.storage.artifact import map_artifact
from penchant.storage.derived import DerivedFiles

VALUES = np.arange(1000, dtype=np.float32)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The cache of these tests."""
    monkeypatch.setenv("PENCHANT_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "prepared"


@pytest.fixture
def unwritable(monkeypatch):
    """Make a directory refuse new files; root may write anywhere, so the system call says no."""

    def make(*folders):
        opened = os.open

        def refusing(path, flags, *rest, **options):
            if flags & os.O_CREAT and any(os.path.dirname(path) == str(f) for f in folders):
                raise PermissionError(13, "Permission denied", str(path))
            return opened(path, flags, *rest, **options)

        monkeypatch.setattr(os, "open", refusing)

    return make


def files_of(path, variant="avx2"):
    return DerivedFiles(map_artifact(path, verify="size"), variant)


def names(path):
    return sorted(name for name in os.listdir(path) if name.endswith((".prepared", ".avx2.json")))


def is_mapped(array):
    return not array.flags.writeable and not array.flags.owndata


def test_what_is_put_is_mapped_by_everybody(artifact):
    files = files_of(artifact)
    assert files.get("values") is None
    stored = files.put("values", VALUES)
    assert is_mapped(stored)
    for found in (stored, files.get("values"), files_of(artifact).get("values")):
        np.testing.assert_array_equal(found, VALUES)
    assert files_of(artifact, "avx512").get("values") is None
    assert len(names(artifact)) == 2  # the file and the note
    read_artifact(artifact)  # is what it was


def test_in_an_unwritable_directory_it_lies_in_the_cache(artifact, home, unwritable):
    unwritable(artifact)
    assert is_mapped(files_of(artifact).put("values", VALUES))
    np.testing.assert_array_equal(files_of(artifact).get("values"), VALUES)
    assert names(artifact) == []
    (folder,) = home.iterdir()
    assert len(names(folder)) == 2
    assert folder.stat().st_mode & 0o077 == 0


def test_where_nothing_can_be_written_the_array_stays_in_memory(artifact, home, unwritable):
    files_of(artifact)
    home.parent.write_text("no folder can be made here")
    unwritable(artifact)
    assert files_of(artifact).put("values", VALUES) is VALUES
    assert files_of(artifact).check_content() is False
    files_of(artifact).remember()
    assert files_of(artifact).check_content() is False


def test_a_verified_artifact_is_verified_once(artifact):
    first = files_of(artifact)
    assert first.check_content() is False
    assert files_of(artifact).check_content() is False  # nobody has said that the rest is sound
    first.remember()
    assert files_of(artifact).check_content() is True


def test_content_is_checked_beside_the_block(artifact):
    with pytest.raises(ValueError, match="led to"):
        checked(artifact, fail)
    with files_of(artifact).checking_content() as known:
        assert not known  # after a block that failed
    with files_of(artifact).checking_content() as known:
        assert known


@pytest.fixture
def damaged(artifact):
    (data,) = artifact.glob("factors.*.safetensors")
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    return artifact


def checked(path, make):
    """Do something to the derived files in the block of `checking_content`."""
    files = files_of(path)
    with files.checking_content():
        make(files)


def fail(_):
    raise ValueError("what the damage led to")


def store(files):
    with contextlib.suppress(ArtifactError):
        files.put("values", VALUES)


@pytest.mark.parametrize("make", [fail, store, lambda _: None])
def test_damage_is_what_the_block_ends_with(damaged, make):
    with pytest.raises(ArtifactError, match="SHA-256"):
        checked(damaged, make)
    assert names(damaged) == []
    assert files_of(damaged).get("values") is None


def test_what_is_stored_waits_for_the_check(artifact, monkeypatch):
    files = files_of(artifact)
    checked = threading.Event()
    check = type(files._artifact).check_content

    def slow_check(mapped):
        assert checked.wait(60)
        check(mapped)

    monkeypatch.setattr(type(files._artifact), "check_content", slow_check)
    with files.checking_content(), ThreadPoolExecutor(1) as pool:
        storing = pool.submit(files.put, "values", VALUES)
        with pytest.raises(FutureTimeout):
            storing.result(timeout=0.2)
        assert names(artifact) == []
        checked.set()
        assert is_mapped(storing.result(timeout=60))


def test_what_a_killed_writer_left_is_removed(artifact):
    left = artifact / f".penchant-{'0' * 16}"
    left.write_bytes(b"half of a fi")
    other = artifact / ".penchant-notes"
    other.touch()
    files_of(artifact).put("values", VALUES)
    assert not left.exists()
    assert other.exists()


def touched(path):
    os.utime(path)


def rewritten(path):
    content = path.read_bytes()
    status = path.stat()
    time.sleep(0.06)
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def copied(path):
    status = path.stat()
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    os.replace(copy, path)
    assert path.stat().st_mtime_ns == status.st_mtime_ns


@pytest.mark.parametrize("change", [touched, rewritten, copied])
def test_a_file_that_is_another_one_by_now_is_verified_again(artifact, change):
    files = files_of(artifact)
    files.check_content()
    files.put("values", VALUES)
    files.remember()
    (data,) = artifact.glob("factors.*.safetensors")
    change(data)
    assert files_of(artifact).check_content() is False
    (derived,) = artifact.glob("values.*.prepared")
    change(derived)
    assert files_of(artifact).get("values") is None


def test_damage_is_found_though_it_was_verified_before(artifact):
    files = files_of(artifact)
    files.check_content()
    files.remember()
    (data,) = artifact.glob("factors.*.safetensors")
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    status = data.stat()
    data.write_bytes(content)
    os.utime(data, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ArtifactError, match="SHA-256"):
        files_of(artifact).check_content()


def test_a_copied_artifact_is_verified_again(artifact, tmp_path):
    files = files_of(artifact)
    files.check_content()
    files.put("values", VALUES)
    files.remember()
    shutil.copytree(artifact, tmp_path / "copy")  # times and all
    copy = files_of(tmp_path / "copy")
    assert copy.get("values") is None
    assert copy.check_content() is False


@pytest.mark.parametrize(
    "damage",
    [
        lambda note: b"",
        lambda note: b"[" * 100_000,
        lambda note: b"[]",
        lambda note: json.dumps({**note, "penchant": "0.0.0"}).encode(),
        lambda note: json.dumps({**note, "files": [1]}).encode(),
        lambda note: json.dumps({**note, "files": {}, "verified": {}}).encode(),
        lambda note: json.dumps({**note, "more": 1}).encode(),
        lambda note: json.dumps(note).encode() + b" " * 2**20,
    ],
)
def test_a_note_that_is_none_says_nothing(artifact, damage):
    files = files_of(artifact)
    files.check_content()
    files.put("values", VALUES)
    files.remember()
    (note,) = artifact.glob("note.*.json")
    note.write_bytes(damage(json.loads(note.read_bytes())))
    again = files_of(artifact)
    assert again.get("values") is None
    assert again.check_content() is False
    np.testing.assert_array_equal(again.put("values", VALUES), VALUES)
    assert is_mapped(files_of(artifact).get("values"))


def test_a_note_that_others_may_write_is_not_trusted(artifact):
    files = files_of(artifact)
    files.check_content()
    files.remember()
    (note,) = artifact.glob("note.*.json")
    note.chmod(0o664)
    assert files_of(artifact).check_content() is False
    note.chmod(0o644)
    assert files_of(artifact).check_content() is True
    if os.geteuid() == 0:
        os.chown(note, 12345, -1)
        assert files_of(artifact).check_content() is False


def test_a_link_is_not_followed(artifact, tmp_path):
    files_of(artifact).put("values", VALUES)
    for pattern in ("values.*.prepared", "note.*.json"):
        (path,) = artifact.glob(pattern)
        os.replace(path, tmp_path / path.name)
        path.symlink_to(tmp_path / path.name)
        assert files_of(artifact).get("values") is None


def test_a_new_version_of_the_artifact_removes_them(artifact):
    old = files_of(artifact)
    mapped = old.put("values", VALUES)
    write_artifact(artifact, meta={**META, "metrics": {}}, arrays=ARRAYS, tables=TABLES)
    assert names(artifact) == []
    np.testing.assert_array_equal(mapped, VALUES)  # whoever has it keeps it
    # What the old version makes now is its own affair.
    assert old.put("values", VALUES) is VALUES
    old.check_content()
    old.remember()
    assert names(artifact) == []


def test_stale_files_of_a_cache_are_removed(artifact, home, unwritable, tmp_path):
    write_artifact(tmp_path / "other", meta=META, arrays=ARRAYS, tables=TABLES)
    unwritable(artifact, tmp_path / "other")
    files_of(artifact).put("values", VALUES)
    (folder,) = home.iterdir()
    stale = folder / f"values.{'0' * 16}.avx2.prepared"
    stale.touch()
    files_of(artifact).put("more", VALUES)
    assert not stale.exists()
    assert len(names(folder)) == 3
    shutil.rmtree(artifact)
    files_of(tmp_path / "other").put("values", VALUES)
    assert not folder.exists()


def test_archives_leave_them_out(artifact, tmp_path):
    pack(artifact, tmp_path / "before.tar.gz")
    files_of(artifact).put("values", VALUES)
    pack(artifact, tmp_path / "after.tar.gz")
    assert (tmp_path / "before.tar.gz").read_bytes() == (tmp_path / "after.tar.gz").read_bytes()
    shutil.make_archive(str(tmp_path / "by_hand"), "gztar", artifact)
    unpack(tmp_path / "by_hand.tar.gz", tmp_path / "unpacked")
    assert names(tmp_path / "unpacked") == []
    read_artifact(tmp_path / "unpacked")


def test_names_of_derived_files_are_no_names_of_data_files(artifact):
    files_of(artifact).put("values", VALUES)
    (path,) = artifact.glob("values.*.prepared")
    manifest = (artifact / "model.json").read_text()
    assert path.name not in manifest


def slow_put(path, number, results):
    files = files_of(path)
    with files.locked():
        found = files.get("values")
        if found is None:
            time.sleep(0.2)
            found = files.put("values", np.full(5, number))
    results.put(found.tolist())


def test_others_wait_for_whoever_makes_them(artifact):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [
        context.Process(target=slow_put, args=(artifact, number, results)) for number in range(4)
    ]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert all(values == found[0] for values in found)
