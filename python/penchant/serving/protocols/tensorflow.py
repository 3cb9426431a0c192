"""TensorFlow Serving's REST shape, as recommenders made with TensorFlow answer it.

``{"instances": ["tea", "jam"]}`` asks for items like these, ``{"instances": [{"user_id": 17850}]}``
for recommendations; an answer is ``{"predictions": [{"output_1": [0.9, 0.5], "output_2": ["milk",
"cup"]}, ...]}``, scores and names for each instance.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from penchant.errors import RequestError, closest
from penchant.serving.decode import Requests, decode_record, id_text, show, whole_number
from penchant.serving.encode import Records, to_columns
from penchant.serving.tasks import Recommend, Similar

__all__ = ["decode", "encode", "is_request"]

_FIELDS = ("instances", "signature_name", "top_n", "include_query")
_INSTANCE = ("user_id", "item_id", "top_n")


def is_request(document: Any) -> bool:
    """Tell whether decoded JSON has this shape."""
    return isinstance(document, dict) and "instances" in document


def decode(
    document: Any, *, top_n: int = 10, max_top_n: int = 1000, include_query: bool = False
) -> Recommend | Similar:
    """Read a request.

    Parameters
    ----------
    document : dict
        Decoded JSON. An instance is an item (text or a number, alone in a list or not) or an object
        of ``user_id`` or ``item_id`` and, optionally, ``top_n``; all are of one kind. Beside
        the instances ``top_n``, ``include_query`` and ``signature_name`` (which changes nothing)
        may be given.
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
    if document.get("top_n") is not None:
        top_n = _count(document["top_n"], max_top_n)
    asked = document.get("include_query", include_query)
    if not isinstance(asked, bool):
        raise RequestError(f"include_query must be true or false, got {show(asked)}")
    found = [_at(place, instance, top_n, max_top_n) for place, instance in enumerate(instances)]
    kinds = {kind for kind, _, _ in found}
    if len(kinds) > 1:
        raise RequestError("instances must all be items or all be users, not some of each")
    if kinds == {"user"}:
        return Recommend(Requests.of((user, n) for _, user, n in found))
    return Similar(
        [item for _, item, _ in found], np.array([n for *_, n in found], np.int64), asked
    )


def _at(place: int, instance: Any, top_n: int, max_top_n: int) -> tuple[str, str, int]:
    try:
        return _read(instance, top_n, max_top_n)
    except RequestError as error:
        raise RequestError(f"instances[{place}]: {error}") from None


def _read(instance: Any, top_n: int, max_top_n: int) -> tuple[str, str, int]:
    """Return the kind of an instance, its id and how many answers it wants."""
    if isinstance(instance, list) and len(instance) == 1:
        instance = instance[0]  # a tensor of shape (n, 1)
    if not isinstance(instance, dict):
        return "item", id_text(instance, "an item"), top_n
    if "item_id" not in instance:
        return "user", *decode_record(instance, top_n=top_n, max_top_n=max_top_n)
    for field in instance:
        if field not in _INSTANCE:
            hint = closest(field, _INSTANCE) or f"; fields: {', '.join(_INSTANCE)}"
            raise RequestError(f"unknown field {show(field)}{hint}")
    if "user_id" in instance:
        raise RequestError("give user_id or item_id, not both")
    if instance.get("top_n") is not None:
        top_n = _count(instance["top_n"], max_top_n)
    return "item", id_text(instance["item_id"], "item_id"), top_n


def _count(value: Any, max_top_n: int) -> int:
    wanted = whole_number(value)
    if wanted is None or not 1 <= wanted <= max_top_n:
        raise RequestError(f"top_n must be a whole number from 1 to {max_top_n}, got {show(value)}")
    return wanted


def encode(records: Records) -> bytes:
    """Return the answer: scores and names for each instance, in order.

    Examples
    --------
    >>> import penchant as pc
    >>> from penchant.serving import Service
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]])
    >>> asked = decode({"instances": [{"user_id": 1, "top_n": 1}, {"user_id": 2}]})
    >>> encode(Service(pc.Popularity().fit(data)).answer(asked.requests)).decode()
    '{"predictions": [{"output_1": [2], "output_2": ["jam"]}, {"output_1": [], "output_2": []}]}'
    """
    rows = zip(*to_columns(records), strict=True)
    listed = (f'{{"output_1": {scores}, "output_2": {items}}}' for scores, items in rows)
    return f'{{"predictions": [{", ".join(listed)}]}}'.encode()
