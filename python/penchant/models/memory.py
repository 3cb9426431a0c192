"""How much memory is there."""

from __future__ import annotations

from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Return the bytes that this process may still take, None where the system does not say.

    Examples
    --------
    >>> from penchant.models.memory import available_memory
    >>> (available_memory() or 1) > 0
    True
    """
    limits = [_free_on_machine(), _left_to_group()]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def _free_on_machine() -> int | None:
    """Linux: what could be had without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return next((int(kilobytes) * 1024 for kilobytes in found), None)


def _left_to_group() -> int | None:
    """Linux containers: the limit of the control group less what it uses, files in cache aside."""
    try:
        limit = (_GROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_GROUP / "memory.current").read_text(encoding="ascii"))
        stat = (_GROUP / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    cached = sum(int(line.split()[1]) for line in stat if line.startswith("inactive_file "))
    return None if limit == "max" else max(int(limit) - used + cached, 0)
