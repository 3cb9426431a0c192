"""A cloud on this machine: models as endpoints with a process, a log and a name each.

``penchant.deploy(model, name="shop")`` starts one that outlives the notebook; `list` and `get` find
it again, `router` gives all of them one address that boto3 takes for Amazon's. What there is to
know of an endpoint lies in a folder under ``PENCHANT_HOME`` (``~/.penchant`` by default).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penchant.endpoints.gateway import Router, router
    from penchant.endpoints.managed import deploy, get, list
    from penchant.endpoints.predictor import Predictor

# The process that watches over a server imports this package too, and needs none of these.
_ATTRIBUTES = {
    "Predictor": "penchant.endpoints.predictor",
    "Router": "penchant.endpoints.gateway",
    "deploy": "penchant.endpoints.managed",
    "get": "penchant.endpoints.managed",
    "list": "penchant.endpoints.managed",
    "router": "penchant.endpoints.gateway",
}

__all__ = ["Predictor", "Router", "deploy", "get", "list", "router"]


def __getattr__(name: str) -> Any:
    if name not in _ATTRIBUTES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_ATTRIBUTES[name]), name)
    globals()[name] = value
    return value
