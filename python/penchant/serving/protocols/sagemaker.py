"""Amazon SageMaker's wire formats: bodies of ``/invocations`` and what surrounds them.

A server does three steps: `decode` a body to an `Invocation`, answer its task with `Records`,
`encode` them. The documents of multi-model endpoints are in `multi_model`.

===========================  =====================================================================
``application/json``         ``{"user_id", "top_n"}``, one or a list; ``{"user_id", "item_id"}``:
                             score the pair; ``{"item_id", "top_n"}``: similar items; with any
                             other field of ``/v1/recommend``, ``/v1/predict`` and
                             ``/v1/similar``: ``k`` (the same as ``top_n``), ``history``,
                             ``where``, ``candidates``, ``exclude``, ``with_columns``,
                             ``context``, ...;
                             ``{"instances": [...]}``: TensorFlow Serving's shape (`tensorflow`)
``application/jsonlines``    the objects of above, one a line
``text/csv``                 one column: users to recommend to; two: user,item pairs to score
===========================  =====================================================================
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from penchant.errors import MediaTypeError, RequestError
from penchant.serving.decode import load_json
from penchant.serving.encode import (
    Records,
    scores_to_csv,
    to_csv,
    to_flat_json_lines,
    to_json,
    to_json_lines,
)
from penchant.serving.protocols import tensorflow
from penchant.serving.protocols.attributes import (
    ATTRIBUTES_HEADER,
    Attributes,
    parse_attributes,
)
from penchant.serving.protocols.csv_bodies import decode_csv
from penchant.serving.protocols.record_answers import encode_answers
from penchant.serving.protocols.record_bodies import decode_records, lines
from penchant.serving.tasks import Asked, Predict, Similar, Task

__all__ = ["ATTRIBUTES_HEADER", "Attributes", "Invocation", "decode", "encode"]
__all__ += ["execution_parameters", "parse_attributes", "prefers", "runtime_error"]

# The last one is what `curl -d` says unless it is told otherwise; the body is JSON all the same.
_JSON = ("application/json", "text/json", "application/x-www-form-urlencoded")
_JSON_LINES = ("application/jsonlines", "application/jsonl", "application/x-ndjson")
_KINDS = (
    dict.fromkeys(_JSON, "json") | dict.fromkeys(_JSON_LINES, "jsonlines") | {"text/csv": "csv"}
)
_MEDIA = {"json": "application/json", "jsonlines": "application/jsonlines", "csv": "text/csv"}


@dataclasses.dataclass(frozen=True)
class Invocation:
    """A decoded body, and what `encode` has to know to answer it in kind.

    Attributes
    ----------
    task : Recommend, Predict, Similar or Asked
    instances : bool
        Whether it came in TensorFlow Serving's shape.
    """

    task: Task | Asked
    instances: bool = False


def decode(
    body: bytes,
    content_type: str | None = None,
    attributes: str | None = None,
    *,
    columns: tuple[str, str] = ("user_id", "item_id"),
    max_top_n: int = 1000,
) -> Invocation:
    r"""Read a body of ``/invocations``.

    Parameters
    ----------
    body : bytes
    content_type : str, optional
        The header; JSON where there is none.
    attributes : str, optional
        The header named by `ATTRIBUTES_HEADER`.
    columns : pair of str
        Names of the model's user and item columns, by which a CSV's row of names is recognised
        (``user_id`` and ``item_id`` always are).
    max_top_n : int
        The longest list that may be asked for.

    Raises
    ------
    MediaTypeError
        The content type is none of those above.
    RequestError
        Naming the line or the place and the field.

    Examples
    --------
    >>> decode(b"17850,MUG\n13047,MUG\n", "text/csv").task
    Predict(users=['17850', '13047'], items=['MUG', 'MUG'])
    >>> decode(b"17850\n", "text/csv", "top_n=5").task.requests.top_n.tolist()
    [5]
    """
    media, _, parameters = (content_type or "application/json").partition(";")
    kind = _KINDS.get(media.strip().lower())
    if kind is None:
        raise MediaTypeError(
            f"cannot read {media.strip()[:100]!r}: send application/json, application/jsonlines "
            "or text/csv"
        )
    said = parse_attributes(attributes, max_top_n=max_top_n)
    if not body.strip():
        raise RequestError('the body is empty; send an object such as {"user_id": "17850"}')
    if kind == "csv":
        header = said.header
        if header is None:
            header = {"header=present": True, "header=absent": False}.get(
                parameters.replace(" ", "").lower()
            )
        settings: dict[str, Any] = {"top_n": said.top_n, "include_query": said.include_query}
        return Invocation(
            decode_csv(body, said.task, header, columns=columns, max_top_n=max_top_n, **settings)
        )
    if kind == "json":
        try:
            document = load_json(body)
        except RequestError:
            if b"\n" not in body.strip():
                raise
        else:
            return _decode_document(document, said, max_top_n)
    return Invocation(decode_records(lines(body), said, max_top_n))


def _decode_document(document: Any, said: Attributes, max_top_n: int) -> Invocation:
    if tensorflow.is_request(document):
        limits = {"top_n": said.top_n, "max_top_n": max_top_n}
        task = tensorflow.decode(document, include_query=said.include_query, **limits)
        if said.task is not None and said.task != type(task).__name__.lower():
            raise RequestError(
                f"task={said.task} does not go with these instances: items ask for similar ones, "
                "objects of user_id for recommendations"
            )
        return Invocation(task, instances=True)
    if not isinstance(document, list):
        return Invocation(decode_records([("", document)], said, max_top_n))
    places = ((f"request {number}: ", record) for number, record in enumerate(document, 1))
    return Invocation(decode_records(places, said, max_top_n))


def prefers(accept: str | None) -> str:
    """Return what an Accept header wants of "json", "jsonlines" and "csv"; JSON where it does not.

    Examples
    --------
    >>> prefers("text/html, text/csv;q=0.9"), prefers(None)
    ('csv', 'json')
    """
    for part in (accept or "").lower().split(","):
        media = part.partition(";")[0].strip()
        if media in _KINDS:
            return _KINDS[media]
        if media in ("application/*", "*/*"):
            return "json"
        if media == "text/*":
            return "csv"
    return "json"


def encode(
    invocation: Invocation, answer: Records | Sequence[bytes], accept: str | None = None
) -> tuple[bytes, str]:
    r"""Write an answer in the format that the caller prefers.

    JSON is a list of an object for each recommendation or pair. JSON Lines have a line for each
    request: ``{"user_id", "items": [{"item_id", "score"}, ...]}``, or of pairs ``{"user_id",
    "item_id", "score"}``. CSV has ``user_id,item_id,score`` without a row of names, and for pairs
    the score alone, so that SageMaker's batch transform can join it to the pair. Columns that
    ``with_columns`` asks for come after the score.

    Parameters
    ----------
    invocation : Invocation
    answer : Records, or sequence of bytes
        As the classes of tasks describe it; of `Asked` the objects that answer its questions.
    accept : str, optional
        The header. Instances are always answered with predictions in JSON.

    Returns
    -------
    body : bytes
    media_type : str

    Examples
    --------
    >>> import penchant as pc
    >>> from penchant.serving import Service
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]])
    >>> asked = decode(b"1\n2\n", "text/csv", "top_n=1")
    >>> records = Service(pc.Popularity().fit(data)).answer(asked.task.requests)
    >>> print(encode(asked, records, "application/jsonlines")[0].decode(), end="")
    {"user_id": 1, "items": [{"item_id": "jam", "score": 2}]}
    {"user_id": 2, "items": []}
    """
    kind, task = prefers(accept), invocation.task
    if isinstance(task, Asked):
        assert not isinstance(answer, Records)
        return encode_answers(task, answer, kind), _MEDIA[kind]
    assert isinstance(answer, Records)
    records = answer
    if invocation.instances:
        return tensorflow.encode(records), _MEDIA["json"]
    names = ("item_id", "neighbor") if isinstance(task, Similar) else ("user_id", "item_id")
    pairs = isinstance(task, Predict)
    if kind == "csv":
        content = scores_to_csv(records) if pairs else to_csv(records)
    elif kind == "jsonlines":
        content = to_flat_json_lines(records) if pairs else to_json_lines(records, names[0])
    else:
        content = to_json(records, names)
    return content, _MEDIA[kind]


def execution_parameters(
    *, concurrency: int, max_bytes: int = 6 * 2**20, batch_strategy: str = "MULTI_RECORD"
) -> bytes:
    """Return the document of ``GET /execution-parameters``, by which batch transform goes.

    Parameters
    ----------
    concurrency : int
        Requests that are worked on beside each other.
    max_bytes : int
        Largest body that is read; rounded down to whole megabytes (at least 1).
    batch_strategy : {"MULTI_RECORD", "SINGLE_RECORD"}

    Examples
    --------
    >>> execution_parameters(concurrency=4).decode()
    '{"MaxConcurrentTransforms": 4, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}'
    """
    document = {
        "MaxConcurrentTransforms": concurrency,
        "BatchStrategy": batch_strategy,
        "MaxPayloadInMB": max(1, max_bytes // 2**20),
    }
    return json.dumps(document).encode()


def runtime_error(status: int, message: str, *, endpoint: str) -> tuple[int, dict[str, str], bytes]:
    """Return an error of ``InvokeEndpoint`` as boto3 reads it.

    Parameters
    ----------
    status : int
        What the model's container answered; 404 means that there is no such endpoint,
        421 that it has no such variant or model.
    message : str
        What it said.
    endpoint : str

    Returns
    -------
    status : int
    headers : dict of str
    body : bytes
    """
    if status == 404:
        kind, outer, text = "ValidationError", 400, f"Endpoint {endpoint} not found."
    elif status == 421:
        kind, outer, text = "ValidationError", 400, message
    elif status == 503:
        kind, outer, text = "ServiceUnavailable", 503, message
    else:
        kind, outer = "ModelError", 424
        text = (
            f"Received client error ({status}) from {endpoint}"
            if status < 500
            else (f"Received server error ({status}) from {endpoint}")
        )
        text += f' with message "{message}"'
    document: dict[str, Any] = {"Message": text, "message": text}
    if kind == "ModelError":
        document |= {"OriginalStatusCode": status, "OriginalMessage": message}
    headers = {"x-amzn-errortype": kind, "content-type": "application/json"}
    return outer, headers, json.dumps(document, ensure_ascii=False).encode()
