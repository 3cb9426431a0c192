"""Requests from JSON: ``{"user_id": "17850", "top_n": "10"}``, one or many."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from penchant.errors import MissingExtraError, RequestError, closest, require

__all__ = ["BadLine", "Requests", "decode_body", "decode_lines", "decode_record"]

FIELDS = ("user_id", "top_n")
MAX_LINE_BYTES = 2**16
MAX_ID_BYTES = 4096
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_WHOLE = re.compile(r"\s*[0-9]{1,18}(\.0*)?\s*")  # "10", and "10.0" out of a float column


@dataclasses.dataclass(frozen=True)
class Requests:
    """What was asked.

    Attributes
    ----------
    user_ids : sequence of str or pyarrow.Array of large_string, length n
        As text, whatever they came as; `IdMap.codes` matches them to the model's type.
    top_n : int64 array of shape (n,)
        At least 1.
    """

    user_ids: Sequence[str]
    top_n: NDArray[np.int64]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, int]]) -> Requests:
        """Make from (user id, top_n) pairs."""
        listed = list(pairs)
        return cls([user for user, _ in listed], np.array([n for _, n in listed], np.int64))

    def __len__(self) -> int:
        return len(self.user_ids)

    def split(self, records: int) -> Iterator[Requests]:
        """Cut into parts, in order, that ask for about so many records (or are one request)."""
        part = (np.cumsum(self.top_n) - 1) // records
        starts = np.flatnonzero(np.diff(part, prepend=-1)).tolist()
        for start, end in pairwise([*starts, len(self)]):
            yield Requests(self.user_ids[start:end], self.top_n[start:end])


@dataclasses.dataclass(frozen=True)
class BadLine:
    """A line that is no request: its number (from 1), the reason, and the line itself."""

    number: int
    error: str
    line: str


def decode_record(record: Any, *, top_n: int = 10, max_top_n: int = 1000) -> tuple[str, int]:
    """Check one request.

    Parameters
    ----------
    record : Any
        Decoded JSON: an object with ``user_id`` (text or a number) and, optionally, ``top_n``
        (a whole number, as such or as text).
    top_n : int, default 10
        For a request without one.
    max_top_n : int, default 1000
        The most a request may ask for.

    Returns
    -------
    user_id : str
    top_n : int

    Raises
    ------
    RequestError
        Naming the field.

    Examples
    --------
    >>> decode_record({"user_id": 17850.0, "top_n": "5"})
    ('17850', 5)
    """
    if not isinstance(record, dict):
        raise RequestError(f"expected an object with the field user_id, got {show(record)}")
    for field in record:
        if field not in FIELDS:
            hint = closest(field, FIELDS) or f"; fields: {', '.join(FIELDS)}"
            raise RequestError(f"unknown field {show(field)}{hint}")
    if "user_id" not in record:
        raise RequestError("user_id is missing")
    wanted = whole_number(record["top_n"]) if record.get("top_n") is not None else top_n
    if wanted is None or not 1 <= wanted <= max_top_n:
        raise RequestError(
            f"top_n must be a whole number from 1 to {max_top_n}, got {show(record['top_n'])}"
        )
    return id_text(record["user_id"]), wanted


def decode_body(
    body: bytes, *, lines: bool = False, top_n: int = 10, max_top_n: int = 1000
) -> Requests:
    """Decode a whole body: one object, a list of objects, or one object a line.

    Parameters
    ----------
    body : bytes
        UTF-8.
    lines : bool, default False
        The body is known to be JSON Lines. Otherwise that is found out.
    top_n, max_top_n : int
        See `decode_record`.

    Raises
    ------
    RequestError
        At the first request that is wrong, naming the line or the place in the list.

    Examples
    --------
    >>> requests = decode_body(b'[{"user_id": 1}, {"user_id": "x", "top_n": 3}]')
    >>> requests.user_ids, requests.top_n.tolist()
    (['1', 'x'], [10, 3])
    """
    if not body.strip():
        raise RequestError('the body is empty; send an object such as {"user_id": "17850"}')
    if not lines:
        try:
            document = load_json(body)
        except RequestError:
            if b"\n" not in body.strip():
                raise
        else:
            records = document if isinstance(document, list) else [document]
            limits = {"top_n": top_n, "max_top_n": max_top_n}
            one = not isinstance(document, list)
            return Requests.of(
                _at("" if one else f"request {number}: ", record, limits)
                for number, record in enumerate(records, 1)
            )
    requests, bad = decode_lines(enumerate(body.splitlines(), 1), top_n=top_n, max_top_n=max_top_n)
    if bad:
        raise RequestError(f"line {bad[0].number}: {bad[0].error}")
    return requests


def _at(where: str, record: Any, limits: dict[str, int]) -> tuple[str, int]:
    try:
        return decode_record(record, **limits)
    except RequestError as error:
        raise RequestError(f"{where}{error}") from None


def decode_lines(
    lines: Iterable[tuple[int, bytes]], *, top_n: int = 10, max_top_n: int = 1000
) -> tuple[Requests, list[BadLine]]:
    """Decode JSON Lines, setting the wrong ones aside.

    Parameters
    ----------
    lines : iterable of (int, bytes)
        Line numbers and lines; blank ones are passed over.
    top_n, max_top_n : int
        See `decode_record`.

    Returns
    -------
    requests : Requests
    bad : list of BadLine

    Examples
    --------
    >>> requests, bad = decode_lines([(1, b'{"user_id": 7}'), (2, b'{"top_n": 3}')])
    >>> requests.user_ids, bad
    (['7'], [BadLine(number=2, error='user_id is missing', line='{"top_n": 3}')])
    """
    pairs = []
    bad = []
    for number, line in lines:
        if not line.strip():
            continue
        try:
            if len(line) > MAX_LINE_BYTES:
                raise RequestError(f"longer than {MAX_LINE_BYTES} bytes")
            pairs.append(decode_record(load_json(line), top_n=top_n, max_top_n=max_top_n))
        except RequestError as error:
            text = line[:MAX_LINE_BYTES].decode("utf-8", "backslashreplace").rstrip("\r\n")
            bad.append(BadLine(number, str(error), text))
    return Requests.of(pairs), bad


@functools.cache
def _quick_loads() -> Callable[[bytes], Any] | None:
    try:
        return cast("Callable[[bytes], Any]", require("orjson", "serve").loads)
    except MissingExtraError:  # `penchant batch` does without
        return None


def load_json(text: bytes) -> Any:
    """Decode JSON; whatever is wrong with it is a RequestError.

    orjson is ten times as quick as the standard library, which has what it refuses (a byte order
    mark, NaN, halves of surrogate pairs), what it rounds (long integers), and better messages.
    """
    quick = _quick_loads()
    if quick is not None and not _LONG_NUMBER.search(text):
        with contextlib.suppress(ValueError):
            return quick(text)
    try:
        return json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RequestError(f"not UTF-8 text: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise RequestError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 10,000 brackets
        raise RequestError(f"not usable JSON: {error}") from None


def whole_number(value: Any) -> int | None:
    """Return an int given as one, as a whole float or as text; None for anything else."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value.partition(".")[0])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def id_text(value: Any, field: str = "user_id") -> str:
    """Return an id given as text or a number as text; `field` is named in errors."""
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else repr(value)
    if type(value) is int:
        return str(value)
    if not isinstance(value, str) or not value:
        raise RequestError(f"{field} must be text or a number, got {show(value)}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise RequestError(f"{field} is not valid Unicode: {show(value)}") from None
    if size > MAX_ID_BYTES:
        raise RequestError(f"{field} has {size} bytes, more than {MAX_ID_BYTES}")
    return value


def show(value: Any) -> str:
    """Return a value as short JSON, for a message."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
