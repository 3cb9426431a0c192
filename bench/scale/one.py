"""One measurement: `python -m bench.scale.one MODEL ROWS THREADS` prints a line of JSON.

Each runs in a process of its own, so that its peak memory is its own too.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"

# Few epochs: what is measured is how the time of one grows. Catalogues that grow with the rows
# would make item-item models quadratic, so theirs is fixed, as real catalogues nearly are.
SETTINGS: dict[str, dict[str, Any]] = {
    "BayesianSVD": {"factors": 8, "epochs": 10, "n_samples": 5},
    "BPR": {"factors": 64, "epochs": 2, "negatives": "uniform"},
    "EASE": {},
    "IALS": {"factors": 100, "epochs": 2},
    "ItemKNN": {},
    "Prod2Vec": {"vector_size": 100, "epochs": 1},
    "SVD": {"factors": 100, "epochs": 2},
    "SVDpp": {"factors": 20, "epochs": 2},
}
RATING_MODELS = ("BayesianSVD", "SVD", "SVDpp")
N_ITEMS = {"EASE": 2_000, "ItemKNN": 10_000}


def main(name: str, rows: int, threads: int) -> None:
    import numpy as np

    import penchant as pc
    from bench import events

    model = getattr(pc.models, name)()
    known = model.get_params()
    settings = {**SETTINGS[name], "num_threads": threads}
    model.set_params(**{key: value for key, value in settings.items() if key in known})
    model.fit(events.synthetic(1_000, 50), progress=False)  # warms threads and imports up
    train = events.synthetic(rows, N_ITEMS.get(name))
    csr_bytes = sum(part.nbytes for part in train.csr("distinct"))
    if name in RATING_MODELS:  # made once and kept: converting is not part of a fit
        train.csr("last")
    give_back()
    reset_peak()
    before = memory("VmRSS")
    began = time.perf_counter()
    model.fit(train, progress=False)
    seconds = time.perf_counter() - began
    grown = memory("VmHWM") - before
    weights = sum(np.asarray(array).nbytes for array in model.snapshot().values())
    result = {
        "model": name,
        "rows": rows,
        "users": train.n_users,
        "items": train.n_items,
        "seconds": seconds,
        "csr_bytes": csr_bytes,
        "weights_bytes": weights,
        "peak_bytes": csr_bytes + grown,
    }
    print(json.dumps(result))


def memory(field: str) -> int:
    """Return a figure of this process's memory in bytes, such as VmRSS or VmHWM (its peak)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def give_back() -> None:
    """Return freed memory to the system: a fit that reuses it would seem to need none."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    ctypes.CDLL(None).malloc_trim(0)


def reset_peak() -> None:
    """Make VmHWM count from here (Linux: proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
