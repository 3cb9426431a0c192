"""Bodies of records, in JSON or JSON Lines: each is a question of ``/v1``, in its fields.

Those that say no more than an id and a length are answered a column at a time, however many they
are. One that says more (a filter, a history, a context, ...) makes all of its body `Asked`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from penchant.errors import RequestError
from penchant.serving.decode import MAX_LINE_BYTES, load_json
from penchant.serving.plain_requests import requests_of
from penchant.serving.protocols.attributes import Attributes
from penchant.serving.questions import PLAIN, Question, read_question
from penchant.serving.tasks import Asked, Recommend, Similar, Task

__all__ = ["LISTS", "decode_records", "lines", "read_query"]

# Fields of a question in a query: those that are lists between commas, and those that are JSON.
LISTS = ("history", "candidates", "exclude", "with_columns")
_JSON = ("where_values", "exclude_seen", "context")


def lines(body: bytes) -> Iterator[tuple[str, Any]]:
    """Yield JSON Lines with where they are; blank ones are passed over."""
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            if len(line) > MAX_LINE_BYTES:
                raise RequestError(f"longer than {MAX_LINE_BYTES} bytes")
            record = load_json(line)
        except RequestError as error:
            raise RequestError(f"line {number}: {error}") from None
        yield f"line {number}: ", record


def decode_records(
    places: Iterable[tuple[str, Any]], said: Attributes, max_top_n: int
) -> Task | Asked:
    """Read records, all of one kind.

    Parameters
    ----------
    places : iterable of (str, decoded JSON)
        Where each is, for messages, and the record.
    said : Attributes
        What records that do not say want; without a task the first record tells it.
    max_top_n : int
        The longest list that may be asked for.

    Raises
    ------
    RequestError
        At the first one that is wrong, naming the place and the field.

    Examples
    --------
    >>> task = decode_records([("", {"user_id": 17850, "k": 5})], Attributes(), 1000)
    >>> task.requests.user_ids, task.requests.top_n.tolist()
    (['17850'], [5])
    >>> decode_records([("", {"history": ["tea"]})], Attributes(), 1000).questions[0].history
    ('tea',)
    """
    kind = said.task
    questions: list[Question] = []
    found: list[str] = []
    for place, record in places:
        kind = kind or _kind_of(record)
        try:
            questions.append(read_question(record, kind, k=said.top_n, max_k=max_top_n))
        except RequestError as error:
            raise RequestError(f"{place}{error}") from None
        found.append(place)
    kind = kind or "recommend"
    asked = Asked(kind, questions, found, said.include_query)
    if not all(map(_is_plain, questions)):
        return asked
    if kind == "predict":
        return asked.pairs
    if kind == "recommend":
        return Recommend(requests_of(questions))
    wanted = np.array([question.k for question in questions], np.int64)
    return Similar([str(one.item_id) for one in questions], wanted, said.include_query)


def _kind_of(record: Any) -> str:
    if not isinstance(record, dict):
        return "recommend"
    if "pairs" in record:
        return "predict"
    if "item_id" in record:
        return "predict" if "user_id" in record else "similar"
    return "recommend"


def _is_plain(question: Question) -> bool:
    """Tell whether a question has no more than ids and a length."""
    return question.history is None and question.context is None and question.options == PLAIN


def read_query(query: dict[str, str], max_top_n: int) -> Task | Asked:
    """Read the query of ``GET /recommend``: the fields of a question as text.

    Lists are ids between commas, or JSON where an id has a comma in it; objects are JSON.

    Raises
    ------
    RequestError
        Naming the field.

    Examples
    --------
    >>> asked = read_query({"history": "tea,jam", "k": "5", "exclude_seen": "false"}, 1000)
    >>> asked.questions[0].history, asked.questions[0].options.exclude_seen
    (('tea', 'jam'), False)
    """
    record: dict[str, Any] = {}
    for name, text in query.items():
        is_json = name in _JSON or (name in LISTS and text[:1] in ("[", "{"))
        try:
            value = load_json(text.encode()) if is_json else text
        except RequestError as error:
            raise RequestError(f"{name}: {error}") from None
        record[name] = text.split(",") if name in LISTS and not is_json else value
    return decode_records([("", record)], Attributes(task="recommend"), max_top_n)
