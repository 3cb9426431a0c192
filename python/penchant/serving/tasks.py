"""What a cloud's request comes down to: one of three tasks, whatever it was written in.

Requests that say more than a task holds are `Asked`, question by question.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from penchant.serving.decode import Requests
from penchant.serving.questions import Question

__all__ = ["Asked", "Predict", "Recommend", "Similar", "Task"]


@dataclasses.dataclass(frozen=True)
class Recommend:
    """Items for users; its answer is a `Records` with the requests as ``users``.

    Attributes
    ----------
    requests : Requests
    """

    requests: Requests

    def __len__(self) -> int:
        return len(self.requests)


@dataclasses.dataclass(frozen=True)
class Predict:
    """A score for each pair; its answer is a `Records` with a row for each pair, in order.

    Attributes
    ----------
    users, items : sequence of str, length n
        As text, whatever they came as. The score of a pair with an unknown id is NaN.
    """

    users: Sequence[str]
    items: Sequence[str]

    def __len__(self) -> int:
        return len(self.users)


@dataclasses.dataclass(frozen=True)
class Similar:
    """Items like some items; its answer is a `Records` with the items asked about as ``users``.

    Attributes
    ----------
    items : sequence of str, length n
        As text. Unknown ones have no neighbours.
    top_n : int64 array of shape (n,)
        Length of each list, at least 1.
    include_query : bool
        Whether the item itself comes first, with the score 1.0, as one of the `top_n`.
    """

    items: Sequence[str]
    top_n: NDArray[np.int64]
    include_query: bool = False

    def __len__(self) -> int:
        return len(self.items)


Task = Recommend | Predict | Similar


@dataclasses.dataclass(frozen=True)
class Asked:
    """Questions with options, a history or a context: each is answered as ``/v1`` answers it.

    Attributes
    ----------
    kind : {"recommend", "predict", "similar"}
    questions : sequence of Question, length n
    places : sequence of str, length n
        Where each stands in its body, such as ``"line 2: "``, for messages.
    include_query : bool
        As of `Similar`.
    """

    kind: str
    questions: Sequence[Question]
    places: Sequence[str]
    include_query: bool = False

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def pairs(self) -> Predict:
        """The pairs to score, those of all questions after each other."""
        pairs = [pair for question in self.questions for pair in question.pairs]
        return Predict([user for user, _ in pairs], [item for _, item in pairs])
