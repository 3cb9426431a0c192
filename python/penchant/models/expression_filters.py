"""Which items and users filter expressions choose, in either grammar of `expression_parser`.

Of Amazon Personalize's statements those that include are joined, and what others exclude is taken
away from that, as its documentation has it (Combining multiple expressions). A statement whose
``IF CurrentUser...`` does not hold is as if it were not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant.errors import ColumnError, ParameterError, UnsupportedError
from penchant.retrieval.expression_parser import Clause, Node, parse_personalize, parse_where
from penchant.retrieval.filters import ItemFilter, RowLists, offsets, owners_of, take_lists
from penchant.retrieval.given import check_names, is_read_once, plain_values
from penchant.retrieval.kept import keep
from penchant.retrieval.matching import Attributes, given_values, matching_rows
from penchant.retrieval.tokens import tokenize

if TYPE_CHECKING:
    from penchant.models.fitted import FittedModel

Flags = NDArray[np.bool_]
Side = Literal["item", "user"]
Values = Mapping[str, Any] | None
Kept = TypeVar("Kept")

_FLAGS_AT_ONCE = 1 << 22  # bounds the memory of flags for each query
_KEPT = 64  # flags of so many expressions are kept


class Asker(NamedTuple):
    """For whom a filter is evaluated.

    Attributes
    ----------
    codes : int array of shape (q,)
        The user of each query, -1 for strangers.
    taken : callable
        Returns the items that each of them has events with, as `RowLists`.
    """

    codes: NDArray[np.integer[Any]]
    taken: Callable[[], RowLists]


def check_values(values: Values, *expressions: str | None) -> None:
    """Check what ``$NAME`` of expressions is given, before the values are read.

    Raises
    ------
    ParameterError
        Values without an expression or that no expression uses, what is no mapping of names, or
        an iterator where two expressions want its values.
    """
    if values is None:
        return
    names = check_names(values)
    used = [_used(expression) for expression in expressions if expression is not None]
    if values and not used:
        raise ParameterError("where_values are for $NAMES of an expression: give where=... too")
    everywhere = sorted(set().union(*used))
    for name, key in names.items():
        if name not in everywhere:
            known = ", ".join(f"${one}" for one in everywhere) or "no $NAME at all"
            raise ParameterError(f"where_values has {key!r}, but the expression uses {known}")
        if sum(name in one for one in used) > 1 and is_read_once(values[key]):
            raise ParameterError(
                f"where_values[{key!r}] is an iterator, which can be read only once, and two "
                "expressions use it: give a list"
            )


def feature_table(model: FittedModel, side: Side) -> pa.Table:
    """Return the item or user table, with the ids as a column of their own name; made once."""
    return _attributes(model, side).table


def item_filter(model: FittedModel, where: str, values: Values, asker: Asker) -> ItemFilter:
    """Return which items an expression on the item table allows each query.

    Parameters
    ----------
    model : FittedModel
    where : str
    values : mapping or None
        What ``$NAME`` stands for.
    asker : Asker
        Users, for statements on their attributes and events.

    Raises
    ------
    ParameterError, ColumnError
        See `penchant.retrieval.matching.matching_rows`.
    UnsupportedError
        Statements about users, or about types of events.
    """
    values = _read(where, values)
    if not _is_statement(where):
        return ItemFilter(chosen(model, "item", where, values))
    clauses = _kept(model, ("statements", where), lambda: parse_personalize(where))
    for clause in clauses:
        _check_item_clause(clause, values)
    if all(clause.user is None and not clause.events for clause in clauses):
        return ItemFilter(chosen(model, "item", where, values))
    return _Statements(model, clauses, values, asker).filter()


def chosen(model: FittedModel, side: Side, where: str, values: Values) -> Flags:
    """Return which items or users an expression chooses, the same for everybody who asks.

    Raises
    ------
    ParameterError, ColumnError
        See `penchant.retrieval.matching.matching_rows`.
    UnsupportedError
        Statements about the other side, or about events.
    """
    values = _read(where, values)
    if not _is_statement(where):
        return _kept(
            model,
            (side, where, _key(values)),
            lambda: _matching(model, side, parse_where(where), values),
        )

    def make() -> Flags:
        clauses = parse_personalize(where)
        for clause in clauses:
            _check_common_clause(clause, side)
        flags = [_holds(model, clause, side, values) for clause in clauses]
        n = _attributes(model, side).table.num_rows
        applies = np.ones((len(clauses), n), dtype=np.bool_)
        for row, clause in zip(applies, clauses, strict=True):
            if clause.user is not None:  # every user in turn is the current one
                row[:] = current_users(model, clause.user, values)
        return _combined(clauses, flags, applies)

    return _kept(model, (side, where, _key(values)), make)


def current_users(model: FittedModel, condition: Node, values: Values) -> Flags:
    """Return for which users a condition on ``CurrentUser`` holds.

    It holds for none without a row of the user table.
    """

    def make() -> Flags:
        table = _attributes(model, "user")
        known = np.ones(table.table.num_rows, dtype=np.bool_)
        if model.user_features_ is not None:
            columns = model.user_features_.columns
            known = np.any([np.asarray(column.is_valid()) for column in columns], axis=0)
        return _matching(model, "user", condition, values) & known

    return _kept(model, ("current", repr(condition), _key(values)), make)


class _Statements:
    """Statements that hold for some queries and not for others.

    Queries for which the same statements hold share a row of flags; events are lists.
    """

    def __init__(
        self, model: FittedModel, clauses: tuple[Clause, ...], values: Values, asker: Asker
    ) -> None:
        self._clauses = clauses
        self._asker = asker
        self._n_items = len(model.items_)
        self._flags = [
            None if clause.events else _holds(model, clause, "item", values) for clause in clauses
        ]
        codes = np.asarray(asker.codes)
        applies = np.ones((len(codes), len(clauses)), dtype=np.bool_)
        for column, clause in zip(applies.T, clauses, strict=True):
            if clause.user is not None:
                column[:] = codes >= 0
                column[codes >= 0] = current_users(model, clause.user, values)[codes[codes >= 0]]
        self._applies = applies
        self._patterns, group = np.unique(applies, axis=0, return_inverse=True)
        self._group = group.reshape(-1).astype(np.int32)

    def filter(self) -> ItemFilter:
        """Return the filter of all queries."""
        by_lists = any(clause.include and clause.events for clause in self._clauses)
        tables = [clause for clause in self._clauses if not clause.events]
        flags = [own for own in self._flags if own is not None]
        own = np.array([not clause.events for clause in self._clauses], dtype=np.bool_)
        allowed = np.ones((len(self._patterns), self._n_items), dtype=np.bool_)
        for row, pattern in zip(allowed, self._patterns, strict=True):
            held = [
                (clause, chosen)
                for clause, chosen, here in zip(tables, flags, pattern[own], strict=True)
                if here and not (by_lists and clause.include)
            ]
            ones = np.ones((len(held), 1), dtype=np.bool_)
            if held:
                row[:] = _combined([c for c, _ in held], [f for _, f in held], ones)
        found = ItemFilter()
        if len(allowed) == 1:
            found = ItemFilter(allowed[0])
        elif len(allowed):
            found = ItemFilter(allowed, allowed_rows=self._group)
        for number, clause in enumerate(self._clauses):
            if clause.events and not clause.include:
                found = found.without(self._events(number))
        return self._included(found) if by_lists and len(allowed) else found

    def _events(self, number: int) -> RowLists:
        """Return the items with events of the queries for which a statement holds."""
        rows = np.arange(len(self._applies))
        return take_lists(self._asker.taken(), np.where(self._applies[:, number], rows, -1))

    def _included(self, found: ItemFilter) -> ItemFilter:
        """Narrow a filter to what the statements that include have for each query.

        That is what tables say, the same for all queries of a pattern, and the events of each.
        It is written either as those items, or as flags of what any query of the pattern may
        have, less what only others of them have events with: whichever lists are shorter.
        """
        flags: Flags = np.zeros((len(self._patterns), self._n_items), dtype=np.bool_)
        for row, pattern in zip(flags, self._patterns, strict=True):
            held = [i for i, clause in enumerate(self._clauses) if clause.include and pattern[i]]
            row[:] = not held
            for own in (self._flags[index] for index in held):
                if own is not None:
                    row |= own
        by_events = [clause.include and bool(clause.events) for clause in self._clauses]
        holds = np.asarray(self._applies[:, by_events].any(axis=1))
        events = take_lists(self._asker.taken(), np.where(holds, np.arange(len(holds)), -1))
        others: Flags = np.zeros_like(flags)
        others[self._group[owners_of(events)], events.indices] = True
        others &= ~flags
        sizes = [np.count_nonzero(part, axis=1)[self._group].sum() for part in (flags, others)]
        if sizes[0] + len(events.indices) < sizes[1]:
            return found.only(self._listed(flags, events, with_events=True))
        allowed = flags | others
        if found.allowed is not None:
            allowed &= found.allowed
        # Rows of flags also for a single pattern: approximate indexes answer them exactly.
        found = found._replace(allowed=allowed, allowed_rows=self._group)
        if sizes[1] == 0:
            return found
        return found.without(self._listed(others, events, with_events=False))

    def _listed(self, flags: Flags, events: RowLists, *, with_events: bool) -> RowLists:
        """Return the items flagged for each query's pattern, with its events or without them."""
        counts, items = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
        some = np.asarray(flags.any(axis=0))
        some[events.indices] |= with_events
        columns = np.flatnonzero(some).astype(np.int32)
        place = np.cumsum(some) - 1
        flags = flags[:, columns]
        step = max(1, _FLAGS_AT_ONCE // max(len(columns), 1))
        for start in range(0, len(self._group), step):
            part = np.arange(start, min(start + step, len(self._group)))
            chosen = flags[self._group[part]]
            own = take_lists(events, part)
            here = some[own.indices]
            chosen[owners_of(own)[here], place[own.indices[here]]] = with_events
            counts.append(np.count_nonzero(chosen, axis=1))
            items.append(columns[np.nonzero(chosen)[1]])
        return RowLists(offsets(np.concatenate(counts)), np.concatenate(items))


def _combined(
    clauses: tuple[Clause, ...] | list[Clause], flags: list[Flags], applies: NDArray[np.bool_]
) -> Flags:
    """Join what statements include, and take away what others exclude.

    `applies` says for which rows (or, one wide, whether) each statement holds.
    """
    n = len(flags[0])
    included = np.zeros(n, dtype=np.bool_)
    excluded = np.zeros(n, dtype=np.bool_)
    restricted = np.zeros(n, dtype=np.bool_)
    for clause, own, here in zip(clauses, flags, applies, strict=True):
        if clause.include:
            included |= own & here
            restricted |= here
        else:
            excluded |= own & here
    result: Flags = (included | ~restricted) & ~excluded
    return result


def _holds(model: FittedModel, clause: Clause, side: Side, values: Values) -> Flags:
    """Return which items or users the condition of a statement chooses."""
    condition = clause.condition
    assert condition is not None
    return _kept(
        model,
        (side, repr(condition), _key(values)),
        lambda: _matching(model, side, condition, values),
    )


def _matching(model: FittedModel, side: Side, condition: Node, values: Values) -> Flags:
    table = model.user_features_ if side == "user" else model.item_features_
    try:
        return matching_rows(condition, _attributes(model, side), values)
    except ColumnError as error:
        if table is not None:
            raise
        raise ColumnError(
            f"{error}; the model has no table of {side}s: give {side}_features= when reading the "
            "data and fit again"
        ) from None


def _check_item_clause(clause: Clause, values: Values) -> None:
    if clause.about != "items":
        raise UnsupportedError(
            "INCLUDE or EXCLUDE UserID is about users: give it to recommend_users(users_where=...);"
            " what recommend filters is ItemID"
        )
    if not clause.events:
        return
    wanted = [one for event in clause.events for one in given_values(event, values)]
    if "*" not in wanted:
        raise UnsupportedError(
            "the model does not keep the types of events: Interactions.EVENT_TYPE can only be "
            f'IN ("*"), any event at all, not {", ".join(map(repr, wanted))}'
        )


def _check_common_clause(clause: Clause, side: Side) -> None:
    if clause.about != f"{side}s":
        other = "ItemID ... goes into where" if side == "user" else "UserID ... into users_where"
        raise UnsupportedError(f"a statement on {clause.about} does not fit here: {other}")
    if clause.events or (side == "item" and clause.user is not None):
        raise UnsupportedError(
            "recommend_users takes one set of items for all users: statements on "
            "Interactions.EVENT_TYPE and IF CurrentUser cannot be used; use exclude_seen and "
            "users_where"
        )


def _is_statement(where: str) -> bool:
    if not isinstance(where, str):
        parse_where(where)  # says what is wrong
    return where.lstrip()[:7].lower() in ("include", "exclude")


def _attributes(model: FittedModel, side: Side) -> Attributes:
    """Return the table of items or users with their ids as a column."""
    found: Attributes | None = model._derived.get(f"{side} table")
    if found is None:
        ids, name, table = model.items_, model.columns_.item, model.item_features_
        if side == "user":
            ids, name, table = model.users_, model.columns_.user, model.user_features_
        if table is None or name not in table.column_names:
            column = ids.take(np.arange(len(ids), dtype=np.int32))
            table = pa.table({name: column}) if table is None else table.append_column(name, column)
        found = model._derived[f"{side} table"] = Attributes(table)
    return found


def _used(where: str) -> set[str]:
    return {str(token.value) for token in tokenize(where) if token.kind == "parameter"}


def _read(where: str, values: Values) -> Values:
    """Return the values that an expression uses, each read once."""
    return plain_values(values, _used(where)) if values else values


def _key(values: Values) -> str:
    return repr(sorted((values or {}).items()))


def _kept(model: FittedModel, key: tuple[str, ...], make: Callable[[], Kept]) -> Kept:
    """Return what was made for a key before, or make it."""
    shelf: dict[tuple[str, ...], Kept] = model._derived.setdefault("where", {})
    return keep(shelf, key, make, _KEPT)
