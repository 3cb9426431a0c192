"""Numbers beside columns of integers and decimals, which are compared without rounding."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

COMPARE = {
    **{"==": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal},
    **{">": pc.greater, ">=": pc.greater_equal},
}
# Between two values of a column, or beyond the last, no value is equal: the lower one decides.
_BETWEEN = {"<": "<=", ">=": ">"}
_BEYOND = 100  # a number of more digits is beyond every type's range


class Place(NamedTuple):
    """Where a number stands among the values that a column can hold.

    Attributes
    ----------
    floor : int, Decimal or None
        The greatest value that is not above the number; None where all are above.
    equal : bool
        Whether that is the number itself.
    """

    floor: int | Decimal | None
    equal: bool


def is_number(value: Any) -> bool:
    """Return whether a value is a number; true and false are none."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def is_exact(kind: Any) -> bool:
    """Return whether a column of a type holds integers or decimals."""
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def place_of(kind: Any, number: float | Decimal) -> Place:
    """Return where a number stands among the values of a type of integers or decimals.

    Parameters
    ----------
    kind : pyarrow.DataType
    number : int, float or Decimal
        Not NaN.

    Examples
    --------
    >>> import pyarrow as pa
    >>> place_of(pa.int8(), 4.5), place_of(pa.uint8(), -1)
    (Place(floor=4, equal=False), Place(floor=None, equal=False))
    >>> place_of(pa.decimal128(5, 2), 4.505)
    Place(floor=Decimal('4.50'), equal=False)
    """
    if pa.types.is_decimal(kind):
        scale, highest = kind.scale, 10**kind.precision - 1
        lowest = -highest
    else:
        bounds = np.iinfo(kind.to_pandas_dtype())
        scale, lowest, highest = 0, int(bounds.min), int(bounds.max)
    # In decimals a float is the number that it is written as: 4.1, not 4.0999999999999996447.
    written = isinstance(number, float) and pa.types.is_decimal(kind)
    exact = Decimal(str(number) if written else number)
    sign, digits, exponent = exact.as_tuple()
    if not isinstance(exponent, int) or (exact and exact.adjusted() + scale > _BEYOND):
        units, floor = exact, lowest - 1 if sign else highest + 1
    else:
        # Not scaleb, which rounds to the digits of the context.
        units = Decimal((sign, digits, exponent + scale)) if exact else Decimal(0)
        floor = int(units.to_integral_value(rounding=ROUND_FLOOR))
    if floor < lowest:
        return Place(None, False)
    equal = floor == units and floor <= highest
    floor = min(floor, highest)
    if not pa.types.is_decimal(kind):
        return Place(floor, equal)
    return Place(Decimal((int(floor < 0), tuple(map(int, str(abs(floor)))), -scale)), equal)


def compared(column: Any, operator: str, number: float | Decimal) -> Any:
    """Return which values of a column of integers or decimals compare with a number.

    Examples
    --------
    >>> import pyarrow as pa
    >>> cents = pa.array([Decimal("4.50"), Decimal("4.51")])
    >>> compared(cents, "<", 4.505).to_pylist()
    [True, False]
    """
    floor, equal = place_of(column.type, number)
    if floor is None or (not equal and operator in ("==", "!=")):
        return pa.array(np.full(len(column), operator in (">", ">=", "!=")))
    if not equal:
        operator = _BETWEEN.get(operator, operator)
    return COMPARE[operator](column, pa.scalar(floor, column.type))


def held(kind: Any, numbers: Sequence[float | Decimal]) -> Any:
    """Return those of some numbers that a column of integers or decimals can hold, as an array."""
    places = [place_of(kind, number) for number in numbers]
    return pa.array([place.floor for place in places if place.equal], kind)
