"""How long something is to live."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from penchant.errors import ParameterError

__all__ = ["seconds"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def seconds(value: str | float | timedelta) -> float:
    """Return a duration in seconds.

    Parameters
    ----------
    value : str, number or timedelta
        Such as "90s", "30m", "2h", "1d" or "1w"; a number is of seconds.

    Raises
    ------
    ParameterError
        For anything else, or a time that is not positive.

    Examples
    --------
    >>> seconds("2h"), seconds("1.5m"), seconds(10)
    (7200.0, 90.0, 10.0)
    """
    found = math.nan
    if isinstance(value, timedelta):
        found = value.total_seconds()
    elif isinstance(value, str):
        match = _TEXT.fullmatch(value.strip())
        if match is not None:
            found = float(match[1]) * _UNITS[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    if not 0 < found < math.inf:
        raise ParameterError(f"expires={value!r:.100} is no time: use '90s', '30m', '2h' or '1d'")
    return found
