"""Questions of the web interface: what each may say, how it is read, and its JSON schema.

A field is declared once, in `FIELDS`: the decoder and the OpenAPI document both go by it.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from penchant.errors import RequestError, closest
from penchant.serving.decode import COUNTS, DEFAULT_COUNT, id_text, load_json, read_count, show

__all__ = ["FIELDS", "KINDS", "PLAIN_FIELDS", "Field", "Options", "Question"]
__all__ += ["read_question", "read_questions"]

_MAX_LIST = 100_000  # ids in one list of a question
_MAX_COLUMNS = 100
_Names = tuple[str, ...] | None
_MAX_TEXT = 10_000  # characters of an expression


class Options(NamedTuple):
    """How questions are answered; those with the same options are answered in one call.

    Attributes
    ----------
    where, where_values : str or None
        An expression, and the JSON text of what its ``$NAME`` stand for.
    candidates, exclude : tuple of str or None
        Rank only these items; leave these out.
    exclude_seen : bool
    scores : {"raw", "softmax"}
    with_columns : tuple of str
    """

    where: str | None = None
    where_values: str | None = None
    candidates: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    exclude_seen: bool = True
    scores: str = "raw"
    with_columns: tuple[str, ...] = ()

    def values(self) -> dict[str, Any] | None:
        """Return what the ``$NAME`` of the expression stand for."""
        return None if self.where_values is None else json.loads(self.where_values)


PLAIN = Options()


class Question(NamedTuple):
    """One question, whatever its kind.

    Attributes
    ----------
    k : int
        At most so many answers.
    user_id : str or None
    item_id : str or None
    history : tuple of str, dict of str to float, or None
        What a stranger took, oldest first; or with values.
    pairs : tuple of (str, str)
        Users and items to score.
    min_score : float or None
    context : mapping or None
        What is recorded beside the question.
    options : Options
    """

    k: int
    user_id: str | None = None
    item_id: str | None = None
    history: tuple[str, ...] | dict[str, float] | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    min_score: float | None = None
    context: Mapping[str, Any] | None = None
    options: Options = PLAIN

    @property
    def weight(self) -> int:
        """Rows of its answer, as many times as they have columns of a table."""
        return self.k * max(1, len(self.options.with_columns))


def _id(name: str, value: Any) -> str:
    return id_text(value, name)


def _ids(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise RequestError(f"{name} must be a list of ids, got {show(value)}")
    if len(value) > _MAX_LIST:
        raise RequestError(f"{name} has {len(value):,} ids, more than {_MAX_LIST:,}")
    return tuple(id_text(one, f"{name}[{place}]") for place, one in enumerate(value))


def _history(name: str, value: Any) -> tuple[str, ...] | dict[str, float]:
    if not isinstance(value, dict):
        return _ids(name, value)
    if len(value) > _MAX_LIST:
        raise RequestError(f"{name} has {len(value):,} items, more than {_MAX_LIST:,}")
    return {id_text(item, name): _number(f"{name}[{item!r:.60}]", v) for item, v in value.items()}


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(f"{name} must be a number, got {show(value)}")
    try:
        number = float(value)
    except OverflowError:  # an integer of many digits
        number = math.inf
    if not math.isfinite(number):
        raise RequestError(f"{name} must be a finite number, got {show(value)}")
    return number


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise RequestError(f"{name} must be text, got {show(value)}")
    if len(value) > _MAX_TEXT:
        raise RequestError(f"{name} has {len(value):,} characters, more than {_MAX_TEXT:,}")
    return _unicode(name, value)


def _unicode(name: str, value: str) -> str:
    """Refuse halves of surrogate pairs, which JSON can escape and nothing can encode."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RequestError(f"{name} is not valid Unicode: {show(value)}") from None
    return value


def _named_values(name: str, value: Any) -> dict[str, Any]:
    """Return the values of ``$NAME``: text, numbers, booleans, or lists of them."""
    found = _object(name, value)
    for key, one in found.items():
        for part in (key, *(one if isinstance(one, list) else [one])):
            if isinstance(part, str):
                _unicode(f"{name}[{key!r:.60}]", part)
    return found


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise RequestError(f"{name} must be true or false, got {show(value)}")
    return value


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestError(f"{name} must be an object, got {show(value)}")
    return value


def _context(name: str, value: Any) -> dict[str, Any]:
    """Return what is recorded as it is, if a line of JSON can hold it."""
    found = _object(name, value)
    try:
        json.dumps(found, allow_nan=False)
    except ValueError:
        raise RequestError(f"{name} holds NaN or infinity, which JSON has no number for") from None
    return found


