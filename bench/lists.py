"""Are two sets of top-k lists the same?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-6  # relative difference of float64 scores within which ids may change places

Score = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Agreement:
    """How far two sets of lists agree."""

    n_lists: int
    identical_lists: int
    places_that_differ: int
    places_only_one_fills: int
    largest_gap: float

    @property
    def agrees(self) -> bool:
        return self.places_only_one_fills == 0 and self.largest_gap <= TOLERANCE

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"agrees": self.agrees}

    def __str__(self) -> str:
        text = f"{self.identical_lists:,} of {self.n_lists:,} lists have the same ids"
        if self.places_that_differ:
            text += (
                f"; {self.places_that_differ} places differ, float64 scores there by "
                f"{self.largest_gap:.1e} (relative) at most"
            )
        return text


def compare(
    ours: NDArray[np.int64], theirs: NDArray[np.int64], users: NDArray[np.int64], score: Score
) -> Agreement:
    """Compare lists place by place; -1 stands for an empty place.

    Where ids differ, the float64 scores of the two ids are compared: rounding may swap neighbours,
    nothing else.
    """
    row, place = np.nonzero(ours != theirs)
    a, b = ours[row, place], theirs[row, place]
    both = (a >= 0) & (b >= 0)
    one, other = (score(users[row[both]], ids[both]) for ids in (a, b))
    scale = np.maximum(np.maximum(np.abs(one), np.abs(other)), np.finfo(np.float64).tiny)
    gaps = np.abs(one - other) / scale
    return Agreement(
        n_lists=len(ours),
        identical_lists=len(ours) - len(np.unique(row)),
        places_that_differ=len(row),
        places_only_one_fills=int(np.count_nonzero(~both)),
        largest_gap=float(gaps.max(initial=0.0)),
    )
