"""What tests of endpoints share."""

import contextlib
import hashlib
import os
import time
from pathlib import Path

import numpy as np

import penchant as pc

USERS = [f"u{i}" for i in range(20)]


def processes_in(folder):
    """Processes that work in a folder: of a deleted one too, but no zombies, which have no cwd."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and os.readlink(entry / "cwd").startswith(str(folder)):
                found.append(int(entry.name))
    return found


def wait_until(holds, what="it did not happen", seconds=120):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def version_of(path):
    return hashlib.sha256((path / "model.json").read_bytes()).hexdigest()[:12]


def damaged(artifact, target):
    """Copy an artifact, with one byte of its factors changed."""
    target.mkdir()
    for path in artifact.iterdir():
        content = bytearray(path.read_bytes())
        if path.name.startswith("item_factors"):
            content[-1] ^= 1
        (target / path.name).write_bytes(content)
    return target


def foreign(target):
    """Save an artifact that is whole, and that no server can load."""
    pc.storage.write_artifact(
        target, meta={"class": "Nobody"}, arrays={"x": np.arange(3)}, tables={}
    )
    return target
