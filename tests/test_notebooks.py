"""Every notebook runs from top to bottom; its outputs are thrown away."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
"""


def processes(mark):
    """Return the command lines of processes that have a text in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path):
    pytest.importorskip("nbclient")
    copy = shutil.copy(path, tmp_path)
    command = [sys.executable, "-c", RUN, copy]
    mark = f"notebook-{uuid.uuid4()}"
    state = tmp_path / "state"
    environment = os.environ | {"PENCHANT_HOME": str(state), "PENCHANT_NOTEBOOK": mark}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert not state.exists()  # jobs and endpoints are kept where they vanish with the notebook
    until = time.monotonic() + 60
    while (left := processes(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []
