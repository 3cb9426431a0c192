"""The values that ``$NAME`` of a filter expression is given, read once into plain ones."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from penchant.errors import ParameterError
from penchant.retrieval.tokens import MAX_DIGITS, is_unicode

_WANTED = "give text, a number, a date, true or false, or a list of them"


class PlainValues(dict[str, Any]):
    """Values that have been read: scalars, and tuples of scalars."""


def check_names(values: Any) -> dict[str, str]:
    """Return the keys of given values by the names they stand for, ``"$D"`` by ``"D"``.

    Raises
    ------
    ParameterError
        Not a mapping, or with keys that are no text or name the same twice.

    Examples
    --------
    >>> check_names({"$D": 3})
    {'D': '$D'}
    """
    if not isinstance(values, Mapping):
        raise ParameterError(
            f'where_values is a mapping such as {{"GENRE": "Drama"}}, got {type(values).__name__}'
        )
    names: dict[str, str] = {}
    for key in values:
        if not isinstance(key, str):
            raise ParameterError(f"where_values: names are text, got {key!r:.100}")
        if key.removeprefix("$") in names:
            raise ParameterError(f"where_values names {key.removeprefix('$')!r} twice, also as $")
        names[key.removeprefix("$")] = key
    return names


def plain_values(
    values: Mapping[str, Any] | None, used: Collection[str] | None = None
) -> PlainValues:
    """Read given values once, so that iterators are not used up half way.

    Parameters
    ----------
    values : mapping of str, or None
        Text, numbers, dates (``datetime``, pandas's and NumPy's), Decimals, UUIDs, true and false,
        and sequences, sets, iterators or columns of them.
    used : collection of str, optional
        Only these names are read; default all.

    Returns
    -------
    PlainValues
        Scalars, and tuples of scalars.

    Raises
    ------
    ParameterError
        Names or values that are something else; the message has the name.

    Examples
    --------
    >>> plain_values({"$YEARS": iter([1990, 1991])})
    {'YEARS': (1990, 1991)}
    """
    if values is None or isinstance(values, PlainValues):
        return values or PlainValues()
    return PlainValues(
        (name, _plain(key, values[key]))
        for name, key in check_names(values).items()
        if used is None or name in used
    )


def is_read_once(value: Any) -> bool:
    """Return whether a value is an iterator, whose values come only once."""
    return isinstance(value, Iterator)


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    elif isinstance(value, np.ndarray) and value.ndim > 1:
        raise ParameterError(f"where_values[{name!r}] is a {value.ndim}-d array: {_WANTED}")
    table = hasattr(type(value), "columns") or isinstance(value, Mapping | bytes | bytearray)
    if _is_scalar(value) or table or not hasattr(value, "__iter__"):
        return _scalar(name, value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufU":
        value = value.tolist()
    return tuple(_scalar(name, one) for one in value)


def _is_scalar(value: Any) -> bool:
    kinds = str | int | float | Decimal | datetime.date | np.generic
    return isinstance(value, kinds) or hasattr(value, "as_py")


def _scalar(name: str, value: Any) -> Any:
    if hasattr(value, "as_py"):  # a scalar of Arrow
        value = value.as_py()
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.floating):
        value = float(value)
    elif isinstance(value, np.generic) and not isinstance(value, np.datetime64):
        value = value.item()
    if isinstance(value, uuid.UUID):  # columns of them compare as text
        value = str(value)
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        raise ParameterError(
            f"where_values[{name!r}]: an integer has at most {MAX_DIGITS} digits; give ids as text"
        )
    if isinstance(value, str) and not is_unicode(value):
        raise ParameterError(
            f"where_values[{name!r}]: {value!r:.60} is not valid Unicode: half a surrogate pair"
        )
    if isinstance(value, str | int):
        return value
    if isinstance(value, Decimal) and value.is_finite():
        return value
    # NaN and pandas's NaT equal nothing, themselves included.
    if (isinstance(value, float) or is_date(value)) and value == value:
        return value
    none = value is None or isinstance(value, float) or is_date(value)
    shown = "a missing value" if none else " ".join(f"{value!r:.60}".split())
    raise ParameterError(
        f"where_values[{name!r}]: {shown} ({type(value).__name__}) cannot be compared: {_WANTED}"
    )


def is_date(value: Any) -> bool:
    """Return whether a value is a day or a time of a day."""
    return isinstance(value, datetime.date | np.datetime64)


def date_text(value: Any, *, day: bool) -> str:
    """Return a date as the text that Arrow reads, without zeros that say nothing.

    Parameters
    ----------
    value : datetime.date, datetime.datetime or numpy.datetime64
    day : bool
        For a column of days: midnight is left off.

    Examples
    --------
    >>> import numpy as np
    >>> date_text(np.datetime64("2000-01-01T10:30:00.500000000"), day=False)
    '2000-01-01T10:30:00.5'
    """
    if isinstance(value, np.datetime64):
        unit = np.datetime_data(value.dtype)[0]
        finer = {"Y": "D", "M": "D", "W": "D", "h": "s", "m": "s"}.get(unit)
        text = str(value if finer is None else value.astype(f"datetime64[{finer}]"))
    else:
        text = value.isoformat()
    text = re.sub(r"\.(\d*?)0*(?=$|[+-])", lambda m: f".{m[1]}" if m[1] else "", text)
    return text.removesuffix("T00:00:00") if day else text
