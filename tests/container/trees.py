"""Trees such as SageMaker makes under /opt/ml, and the container's entry point on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

# Warnings are errors in the processes too, except deprecations in other people's old releases.
COMMAND = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning"]
COMMAND += ["-m", "penchant.container"]


def rows(held_out: bool = False) -> list[tuple[int, str]]:
    """Forty users of two tastes, five items each, and one item of the same taste held out."""
    return [
        (17000 + user, f"taste {user % 2} item {(user + step) % 8}")
        for user in range(40)
        for step in (range(5, 6) if held_out else range(5))
    ]


def csv_text(table: list[tuple[int, str]], header: str = "") -> str:
    return header + "".join(",".join(map(str, row)) + "\n" for row in table)


def make_tree(root: Path, hyperparameters=None, channels=None, **configs) -> Path:
    """Write input/config and input/data; a channel is a mapping of file names to contents."""
    config = root / "input" / "config"
    config.mkdir(parents=True)
    documents = {"hyperparameters": hyperparameters or {}, **configs}
    for name, document in documents.items():
        (config / f"{name}.json").write_text(json.dumps(document))
    if channels is None:
        channels = {"training": {"a.csv": csv_text(rows())}}
    for channel, files in channels.items():
        for name, content in files.items():
            path = root / "input" / "data" / channel / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def run(command: str, root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, command, "--root", str(root)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
        check=False,
    )
