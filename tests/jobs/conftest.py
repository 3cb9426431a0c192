"""The state directory of the jobs under test."""

from __future__ import annotations

import json
import os
import signal

import pytest

import penchant as pc


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A state directory for all the tests here; whatever still runs at the end is ended."""
    path = tmp_path_factory.mktemp("state")
    before = os.environ.get("PENCHANT_HOME")
    os.environ["PENCHANT_HOME"] = str(path)
    yield path
    for job in pc.jobs.list():
        if job.status == "InProgress":
            os.kill(json.loads((job.folder / "job.json").read_text())["pid"], signal.SIGKILL)
    if before is None:
        del os.environ["PENCHANT_HOME"]
    else:
        os.environ["PENCHANT_HOME"] = before
