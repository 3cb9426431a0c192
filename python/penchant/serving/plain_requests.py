"""Requests that say who and how many, no more: ``{"user_id": "17850", "k": 10}``, one a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from penchant.errors import RequestError
from penchant.serving.decode import DEFAULT_COUNT, MAX_LINE_BYTES, Requests, load_json
from penchant.serving.questions import PLAIN_FIELDS, Question, read_question

__all__ = ["BadLine", "decode_lines", "requests_of"]


class BadLine(NamedTuple):
    """A line that is no request: its number (from 1), the reason, and the line itself."""

    number: int
    error: str
    line: str


def requests_of(questions: Sequence[Question]) -> Requests:
    """Return questions about users as columns.

    Examples
    --------
    >>> requests_of([read_question({"user_id": 17850.0, "k": "5"}, "recommend")])
    Requests(user_ids=['17850'], top_n=array([5]))
    """
    wanted = np.array([question.k for question in questions], np.int64)
    return Requests([str(question.user_id) for question in questions], wanted)


def decode_lines(
    lines: Iterable[tuple[int, bytes]], *, top_n: int = DEFAULT_COUNT, max_top_n: int = 1000
) -> tuple[Requests, list[BadLine]]:
    """Decode JSON Lines, setting the wrong ones aside.

    Parameters
    ----------
    lines : iterable of (int, bytes)
        Line numbers and lines; blank ones are passed over.
    top_n, max_top_n : int
        How many answers a line that does not say wants, and the most that one may want.

    Returns
    -------
    requests : Requests
    bad : list of BadLine

    Examples
    --------
    >>> requests, bad = decode_lines([(1, b'{"user_id": 7}'), (2, b'{"k": 3}')])
    >>> requests.user_ids, bad
    (['7'], [BadLine(number=2, error='user_id is missing', line='{"k": 3}')])
    """
    pairs = []
    bad = []
    for number, line in lines:
        if not line or line.isspace():
            continue
        try:
            if len(line) > MAX_LINE_BYTES:
                raise RequestError(f"longer than {MAX_LINE_BYTES} bytes")
            record = load_json(line)
            question = read_question(
                record, "recommend", k=top_n, max_k=max_top_n, fields=PLAIN_FIELDS
            )
            pairs.append((question.user_id or "", question.k))
        except (RequestError, RecursionError) as error:
            # As deep as JSON may be nested, a message that shows the value may not be made of it.
            deep = isinstance(error, RecursionError)
            said = "nested too deep" if deep else str(error)
            text = line[:MAX_LINE_BYTES].decode("utf-8", "backslashreplace").rstrip("\r\n")
            bad.append(BadLine(number, said, text))
    return Requests.of(pairs), bad
