"""The runtime API of Amazon Personalize, as ``boto3.client("personalize-runtime")`` speaks it.

Requests are ``POST /recommendations`` and ``POST /personalize-ranking`` with JSON bodies; an error
has its name in the header ``x-amzn-errortype``. Lines of batch jobs are in `personalize_lines`.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from penchant.errors import RequestError, closest
from penchant.serving.decode import id_text, load_json, show

__all__ = [
    "RANKING",
    "RECOMMENDATIONS",
    "ErrorAnswer",
    "RankingRequest",
    "RecommendationsRequest",
    "error_answer",
    "error_kind",
    "filter_values",
    "parse_ranking",
    "parse_recommendations",
    "ranking_answer",
    "recommendations_answer",
    "resource_name",
]

DEFAULT_RESULTS = 25
MAX_RESULTS = 500
MAX_INPUT_LIST = 500
_ERRORS = {
    "InvalidInputException": 400,
    "ResourceNotFoundException": 404,
    "ThrottlingException": 429,
    "InternalFailure": 500,
    "ServiceUnavailable": 503,
}
_KINDS = {
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    503: "ServiceUnavailable",
    504: "ServiceUnavailable",
}
_ARN = {"type": "string", "minLength": 1, "maxLength": 256}
_ID = {"type": "string", "minLength": 1, "maxLength": 256}
_VALUE = {"anyOf": [{"type": "string"}, {"type": "number"}]}
_VALUES = {"anyOf": [_VALUE, {"type": "array", "items": _VALUE}]}
# The fields of both requests and of each, with their JSON schemas: what is read and what the
# OpenAPI document says.
_COMMON: dict[str, dict[str, Any]] = {
    "campaignArn": _ARN | {"description": "Its last part is the name of a model."},
    "userId": _ID | {"description": "One the model does not know gets popular items."},
    "context": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "Recorded, where the server records.",
    },
    "filterArn": _ARN | {"description": "Its last part names a filter of the server."},
    "filterValues": {
        "type": "object",
        "additionalProperties": _VALUES,
        "description": "What $NAME in the filter stands for.",
    },
    "metadataColumns": {"type": "object", "maxProperties": 0, "description": "Not supported."},
}
_RECOMMENDATIONS: dict[str, dict[str, Any]] = _COMMON | {
    "recommenderArn": _ARN | {"description": "In place of campaignArn."},
    "itemId": _ID | {"description": "Without userId: items like this one."},
    "numResults": {
        "type": "integer",
        "minimum": 0,
        "maximum": MAX_RESULTS,
        "description": f"{DEFAULT_RESULTS} without it, or for 0.",
    },
    "promotions": {"type": "array", "maxItems": 0, "description": "Not supported."},
}
_RANKING: dict[str, dict[str, Any]] = _COMMON | {
    "inputList": {
        "type": "array",
        "items": _ID,
        "minItems": 1,
        "maxItems": MAX_INPUT_LIST,
        "description": "The items to rank; those that the model does not know come last.",
    },
}
# The JSON schemas of the bodies.
RECOMMENDATIONS = {
    "type": "object",
    "properties": _RECOMMENDATIONS,
    "anyOf": [{"required": ["userId"]}, {"required": ["itemId"]}],
    "additionalProperties": False,
}
RANKING = {
    "type": "object",
    "properties": _RANKING,
    "required": ["userId", "inputList"],
    "additionalProperties": False,
}


@dataclasses.dataclass(frozen=True)
class RecommendationsRequest:
    """What `get_recommendations` asks.

    Attributes
    ----------
    campaign : str or None
        Last part of the ARN of the campaign or recommender; None where there is none.
    user_id, item_id : str or None
        At least one; with an item but no user, items like it are wanted.
    num_results : int
    filter_name : str or None
        Last part of the filter's ARN.
    filter_values : dict
        As `filter_values` returns them.
    context : dict of str to str
    """

    campaign: str | None
    user_id: str | None
    item_id: str | None
    num_results: int
    filter_name: str | None
    filter_values: dict[str, Any]
    context: dict[str, str]


@dataclasses.dataclass(frozen=True)
class RankingRequest:
    """What `get_personalized_ranking` asks; see `RecommendationsRequest`.

    Attributes
    ----------
    input_list : list of str
        Ids of the items to rank.
    """

    campaign: str | None
    user_id: str
    input_list: list[str]
    filter_name: str | None
    filter_values: dict[str, Any]
    context: dict[str, str]


class ErrorAnswer(NamedTuple):
    """An HTTP answer: status, headers and body."""

    status: int
    headers: dict[str, str]
    body: bytes


def parse_recommendations(body: bytes) -> RecommendationsRequest:
    """Read the body of ``POST /recommendations``.

    Parameters
    ----------
    body : bytes

    Raises
    ------
    RequestError
        Naming the field; Amazon's is an InvalidInputException.

    Examples
    --------
    >>> arn = "arn:aws:personalize:us-east-1:000000000000:campaign/shop"
    >>> body = json.dumps({"campaignArn": arn, "userId": "7", "numResults": 3}).encode()
    >>> request = parse_recommendations(body)
    >>> request.campaign, request.user_id, request.num_results
    ('shop', '7', 3)
    """
    record = _object(body, _RECOMMENDATIONS)
    user, item = (_optional_id(record, name) for name in ("userId", "itemId"))
    if user is None and item is None:
        raise RequestError("userId or itemId is missing")
    wanted = 0 if record.get("numResults") is None else record["numResults"]
    if type(wanted) is not int or not 0 <= wanted <= MAX_RESULTS:
        raise RequestError(f"numResults must be a whole number from 0 to {MAX_RESULTS}")
    if record.get("promotions"):
        raise RequestError("promotions are not supported")
    campaign = record.get("campaignArn") or record.get("recommenderArn")
    return RecommendationsRequest(
        None if campaign is None else resource_name(campaign),
        user,
        item,
        wanted or DEFAULT_RESULTS,
        *_shared(record),
    )


def parse_ranking(body: bytes) -> RankingRequest:
    """Read the body of ``POST /personalize-ranking``.

    Parameters
    ----------
    body : bytes

    Raises
    ------
    RequestError
        Naming the field.

    Examples
    --------
    >>> parse_ranking(b'{"userId": "7", "inputList": ["a", "b"]}').input_list
    ['a', 'b']
    """
    record = _object(body, _RANKING)
    user = _optional_id(record, "userId")
    if user is None:
        raise RequestError("userId is missing")
    given = record.get("inputList")
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_INPUT_LIST:
        raise RequestError(f"inputList must be a list of 1 to {MAX_INPUT_LIST} item ids")
    items = [id_text(item, "inputList") for item in given]
    campaign = record.get("campaignArn")
    name = None if campaign is None else resource_name(campaign)
    return RankingRequest(name, user, items, *_shared(record))


def recommendations_answer(
    ids: Iterable[str], scores: Sequence[float], answer_id: str = ""
) -> bytes:
    """Return the body that answers `get_recommendations`, best item first.

    Parameters
    ----------
    ids : iterable of str
    scores : sequence of float
    answer_id : str, optional
        Default: a new one.

    Examples
    --------
    >>> recommendations_answer(["a"], [0.5], "x")
    b'{"itemList":[{"itemId":"a","score":0.5}],"recommendationId":"x"}'
    """
    return _answer("itemList", ids, scores, answer_id)


def ranking_answer(ids: Iterable[str], scores: Sequence[float], answer_id: str = "") -> bytes:
    """Return the body that answers `get_personalized_ranking`; see `recommendations_answer`."""
    return _answer("personalizedRanking", ids, scores, answer_id)


def error_kind(status: int) -> str:
    """Return AWS's name for an error of an HTTP status.

    Examples
    --------
    >>> error_kind(413), error_kind(404), error_kind(504)
    ('InvalidInputException', 'ResourceNotFoundException', 'ServiceUnavailable')
    """
    return _KINDS.get(status, "InvalidInputException" if status < 500 else "InternalFailure")


def error_answer(kind: str, message: str) -> ErrorAnswer:
    """Return an error in AWS's shape.

    Parameters
    ----------
    kind : str
        "InvalidInputException" (400), "ResourceNotFoundException" (404), "ThrottlingException"
        (429), "InternalFailure" (500) or "ServiceUnavailable" (503).
    message : str

    Examples
    --------
    >>> error_answer("ResourceNotFoundException", "no campaign 'x'").status
    404
    """
    headers = {
        "content-type": "application/json",
        "x-amzn-errortype": kind,
        "x-amzn-requestid": str(uuid.uuid4()),
    }
    body = json.dumps({"message": message}, ensure_ascii=False)
    return ErrorAnswer(_ERRORS[kind], headers, body.encode("utf-8", "replace"))


def resource_name(arn: Any) -> str:
    """Return the last part of an ARN, or a plain name as it is.

    Raises
    ------
    RequestError
        For no text, or an ARN without a name.

    Examples
    --------
    >>> resource_name("arn:aws:personalize:us-east-1:000000000000:filter/drama")
    'drama'
    """
    name = arn.rpartition("/")[2] if isinstance(arn, str) else ""
    if not name or name.startswith("arn:"):
        raise RequestError(f"not an ARN with a name: {show(arn)}")
    return name


def filter_values(values: Any) -> dict[str, Any]:
    r"""Read what ``$NAME`` of a filter stands for.

    Amazon's values are text: quoted values or numbers, with commas between several. Plain text,
    numbers and lists of them are taken too.

    Parameters
    ----------
    values : dict or None

    Returns
    -------
    dict
        For ``where_values``.

    Raises
    ------
    RequestError
        Not an object, or with a value of another kind.

    Examples
    --------
    >>> filter_values({"GENRES": "\"drama\",\"comedy\"", "YEAR": "1990", "COLOR": "red"})
    {'GENRES': ['drama', 'comedy'], 'YEAR': 1990, 'COLOR': 'red'}
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise RequestError(f"filterValues must be an object, got {show(values)}")
    return {name: _value(name, value) for name, value in values.items() if value is not None}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, str):
        try:
            found = json.loads(f"[{value}]", parse_constant=lambda text: None)
        except (ValueError, RecursionError):
            return value
        if not found or not all(isinstance(one, str | int | float) for one in found):
            return value
        return found[0] if len(found) == 1 else found
    several = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int | float) for one in several):
        raise RequestError(f"filterValues: {name!r:.100} must be text, a number or a list of them")
    return value


