"""The artifact: a directory of checked, memory-mappable files that holds one model.

This package stores arrays, Arrow tables and JSON, and knows no model. See
:mod:`penchant.storage.manifest` for the format and :mod:`penchant.storage.artifact` for the
promises made to readers and writers.
"""

from __future__ import annotations

from penchant.storage.archive import pack, unpack
from penchant.storage.artifact import Artifact, read_artifact, write_artifact

__all__ = [
    "Artifact",
    "pack",
    "read_artifact",
    "unpack",
    "write_artifact",
]
