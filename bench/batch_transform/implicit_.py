"""implicit's side: read the lines, recommend to all at once, write with the csv module."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.recommend_all.implicit_ import with_factors

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    import penchant as pc

NAME = "implicit + csv writer"

__all__ = ["NAME", "transform", "with_factors"]


def transform(
    rival: Any, model: pc.BPR, matrix: csr_matrix, users: Path, out: Path, k: int
) -> Path:
    with open(users, encoding="utf8") as file:
        asked = [json.loads(line)["user_id"] for line in file]
    codes = model.users_.codes(asked)
    found = rival.recommend(codes, matrix[codes], N=k, filter_already_liked_items=True)
    items = model.items_.to_list()
    with open(out, "w", newline="", encoding="utf8") as file:
        writer = csv.writer(file)
        for user, ids, scores in zip(asked, *found, strict=True):
            for item, score in zip(ids.tolist(), scores.tolist(), strict=True):
                if score > -1e37:  # it pads short lists
                    writer.writerow((user, items[item], score))
    return out
