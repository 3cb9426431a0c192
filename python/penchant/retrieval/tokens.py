"""Words, signs and values of filter expressions."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from penchant.errors import ParameterError

MAX_LENGTH = 10_000
MAX_DIGITS = 80  # of an integer; Arrow's widest decimals have 76
KEYWORDS = ("and", "or", "not", "in", "is", "null", "between", "where", "include", "exclude", "if")
_CONSTANTS: dict[str, bool] = {"true": True, "false": False}

_HINTS = dict.fromkeys("\"'`", " (a quote that is never closed?)") | {
    "&": "; conditions are joined by words: write and / or",
    "|": "; conditions are joined by words: write and / or",
    "~": "; write not",
    **dict.fromkeys(("None", "none", "NULL", "null"), "; a missing value is found by 'is null'"),
}

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
  | (?P<text>"(?:[^"\\]|\\.|"")*"|'(?:[^'\\]|\\.|'')*')
  | (?P<quoted>`[^`]+`)
  | (?P<parameter>\$\w+)
  | (?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)
  | (?P<sign>==|!=|<>|<=|>=|[=<>()\[\],|])
    """,
    re.VERBOSE | re.DOTALL,
)

_SURROGATE = re.compile("[\ud800-\udfff]")


class Token(NamedTuple):
    """A word, sign or value of an expression."""

    kind: Literal["name", "value", "parameter", "word", "end"]
    text: str
    place: int
    value: str | int | float | bool = ""

    @property
    def word(self) -> str:
        """The text as grammars compare it; that of values is no word."""
        return self.text.lower() if self.kind in ("word", "name") else ""


def hint_on(text: str) -> str:
    """Return what to write in place of a sign of another grammar, or nothing."""
    return _HINTS.get(text, "")


def is_written_number(text: str) -> bool:
    """Return whether a text would be a number without its quotes.

    Examples
    --------
    >>> is_written_number(" 4.5"), is_written_number("4,5")
    (True, False)
    """
    match = _TOKEN.fullmatch(text.strip())
    return match is not None and match.lastgroup == "number" and len(text) <= MAX_DIGITS


def is_unicode(text: str) -> bool:
    r"""Return whether a text is without halves of surrogate pairs, which no UTF-8 can hold.

    Examples
    --------
    >>> is_unicode("\u2603"), is_unicode("\ud800")
    (True, False)
    """
    return _SURROGATE.search(text) is None


def tokenize(text: str) -> list[Token]:
    """Cut an expression into tokens; the last one is of kind "end".

    Raises
    ------
    ParameterError
        Not text, empty, too long, no valid Unicode, or with a character that belongs to nothing or
        an integer of more than 80 digits.

    Examples
    --------
    >>> [token.kind for token in tokenize("abv < 6")]
    ['name', 'word', 'value', 'end']
    """
    if not isinstance(text, str) or not text.strip():
        raise ParameterError(f'a filter expression is text such as "price < 5", got {text!r:.100}')
    if len(text) > MAX_LENGTH:
        raise ParameterError(
            f"the filter expression has {len(text):,} characters; the limit is {MAX_LENGTH:,}: "
            "put long lists of ids into candidates= or exclude="
        )
    if not is_unicode(text):
        raise ParameterError("the filter expression is not valid Unicode: half a surrogate pair")
    tokens, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            hint = _HINTS.get(text[place], "")
            raise ParameterError(
                f"filter expression, character {place + 1}: cannot read "
                f"{text[place : place + 20]!r}{hint}"
            )
        if match.lastgroup != "space":
            tokens.append(_token(match, place))
        place = match.end()
    return [*tokens, Token("end", "", place)]


def _token(match: re.Match[str], place: int) -> Token:
    kind, text = match.lastgroup, match.group()
    if kind == "number":
        whole = re.fullmatch(r"[+-]?(\d+)", text)
        if whole and len(whole[1]) > MAX_DIGITS:
            raise ParameterError(
                f"filter expression, character {place + 1}: the number {text[:20]}... has "
                f"{len(whole[1]):,} digits; the limit is {MAX_DIGITS}: put text in quotes"
            )
        return Token("value", text, place, int(text) if whole else float(text))
    if kind == "text":
        inner = text[1:-1].replace(text[0] * 2, text[0])
        return Token("value", text, place, re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL))
    if kind == "quoted":
        return Token("name", text, place, text[1:-1])
    if kind == "parameter":
        return Token("parameter", text, place, text[1:])
    lower = text.lower()
    if lower in _CONSTANTS:
        return Token("value", text, place, _CONSTANTS[lower])
    if lower == "none":
        return Token("word", "null", place)
    if kind == "sign" or lower in KEYWORDS:
        return Token("word", text, place)
    return Token("name", text, place, text)
