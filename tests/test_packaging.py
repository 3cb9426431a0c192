"""What the installed distribution promises: version, extras, entry point, files."""

from __future__ import annotations

import re
from importlib import metadata, resources
from pathlib import Path

import pytest

import penchant

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def distribution():
    return metadata.distribution("penchant")


def test_version_is_that_of_the_metadata(distribution):
    assert distribution.version == penchant.__version__


def test_version_has_a_changelog_entry():
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", penchant.__version__]


def test_extras(distribution):
    extras = set(distribution.metadata.get_all("Provides-Extra"))
    assert {"plot", "serve", "polars", "ann", "lightgbm", "all"} <= extras


def test_every_requirement_has_a_lower_bound(distribution):
    others = [text for text in distribution.requires if not text.startswith("penchant[")]
    assert len(others) >= 7
    assert [text for text in others if ">=" not in text] == []


def test_command_line_entry_points(distribution):
    scripts = [entry for entry in distribution.entry_points if entry.group == "console_scripts"]
    assert {script.name for script in scripts} == {"penchant", "penchant-sagemaker"}
    assert all(callable(script.load()) for script in scripts)


def test_package_is_typed():
    files = resources.files(penchant)
    assert files.joinpath("py.typed").is_file()
    assert files.joinpath("_core.pyi").is_file()


def test_the_container_is_shipped():
    assert resources.files(penchant).joinpath("container", "Dockerfile").is_file()


def test_license_is_shipped(distribution):
    assert distribution.metadata["License-Expression"] == "MIT"
    assert "Penchant contributors" in (distribution.read_text("licenses/LICENSE") or "")
