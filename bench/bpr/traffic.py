"""The byte model of a BPR update."""

from __future__ import annotations

from typing import Any

from bench import machine
from bench.report import Report

_FLOAT = 4
_DRAM_ARRAY = 2**27
_CACHE_ARRAY = 2**18

MODEL = (
    "byte model of an update: the rows of the user, the positive and the negative item and the two "
    "biases are read and written once; dynamic negatives read n_candidates rows and biases more. "
    "Kept rows (a user's, for as long as it has events) are counted all the same."
)


def bytes_per_update(factors: int, n_candidates: int = 0) -> int:
    """Bytes that one update reads and writes by the model above."""
    updated = 2 * (3 * factors + 2) * _FLOAT
    return updated + n_candidates * (factors + 1) * _FLOAT


def measure_limits(threads: int) -> dict[str, float]:
    """Measure how fast this machine copies, from memory and within the second-level cache."""
    return {
        "memory": machine.copy_bandwidth(threads, _DRAM_ARRAY),
        "cache": machine.copy_bandwidth(threads, _CACHE_ARRAY),
    }


def show_limits(report: Report, threads: int, *measurements: dict[str, float]) -> dict[str, float]:
    """Print the best of several measurements: a busy moment must not lower a limit."""
    limits = {name: max(found[name] for found in measurements) for name in measurements[0]}
    report.results["copy_bytes_per_second"] = limits
    print(
        f"copy on {threads} threads, read + written: memory (128 MiB arrays) "
        f"{limits['memory'] / 1e9:.1f} GB/s, second-level cache (256 KiB arrays) "
        f"{limits['cache'] / 1e9:.1f} GB/s"
    )
    return limits


def columns(updates: float, per_update: int, limits: dict[str, float]) -> list[Any]:
    """Table cells: million updates/s, GB/s and that as a share of both limits."""
    rate = updates * per_update
    return [
        f"{updates / 1e6:.2f}",
        f"{rate / 1e9:.1f}",
        f"{100 * rate / limits['memory']:.0f} %",
        f"{100 * rate / limits['cache']:.0f} %",
    ]


HEADERS = ["M updates/s", "GB/s", "of memory copy", "of cache copy"]
