"""One rule for where state lies: it is absolute, and nobody else's."""

import os
import stat
from pathlib import Path

import pytest

import penchant as pc
from penchant.endpoints.state import Folder
from penchant.home import home
from penchant.storage import derived


@pytest.fixture
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_relative_folder_is_absolute_for_all(there, monkeypatch):
    monkeypatch.setenv("PENCHANT_HOME", "state")
    where = home(), Folder.of("endpoints", "shop").path, derived._cache()
    monkeypatch.chdir("/")
    assert where == (
        there / "state",
        there / "state" / "endpoints" / "shop",
        there / "state" / "prepared",
    )


@pytest.mark.parametrize("value", ["", None])
def test_by_default_it_is_in_the_user_s_folder(monkeypatch, value):
    if value is None:
        monkeypatch.delenv("PENCHANT_HOME", raising=False)
    else:
        monkeypatch.setenv("PENCHANT_HOME", value)
    assert home() == Path.home() / ".penchant"
    assert derived._cache() != home() / "prepared"  # what can be made again lies in a cache


def test_all_of_it_is_private(there, monkeypatch):
    monkeypatch.setenv("PENCHANT_HOME", str(there / "up" / "state"))
    before = os.umask(0)
    try:
        job = pc.jobs.train("bpr", {"training": _sales()}, {"epochs": "1"}, progress=False)
    finally:
        os.umask(before)
    folder = job.folder
    assert folder.is_relative_to(there)
    while folder != there:
        assert mode(folder) == 0o700, folder
        folder = folder.parent


def _sales():
    return pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]] * 4)