def _optional_id(record: dict[str, Any], field: str) -> str | None:
    value = record.get(field)
    return None if value is None else id_text(value, field)


def _shared(record: dict[str, Any]) -> tuple[str | None, dict[str, Any], dict[str, str]]:
    """Return filter, filter values and context."""
    arn, context = record.get("filterArn"), record.get("context") or {}
    if not isinstance(context, dict):
        raise RequestError("context must be an object of text")
    if record.get("metadataColumns"):
        raise RequestError("metadataColumns are not supported")
    values = filter_values(record.get("filterValues"))
    return None if arn is None else resource_name(arn), values, context


def _object(body: bytes, fields: Collection[str]) -> dict[str, Any]:
    record = load_json(body)
    if not isinstance(record, dict):
        raise RequestError(f"the body must be an object, got {show(record)}")
    for field in record:
        if field not in fields:
            raise RequestError(f"unknown field {show(field)}{closest(field, fields)}")
    return record


def _answer(field: str, ids: Iterable[str], scores: Sequence[float], answer_id: str) -> bytes:
    pairs = zip(ids, scores, strict=True)
    items = [{"itemId": one, "score": float(f"{score:.7g}")} for one, score in pairs]
    content = {field: items, "recommendationId": answer_id or f"RID-{uuid.uuid4()}"}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
