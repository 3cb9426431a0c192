"""What strangers took: the items that `recommend(history=...)` goes by."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, KeysView, Mapping, ValuesView
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant.data import arrow
from penchant.data.frames import column_names, missing_column, to_arrow
from penchant.data.interactions import CSR
from penchant.errors import ColumnError, DataError, ParameterError
from penchant.models.results import resolve
from penchant.retrieval.column_values import is_list
from penchant.retrieval.filters import RowLists, offsets, owners_of, places_of, take_lists

if TYPE_CHECKING:
    from penchant.data.ids import IdMap
    from penchant.data.interactions import Columns

_WANTED = "a finite number, not negative, that float32 can hold"
_POLICIES = ("error", "drop", "popular")


class Histories(NamedTuple):
    """Histories of strangers; the items of each are in order, oldest first, and may repeat.

    Attributes
    ----------
    indptr : int64 array of shape (n + 1,)
        History ``h`` is ``items[indptr[h]:indptr[h + 1]]``.
    items : int32 array of shape (m,)
        Codes of the model's `items_`.
    values : float32 array of shape (m,)
        What the value column says of each event, 1 without one.
    valued : bool
        Whether the values were given.
    """

    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    values: NDArray[np.float32]
    valued: bool = True

    @classmethod
    def none(cls) -> Histories:
        """Return no histories."""
        return cls(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))

    @property
    def n(self) -> int:
        """Number of histories."""
        return len(self.indptr) - 1

    def check(self, n_items: int) -> None:
        """Raise a ParameterError unless the arrays fit together and hold codes of items."""
        whole = self.items.ndim == 1 and self.items.shape == self.values.shape
        rising = self.indptr.ndim == 1 and len(self.indptr) and not np.any(np.diff(self.indptr) < 0)
        if not whole or not rising or (self.indptr[0], self.indptr[-1]) != (0, len(self.items)):
            raise ParameterError("histories need offsets that rise from 0 to the number of items")
        if len(self.items) and not 0 <= self.items.min() <= self.items.max() < n_items:
            raise ParameterError(f"histories hold item codes outside 0..{n_items - 1}")

    def take(self, rows: NDArray[np.integer[Any]]) -> Histories:
        """Return the histories of `rows`, in that order."""
        if len(rows) == self.n and np.array_equal(rows, np.arange(self.n)):
            return self
        indptr, chosen = places_of(self, rows)
        return self._replace(indptr=indptr, items=self.items[chosen], values=self.values[chosen])

    def only(self, allowed: NDArray[np.bool_]) -> Histories:
        """Return the histories without items that are not allowed, a flag for each item."""
        kept = allowed[self.items]
        owners = owners_of(self)
        lengths = np.bincount(owners[kept], minlength=self.n)
        return self._replace(
            indptr=offsets(lengths), items=self.items[kept], values=self.values[kept]
        )

    def counted(self) -> Histories:
        """Return the histories whose values are counts with every item that often, without them."""
        counts = self.values.astype(np.int64)
        items = np.repeat(self.items, counts)
        ones = np.ones(len(items), dtype=np.float32)
        return Histories(offsets(counts)[self.indptr], items, ones, valued=False)

    def matrix(self, reduce: str = "sum") -> CSR:
        """Return the histories x items matrix, items ascending.

        Parameters
        ----------
        reduce : {"sum", "last", "distinct"}
            Of an item that repeats: the sum of its values, the latest one, or 1.
        """
        owners = owners_of(self)
        order = np.lexsort((self.items, owners))  # stable: repeats stay from oldest to newest
        owners, items, values = owners[order], self.items[order], self.values[order]
        first = np.ones(len(items), dtype=bool)
        first[1:] = (owners[1:] != owners[:-1]) | (items[1:] != items[:-1])
        starts = np.flatnonzero(first)
        if reduce == "distinct":
            reduced = np.ones(len(starts), dtype=np.float32)
        elif reduce == "last":
            reduced = values[np.append(starts[1:], len(items))[: len(starts)] - 1]
        else:
            reduced = np.add.reduceat(values, starts) if len(starts) else values
        indptr = offsets(np.bincount(owners[starts], minlength=self.n))
        return CSR(indptr, np.ascontiguousarray(items[starts]), reduced.astype(np.float32))


def read_histories(
    history: Any,
    items: IdMap,
    columns: Columns,
    unknown: str,
    stand_ins: tuple[str, Callable[[Any], RowLists]] | None = None,
    policies: tuple[str, ...] = _POLICIES,
) -> tuple[Any | None, Histories]:
    """Read what the caller gave as `history`.

    Parameters
    ----------
    history : sequence of item ids, mapping of item ids to values, or frame
        See `Recommender.recommend`.
    items : IdMap
        The items of the model.
    columns : Columns
        Column names of the training data.
    unknown : {"error", "drop", "popular"}
        What happens to unknown items, and to histories without a known one.
    stand_ins : pair of str and function, optional
        A column of `history`, and what returns the known items for each of its values that take
        the place of an unknown item.
    policies : tuple of str
        What the caller's `unknown` may be, for messages.

    Returns
    -------
    labels : pyarrow.Array or None
        The strangers' ids, one for each history; None where `history` is a sequence.
    histories : Histories

    Raises
    ------
    UnknownIdError, ColumnError, DataError
        See `Recommender.recommend`.
    """
    many = hasattr(history, "columns")
    attributes = None
    if stand_ins is not None:
        if not many:
            raise ParameterError(
                f"popular_within={stand_ins[0]!r} is about an attribute of unknown items: pass "
                "history as a frame that has it as a column"
            )
        attributes = to_arrow(history, [stand_ins[0]])[0].column(0)
    given = _from_frame(history, columns) if many else _from_sequence(history, columns.item)
    labels, owners, names, values, valued = given
    codes = resolve(items, names, "item", "popular" if unknown == "drop" else unknown, policies)
    n_histories = 1 if labels is None else len(labels)
    found = codes.codes
    if stand_ins is not None:
        others = stand_ins[1](attributes)
        lists = _replaced(found, others)
        rows = owners_of(lists)
        found, owners, values = lists.indices, owners[rows], values[rows]
    order = np.argsort(owners, kind="stable")
    order = order[found[order] >= 0]
    lengths = np.bincount(owners[order], minlength=n_histories)
    histories = Histories(offsets(lengths), found[order], values[order], valued)
    if unknown == "drop":
        kept = np.flatnonzero(lengths)
        histories = histories.take(kept)
        labels = None if labels is None else labels.take(pa.array(kept))
    return labels, histories


class _Given(NamedTuple):
    """Events of strangers: labels of the strangers (None for one), and the rest for each event."""

    labels: Any | None
    owners: NDArray[np.int64]
    items: Any
    values: NDArray[np.float32]
    valued: bool


def _from_frame(history: Any, columns: Columns) -> _Given:
    names = [columns.user, columns.item]
    if columns.user not in (there := column_names(history)):
        raise ColumnError(
            f"history: {missing_column(columns.user, there)}; for one stranger give the items "
            f"alone: history=frame[{columns.item!r}]"
        )
    if columns.value is not None and columns.value in there:
        names.append(columns.value)
    table, _ = to_arrow(history, names)
    users = arrow.combine(table[columns.user])
    kind = users.type
    if isinstance(kind, pa.BaseExtensionType):  # UUIDs, which Arrow cannot encode as such
        users = users.storage
    encoded = users if pa.types.is_dictionary(users.type) else users.dictionary_encode()
    # A category column may list values that no row has.
    present, owners = np.unique(_codes(encoded, columns.user), return_inverse=True)
    labels, valued = encoded.dictionary.take(pa.array(present)), len(names) == 3
    if isinstance(kind, pa.BaseExtensionType):
        labels = pa.ExtensionArray.from_storage(kind, labels)
    values = _column_values(table, columns) if valued else _ones(table.num_rows)
    return _Given(labels, owners.astype(np.int64), table[columns.item], values, valued)


def _from_sequence(history: Any, item: str) -> _Given:
    """Read one history, or several, whose strangers are then named 0, 1, 2 and so on."""
    if isinstance(history, Iterator | ValuesView | KeysView | deque):
        history = list(history)  # once
    elements = [] if isinstance(history, Mapping) else _listed(history)
    several = any(map(_is_history, elements))
    parts = elements if several else [history]
    if several:
        _check_alike(parts)
    whose = [f"history: place {place}" if several else "history" for place in range(len(parts))]
    read = [_one_history(part, item, own) for part, own in zip(parts, whose, strict=True)]
    lengths = [len(names) for names, _ in read]
    owners = np.repeat(np.arange(len(parts)), lengths)
    valued = isinstance(parts[0], Mapping)
    labels = pa.array(np.arange(len(parts))) if several else None
    if len(read) == 1:
        return _Given(labels, owners, *read[0], valued)
    names, _ = arrow.joined((names for names, _ in read), item)
    return _Given(labels, owners, names, np.concatenate([own for _, own in read]), valued)


def _check_alike(parts: list[Any]) -> None:
    for place, part in enumerate(parts):
        if not _is_history(part):
            raise DataError(
                f"history: place {place} is {part!r}, not a history, though others are: give "
                "items, or a sequence of items for each stranger"
            )
        if isinstance(part, Mapping) != isinstance(parts[0], Mapping):
            raise DataError(
                f"history: place 0 and place {place} are not alike: give all as mappings of items "
                "to values, or none"
            )


def _is_history(part: Any) -> bool:
    """Tell whether an element of a sequence is a history rather than an item."""
    return hasattr(part, "__iter__") and not isinstance(part, str | bytes)


def _listed(history: Any) -> list[Any]:
    """Return the elements that may be histories; none of what has the type of a column of ids."""
    if isinstance(history, list | tuple) or str(getattr(history, "dtype", "")) == "object":
        return list(history)
    if hasattr(history, "dtype") or isinstance(history, pa.Array | pa.ChunkedArray):
        column = arrow.to_array(history)
        return column.to_pylist() if is_list(column.type) else []
    return []


def _one_history(history: Any, item: str, whose: str) -> tuple[Any, NDArray[np.float32]]:
    """Return the items and the values of one stranger's events; `whose` begins messages."""
    if isinstance(history, Mapping):
        return arrow.to_array(list(history), item), _given_values(history, whose)
    names = arrow.to_array(history, item)
    return names, _ones(len(names))


