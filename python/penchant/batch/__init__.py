"""Jobs over files: users in, recommendations out, in bounded memory and able to be continued."""

from __future__ import annotations

from penchant.batch.report import Report
from penchant.batch.transforming import transform

__all__ = ["Report", "transform"]
