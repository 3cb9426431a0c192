"""`python -m penchant.cli.digest ARTIFACT K`: a fingerprint of what an artifact recommends.

The demo runs it in a fresh process, to compare with the model it still has in memory.
"""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penchant.models import Recommender


def digest(model: Recommender, k: int) -> str:
    """SHA-256 over the ids and the bits of the scores of everybody's `k` recommendations."""
    from penchant.data.frames import to_arrow

    table = to_arrow(model.recommend(k=k))[0]
    state = hashlib.sha256()
    for name in table.column_names:
        column = table.column(name)
        if name == "score":
            state.update(column.to_numpy().tobytes())
        else:
            state.update("\n".join(map(str, column.to_pylist())).encode())
    return state.hexdigest()


if __name__ == "__main__":
    from penchant import load

    print(digest(load(sys.argv[1]), int(sys.argv[2])))
