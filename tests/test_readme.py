"""The README's Python example runs as printed, and its commands exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_python_examples_run_in_the_order_printed(tmp_path):
    blocks = code_blocks("python")
    assert blocks, "the README shows no Python example"
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks))
    # Rows without a customer are dropped with a notice: that one is part of the example.
    # Old releases of other libraries use what newer ones of theirs have deprecated.
    warnings = ["error", "default::DeprecationWarning", "default:dropped"]
    command = [sys.executable, *(f"-W{rule}" for rule in warnings), script]
    environment = {**os.environ, "PENCHANT_HOME": str(tmp_path / "home")}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_files_named_in_links_exist():
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", README)
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_test_command_is_the_one_that_exists():
    assert "bash tests/run.sh" in README
    assert (ROOT / "tests" / "run.sh").is_file()


def test_nothing_is_left_to_fill_in():
    assert not re.search(r"@@|TODO|TBD|XXX", README)