def _ones(n: int) -> NDArray[np.float32]:
    return np.ones(n, dtype=np.float32)


def _replaced(codes: NDArray[np.int32], others: RowLists) -> RowLists:
    """Return a list for each item: itself where it is known, else those that stand in for it."""
    known = codes >= 0
    lengths = np.where(known, 1, np.diff(others.indptr))
    lists = RowLists(offsets(lengths), np.empty(lengths.sum(), dtype=np.int32))
    lists.indices[lists.indptr[:-1][known]] = codes[known]
    lists.indices[~known[owners_of(lists)]] = take_lists(others, np.flatnonzero(~known)).indices
    return lists


def _codes(encoded: Any, name: str) -> NDArray[np.int64]:
    if encoded.null_count:
        row = int(np.flatnonzero(np.asarray(encoded.is_null()))[0])
        raise DataError(f"history: column {name!r} is null in row {row}: every row needs an id")
    codes: NDArray[np.int64] = np.asarray(encoded.indices).astype(np.int64)
    return codes


def _given_values(history: Mapping[Any, Any], whose: str) -> NDArray[np.float32]:
    values = np.empty(len(history), dtype=np.float32)
    for place, (item, value) in enumerate(history.items()):
        try:
            number = float(value) if isinstance(value, Real | Decimal | np.bool_) else np.nan
        except OverflowError:  # an integer of hundreds of digits
            number = np.inf
        with np.errstate(over="ignore"):
            values[place] = number
        if not _is_value(values[place]):
            raise DataError(_bad_value(whose, item, value))
    return values


