"""implicit's side (https://github.com/benfred/implicit); import it only where it is installed."""

from __future__ import annotations

from typing import Any

from bench.bpr.implicit_ import as_ours, fit_als
from bench.bpr.published import IMPLICIT_ALS

__all__ = ["as_ours", "fit_als", "settings"]


def settings(factors: int) -> dict[str, Any]:
    """Return the setting of implicit that ours is compared with."""
    return next(params for params in IMPLICIT_ALS.values() if params["factors"] == factors)
