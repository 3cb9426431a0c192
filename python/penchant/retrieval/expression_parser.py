"""Filter expressions: parsed to a tree, never evaluated as code.

Two grammars give the same trees. `parse_where` reads what one would type in pandas or SQL,
``category == 'beer' and abv < 6``; `parse_personalize` reads Amazon Personalize's filters,
``EXCLUDE ItemID WHERE Items.GENRE IN ("Comedy") IF CurrentUser.AGE < $AGE``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NoReturn, TypeAlias

from penchant.errors import ParameterError, UnsupportedError
from penchant.retrieval.tokens import Token, hint_on, tokenize

__all__ = [
    "And",
    "Clause",
    "Compare",
    "In",
    "IsNull",
    "Node",
    "Not",
    "Or",
    "Parameter",
    "Value",
    "parse_personalize",
    "parse_where",
]

MAX_DEPTH = 40
Operator = Literal["==", "!=", "<", "<=", ">", ">="]
_OPERATORS: dict[str, Operator] = {
    **{"=": "==", "==": "==", "!=": "!=", "<>": "!="},
    **{"<": "<", "<=": "<=", ">": ">", ">=": ">="},
}
_ABOUT: dict[str, Literal["items", "users"]] = {"itemid": "items", "userid": "users"}
_MIRRORED: dict[str, Operator] = {
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
    "==": "==",
    "!=": "!=",
}


@dataclass(frozen=True)
class Parameter:
    """A value given later: ``$NAME``."""

    name: str


Value: TypeAlias = "str | int | float | bool | Parameter"


@dataclass(frozen=True)
class Compare:
    """``column operator value``."""

    column: str
    operator: Operator
    value: Value


@dataclass(frozen=True)
class In:
    """``column in (values)``: of a column of lists, or of texts joined by ``|``, any element."""

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class IsNull:
    """``column is null``."""

    column: str


@dataclass(frozen=True)
class Not:
    """The rows that `part` does not choose."""

    part: Node


@dataclass(frozen=True)
class And:
    """The rows that all parts choose."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Or:
    """The rows that any part chooses."""

    parts: tuple[Node, ...]


Node: TypeAlias = "Compare | In | IsNull | Not | And | Or"


@dataclass(frozen=True)
class Clause:
    """One statement of Personalize's grammar.

    Attributes
    ----------
    include : bool
        INCLUDE, or EXCLUDE.
    about : {"items", "users"}
        What is included or excluded.
    condition : Node or None
        On the columns of the item or user table; None where the statement is about `events`.
    events : tuple of values
        Event types of the user's own interactions with an item; "*" is any.
    user : Node or None
        Condition on the user table under which the statement holds.
    """

    include: bool
    about: Literal["items", "users"]
    condition: Node | None
    events: tuple[Value, ...] = ()
    user: Node | None = None


def parse_where(text: str) -> Node:
    """Read an expression on the columns of a table.

    Parameters
    ----------
    text : str
        Comparisons (``== != < <= > >=``, ``in``, ``not in``, ``is null``) of columns with values,
        joined by ``and``, ``or``, ``not`` and brackets; keywords in any case. Text is quoted,
        names with spaces stand in backticks, ``$NAME`` is a value given later.

    Returns
    -------
    Node

    Raises
    ------
    ParameterError
        Not an expression; the message shows where.

    Examples
    --------
    >>> parse_where("abv < 6")
    Compare(column='abv', operator='<', value=6)
    """
    parser = _Parser(text)
    node = parser.either()
    parser.end()
    return node


