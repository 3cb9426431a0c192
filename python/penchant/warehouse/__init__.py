"""Databases that training data come from and recommendations go to."""

from __future__ import annotations

from penchant.warehouse.connections import connect, opened, opener
from penchant.warehouse.tables import Table, Tables

__all__ = ["Table", "Tables", "connect", "opened", "opener"]
