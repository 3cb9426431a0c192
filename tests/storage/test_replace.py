"""Replacing an artifact: all or nothing, whatever goes wrong, and whoever reads meanwhile."""

import errno
import itertools
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from penchant.errors import ArtifactError, ArtifactWriteError
from penchant.storage import read_artifact, write_artifact


def save(path, number, size=1000):
    """Save the version `number` of an artifact: everything in it says so."""
    write_artifact(
        path,
        meta={"number": number},
        arrays={"x": np.full(size, number), "same": np.arange(5)},
        tables={"t": pa.table({"n": [number]})},
    )


def check(path, number=None, verify="full"):
    read = read_artifact(path, verify=verify)
    found = read.meta["number"]
    assert number in (None, found)
    assert (read.arrays["x"] == found).all()
    assert read.tables["t"]["n"].to_pylist() == [found]
    return read


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.fixture
def artifact(tmp_path):
    save(tmp_path / "artifact", 1)
    return tmp_path / "artifact"


def test_a_new_version_replaces_the_old_one_and_its_files(artifact):
    names = set(contents(artifact))
    (artifact / "notes.txt").write_text("mine")
    (artifact / ".penchant-settings").write_text("mine too")
    save(artifact, 2)
    check(artifact, 2)
    after = set(contents(artifact))
    assert len(after) == len(names) + 2
    assert {n for n in names & after if n != "model.json"} == {n for n in names if "same" in n}
    assert {"notes.txt", ".penchant-settings"} <= after


def test_an_old_reader_keeps_its_files(artifact):
    read = check(artifact, 1)
    save(artifact, 2)
    assert (read.arrays["x"] == 1).all()
    assert read.tables["t"]["n"].to_pylist() == [1]
    check(artifact, 2)


def test_saving_again_heals_a_damaged_file(artifact):
    (file,) = artifact.glob("x.*")
    file.write_bytes(file.read_bytes()[:-1])
    save(artifact, 1)
    check(artifact, 1)


def test_leftovers_of_a_killed_writer_are_swept(artifact):
    (artifact / ".penchant-0123456789abcdef").write_bytes(b"half")
    (artifact / "x.0123456789abcdef.safetensors").write_bytes(b"never committed")
    check(artifact, 1)
    save(artifact, 2)
    assert len(contents(artifact)) == 4


def test_parents_are_made(tmp_path):
    save(tmp_path / "a" / "b" / "c", 1)
    check(tmp_path / "a" / "b" / "c", 1)


def test_files_have_the_usual_mode(artifact):
    mask = os.umask(0)
    os.umask(mask)
    assert {file.stat().st_mode & 0o777 for file in artifact.iterdir()} == {0o666 & ~mask}


# ---- the system refuses --------------------------------------------------------------------------


def attempt(path, number):
    try:
        save(path, number)
    except ArtifactWriteError as error:
        return error
    return None


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize(("call", "calls"), [("fsync", 6), ("replace", 4)])
def test_a_full_disk_at_any_moment(tmp_path, monkeypatch, old, call, calls):
    """Let each call in turn fail: three data files, their names, model.json and its name."""
    for when in range(calls):
        path = tmp_path / f"{when}" / "artifact"
        if old:
            save(path, 1)
        before = contents(path) if old else None
        fail_once(monkeypatch, call, when + (0 if old or call == "replace" else 2))
        error = attempt(path, 2)
        monkeypatch.undo()
        assert error is not None
        assert error.errno == errno.ENOSPC
        assert f"cannot save to '{path}': No space left on device" in str(error)
        if (call, when) == ("fsync", 5):
            check(path, 2)  # after the commit: what is there is complete
        elif old:
            assert contents(path) == before
        else:
            assert not path.parent.exists()
        assert attempt(path, 2) is None
        check(path, 2)
        assert len(contents(path)) == 4


def fail_once(monkeypatch, call, when):
    real = getattr(os, call)
    calls = itertools.count()

    def failing(*args):
        if next(calls) == when:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    monkeypatch.setattr(os, call, failing)


def test_a_file_that_cannot_grow(artifact):
    """The kernel itself refuses: a limit on file sizes, as a full disk or quota would."""
    before = contents(artifact)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ArtifactWriteError, match="File too large") as caught:
            save(artifact, 2, size=50_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, ArtifactError)
    assert contents(artifact) == before
    check(artifact, 1)


def test_without_permission():
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # so that another user can reach into it
        path = Path(name) / "artifact"
        save(path, 1)
        before = contents(path)
        path.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            with pytest.raises(ArtifactWriteError, match="Permission denied"):
                save(path, 2)
            with pytest.raises(ArtifactWriteError, match="Permission denied"):
                save(path / "new", 2)
            check(path, 1)
        finally:
            if root:
                os.seteuid(0)
            path.chmod(0o755)
        assert contents(path) == before


def test_the_target_is_a_file(tmp_path):
    target = tmp_path / "file"
    target.write_text("precious")
    with pytest.raises(ArtifactWriteError, match="it is a file"):
        save(target, 1)
    with pytest.raises(ArtifactWriteError, match=r"file.*Not a directory"):
        save(target / "below", 1)
    assert target.read_text() == "precious"


@pytest.mark.parametrize("text", ['{"name": "package"}', "no JSON"])
def test_a_foreign_model_json_is_not_replaced(tmp_path, text):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ArtifactError, match="not a Penchant artifact"):
        save(tmp_path, 1)
    assert contents(tmp_path) == {"model.json": text.encode()}


def test_an_interrupt_changes_nothing(artifact, monkeypatch):
    before = contents(artifact)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(artifact, 2)
    assert contents(artifact) == before


# ---- several at once -----------------------------------------------------------------------------

WRITER = """
import sys
sys.path.insert(0, {folder!r})
from test_replace import save
number = {start}
while True:
    save({path!r}, number)
    number += 2
"""


def start_writer(path, start):
    folder = str(Path(__file__).parent)
    code = WRITER.format(folder=folder, path=str(path), start=start)
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def writers_of(numbers):
    return {number % 2 for number in numbers}


def test_killed_writers_leave_an_artifact(artifact):
    """Two processes replace the artifact in turn until they are killed; a reader never notices."""
    writers = [start_writer(artifact, start) for start in (2, 3)]
    seen = set()
    try:
        deadline = time.monotonic() + 120  # a guard; a busy machine starts one writer late
        while (len(seen) < 30 or len(writers_of(seen)) < 2) and time.monotonic() < deadline:
            seen.add(check(artifact).meta["number"])
            assert all(writer.poll() is None for writer in writers)
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert len(seen) >= 30
    assert writers_of(seen) == {0, 1}
    check(artifact)
    save(artifact, 0)
    check(artifact, 0)
    assert len(contents(artifact)) == 4


def test_writers_in_one_process_wait_for_each_other(artifact):
    failures = []

    def work(start):
        try:
            for number in range(start, start + 10):
                save(artifact, number)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(start,)) for start in (100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    check(artifact)
    assert len(contents(artifact)) == 4


def test_a_reader_that_comes_too_late_starts_again(artifact, monkeypatch):
    """The artifact is replaced between reading model.json and opening the files it names."""
    real = os.open
    opened = []

    def replace_first(path, *args, **kwargs):
        if str(path).endswith(".safetensors") and not opened:
            opened.append(path)
            monkeypatch.undo()
            save(artifact, 2)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", replace_first)
    check(artifact, 2)
    assert opened