def _bad_value(whose: str, item: Any, value: Any) -> str:
    hint = ""
    if _is_history(value):
        hint = "; several strangers are a list of histories, or a frame"
    return (
        f"{whose}: the value of item {item!r} is {value!r:.100}: give {_WANTED}, or leave the item "
        f"out{hint}"
    )


def _column_values(table: Any, columns: Columns) -> NDArray[np.float32]:
    name = str(columns.value)
    column = arrow.combine(table[name])
    if not arrow.holds_numbers(column.type) and not pa.types.is_null(column.type):
        raise DataError(f"history: column {name!r} must be numbers, got {column.type}")
    if pa.types.is_decimal(column.type) or pa.types.is_boolean(column.type):
        column = column.cast(pa.float64(), safe=False)
    with np.errstate(over="ignore"):
        values = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float32)
    bad = ~_is_value(values)
    if bad.any():
        row = int(bad.argmax())
        value = column[row].as_py()
        item, user = (table[one][row].as_py() for one in (columns.item, columns.user))
        raise DataError(
            f"history: column {name!r} is {'null' if value is None else value} in row {row}, item "
            f"{item!r} of user {user!r}: give {_WANTED}, or drop the row"
        )
    return values


def _is_value(numbers: Any) -> Any:
    """Return which numbers may be a value of an event."""
    return np.isfinite(numbers) & (numbers >= 0)