def parse_personalize(text: str) -> tuple[Clause, ...]:
    """Read a filter in Amazon Personalize's grammar; ``|`` joins statements.

    Raises
    ------
    ParameterError
        Not a filter, or on columns of other data than it includes or excludes.
    UnsupportedError
        On events, more than ``Interactions.EVENT_TYPE IN (...)`` alone.

    Examples
    --------
    >>> parse_personalize('EXCLUDE ItemID WHERE Items.YEAR < 1990')[0].condition
    Compare(column='YEAR', operator='<', value=1990)
    """
    parser = _Parser(text)
    clauses = [_clause(parser)]
    while parser.take("|"):
        clauses.append(_clause(parser))
    parser.end()
    return tuple(clauses)


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokenize(text)
        self._at = 0
        self._depth = 0

    # ---- tokens ---------------------------------------------------------------------------------

    @property
    def next(self) -> Token:
        """The token that comes next."""
        return self._tokens[self._at]

    def take(self, *words: str) -> bool:
        """Step over these keywords or signs if they come next."""
        found = self._tokens[self._at : self._at + len(words)]
        if [token.word for token in found] != list(words):
            return False
        self._at += len(words)
        return True

    def expect(self, *words: str) -> None:
        """Step over these keywords or signs, which must come next."""
        if not self.take(*words):
            self.fail(f"expected {' '.join(words).upper()}")

    def end(self) -> None:
        """Refuse anything that is left."""
        if self.next.kind != "end":
            self.fail("expected 'and', 'or' or the end")

    def fail(self, problem: str) -> NoReturn:
        """Raise a ParameterError that shows the place."""
        place, shown = self.next.place, self.next.text or "the end"
        start = max(place - 30, 0)
        raise ParameterError(
            f"filter expression, character {place + 1}: {problem}, found {shown!r}"
            f"{hint_on(shown)}\n"
            f"  {self._text[start : place + 30]}\n  {' ' * (place - start)}^"
        )

    # ---- grammar --------------------------------------------------------------------------------

    def either(self) -> Node:
        """Step over an expression."""
        parts = [self._all()]
        while self.take("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all(self) -> Node:
        parts = [self._one()]
        while self.take("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self.fail(f"nested deeper than {MAX_DEPTH}")
        node: Node
        if self.take("not"):
            node = Not(self._one())
        elif self.take("("):
            node = self.either()
            self.expect(")")
        else:
            node = self._comparison()
        self._depth -= 1
        return node

    def _comparison(self) -> Node:
        if self.next.kind == "name":
            return self._of_column(self.name())
        value = self.value()
        if self.take("not", "in"):
            return Not(In(self.name(), (value,)))
        if self.take("in"):
            return In(self.name(), (value,))
        operator = self._operator()
        column = self.name()
        first = Compare(column, _MIRRORED[operator], value)
        if self.next.word not in _OPERATORS:
            return first
        return And((first, Compare(column, self._operator(), self.value())))

    def _of_column(self, column: str) -> Node:
        if self.take("is", "not"):
            self.expect("null")
            return Not(IsNull(column))
        if self.take("is"):
            self.expect("null")
            return IsNull(column)
        if self.take("between"):
            low = self.value()
            self.expect("and")
            return And((Compare(column, ">=", low), Compare(column, "<=", self.value())))
        negated = self.take("not")
        if negated or self.next.word == "in":
            self.expect("in")
            chosen = In(column, self.values())
            return Not(chosen) if negated else chosen
        if self.next.kind == "end" or self.next.word in ("and", "or", ")", "if", "|"):
            return Compare(column, "==", True)  # as pandas writes a column of true and false
        operator = self._operator()
        bracketed = self.take("(")  # Personalize writes > (5)
        comparison = Compare(column, operator, self.value())
        if bracketed:
            self.expect(")")
        return comparison

    def _operator(self) -> Operator:
        found = _OPERATORS.get(self.next.word)
        if found is None:
            self.fail("expected a comparison, such as ==, < or in")
        self._at += 1
        return found

    def name(self) -> str:
        """Step over the name of a column."""
        if self.next.kind != "name":
            self.fail("expected the name of a column (text is quoted, names are not)")
        self._at += 1
        return str(self._tokens[self._at - 1].value)

    def values(self) -> tuple[Value, ...]:
        """Step over values in brackets."""
        close = {"(": ")", "[": "]"}.get(self.next.word)
        if close is None:
            if self.next.kind == "parameter":
                return (self.value(),)
            self.fail("expected values in brackets, such as ('a', 'b')")
        self._at += 1
        found = [self.value()]
        while self.take(","):
            found.append(self.value())
        if not self.take(close):
            self.fail(f"expected ',' or {close!r}")
        return tuple(found)

    def value(self) -> Value:
        """Step over a value."""
        token = self.next
        if token.kind == "parameter":
            self._at += 1
            return Parameter(str(token.value))
        if token.kind != "value":
            hint = "; text goes in quotes" if token.kind == "name" else ""
            self.fail(f"expected a value{hint}")
        self._at += 1
        return token.value


def _clause(parser: _Parser) -> Clause:
    include = parser.take("include")
    if not include and not parser.take("exclude"):
        parser.fail("expected INCLUDE or EXCLUDE")
    about = _ABOUT.get(parser.next.word)
    if about is None:
        parser.fail("expected ItemID or UserID")
    parser.name()
    parser.expect("where")
    condition = parser.either()
    user = _without_prefix(parser.either(), "CurrentUser") if parser.take("if") else None
    if isinstance(condition, In) and condition.column.lower() == "interactions.event_type":
        return Clause(include, about, None, condition.values, user)
    dataset = "Items" if about == "items" else "Users"
    return Clause(include, about, _without_prefix(condition, dataset), (), user)


def _without_prefix(node: Node, dataset: str) -> Node:
    """Take the name of the dataset off all columns."""
    if isinstance(node, Not):
        return Not(_without_prefix(node.part, dataset))
    if isinstance(node, And):
        return And(tuple(_without_prefix(part, dataset) for part in node.parts))
    if isinstance(node, Or):
        return Or(tuple(_without_prefix(part, dataset) for part in node.parts))
    prefix, _, column = node.column.partition(".")
    if prefix.lower() == "interactions":
        raise UnsupportedError(
            'of events, only Interactions.EVENT_TYPE IN ("*") can be asked, alone in its statement;'
            " to leave out what a user has events with, write "
            'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*"); to keep only that, INCLUDE'
        )
    if not column or prefix.lower() != dataset.lower():
        raise ParameterError(
            f"filter expression: expected a column of {dataset}, such as {dataset}.NAME, found "
            f"{node.column!r}; conditions on other data go into a statement of their own, after |"
        )
    if isinstance(node, In):
        return In(column, node.values)
    return replace(node, column=column)
