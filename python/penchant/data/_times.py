"""Timestamps: anything a caller has, as int64 microseconds of UTC, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from penchant.data import arrow
from penchant.errors import DataError, ParameterError

UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}
_YEAR_1, _YEAR_9999 = -62_135_596_800_000_000, 253_402_300_799_999_999
_ZONED = r":\d{2}(\.\d+)?\s*(Z|[+-]\d{2}(:?\d{2})?)$"


@dataclass(frozen=True)
class TimeFormat:
    """What the caller's timestamp column looked like.

    Parameters
    ----------
    arrow : pyarrow.DataType
        Type of the column.
    unit : str or None
        Unit of an epoch column.
    zoned : bool
        A text column whose times name a zone.
    """

    arrow: Any
    unit: str | None = None
    zoned: bool = False


def read_times(
    column: Any, name: str, unit: str | None, rows: np.ndarray | None = None
) -> tuple[np.ndarray, TimeFormat]:
    """Return a column as microseconds of UTC since 1970; a time without a zone is UTC.

    Parameters
    ----------
    column : pyarrow.Array
        Dates, times, ISO 8601 text, or numbers since 1970 in ``unit``.
    name : str
        Name of the column, for messages.
    unit : {"s", "ms", "us", "ns"} or None
    rows : ndarray of int64, optional
        Number of each row in the caller's frame, for messages.

    Returns
    -------
    times : ndarray of int64, shape (n,)
    time_format : TimeFormat
        For `write_times`.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    missing = np.asarray(column.is_null(nan_is_null=True))
    if missing.any():
        row = _row(int(missing.argmax()), rows)
        raise DataError(
            f"row {row}: the timestamp column {name!r} is null ({int(missing.sum()):,} such rows): "
            f"drop or fill them, or leave timestamp= out"
        )
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if unit is not None and not numeric:
        raise ParameterError(
            f"timestamp_unit={unit!r} is for columns of numbers; column {name!r} is {kind}"
        )
    if numeric:
        return _check(_from_epochs(column, name, unit), name, rows), TimeFormat(kind, unit)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        try:
            # Nanoseconds are cut; seconds must not wrap around.
            cut = str(kind).startswith("timestamp[ns")
            micro = column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=not cut)
        except pa.ArrowInvalid as error:
            raise DataError(f"timestamp column {name!r}: {error}") from None
        return _check(np.asarray(micro.cast(pa.int64())), name, rows), TimeFormat(kind)
    if arrow.is_text(kind):
        times, zoned = _from_text(column, name, rows)
        return _check(times, name, rows), TimeFormat(kind, zoned=zoned)
    raise DataError(f"timestamp column {name!r} is {kind}; it must hold dates, times or numbers")


def write_times(times: Any, time_format: TimeFormat) -> Any:
    """Return microseconds of UTC as the caller had them (`read_times` backwards)."""
    import pyarrow.compute as pc

    kind = time_format.arrow
    if time_format.unit is not None:
        if time_format.unit == "ns":
            return pc.multiply(times, 1000).cast(kind)
        step = UNITS[time_format.unit]
        if pa.types.is_integer(kind):
            return pc.divide(times, step).cast(kind)
        return pc.divide(times.cast(pa.float64()), float(step)).cast(kind)
    if arrow.is_text(kind):
        text = times.cast(pa.timestamp("us")).cast(pa.string())
        text = pc.replace_substring_regex(text, r"\.?0*$", "") if _whole(times) else text
        text = pc.replace_substring(text, " ", "T", max_replacements=1)
        return (pc.binary_join_element_wise(text, "Z", "") if time_format.zoned else text).cast(
            kind
        )
    if pa.types.is_date(kind):
        return times.cast(pa.timestamp("us")).cast(kind)
    return times.cast(pa.timestamp("us", kind.tz)).cast(kind)


def to_moment(value: Any, name: str) -> int:
    """Return one date or time (text, datetime, date, NumPy or pandas) as microseconds of UTC."""
    if isinstance(value, bool | int | float):
        raise ParameterError(f"{name}={value!r} must be a date, such as '2011-09-01'")
    try:
        times, _ = read_times(arrow.to_array(value), name, None)
    except DataError as error:
        raise ParameterError(f"{name}={value!r} is not a date: {error}") from None
    return int(times[0])


