"""The wire format of Snowflake's external functions: bytes and headers in, bytes and headers out.

A request is ``{"data": [[0, arg, ...], [1, arg, ...]]}``, gzipped or not; its answer has a row for
each row, with the same number, in the same order, and exactly one value:
``{"data": [[0, value], [1, value]]}``. Errors are ``{"error": "..."}`` with a status that is
neither 200 nor 202. See
https://docs.snowflake.com/en/sql-reference/external-functions-data-format
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant.errors import RequestError, RequestTooLargeError
from penchant.serving.encode import Records, to_json_lines

__all__ = [
    "BATCH_ID",
    "Batch",
    "batch_id",
    "decode_batch",
    "encode_error",
    "encode_values",
    "pack",
    "recommendation_values",
    "score_values",
]

BATCH_ID = "sf-external-function-query-batch-id"
MAX_BYTES = 64 * 2**20
_FORMATS = {"sf-external-function-format": "json", "sf-external-function-format-version": "1.0"}
_MAX_BATCH_ID = 1024
_GZIP, _ZLIB = 31, 15  # zlib's names of the two: window bits
_WINDOWS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
_MAX_PARTS = 100
_WORTH_PACKING = 512
_REFUSED = re.compile(r";\s*q\s*=\s*0(\.0*)?\s*$")


@dataclasses.dataclass(frozen=True)
class Batch:
    """The rows of one request.

    Attributes
    ----------
    numbers : list of int, length n
        Row numbers, as they came.
    arguments : list of list, length n
        Decoded JSON; rows may differ in length, which is the function's to judge.
    digest : str
        SHA-256 of the JSON, the same for a retry however it is compressed.
    """

    numbers: list[int]
    arguments: list[list[Any]]
    digest: str

    def __len__(self) -> int:
        return len(self.numbers)


def batch_id(headers: Mapping[str, str]) -> str | None:
    """Return the id that a retry repeats, or None where there is none.

    Parameters
    ----------
    headers : mapping of str to str
        Of the request, names in lower case.

    Raises
    ------
    RequestError
        It is longer than 1,024 characters.
    """
    found = headers.get(BATCH_ID, "").strip()
    if len(found) > _MAX_BATCH_ID:
        raise RequestError(f"{BATCH_ID} has {len(found)} characters, more than {_MAX_BATCH_ID}")
    return found or None


def decode_batch(body: bytes, headers: Mapping[str, str], *, max_bytes: int = MAX_BYTES) -> Batch:
    """Decode the body of a POST.

    Parameters
    ----------
    body : bytes
        As it came, compressed where Content-Encoding says so. A Content-MD5 is that of these bytes.
    headers : mapping of str to str
        Of the request, names in lower case.
    max_bytes : int
        The most that the JSON may have; no more than that is ever unpacked.

    Raises
    ------
    RequestError
        The checksum or the encoding is wrong, the text is no JSON of this shape, or a row has no
        number.
    RequestTooLargeError
        The JSON is larger than `max_bytes`.

    Examples
    --------
    >>> batch = decode_batch(b'{"data": [[0, "movies", 17], [1, "movies", null]]}', {})
    >>> batch.numbers, batch.arguments
    ([0, 1], [['movies', 17], ['movies', None]])
    """
    for name, expected in _FORMATS.items():
        if headers.get(name, expected).strip().lower() != expected:
            raise RequestError(f"{name} must be {expected!r}, got {headers[name]!r}")
    _check_md5(body, headers.get("content-md5"))
    text = _unpack(body, headers.get("content-encoding", ""), max_bytes)
    document = _parse(text)
    rows = document.get("data") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise RequestError('expected {"data": [[row number, argument, ...], ...]}')
    for place, row in enumerate(rows):
        if not isinstance(row, list) or not row or type(row[0]) is not int:
            raise RequestError(f"data[{place}] must be a list that begins with its row number")
    digest = hashlib.sha256(text).hexdigest()
    return Batch([row[0] for row in rows], [row[1:] for row in rows], digest)


def _check_md5(body: bytes, given: str | None) -> None:
    if given is None:
        return
    if given.strip() != _md5(body):
        raise RequestError(
            f"Content-MD5 is {given.strip()!r}, but that of the {len(body)} bytes that came is "
            f"{_md5(body)!r}: they were damaged or changed on the way"
        )


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def _unpack(body: bytes, encoding: str, max_bytes: int) -> bytes:
    name = encoding.strip().lower()
    if name in ("", "identity"):
        if len(body) > max_bytes:
            raise RequestTooLargeError(f"the body is larger than {max_bytes} bytes")
        return body
    if name not in _WINDOWS:
        raise RequestError(f"cannot read Content-Encoding {encoding!r}: send gzip or nothing")
    parts: list[bytes] = []
    room = max_bytes
    while body or not parts:  # a gzip file may be several, one after the other
        if len(parts) == _MAX_PARTS:
            raise RequestError(f"the body is more than {_MAX_PARTS} {name} files in one")
        part = zlib.decompressobj(_WINDOWS[name])
        try:
            parts.append(part.decompress(body, room + 1))
        except zlib.error as error:
            raise RequestError(f"the body is not {name}: {error}") from None
        room -= len(parts[-1])
        if room < 0:
            raise RequestTooLargeError(f"the body unpacks to more than {max_bytes} bytes")
        if not part.eof:
            raise RequestError(f"the {name} body ends before its end")
        body = part.unused_data
    return b"".join(parts)


def _parse(text: bytes) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise RequestError(f"not JSON: {constant}")

    try:
        return json.loads(text.decode("utf-8"), parse_constant=refuse)
    except UnicodeDecodeError as error:
        raise RequestError(f"not UTF-8 text: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise RequestError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except RequestError:
        raise
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 10,000 brackets
        raise RequestError(f"not usable JSON: {error}") from None


def encode_values(numbers: Sequence[int], values: Iterable[str]) -> bytes:
    """Return the answer's body.

    Parameters
    ----------
    numbers : sequence of int, length n
        Those of `Batch`.
    values : iterable of str, length n
        A JSON text for each row.

    Examples
    --------
    >>> encode_values([0, 1], ["0.5", "null"])
    b'{"data": [[0, 0.5], [1, null]]}'
    """
    rows = (f"[{number}, {value}]" for number, value in zip(numbers, values, strict=True))
    return f'{{"data": [{", ".join(rows)}]}}'.encode()


def encode_error(message: str) -> bytes:
    """Return an error document, or as text the value of a row that has no answer.

    Examples
    --------
    >>> encode_error("no such model")
    b'{"error": "no such model"}'
    """
    text = json.dumps({"error": message}, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")


def score_values(scores: NDArray[np.float32]) -> list[str]:
    """Return scores as JSON: the fewest digits that give the same float32 back, or null.

    Examples
    --------
    >>> score_values(np.array([0.1, np.nan, 3], np.float32))
    ['0.1', 'null', '3']
    """
    text = pa.array(scores).cast(pa.string()).to_pylist()
    finite = np.isfinite(scores).tolist()
    return [shown if known else "null" for shown, known in zip(text, finite, strict=True)]


def recommendation_values(records: Records) -> list[str]:
    """Return ``{"user_id": ..., "items": [{"item_id": ..., "score": ...}, ...]}`` for each user.

    Parameters
    ----------
    records : Records
        Those of `Service.answer`: users in the order of the requests.
    """
    return to_json_lines(records).decode().split("\n")[:-1]


def pack(
    body: bytes, headers: Mapping[str, str], *, content_md5: bool = True
) -> tuple[dict[str, str], bytes]:
    """Compress an answer where the request accepts gzip; return its headers and its bytes.

    Parameters
    ----------
    body : bytes
        JSON.
    headers : mapping of str to str
        Of the request, names in lower case.
    content_md5 : bool, default True
        Add the checksum that Snowflake verifies: of the bytes as they are sent.
    """
    more = {"Content-Type": "application/json"}
    if len(body) >= _WORTH_PACKING and _accepts_gzip(headers.get("accept-encoding", "")):
        body = gzip.compress(body, compresslevel=5, mtime=0)
        more["Content-Encoding"] = "gzip"
    more["Vary"] = "Accept-Encoding"
    if content_md5:
        more["Content-MD5"] = _md5(body)
    return more, body


def _accepts_gzip(accepted: str) -> bool:
    for part in accepted.lower().split(","):
        name = part.partition(";")[0].strip()
        if name in ("gzip", "x-gzip"):
            return not _REFUSED.search(part)
    return False
