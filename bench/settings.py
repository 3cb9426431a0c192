"""Tuned settings: every task's tuned.json; all were chosen on validation parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from penchant.errors import ParameterError


def tuned(task: str) -> dict[str, dict[str, Any]]:
    """Return the settings of a task by name."""
    path = Path(__file__).with_name(task) / "tuned.json"
    settings: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf8"))
    return settings


def setting(task: str, name: str) -> dict[str, Any]:
    """Return one setting of a task."""
    known = tuned(task)
    if name not in known:
        raise ParameterError(
            f"bench/{task}/tuned.json has no setting {name!r}; there are: {', '.join(known)}"
        )
    return known[name]
