"""What bodies and files of requests are read with: JSON, ids, whole numbers, and `Requests`."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from penchant.errors import MissingExtraError, RequestError, require

__all__ = [
    "COUNTS",
    "DEFAULT_COUNT",
    "MAX_ID_BYTES",
    "MAX_LINE_BYTES",
    "Requests",
    "id_text",
    "load_json",
    "read_count",
    "show",
    "whole_number",
]

COUNTS = ("k", "top_n")  # the fields that say how many answers: they mean the same
DEFAULT_COUNT = 10  # answers to a request that does not say
MAX_LINE_BYTES = 2**16
MAX_ID_BYTES = 4096
_DEEPEST = 100  # lists and objects in each other
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
    document = _loaded(text)
    if text.count(b"[") + text.count(b"{") > _DEEPEST and _is_deep(document):
        # What recursion can read it may not be able to write, to show it in a message for one.
        raise RequestError(f"not usable JSON: nested more than {_DEEPEST} deep")
    return document


def _loaded(text: bytes) -> Any:
    quick = _quick_loads()
    if quick is not None and not _LONG_NUMBER.search(text):
        try:  # contextlib.suppress would take as long as the parsing of a line
            return quick(text)
        except ValueError:
            pass
    try:
        return json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RequestError(f"not UTF-8 text: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise RequestError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 10,000 brackets
        raise RequestError(f"not usable JSON: {error}") from None


def _is_deep(document: Any) -> bool:
    level = [document] if isinstance(document, dict | list) else []
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def whole_number(value: Any) -> int | None:
    """Return an int given as one, as a whole float or as text; None for anything else."""
    if type(value) is int:
        return value
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value.partition(".")[0])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None


def read_count(said: Mapping[str, Any], default: int, most: int) -> int:
    """Return how many answers are wanted, as `k` or `top_n` says.

    Parameters
    ----------
    said : mapping
        Decoded JSON; None says nothing.
    default : int
        Where neither says it, but no more than `most`.
    most : int

    Raises
    ------
    RequestError
        Both are given, or it is no whole number from 1 to `most`.

    Examples
    --------
    >>> read_count({"top_n": "5"}, 10, 1000)
    5
    """
    value = said.get("k")
    name = "k"
    if value is None:
        value = said.get("top_n")
        name = "top_n"
        if value is None:
            return min(default, most)
    elif said.get("top_n") is not None:
        raise RequestError("give k or top_n, not both: they mean the same")
    wanted = value if type(value) is int else whole_number(value)
    if wanted is None or not 1 <= wanted <= most:
        raise RequestError(f"{name} must be a whole number from 1 to {most}, got {show(value)}")
    return wanted


def id_text(value: Any, field: str = "user_id") -> str:
    """Return an id given as text or a number as text; `field` is named in errors."""
    if type(value) is int:
        return str(value)
    if type(value) is str and value.isascii() and 0 < len(value) <= MAX_ID_BYTES:
        return value  # as most are
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else repr(value)
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
