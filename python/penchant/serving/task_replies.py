"""The answer to a task as replies to questions: the form in which a server records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.serving.encode import Records, score_texts, to_json_lines
from penchant.serving.questions import Question
from penchant.serving.tasks import Predict, Recommend, Task

__all__ = ["questions_of", "replies_of"]

_K = 10  # of a question that does not say, and of pairs, where it means nothing


def questions_of(task: Task) -> Iterator[Question]:
    """Yield a question for each user, item or pair of a task.

    Examples
    --------
    >>> [question.pairs for question in questions_of(Predict(["u1"], ["tea"]))]
    [(('u1', 'tea'),)]
    """
    if isinstance(task, Predict):
        for pair in zip(task.users, task.items, strict=True):
            yield Question(_K, pairs=(pair,))
    elif isinstance(task, Recommend):
        users, wanted = task.requests.user_ids, task.requests.top_n.tolist()
        for user, k in zip(users, wanted, strict=True):
            yield Question(k, user_id=user)
    else:
        for item, k in zip(task.items, task.top_n.tolist(), strict=True):
            yield Question(k, item_id=item)


def replies_of(
    task: Task, records: Records, unknown: NDArray[np.bool_] | None, about: bytes
) -> list[bytes]:
    """Return what ``/v1`` answers to each of `questions_of`.

    Items that are like one begin with that one, where the task says so. One that the model does
    not know has no neighbours, which ``/v1`` answers with an error.

    Parameters
    ----------
    task : Recommend, Predict or Similar
    records : Records
        The answer.
    unknown : bool array of shape (len(task),), optional
        Users that the model does not know. Default: it knows all.
    about : bytes
        As of `penchant.serving.replies.reply`.

    Returns
    -------
    list of bytes, length len(task)

    Examples
    --------
    >>> import penchant as pc
    >>> from penchant.serving import Requests, Service
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]])
    >>> task = Recommend(Requests.of([("1", 1)]))
    >>> records = Service(pc.Popularity().fit(data)).perform(task)
    >>> replies_of(task, records, None, b'"model": "shop"')
    [b'{"user_id": 1, "items": [{"item_id": "jam", "score": 2}], "model": "shop"}']
    """
    if isinstance(task, Predict):
        texts: list[Any] = score_texts(records.scores, "null").to_pylist()
        return [b'{"scores": [%b], %b}' % (text.encode(), about) for text in texts]
    name = "user_id" if isinstance(task, Recommend) else "item_id"
    lines = to_json_lines(records, name, unknown=unknown, about=about.decode())
    return lines.split(b"\n")[:-1]
