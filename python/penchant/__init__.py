"""Penchant: a recommender toolkit with a native core.

``Interactions`` holds a cleaned event table, models such as ``BPR`` learn from it, ``evaluate``
measures them, and ``save``/``load`` move them between machines.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from penchant._version import __version__

if TYPE_CHECKING:
    from penchant import (
        batch,
        data,
        endpoints,
        errors,
        evaluation,
        jobs,
        models,
        retrieval,
        storage,
    )
    from penchant.config import show_config
    from penchant.data import datasets, split
    from penchant.data.interactions import Interactions
    from penchant.endpoints import deploy
    from penchant.evaluation import EarlyStopping, ValidationMetric, evaluate
    from penchant.models import (
        BPR,
        EASE,
        IALS,
        SVD,
        BayesianSVD,
        Callback,
        ItemKNN,
        LambdaMART,
        Pipeline,
        Popularity,
        Prod2Vec,
        SVDpp,
        load,
    )
    from penchant.retrieval import rerank

# Public name -> module that defines it. Resolved on first use (PEP 562), so that
# `import penchant` stays fast and pulls in nothing that the caller does not touch.
_ATTRIBUTES = {
    "BPR": "penchant.models",
    "BayesianSVD": "penchant.models",
    "Callback": "penchant.models",
    "EASE": "penchant.models",
    "EarlyStopping": "penchant.evaluation",
    "IALS": "penchant.models",
    "Interactions": "penchant.data.interactions",
    "ItemKNN": "penchant.models",
    "LambdaMART": "penchant.models",
    "Pipeline": "penchant.models",
    "Popularity": "penchant.models",
    "Prod2Vec": "penchant.models",
    "SVD": "penchant.models",
    "SVDpp": "penchant.models",
    "ValidationMetric": "penchant.evaluation",
    "deploy": "penchant.endpoints",
    "evaluate": "penchant.evaluation",
    "load": "penchant.models",
    "show_config": "penchant.config",
}
_MODULES = {
    "batch": "penchant.batch",
    "data": "penchant.data",
    "datasets": "penchant.data.datasets",
    "endpoints": "penchant.endpoints",
    "errors": "penchant.errors",
    "evaluation": "penchant.evaluation",
    "jobs": "penchant.jobs",
    "models": "penchant.models",
    "rerank": "penchant.retrieval.rerank",
    "retrieval": "penchant.retrieval",
    "split": "penchant.data.split",
    "storage": "penchant.storage",
}

__all__ = [
    "BPR",
    "EASE",
    "IALS",
    "SVD",
    "BayesianSVD",
    "Callback",
    "EarlyStopping",
    "Interactions",
    "ItemKNN",
    "LambdaMART",
    "Pipeline",
    "Popularity",
    "Prod2Vec",
    "SVDpp",
    "ValidationMetric",
    "__version__",
    "batch",
    "data",
    "datasets",
    "deploy",
    "endpoints",
    "errors",
    "evaluate",
    "evaluation",
    "jobs",
    "load",
    "models",
    "rerank",
    "retrieval",
    "show_config",
    "split",
    "storage",
]


def __getattr__(name: str) -> Any:
    if name in _ATTRIBUTES:
        value = getattr(importlib.import_module(_ATTRIBUTES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(_MODULES[name])
    else:
        raise AttributeError(f"module 'penchant' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({name for name in globals() if name.startswith("__")} | set(__all__))
