import gzip
import io
import os
import subprocess
import tarfile

import numpy as np
import pyarrow as pa
import pytest

from artifact_support import contents, edit_manifest
from penchant.errors import ArtifactError, ArtifactNotFoundError, ArtifactWriteError
from penchant.storage import pack, read_artifact, unpack, write_artifact

FACTORS = np.random.default_rng(0).normal(size=(300, 7)).astype(np.float32)


@pytest.fixture
def artifact(tmp_path):
    path = tmp_path / "artifact"
    tables = {"users": pa.table({"id": ["a", "b"]})}
    arrays = {"factors": FACTORS, "empty": np.zeros((0, 3))}
    write_artifact(path, meta={"class": "BPR"}, arrays=arrays, tables=tables)
    return path


@pytest.fixture
def archive(artifact, tmp_path):
    pack(artifact, tmp_path / "model.tar.gz")
    return tmp_path / "model.tar.gz"


def repack(archive, change):
    """Rewrite an archive's list of (member, content) pairs."""
    with tarfile.open(archive) as tar:
        members = [(m, f.read() if (f := tar.extractfile(m)) else b"") for m in tar]
    change(members)
    with tarfile.open(archive, "w:gz") as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))


def member(name, content=b"", **attributes):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def test_round_trip(artifact, archive, tmp_path):
    unpack(archive, tmp_path / "new" / "place")
    assert contents(tmp_path / "new" / "place") == contents(artifact)
    np.testing.assert_array_equal(
        read_artifact(tmp_path / "new" / "place").arrays["factors"], FACTORS
    )


def test_equal_artifacts_give_equal_archives(artifact, archive, tmp_path):
    for file in artifact.iterdir():
        os.utime(file, (1, 2))
    pack(artifact, tmp_path / "other-name.tar.gz")
    assert (tmp_path / "other-name.tar.gz").read_bytes() == archive.read_bytes()


