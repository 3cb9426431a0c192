"""Our side's settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SETTINGS = Path(__file__).with_name("tuned.json")


def setting(name: str) -> dict[str, Any]:
    """Return a setting of tuned.json; all were chosen on Gowalla's validation part."""
    found: dict[str, Any] = json.loads(SETTINGS.read_text(encoding="utf8"))[name]
    return found
