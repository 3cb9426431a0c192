"""Events in, numbered users and items out: `Interactions`, id maps, splits and data sets."""

from __future__ import annotations

from penchant.data import datasets, frames, split
from penchant.data.ids import IdMap
from penchant.data.interactions import CSR, Columns, Interactions

__all__ = ["CSR", "Columns", "IdMap", "Interactions", "datasets", "frames", "split"]
