"""Jobs over files: users in, recommendations out, in bounded memory and able to be continued."""

from __future__ import annotations

from penchant.batch.drop_folder import Outcome, watch
from penchant.batch.personalizing import rank, recommend, related, segment
from penchant.batch.report import Report
from penchant.batch.tables import to_parquet
from penchant.batch.transforming import transform

__all__ = [
    "Outcome",
    "Report",
    "rank",
    "recommend",
    "related",
    "segment",
    "to_parquet",
    "transform",
    "watch",
]
