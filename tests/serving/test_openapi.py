"""Requests made up from the OpenAPI document, by a tool that looks for servers' mistakes."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_schemathesis_finds_no_server_error(server, tmp_path):
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{server}/openapi.json"]
    command += ["--checks", "not_a_server_error", "--max-examples", "8", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=1200)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "generated" in done.stdout