def test_tar_reads_it_and_we_read_what_tar_writes(artifact, archive, tmp_path):
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "xzf", archive, "-C", tmp_path / "out"], check=True)
    assert contents(tmp_path / "out") == contents(artifact)
    subprocess.run(["tar", "czf", tmp_path / "by-hand.tgz", "-C", artifact, "."], check=True)
    unpack(tmp_path / "by-hand.tgz", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(artifact)


def test_unpacking_replaces_an_artifact(artifact, archive):
    write_artifact(artifact, meta={}, arrays={"other": np.zeros(2)}, tables={})
    unpack(archive, artifact)
    assert set(read_artifact(artifact).arrays) == {"factors", "empty"}
    assert len(contents(artifact)) == 4


def test_a_damaged_artifact_is_not_packed(artifact, tmp_path):
    (file,) = artifact.glob("factors.*")
    os.truncate(file, 100)
    with pytest.raises(ArtifactError, match="truncated"):
        pack(artifact, tmp_path / "x.tar.gz")
    assert not (tmp_path / "x.tar.gz").exists()


def test_packing_where_one_cannot_write(artifact, tmp_path):
    with pytest.raises(ArtifactWriteError, match="No such file or directory"):
        pack(artifact, tmp_path / "missing" / "x.tar.gz")
    with pytest.raises(ArtifactWriteError, match="Is a directory"):
        pack(artifact, artifact)


def test_a_missing_archive(tmp_path):
    with pytest.raises(ArtifactNotFoundError, match=r"x\.tar\.gz.*No such file"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def refused(archive, artifact, tmp_path):
    """Check that the archive is refused, with and without an artifact in its place, traceless."""

    def check(message, **options):
        before = contents(artifact)
        for target in (artifact, tmp_path / "new"):
            with pytest.raises(ArtifactError, match=message) as caught:
                unpack(archive, target, **options)
            assert str(archive) in str(caught.value)
            assert not isinstance(caught.value, OSError)
        assert contents(artifact) == before
        assert sorted(file.name for file in tmp_path.iterdir()) == ["artifact", "model.tar.gz"]

    return check


@pytest.mark.parametrize(
    "bad",
    [
        member("../escaped.0123456789abcdef.arrow", b"x"),
        member("/tmp/escaped", b"x"),
        member("sub/x.0123456789abcdef.arrow", b"x"),
        member("readme.txt", b"x"),
    ],
    ids=lambda bad: bad[0].name,
)
def test_names_that_are_refused(archive, refused, bad):
    repack(archive, lambda members: members.insert(0, bad))
    refused("refused: .* is no file of an artifact")


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE", "FIFOTYPE", "CHRTYPE", "DIRTYPE"])
@pytest.mark.parametrize("name", ["x.0123456789abcdef.arrow", "model.json", "sub"])
def test_kinds_that_are_refused(archive, refused, kind, name):
    bad = member(name, type=getattr(tarfile, kind), linkname="/etc/passwd")
    repack(archive, lambda members: members.insert(0, bad))
    refused("refused: .* is not a plain file")


def test_a_truncated_archive(archive, refused):
    whole = archive.read_bytes()
    for size in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        archive.write_bytes(whole[:size])
        refused("not a gzip file, or a damaged one|empty file|unexpected end|no model.json")


def test_a_flipped_bit(archive, refused):
    whole = bytearray(archive.read_bytes())
    whole[len(whole) // 2] ^= 4
    archive.write_bytes(whole)
    refused("damaged|model.tar.gz")


def test_no_archive_at_all(archive, refused):
    archive.write_bytes(b"PK\x03\x04 something else")
    refused("not a gzip file")
    archive.write_bytes(gzip.compress(b"no tar" * 1000))
    refused("invalid header|bad checksum")


def test_content_that_does_not_match_its_name(archive, refused):
    def change(members):
        (index,) = (i for i, (m, _) in enumerate(members) if m.name.startswith("factors"))
        info, content = members[index]
        members[index] = info, content[:-1] + b"!"

    repack(archive, change)
    refused("damaged: the content of 'factors.* does not match its checksum")


def test_files_missing_or_left_over(archive, refused):
    repack(archive, lambda members: members.pop())
    refused(r"damaged: model\.json and the files differ in 'users")
    repack(archive, lambda members: members.pop(0))
    refused(r"not a Penchant artifact: no model\.json in it")


def test_a_newer_format(artifact, tmp_path):
    edit_manifest(artifact, lambda document: document.update(format_version=7))
    subprocess.run(["tar", "czf", tmp_path / "newer.tgz", "-C", artifact, "."], check=True)
    with pytest.raises(ArtifactError, match=r"newer\.tgz: .*written in format 7"):
        unpack(tmp_path / "newer.tgz", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_edited_manifest(archive, refused):
    def change(members):
        info, content = members[0]
        members[0] = info, content.replace(b'"class": "BPR"', b'"class": "BQR"')

    repack(archive, change)
    refused(r"model\.json: damaged: its content does not match")


def test_an_archive_of_more_than_we_allow(refused):
    refused("refused: too large at 'factors", max_bytes=5000)


def test_headers_that_unpack_to_anything(archive, refused):
    """A few KiB of gzip that hold an extended header of 64 MiB, which tarfile would read."""
    repack(
        archive,
        lambda members: members.insert(0, member("x", pax_headers={"comment": "0" * 2**26})),
    )
    assert archive.stat().st_size < 200_000
    refused("refused: its headers are too large")


def test_a_sparse_member(archive, refused):
    """A sparse file of a terabyte costs nothing in the archive, and would fill the disk."""
    pax = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "sparse",
           "GNU.sparse.size": str(2**40), "GNU.sparse.map": "0,0"}  # fmt: skip
    bad = member("x.0123456789abcdef.arrow", pax_headers=pax)
    repack(archive, lambda members: members.insert(0, bad))
    refused("refused: 'sparse' is not a plain file")
