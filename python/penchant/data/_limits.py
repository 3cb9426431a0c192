"""Sizes Penchant refuses before it allocates anything for them."""

from __future__ import annotations

import os
from pathlib import Path

from penchant.errors import DataError

# Codes are int32 throughout; offsets and row numbers are int64, so rows are bounded by memory only.
MAX_IDS = 2**31 - 1

# Peak of reading one event: two codes, a value, a time, masks and one sort order.
BYTES_PER_EVENT = 48


def check_ids(n_ids: int, column: str) -> None:
    """Refuse more distinct ids than int32 codes can number."""
    if n_ids > MAX_IDS:
        raise DataError(
            f"column {column!r} has {n_ids:,} different ids; at most {MAX_IDS:,} are supported"
        )


def check_rows(n_rows: int) -> None:
    """Refuse a table whose events cannot fit this machine's memory."""
    needed, available = n_rows * BYTES_PER_EVENT, memory_limit()
    if needed > available:
        raise DataError(
            f"{n_rows:,} rows need about {needed / 2**30:,.1f} GiB of memory and this machine has "
            f"{available / 2**30:,.1f} GiB: aggregate or sample the table first"
        )


def memory_limit() -> int:
    """Return the bytes of memory this process may use: the machine's, or its container's."""
    limit = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        group = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return limit
    return min(limit, int(group)) if group.isdigit() else limit
