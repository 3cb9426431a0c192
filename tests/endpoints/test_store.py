"""Versions of an endpoint's artifact on disk."""

from __future__ import annotations

import penchant as pc
from penchant.endpoints.store import keep_only, store


def test_what_is_left_of_a_removed_version_is_no_version(artifacts, tmp_path):
    """A server may have written a file to a version while it was being removed."""
    version = store(artifacts[0], tmp_path)
    (tmp_path / version / "model.json").unlink()
    assert store(artifacts[0], tmp_path) == version
    assert pc.load(tmp_path / version).recommend(k=1).equals(pc.load(artifacts[0]).recommend(k=1))
    assert [path.name for path in tmp_path.iterdir()] == [version]


def test_only_some_versions_are_kept(artifacts, tmp_path):
    versions = [store(artifact, tmp_path) for artifact in artifacts]
    keep_only(tmp_path, versions[1])
    assert [path.name for path in tmp_path.iterdir()] == [versions[1]]
