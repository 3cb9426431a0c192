"""The machine: what it is, and the most it can do (memory copy, matrix product)."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_OTHERS = ("implicit", "faiss-cpu", "hnswlib", "usearch", "numpy", "scipy", "pandas", "pyarrow")
_ATTEMPTS = 5


def describe() -> dict[str, Any]:
    """CPU, caches, memory, load and the instruction set in use; nothing that names the machine."""
    from penchant import _core

    return {
        "cpu": _first_field("/proc/cpuinfo", "model name") or platform.processor(),
        "cpus": os.cpu_count(),
        "cpus_usable": len(os.sched_getaffinity(0)),
        "caches": _caches(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "isa": _core.isa(),
        "default_threads": _core.default_num_threads(),
        "compiler": str(_core.build_info().get("compiler", "unknown")),
        "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS"),
    }


def summary(machine: dict[str, Any]) -> str:
    caches = ", ".join(f"{level} {size}" for level, size in machine["caches"].items())
    return (
        f"{machine['cpu']}, {machine['cpus_usable']} CPUs, {caches}, {machine['memory_gib']} GiB, "
        f"{machine['isa']} kernels, load {machine['load']}"
    )


def versions() -> dict[str, str]:
    """Versions of what takes part, as far as installed."""
    import penchant

    installed = {dist.name.lower(): dist.version for dist in metadata.distributions() if dist.name}
    found = {name: installed[name] for name in _OTHERS if name in installed}
    return {"penchant": penchant.__version__} | found


def _first_field(path: str, name: str) -> str | None:
    try:
        lines = Path(path).read_text(encoding="utf8").splitlines()
    except OSError:
        return None
    values = (line.partition(":")[2].strip() for line in lines if line.startswith(name))
    return next(values, None)


def _caches() -> dict[str, str]:
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind = (index / "type").read_text().strip()
        if kind != "Instruction":
            found[f"L{(index / 'level').read_text().strip()}"] = (
                (index / "size").read_text().strip()
            )
    return found


def copy_bandwidth(threads: int, bytes_per_array: int) -> float:
    """Bytes per second, read plus written, of copying arrays, one pair per thread: the best try.

    Arrays well beyond the last cache give the memory's bandwidth (writing a line may make the CPU
    read it first; those reads are not counted); a pair that fits the second-level cache gives that
    one's.
    """
    pairs = [
        (np.ones(bytes_per_array, np.uint8), np.zeros(bytes_per_array, np.uint8))
        for _ in range(threads)
    ]
    times = max(1, 2**29 // bytes_per_array)

    def copy(thread: int) -> None:
        source, target = pairs[thread]
        for _ in range(times):
            np.copyto(target, source)

    return 2.0 * bytes_per_array * times * threads / _best(copy, threads)


def read_bandwidth(threads: int, bytes_per_array: int = 2**28) -> float:
    """Bytes per second of reading memory (a sum of products of two arrays a thread): the best."""
    arrays = [np.ones(bytes_per_array // 4, np.float32) for _ in range(threads)]

    def read(thread: int) -> None:
        half = len(arrays[thread]) // 2
        np.dot(arrays[thread][:half], arrays[thread][half:])

    return bytes_per_array * threads / _best(read, threads)


def gemm_flops(threads: int, size: int = 1024) -> float:
    """Floating-point operations per second of float32 matrix products, one per thread: the best.

    NumPy's BLAS runs on one thread (see `bench.__main__`), so the threads here are Python's.
    """
    rng = np.random.default_rng(0)
    left, right = (rng.random((size, size), dtype=np.float32) for _ in range(2))
    out = [np.empty((size, size), np.float32) for _ in range(threads)]
    times = max(1, 2**32 // size**3)

    def multiply(thread: int) -> None:
        for _ in range(times):
            np.matmul(left, right, out=out[thread])

    return 2.0 * size**3 * times * threads / _best(multiply, threads)


def all_products(
    queries: NDArray[np.float32], vectors: NDArray[np.float32], threads: int, rows: int = 256
) -> None:
    """Compute every inner product and throw it away: what a scan costs without any selection."""
    out = np.empty((threads, rows, len(vectors)), np.float32)
    starts = range(0, len(queries), rows)

    def work(thread: int) -> None:
        for start in starts[thread::threads]:
            part = queries[start : start + rows]
            np.matmul(part, vectors.T, out=out[thread, : len(part)])

    _all_threads(work, threads)


def _best(work: Callable[[int], None], threads: int) -> float:
    seconds = []
    for _ in range(_ATTEMPTS):
        began = time.perf_counter()
        _all_threads(work, threads)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def _all_threads(work: Callable[[int], None], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
