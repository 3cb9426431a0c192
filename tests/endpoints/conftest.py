"""A state folder of its own for each file of tests, from which no process may be left."""

import os
import signal

import pytest
from small_models import fit

import penchant as pc
from endpoint_support import USERS, processes_in, version_of


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PENCHANT_HOME", str(folder))
        yield folder
        for predictor in pc.endpoints.list():
            predictor.delete_endpoint()
        pc.endpoints.Router().stop()
        left = processes_in(folder)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert not left


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory):
    """Two versions of one model, which answer differently."""
    folder = tmp_path_factory.mktemp("versions")
    for name, seed in (("one", 1), ("two", 2)):
        fit(USERS, pc.BPR(factors=8, epochs=5, random_state=seed)).save(folder / name)
    return folder / "one", folder / "two"


@pytest.fixture(scope="session")
def expected(artifacts):
    """The five items of every user, by version and user."""
    found = {}
    for path in artifacts:
        model = pc.load(path)
        for user in USERS:
            found[version_of(path), user] = model.recommend(user, k=5)["what"].tolist()
    return found
