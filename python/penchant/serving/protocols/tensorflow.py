"""TensorFlow Serving's REST shape, as recommenders made with TensorFlow answer it.

``{"instances": ["tea", "jam"]}`` asks for items like these, ``{"instances": [{"user_id": 17850}]}``
for recommendations; an answer is ``{"predictions": [{"output_1": [0.9, 0.5], "output_2": ["milk",
"cup"]}, ...]}``, scores and names for each instance.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from penchant.errors import RequestError, closest
from penchant.serving.decode import COUNTS, DEFAULT_COUNT, id_text, read_count, show
from penchant.serving.encode import Records, to_columns
from penchant.serving.plain_requests import requests_of
from penchant.serving.questions import PLAIN_FIELDS, Question, read_question
from penchant.serving.tasks import Recommend, Similar

__all__ = ["decode", "encode", "is_request"]

_FIELDS = ("instances", "signature_name", *COUNTS, "include_query")


def is_request(document: Any) -> bool:
    """Tell whether decoded JSON has this shape."""
    return isinstance(document, dict) and "instances" in document


def decode(
    document: Any,
    *,
    top_n: int = DEFAULT_COUNT,
    max_top_n: int = 1000,
    include_query: bool = False,
) -> Recommend | Similar:
    """Read a request.

    Parameters
    ----------
    document : dict
        Decoded JSON. An instance is an item (text or a number, alone in a list or not) or an object
        of ``user_id`` or ``item_id`` and, optionally, ``k`` (or ``top_n``, the same); all are of
        one kind. Beside the instances ``k`` (or ``top_n``), ``include_query`` and
        ``signature_name`` (which changes nothing) may be given.
    top_n, max_top_n : int
        Length of a list where the request does not say, and the most that it may say.
    include_query : bool, default False
        Where the request does not say.

    Raises
    ------
    RequestError
        Naming the field or the place of the instance.

    Examples
    --------
    >>> decode({"instances": ["Low|||Secret Name"], "include_query": True}).items
    ['Low|||Secret Name']
    """
    for field in document:
        if field not in _FIELDS:
            hint = closest(field, _FIELDS) or f"; fields: {', '.join(_FIELDS)}"
            raise RequestError(f"unknown field {show(field)}{hint}")
    instances = document["instances"]
    if not isinstance(instances, list):
        raise RequestError(f"instances must be a list, got {show(instances)}")
    k = read_count(document, top_n, max_top_n)
    asked = document.get("include_query", include_query)
    if not isinstance(asked, bool):
        raise RequestError(f"include_query must be true or false, got {show(asked)}")
    found = [_at(place, instance, k, max_top_n) for place, instance in enumerate(instances)]
    questions = [question for _, question in found]
    kinds = {kind for kind, _ in found}
    if len(kinds) > 1:
        raise RequestError("instances must all be items or all be users, not some of each")
    if kinds == {"recommend"}:
        return Recommend(requests_of(questions))
    wanted = np.array([question.k for question in questions], np.int64)
    return Similar([str(question.item_id) for question in questions], wanted, asked)


def _at(place: int, instance: Any, k: int, max_k: int) -> tuple[str, Question]:
    try:
        return _read(instance, k, max_k)
    except RequestError as error:
        raise RequestError(f"instances[{place}]: {error}") from None


def _read(instance: Any, k: int, max_k: int) -> tuple[str, Question]:
    """Return the kind of an instance, and what it asks."""
    if isinstance(instance, list) and len(instance) == 1:
        instance = instance[0]  # a tensor of shape (n, 1)
    if not isinstance(instance, dict):
        return "similar", Question(k, item_id=id_text(instance, "an item"))
    kind, fields = "recommend", PLAIN_FIELDS
    if "item_id" in instance:
        kind, fields = "similar", ("item_id", *COUNTS)
        if "user_id" in instance:
            raise RequestError("give user_id or item_id, not both")
    return kind, read_question(instance, kind, k=k, max_k=max_k, fields=fields)


def encode(records: Records) -> bytes:
    """Return the answer: scores and names for each instance, in order.

    Examples
    --------
    >>> import penchant as pc
    >>> from penchant.serving import Service
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]])
    >>> asked = decode({"instances": [{"user_id": 1, "k": 1}, {"user_id": 2}]})
    >>> encode(Service(pc.Popularity().fit(data)).answer(asked.requests)).decode()
    '{"predictions": [{"output_1": [2], "output_2": ["jam"]}, {"output_1": [], "output_2": []}]}'
    """
    rows = zip(*to_columns(records), strict=True)
    listed = (f'{{"output_1": {scores}, "output_2": {items}}}' for scores, items in rows)
    return f'{{"predictions": [{", ".join(listed)}]}}'.encode()
