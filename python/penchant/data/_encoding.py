"""How ids of any scalar dtype become int64 or text, and come back.

An id column is stored in one of two ways: as int64 (integers, booleans, dates, times) or as UTF-8
text (strings, UUIDs, bytes, integers beyond int64, everything mixed). `IdType` remembers which and
what the caller had, so that `decode` gives the caller's dtype back and `match` turns values that
arrive in another dtype (text from a URL, floats from a warehouse) into the stored form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from penchant.data import arrow
from penchant.errors import ArtifactError, DataError, notice

# Beyond 2**53 neighbouring integers share one float64.
_EXACT_FLOAT = 2.0**53
_LARGEST = str(2**63 - 1)
# What fits int64, so that nothing need be caught: up to 18 digits, or 19 that are not too large.
_DIGITS = "|".join(
    [
        "[0-9]{1,18}",
        *(
            f"{_LARGEST[:place]}[0-{int(digit) - 1}][0-9]{{{18 - place}}}"
            for place, digit in enumerate(_LARGEST)
            if digit != "0"
        ),
        _LARGEST,
    ]
)
_INTEGER_TEXT = rf"[ \t\r\n]*([+-]?(?:{_DIGITS})|-{2**63})(\.0*)?[ \t\r\n]*"
_INTEGER = re.compile(_INTEGER_TEXT, re.ASCII)
_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=(.+))?\]")
_DECIMAL = re.compile(r"decimal(128|256)\((\d+), (-?\d+)\)")
_FIXED_BINARY = re.compile(r"fixed_size_binary\[(\d+)\]")


@dataclass(frozen=True)
class IdType:
    """The dtype an id column came in, and how it is stored.

    Parameters
    ----------
    arrow : pyarrow.DataType
        Type of the values given back.
    text : bool
        Stored as text; otherwise as int64.
    category : bool
        The caller's column was categorical (dictionary-encoded).
    ordered : bool
        The categories were ordered.
    hexadecimal : bool
        Bytes that are not UTF-8 are stored as hexadecimal text.
    """

    arrow: Any
    text: bool
    category: bool = False
    ordered: bool = False
    hexadecimal: bool = False

    @property
    def name(self) -> str:
        """Short name of the caller's dtype."""
        if self.category:
            return "category"
        return type_name(self.arrow).removeprefix("large_")

    def to_state(self) -> dict[str, Any]:
        """Return the type as a dictionary that JSON can hold."""
        return {
            "type": type_name(self.arrow),
            "text": self.text,
            "category": self.category,
            "ordered": self.ordered,
            "hexadecimal": self.hexadecimal,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> IdType:
        """Rebuild the type from `to_state`."""
        try:
            return cls(
                arrow=type_from_name(str(state["type"])),
                text=bool(state["text"]),
                category=bool(state["category"]),
                ordered=bool(state["ordered"]),
                hexadecimal=bool(state["hexadecimal"]),
            )
        except KeyError as error:
            raise ArtifactError(f"the description of an id column lacks {error}") from error


def type_name(data_type: Any) -> str:
    """Return the Arrow name of a type; `type_from_name` reads it."""
    return "uuid" if arrow.is_uuid(data_type) else str(data_type)


def type_from_name(name: str) -> Any:
    """Return the Arrow type with this name."""
    if name == "uuid":
        return pa.uuid()
    if found := _TIMESTAMP.fullmatch(name):
        return pa.timestamp(found[1], tz=found[2])
    if found := _DECIMAL.fullmatch(name):
        make = pa.decimal128 if found[1] == "128" else pa.decimal256
        return make(int(found[2]), int(found[3]))
    if found := _FIXED_BINARY.fullmatch(name):
        return pa.binary(int(found[1]))
    try:
        return pa.type_for_alias(name)
    except ValueError as error:
        raise ArtifactError(f"ids of the dtype {name!r} are not known to this version") from error


def encode(values: Any, column: str) -> tuple[IdType, Any]:
    """Choose the stored form of a column's distinct values and convert them to it.

    Parameters
    ----------
    values : pyarrow.Array
        Values without nulls, of any scalar type.
    column : str
        Name of the column, for messages.

    Returns
    -------
    id_type : IdType
    encoded : pyarrow.Array
        int64 or large_string, one for each value.

    Raises
    ------
    DataError
        For infinite values and for types that are not scalar.
    """
    kind = values.type
    if pa.types.is_integer(kind):
        return _encode_integers(values)
    if pa.types.is_floating(kind):
        return _encode_floats(values, column)
    if pa.types.is_decimal(kind):
        integers = arrow.cast_or_none(values, pa.int64())
        if integers is not None:
            return IdType(kind, text=False), integers
        return IdType(kind, text=True), values.cast(pa.large_string())
    if pa.types.is_boolean(kind):
        return IdType(kind, text=False), values.cast(pa.int64())
    if pa.types.is_temporal(kind):
        return IdType(kind, text=False), _temporal_to_integers(values)
    if arrow.is_text(kind):
        plain = kind if kind in (pa.string(), pa.large_string()) else pa.large_string()
        return IdType(plain, text=True), values.cast(pa.large_string())
    if arrow.is_uuid(kind):
        return IdType(kind, text=True), arrow.uuid_text(values)
    if arrow.is_bytes(kind):
        return _encode_bytes(values)
    raise DataError(
        f"column {column!r} holds {kind} values, which cannot be ids; "
        f"use a column of integers, text, dates or other single values"
    )


def decode(encoded: Any, id_type: IdType) -> Any:
    """Return stored ids in the caller's value type (`encode` backwards)."""
    kind = id_type.arrow
    if encoded.type.equals(kind):
        return encoded
    if arrow.is_uuid(kind):
        return arrow.uuid_from_text(encoded)
    if id_type.hexadecimal:
        return arrow.from_hexadecimal(encoded).cast(kind)
    if pa.types.is_decimal(kind):
        # int64 does not cast to a decimal of fewer than 19 digits; text does.
        return encoded.cast(pa.string()).cast(kind)
    if pa.types.is_date32(kind) or pa.types.is_time32(kind):
        return encoded.cast(pa.int32()).cast(kind)
    return encoded.cast(kind)


def match(values: Any, id_type: IdType) -> Any:
    """Convert values of any type to the stored form; what cannot be such an id becomes null.

    Parameters
    ----------
    values : pyarrow.Array
        Values to look up.
    id_type : IdType
        Type of the ids they are looked up in.

    Returns
    -------
    pyarrow.Array
        int64 or large_string with nulls, one for each value.
    """
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = id_type.arrow
    if id_type.text and (arrow.is_text(kind) or (arrow.is_bytes(kind) and _is_loose(values))):
        return arrow.to_text(values)
    if not id_type.text and pa.types.is_integer(kind):
        return _to_integers(values)
    if pa.types.is_decimal(kind) and not pa.types.is_decimal(values.type):
        values = arrow.to_text(values)
    if pa.types.is_boolean(kind) and not pa.types.is_boolean(values.type):
        if arrow.is_text(values.type):
            return arrow.cast_each(values, pa.bool_()).cast(pa.int64())
        integers = _to_integers(values)
        import pyarrow.compute as pc

        return arrow.keep(integers, pc.is_in(integers, pa.array([0, 1])))
    if arrow.is_uuid(kind):
        return arrow.match_uuid(values)
    if pa.types.is_temporal(kind) and not (
        pa.types.is_temporal(values.type) or arrow.is_text(values.type)
    ):
        return pa.nulls(len(values), pa.int64())
    converted = arrow.cast_each(values, kind)
    if pa.types.is_date(kind) and pa.types.is_timestamp(values.type):
        converted = _at_midnight(converted, values)
    return _stored(converted, id_type)


def integer_of(text: str) -> int | None:
    """Return the integer one text stands for, by the rule of `match`; None if it is none."""
    found = _INTEGER.fullmatch(text)
    return int(found[1]) if found else None


def _at_midnight(dates: Any, times: Any) -> Any:
    """Return the dates of the times that are dates: the cast alone drops the time of day."""
    import pyarrow.compute as pc

    return arrow.keep(dates, pc.equal(dates.cast(times.type), times))


def _is_loose(values: Any) -> bool:
    """Tell whether a lookup in a column of bytes came as text (which is then the stored form)."""
    return not arrow.is_bytes(values.type)


def _stored(converted: Any, id_type: IdType) -> Any:
    """Store values that already have the caller's type, nulls included."""
    if id_type.hexadecimal:
        return arrow.hexadecimal(converted)
    if pa.types.is_temporal(id_type.arrow):
        return _temporal_to_integers(converted)
    if id_type.text:
        return arrow.cast_each(converted, pa.large_string())
    return arrow.cast_each(converted, pa.int64())


def _encode_integers(values: Any) -> tuple[IdType, Any]:
    integers = arrow.cast_or_none(values, pa.int64())
    if integers is not None:
        return IdType(values.type, text=False), integers
    # Hashes are often uint64: the upper half does not fit int64.
    return IdType(values.type, text=True), values.cast(pa.large_string())


def _encode_floats(values: Any, column: str) -> tuple[IdType, Any]:
    import pyarrow.compute as pc

    values = values.cast(pa.float64())
    infinite = pc.is_inf(values)
    if pc.any(infinite).as_py():
        raise DataError(
            f"column {column!r} has an infinite id; remove such rows or use a text column"
        )
    integers = arrow.cast_or_none(values, pa.int64())
    if integers is None:
        notice(
            f"column {column!r} has ids that are not whole numbers, such as "
            f"{_first_fraction(values)!r}: its ids are kept as text"
        )
        return IdType(pa.large_string(), text=True), arrow.to_text(values)
    if pc.any(pc.greater(pc.abs(values), _EXACT_FLOAT)).as_py():
        notice(
            f"column {column!r} has ids above 2**53 stored as floats, which may have been rounded "
            f"before they came here: read the column as integers or text"
        )
    return IdType(pa.int64(), text=False), integers


def _first_fraction(values: Any) -> float:
    import pyarrow.compute as pc

    odd = values.filter(pc.not_equal(pc.floor(values), values))
    return float((odd if len(odd) else values)[0].as_py())


def _encode_bytes(values: Any) -> tuple[IdType, Any]:
    if not pa.types.is_fixed_size_binary(values.type):
        text = arrow.cast_or_none(values.cast(pa.large_binary()), pa.large_string())
        if text is not None:
            return IdType(_plain_bytes(values.type), text=True), text
    id_type = IdType(_plain_bytes(values.type), text=True)
    return replace(id_type, hexadecimal=True), arrow.hexadecimal(values)


def _plain_bytes(kind: Any) -> Any:
    if kind == pa.binary() or pa.types.is_fixed_size_binary(kind):
        return kind
    return pa.large_binary()


def _temporal_to_integers(values: Any) -> Any:
    if pa.types.is_date32(values.type) or pa.types.is_time32(values.type):
        values = values.cast(pa.int32())
    return values.cast(pa.int64())


def _to_integers(values: Any) -> Any:
    """Read integers out of integers, whole floats and decimals, and text; null for the rest."""
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_integer(kind):
        return arrow.cast_each(values, pa.int64())
    if pa.types.is_floating(kind):
        values = values.cast(pa.float64())
        whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), 2.0**63))
        return arrow.keep(values, whole).cast(pa.int64())
    if pa.types.is_decimal(kind):
        return arrow.cast_each(values, pa.int64())
    if arrow.is_bytes(kind) and not pa.types.is_fixed_size_binary(kind):
        values = arrow.cast_each(values, pa.large_string())
        kind = values.type
    if arrow.is_text(kind):
        numeric = pc.match_substring_regex(values, f"^{_INTEGER_TEXT}$")
        digits = pc.utf8_trim_whitespace(arrow.keep(values, numeric))
        digits = pc.replace_substring_regex(digits, r"\.0*$", "")
        return pc.utf8_ltrim(digits, "+").cast(pa.int64())
    return pa.nulls(len(values), pa.int64())
