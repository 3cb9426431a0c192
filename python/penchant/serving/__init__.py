"""Answering requests with a model: decode, recommend, encode; and the web application around it.

`questions`, `service` and `encode` know no web framework; `app` (FastAPI) and the command line use
them, so every way to ask gives the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penchant.errors import require
from penchant.serving.decode import Requests
from penchant.serving.encode import Records, to_csv, to_json
from penchant.serving.plain_requests import decode_lines
from penchant.serving.service import Service

if TYPE_CHECKING:
    from penchant.serving.app import create_app

__all__ = [
    "Records",
    "Requests",
    "Service",
    "create_app",
    "decode_lines",
    "to_csv",
    "to_json",
]


def __getattr__(name: str) -> Any:
    if name == "create_app":  # needs FastAPI, which nothing else here does
        require("fastapi", "serve")
        from penchant.serving.app import create_app

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