def _names(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise RequestError(f"{name} must be a list of column names, got {show(value)}")
    if len(value) > _MAX_COLUMNS:
        raise RequestError(f"{name} has {len(value):,} names, more than {_MAX_COLUMNS}")
    if len(set(value)) < len(value):
        raise RequestError(f"{name} has a name more than once: {show(value)}")
    return tuple(_unicode(name, one) for one in value)


def _scores(name: str, value: Any) -> str:
    if value not in ("raw", "softmax"):
        raise RequestError(f'{name} must be "raw" or "softmax", got {show(value)}')
    return str(value)


def _pairs(name: str, value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list) or not value:
        raise RequestError(f'{name} must be a list of {{"user_id", "item_id"}}, got {show(value)}')
    if len(value) > _MAX_LIST:
        raise RequestError(f"{name} has {len(value):,} entries, more than {_MAX_LIST:,}")
    found = []
    for place, one in enumerate(value):
        where = f"{name}[{place}]"
        if not isinstance(one, dict) or set(one) != {"user_id", "item_id"}:
            raise RequestError(
                f'{where} must be an object of "user_id" and "item_id", got {show(one)}'
            )
        found.append(
            (
                id_text(one["user_id"], f"{where}.user_id"),
                id_text(one["item_id"], f"{where}.item_id"),
            )
        )
    return tuple(found)


def _count(name: str, value: Any) -> Any:
    """Leave it to `read_count`, which knows both names and the range."""
    return value


@dataclass(frozen=True)
class Field:
    """A field of a question: how its value is read, its JSON schema and what it means."""

    read: Callable[[str, Any], Any]
    schema: dict[str, Any]
    description: str


_ID = {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 1024}, {"type": "number"}]}
_ID_LIST = {"type": "array", "items": _ID, "maxItems": 1000}
_COUNT = {"type": "integer", "minimum": 1, "maximum": 1000}
_OBJECT = {"type": "object", "additionalProperties": True}
_PAIR: dict[str, Any] = {"type": "object", "properties": {"user_id": _ID, "item_id": _ID}}
_PAIR |= {"required": ["user_id", "item_id"], "additionalProperties": False}
_EXPRESSION = {"type": "string", "minLength": 1, "maxLength": _MAX_TEXT}

FIELDS: dict[str, Field] = {
    "user_id": Field(_id, _ID, "A user; one the model does not know gets popular items."),
    "item_id": Field(_id, _ID, "An item of the training data."),
    "history": Field(
        _history,
        {"anyOf": [_ID_LIST, {"type": "object", "additionalProperties": {"type": "number"}}]},
        "Instead of user_id: what a stranger took, oldest first, or items with their values.",
    ),
    "k": Field(_count, _COUNT, f"How many answers, {DEFAULT_COUNT} by default."),
    "top_n": Field(_count, _COUNT, "The same as k."),
    "where": Field(_text, _EXPRESSION, "Rank only items that this expression chooses."),
    "where_values": Field(_named_values, _OBJECT, "What $NAME in the expression stands for."),
    "candidates": Field(_ids, _ID_LIST, "Rank just these items."),
    "exclude": Field(_ids, _ID_LIST, "Leave these items out."),
    "exclude_seen": Field(_flag, {"type": "boolean"}, "Leave out what the user has; the default."),
    "scores": Field(
        _scores, {"enum": ["raw", "softmax"]}, "The model's scores, or relative ones that sum to 1."
    ),
    "with_columns": Field(
        _names,
        {"type": "array", "items": {"type": "string"}, "maxItems": _MAX_COLUMNS},
        "Columns of the item (or user) table to add to the answer; one named like a field of it "
        "(item_id, user_id, score, rank) has an underscore more.",
    ),
    "context": Field(_context, _OBJECT, "Recorded with the question, where the server records."),
    "pairs": Field(
        _pairs,
        {"type": "array", "items": _PAIR, "minItems": 1, "maxItems": 1000},
        "Pairs to score.",
    ),
    "min_score": Field(_number, {"type": "number"}, "Only users with this score or more."),
}

# Of a question that says no more than who and how many, as most of those in large bodies do.
PLAIN_FIELDS = ("user_id", *COUNTS)
_PLAIN = frozenset(PLAIN_FIELDS)
_WITH_PLAIN = (None, PLAIN_FIELDS)  # what may be allowed so that these are

_SHOWN = ("where", "where_values", "candidates", "exclude", "exclude_seen", "scores")
# The fields that each kind of question may have.
KINDS: dict[str, tuple[str, ...]] = {
    "recommend": ("user_id", "history", "k", "top_n", *_SHOWN, "with_columns", "context"),
    "similar": ("item_id", "k", "top_n", "with_columns", "context"),
    "predict": ("user_id", "item_id", "pairs", "context"),
    "users": (
        *("item_id", "where", "where_values", "k", "top_n", "min_score", "with_columns", "context"),
    ),
}

