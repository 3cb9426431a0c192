"""The artifact that most tests here start from."""

import pytest

from artifact_support import ARRAYS, META, TABLES
from penchant.storage import write_artifact


@pytest.fixture
def artifact(tmp_path):
    path = tmp_path / "artifact"
    write_artifact(path, meta=META, arrays=ARRAYS, tables=TABLES)
    return path
