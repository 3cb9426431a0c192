"""The answer to a task as replies to questions: the form in which a server records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from penchant.errors import PenchantError
from penchant.serving.decode import DEFAULT_COUNT
from penchant.serving.encode import Ids, Records, score_texts, to_json_lines
from penchant.serving.questions import Question
from penchant.serving.tasks import Predict, Recommend, Task

__all__ = ["memory_of", "questions_of", "replies_of"]

# Of one slice, about. The interpreter is held for a slice's time at most: answers go on meanwhile.
_QUESTIONS = 4096
_ROWS = 40_960
_OF_ONE = 150  # bytes of memory that a question takes in a task, about


def questions_of(task: Task) -> Iterator[Question]:
    """Yield a question for each user, item or pair of a task.

    Examples
    --------
    >>> [question.pairs for question in questions_of(Predict(["u1"], ["tea"]))]
    [(('u1', 'tea'),)]
    """
    if isinstance(task, Predict):
        for pair in zip(task.users, task.items, strict=True):
            yield Question(DEFAULT_COUNT, pairs=(pair,))
    elif isinstance(task, Recommend):
        users, wanted = task.requests.user_ids, task.requests.top_n.tolist()
        for user, k in zip(users, wanted, strict=True):
            yield Question(k, user_id=user)
    else:
        for item, k in zip(task.items, task.top_n.tolist(), strict=True):
            yield Question(k, item_id=item)


def memory_of(task: Task, answer: Records | PenchantError) -> int:
    """Return about how many bytes of memory a task and its answer take."""
    size = _OF_ONE * len(task)
    if isinstance(answer, Records):
        columns = (answer.user_rows, answer.item_rows, answer.scores)
        texts = (answer.users.text, answer.items.text)
        size += sum(int(column.nbytes) for column in (*columns, *texts))
    return size


def replies_of(
    task: Task, records: Records, unknown: NDArray[np.bool_] | None, about: bytes
) -> Iterator[bytes]:
    """Yield what ``/v1`` answers to each of `questions_of`, a slice of them encoded at a time.

    The values are those of ``/v1``; its bytes may differ, as it writes a score of 5 as ``5.0``.
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

    Yields
    ------
    bytes
        One for each of the task's questions, in order.

    Examples
    --------
    >>> import penchant as pc
    >>> from penchant.serving import Requests, Service
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]])
    >>> task = Recommend(Requests.of([("1", 1)]))
    >>> records = Service(pc.Popularity().fit(data)).perform(task)
    >>> list(replies_of(task, records, None, b'"model": "shop"'))
    [b'{"user_id": 1, "items": [{"item_id": "jam", "score": 2}], "model": "shop"}']
    """
    questions, rows = len(task), len(records)
    step = max(1, min(_QUESTIONS, _ROWS * questions // max(1, rows)))
    for start in range(0, questions, step):
        end = min(start + step, questions)
        if isinstance(task, Predict):
            for text in score_texts(records.scores[start:end], "null").to_pylist():
                yield b'{"scores": [%b], %b}' % (text.encode(), about)
            continue
        lines = to_json_lines(
            _slice(records, start, end),
            "user_id" if isinstance(task, Recommend) else "item_id",
            unknown=None if unknown is None else unknown[start:end],
            about=about.decode(),
        )
        yield from lines.split(b"\n")[:-1]


def _slice(records: Records, start: int, end: int) -> Records:
    """Return the part of some users, with no more items than it has rows: all would be quoted."""
    first, last = np.searchsorted(records.user_rows, [start, end]).tolist()
    return dataclasses.replace(
        records,
        users=Ids(records.users.text[start:end], records.users.literal[start:end]),
        items=records.items.take(records.item_rows[first:last]),
        user_rows=records.user_rows[first:last] - start,
        item_rows=np.arange(last - first),
        scores=records.scores[first:last],
    )