def show(time: int) -> str:
    """Return microseconds of UTC as a date, with the time of day if there is one."""
    text = str(np.datetime64(int(time), "us"))
    return text.removesuffix(".000000").removesuffix("T00:00:00").replace("T", " ")


def _whole(times: Any) -> bool:
    return not (np.asarray(times) % 1_000_000).any()


def _row(position: int, rows: np.ndarray | None) -> int:
    return position if rows is None else int(rows[position])


def _check(times: np.ndarray, name: str, rows: np.ndarray | None) -> np.ndarray:
    bad = (times < _YEAR_1) | (times > _YEAR_9999)
    if bad.any():
        raise DataError(
            f"row {_row(int(bad.argmax()), rows)}: column {name!r} is a time outside the years "
            f"1 to 9999; check timestamp_unit"
        )
    return times


def _from_epochs(column: Any, name: str, unit: str | None) -> np.ndarray:
    if unit is None:
        raise ParameterError(
            f"timestamp column {name!r} holds numbers ({column[0].as_py()!r}, ...): say what they "
            f"count since 1970 with timestamp_unit='s', 'ms', 'us' or 'ns'"
        )
    if unit not in UNITS:
        raise ParameterError(f"timestamp_unit={unit!r} is not one of 's', 'ms', 'us', 'ns'")
    if pa.types.is_integer(column.type):
        signed = arrow.cast_or_none(column, pa.int64())
        if signed is None:
            raise DataError(f"timestamp column {name!r} has numbers beyond int64; check the column")
        numbers: np.ndarray = np.asarray(signed)
        # Clipped rather than overflown: what is clipped fails the check of the years.
        largest = np.iinfo(np.int64).max // UNITS[unit]
        times: np.ndarray = np.clip(numbers, -largest, largest) * UNITS[unit]
        return times // 1000 if unit == "ns" else times
    seconds = np.asarray(column.cast(pa.float64(), safe=False))
    scaled = seconds / 1000 if unit == "ns" else seconds * UNITS[unit]
    limit = float(2**62)  # infinite and huge ones fail the check of the years
    return np.clip(np.rint(scaled), -limit, limit).astype(np.int64)


def _from_text(column: Any, name: str, rows: np.ndarray | None) -> tuple[np.ndarray, bool]:
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
    # Arrow reads at most six digits of a second into microseconds.
    text = pc.replace_substring_regex(text, r"(\.\d{6})\d+", r"\1")
    zoned = pc.match_substring_regex(text, _ZONED)
    try:
        local, universal = _parse(text, zoned)
    except pa.ArrowInvalid:
        position = _first_bad(text, zoned)
        raise DataError(
            f"row {_row(position, rows)}: {column[position].as_py()!r} in timestamp column "
            f"{name!r} is not an ISO 8601 date such as '2011-12-09 12:50:00'; convert the column "
            f"first, for example with pandas.to_datetime(..., format=...)"
        ) from None
    return np.asarray(pc.coalesce(local, universal)), bool(pc.any(zoned).as_py())


def _first_bad(text: Any, zoned: Any) -> int:
    """Return the first row that does not parse, by halving."""
    low, high = 0, len(text)
    while high - low > 1:
        middle = (low + high) // 2
        if _parses(text[low:middle], zoned[low:middle]):
            low = middle
        else:
            high = middle
    return low


def _parses(text: Any, zoned: Any) -> bool:
    try:
        _parse(text, zoned)
    except pa.ArrowInvalid:
        return False
    return True


def _parse(text: Any, zoned: Any) -> tuple[Any, Any]:
    """Return the times without a zone and those with one, each null where the other is not."""
    import pyarrow.compute as pc

    local = arrow.keep(text, pc.invert(zoned)).cast(pa.timestamp("us"))
    universal = arrow.keep(text, zoned).cast(pa.timestamp("us", "UTC"))
    return local.cast(pa.int64()), universal.cast(pa.int64())
