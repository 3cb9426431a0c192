"""Which column plays which part, and reading the columns of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from penchant.data import arrow
from penchant.errors import DataError, ParameterError


@dataclass(frozen=True)
class Columns:
    """The caller's names for the columns of an event table.

    Attributes
    ----------
    user, item : str
    value, timestamp, session, order : str or None
    context : tuple of str
    """

    user: str
    item: str
    value: str | None = None
    timestamp: str | None = None
    session: str | None = None
    order: str | None = None
    context: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield (part, column) for the columns that are there; context parts are prefixed."""
        for part in ("user", "item", "value", "timestamp", "session", "order"):
            name = getattr(self, part)
            if name is not None:
                yield part, name
        for name in self.context:
            yield context_part(name), name


def context_part(name: str) -> str:
    """Return the name a context column has in the event table (it may not clash with a part)."""
    return f"context:{name}"


def name_list(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return one name, several or none as a tuple without repeats."""
    if names is None:
        return ()
    return tuple(dict.fromkeys([names] if isinstance(names, str) else map(str, names)))


def make_columns(
    user: str,
    item: str,
    value: str | None = None,
    timestamp: str | None = None,
    session: str | None = None,
    order: str | None = None,
    context: str | Sequence[str] | None = None,
) -> Columns:
    """Check the parts against each other.

    Raises
    ------
    ParameterError
        If user or item is not a name, or both are the same.
    """
    for part, name in (("user", user), ("item", item)):
        if name is None:
            raise ParameterError(f"{part}= must be the name of a column")
    if str(user) == str(item):
        raise ParameterError(f"column {user!r} is named as both user and item")
    return Columns(
        user=str(user),
        item=str(item),
        value=_optional(value),
        timestamp=_optional(timestamp),
        session=_optional(session),
        order=_optional(order),
        context=name_list(context),
    )


def _optional(name: str | None) -> str | None:
    return None if name is None else str(name)


def missing(column: Any) -> Any:
    """Return which values are null or NaN, as a boolean Arrow array."""
    import pyarrow.compute as pc

    if pa.types.is_null(column.type):
        return pa.array(np.ones(len(column), bool))
    if pa.types.is_floating(column.type):
        return pc.is_null(column, nan_is_null=True)
    return pc.is_null(column)


def read_numbers(column: Any, name: str, part: str, rows: np.ndarray) -> np.ndarray:
    """Return a column of numbers as float64 (int64 for an order of integers).

    Parameters
    ----------
    column : pyarrow.Array of shape (n,)
    name, part : str
        Name of the column and the part it plays, for messages.
    rows : ndarray of int64, shape (n,)
        Number of each row in the caller's frame, for messages.

    Raises
    ------
    DataError
        If the column does not hold numbers, or one is null, NaN or infinite.
    """
    kind = column.type
    if not arrow.holds_numbers(kind) and not pa.types.is_null(kind):
        raise DataError(
            f"{part} column {name!r} is {kind} and must hold numbers; convert it first, "
            f"for example with pandas.to_numeric"
        )
    null = np.asarray(missing(column))
    if null.any():
        raise DataError(
            f"row {rows[null.argmax()]}: {part} column {name!r} is NaN or null "
            f"({int(null.sum()):,} such rows); drop or fill them"
        )
    if part == "order" and pa.types.is_integer(kind):
        return np.asarray(column.cast(pa.int64(), safe=False))  # exact beyond 2**53
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    numbers = np.asarray(column.cast(pa.float64(), safe=False))
    infinite = ~np.isfinite(numbers)
    if infinite.any():
        raise DataError(
            f"row {rows[infinite.argmax()]}: {part} column {name!r} is "
            f"{numbers[infinite.argmax()]} ({int(infinite.sum()):,} such rows); drop them"
        )
    return numbers


def restore_numbers(numbers: Any, kind: Any) -> Any:
    """Return float64 numbers in the caller's type where that loses nothing."""
    try:
        if pa.types.is_boolean(kind):
            return numbers.cast(pa.int64()).cast(kind) if _zero_or_one(numbers) else numbers
        return numbers.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return numbers


def _zero_or_one(numbers: Any) -> bool:
    return bool(np.isin(np.asarray(numbers), (0.0, 1.0)).all())
