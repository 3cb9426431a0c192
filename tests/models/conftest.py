"""Shared by the tests of models that are opened, in one process or in several."""

from __future__ import annotations

import pickle

import pytest

import penchant as pc
from model_support import interactions
from prepared_support import MODELS


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """No file of an earlier test is found in the user's cache."""
    monkeypatch.setenv("PENCHANT_HOME", str(tmp_path / "home"))


@pytest.fixture(params=MODELS)
def model(request):
    """Each kind of model that has something prepared."""
    return pickle.loads(pickle.dumps(MODELS[request.param])).fit(interactions(), progress=False)


@pytest.fixture
def bpr():
    """A small one, for what is the same in all."""
    return pc.BPR(factors=5, epochs=3).fit(interactions(), progress=False)