# What says about whom or what a question is: one of these.
_WAYS: dict[str, tuple[tuple[str, ...], ...]] = {
    "recommend": (("user_id",), ("history",)),
    "similar": (("item_id",),),
    "predict": (("user_id", "item_id"), ("pairs",)),
    "users": (("item_id",), ("where",)),
}


def read_question(
    record: Any, kind: str, *, k: int = DEFAULT_COUNT, max_k: int = 1000, fields: _Names = None
) -> Question:
    """Check one question of a kind of `KINDS`.

    Parameters
    ----------
    record : Any
        Decoded JSON.
    kind : str
    k, max_k : int
        How many answers a question without `k` wants (but no more than `max_k`), and the most that
        one may want.
    fields : tuple of str, optional
        Those that it may have. Default: all of its kind.

    Raises
    ------
    RequestError
        Naming the field.

    Examples
    --------
    >>> read_question({"user_id": 17850, "k": 5}, "recommend").user_id
    '17850'
    """
    if not isinstance(record, dict):
        raise RequestError(f"expected an object, got {show(record)}")
    if kind == "recommend" and record.keys() <= _PLAIN and fields in _WITH_PLAIN:
        user = record.get("user_id")
        if user is not None:  # a third of the time that the same takes below
            return Question(read_count(record, k, max_k), id_text(user))
    allowed = KINDS[kind] if fields is None else fields
    said: dict[str, Any] = {}
    for name, value in record.items():
        if name not in allowed:
            hint = closest(name, allowed) or f"; fields: {', '.join(allowed)}"
            raise RequestError(f"unknown field {show(name)}{hint}")
        if value is not None:
            said[name] = FIELDS[name].read(name, value)
    said["k"] = read_count(said, k, max_k)
    said.pop("top_n", None)
    chosen = _options_of(kind, fields, tuple(said))
    if "where_values" in said:
        said["where_values"] = json.dumps(said["where_values"], sort_keys=True)
    if kind == "predict" and "pairs" not in said:
        said["pairs"] = ((said.pop("user_id"), said.pop("item_id")),)
    if not chosen:
        return Question(**said)
    return Question(options=Options(**{name: said.pop(name) for name in chosen}), **said)


@functools.lru_cache(1024)  # a body may hold many questions that say the same things
def _options_of(
    kind: str, fields: tuple[str, ...] | None, said: tuple[str, ...]
) -> tuple[str, ...]:
    """Check that fields go together; return those that are `Options`."""
    _check_who(kind, fields, said)
    if "where_values" in said and "where" not in said:
        raise RequestError("where_values says what $NAME in where stands for: give where too")
    return tuple(name for name in said if name in Options._fields)


def _check_who(kind: str, fields: tuple[str, ...] | None, said: tuple[str, ...]) -> None:
    """Check that the question says about whom or what it is, once."""
    ways = [way for way in _WAYS[kind] if fields is None or set(way) <= set(fields)]
    who = {name for way in ways for name in way if name in said}
    if who in map(set, ways):
        return
    given = [way for way in ways if not who.isdisjoint(way)]
    options = " or ".join(" and ".join(way) for way in ways)
    if len(given) > 1:
        raise RequestError(f"give {options}, not both")
    missing = next(name for way in given or ways for name in way if name not in said)
    choice = "" if given or len(ways) == 1 else f": give {options}"
    raise RequestError(f"{missing} is missing{choice}")


def read_questions(
    body: bytes, kind: str, *, k: int = DEFAULT_COUNT, max_k: int = 1000, most: int = 1000
) -> tuple[list[Question], bool]:
    """Decode a body: one question, or a list of at most `most`.

    Returns
    -------
    questions : list of Question
    several : bool
        Whether it was a list.

    Raises
    ------
    RequestError
        At the first one that is wrong, naming its place in the list.
    """
    if not body.strip():
        raise RequestError("the body is empty; send a JSON object")
    document = load_json(body)
    if not isinstance(document, list):
        return [read_question(document, kind, k=k, max_k=max_k)], False
    if len(document) > most:
        raise RequestError(
            f"{len(document):,} questions in one request, more than {most:,}: send fewer at a "
            "time, or use `penchant batch`"
        )
    return [_at(place, record, kind, k, max_k) for place, record in enumerate(document, 1)], True


def _at(place: int, record: Any, kind: str, k: int, max_k: int) -> Question:
    try:
        return read_question(record, kind, k=k, max_k=max_k)
    except RequestError as error:
        raise RequestError(f"question {place}: {error}") from None
