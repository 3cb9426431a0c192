"""Small conversions between Arrow arrays and Python values, shared by ids, frames and columns."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
import pyarrow as pa

from penchant.errors import DataError

# What pyarrow raises for values that do not fit one Arrow type.
CONVERSION_ERRORS = (
    pa.ArrowInvalid,
    pa.ArrowTypeError,
    pa.ArrowNotImplementedError,
    OverflowError,
    ValueError,
    TypeError,
)


def is_text(kind: Any) -> bool:
    """Tell whether an Arrow type is one of the string types."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view"


def is_bytes(kind: Any) -> bool:
    """Tell whether an Arrow type is one of the binary types."""
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or str(kind) == "binary_view"
    )


def is_uuid(kind: Any) -> bool:
    """Tell whether an Arrow type is the UUID extension type."""
    return getattr(kind, "extension_name", "") == "arrow.uuid"


def is_list_view(kind: Any) -> bool:
    """Tell whether an Arrow type is one of the list views."""
    return str(kind).startswith(("list_view<", "large_list_view<"))


def plain_lists(views: Any) -> Any:
    """Return a column of list views as one of large lists."""
    import pyarrow.compute as pc

    # Not cast, whose offsets lack the last one (pyarrow 26).
    array = combine(views)
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0))
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    values, missing = pc.list_flatten(array), array.is_null()
    return pa.chunked_array([pa.LargeListArray.from_arrays(pa.array(ends), values, mask=missing)])


def takeable(kind: Any) -> Any:
    """Return a type that Arrow can take rows of, and keep in a file.

    For views and runs it is the plain type they stand for, as for categories of UUIDs and the like.

    Examples
    --------
    >>> takeable(pa.list_(pa.int8())), str(takeable(pa.run_end_encoded(pa.int32(), pa.string())))
    (ListType(list<item: int8>), 'string')
    """
    types, name = pa.types, str(kind)
    if name == "string_view":
        return pa.large_string()
    if name == "binary_view":
        return pa.large_binary()
    if types.is_run_end_encoded(kind):
        return takeable(kind.value_type)
    if types.is_dictionary(kind) and isinstance(kind.value_type, pa.BaseExtensionType):
        return takeable(kind.value_type)
    if types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, takeable(kind.value_type), kind.ordered)
    if types.is_map(kind):
        return pa.map_(takeable(kind.key_type), takeable(kind.item_type), kind.keys_sorted)
    if types.is_struct(kind):
        return pa.struct([field.with_type(takeable(field.type)) for field in kind])
    if types.is_fixed_size_list(kind):
        return pa.list_(_takeable_field(kind), kind.list_size)
    if types.is_large_list(kind) or is_list_view(kind):
        return pa.large_list(_takeable_field(kind))
    if types.is_list(kind):
        return pa.list_(_takeable_field(kind))
    return kind


def _takeable_field(kind: Any) -> Any:
    return kind.value_field.with_type(takeable(kind.value_type))


def to_array(values: Any, name: str = "id") -> Any:
    """Return a scalar, list, Series, NumPy or Arrow array as one `pyarrow.Array`.

    Values that share no Arrow type (``[1, "a"]``) become text.

    Parameters
    ----------
    values : scalar, sequence, Series or array of shape (n,)
    name : str
        The column they are expected from, for the message about a whole frame.

    Raises
    ------
    DataError
        For a frame, a dict, or an array of more dimensions.
    """
    if isinstance(values, Mapping) or hasattr(values, "columns"):
        raise DataError(
            f"ids must be one column or a list of them, not a {type(values).__name__}: "
            f"pass df[{name!r}]"
        )
    if isinstance(values, pa.ChunkedArray):
        return combine(values)
    if isinstance(values, pa.Array):
        return values
    if isinstance(values, np.ndarray) and values.ndim != 1:
        if values.ndim > 1:
            raise DataError(f"ids must be one-dimensional, not of shape {values.shape}")
        values = values.reshape(1)
    elif isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        values = [values]
    elif _is_polars(values):
        if str(values.dtype) != "Object":
            return values.to_arrow()
        values = values.to_list()
    elif not hasattr(values, "dtype"):
        values = list(values)
    try:
        array = pa.array(values, from_pandas=True)
    except CONVERSION_ERRORS:
        return mixed_to_text(list(values))
    return combine(array) if isinstance(array, pa.ChunkedArray) else array


def joined(parts: Iterable[Any], name: str = "id") -> tuple[Any, list[int]]:
    """Return what `to_array` makes of several sequences as one array, and the length of each.

    Examples
    --------
    >>> values, lengths = joined([["a", "b"], "c", []])
    >>> values.to_pylist(), lengths
    (['a', 'b', 'c'], [2, 1, 0])
    """
    lists = [to_array(part, name).to_pylist() for part in parts]
    return to_array([one for own in lists for one in own], name), [len(own) for own in lists]


def holds_numbers(kind: Any) -> bool:
    """Tell whether an Arrow type is one of integers, floats, decimals or booleans."""
    types = pa.types
    tests = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean)
    return any(test(kind) for test in tests)


def combine(column: Any) -> Any:
    """Return a chunked array as one array (text too long for 32-bit offsets becomes large)."""
    if isinstance(column, pa.Array):
        return column
    if pa.types.is_string(column.type) and column.nbytes > 2**31 - 1:
        column = column.cast(pa.large_string())
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        return combined.chunk(0) if combined.num_chunks else pa.array([], combined.type)
    return combined


def _is_polars(values: Any) -> bool:
    return type(values).__module__.partition(".")[0] == "polars"


def mixed_to_text(values: Iterable[Any]) -> Any:
    """Return Python objects of several types as text; missing ones, and no text, as null."""
    texts = [_text(value) for value in values]
    try:
        return pa.array(texts, pa.large_string())
    except UnicodeEncodeError:  # JSON can hold half a surrogate pair
        return pa.array([text if is_unicode(text) else None for text in texts], pa.large_string())


def is_unicode(value: Any) -> bool:
    """Tell whether a value is not text, or text that UTF-8 can hold."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    return True


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()
    if isinstance(value, Decimal):
        return None if value.is_nan() else format(value.normalize(), "f")
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real):
        return None if value != value else _float_text(float(value))
    if isinstance(value, dict | list | tuple | set | np.ndarray):
        raise DataError(f"{value!r} is not a single value and cannot be an id")
    return str(value)


def _float_text(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def to_text(values: Any) -> Any:
    """Return an array as text: whole numbers without a fraction, bytes decoded, UUIDs canonical."""
    kind = values.type
    if is_text(kind):
        return values.cast(pa.large_string())
    if is_uuid(kind):
        return uuid_text(values)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or is_bytes(kind):
        return mixed_to_text(values.to_pylist())
    if pa.types.is_null(kind):
        return pa.nulls(len(values), pa.large_string())
    if pa.types.is_nested(kind):
        raise DataError(f"{kind} values are not single values and cannot be ids")
    return values.cast(pa.large_string())


def cast_or_none(values: Any, kind: Any) -> Any | None:
    """Cast, or return None when a value would change."""
    try:
        return values.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def cast_each(values: Any, kind: Any) -> Any:
    """Cast, with null for each value that would change or does not parse."""
    whole = cast_or_none(values, kind)
    if whole is not None:
        return whole
    # Rare: a lookup with a value of the wrong form. Halving keeps this quick for long arrays.
    if len(values) <= 1:
        return pa.nulls(len(values), kind)
    middle = len(values) // 2
    halves = [cast_each(values.slice(0, middle), kind), cast_each(values.slice(middle), kind)]
    return pa.concat_arrays(halves)


def keep(values: Any, mask: Any) -> Any:
    """Return the values where a boolean Arrow array is true, and null elsewhere."""
    # Not if_else, which knows neither UUIDs nor views.
    import pyarrow.compute as pc

    wanted = np.asarray(pc.fill_null(mask, False))
    return values.take(pa.array(np.arange(len(values)), mask=~wanted))


def uuid_text(values: Any) -> Any:
    """Return an Arrow UUID array as canonical lower-case text."""
    raw = hexadecimal(values.storage)
    import pyarrow.compute as pc

    pattern, canonical = r"^(.{8})(.{4})(.{4})(.{4})(.{12})$", r"\1-\2-\3-\4-\5"
    return pc.replace_substring_regex(raw, pattern, canonical)


def uuid_from_text(text: Any) -> Any:
    """Return canonical text as an Arrow UUID array."""
    import pyarrow.compute as pc

    raw = from_hexadecimal(pc.replace_substring(text, "-", ""))
    return pa.ExtensionArray.from_storage(pa.uuid(), raw.cast(pa.binary(16)))


def match_uuid(values: Any) -> Any:
    """Return UUIDs, their text in any spelling, or their 16 bytes, as canonical text or null."""
    if is_uuid(values.type):
        return uuid_text(values)

    def canonical(value: Any) -> str | None:
        try:
            if isinstance(value, bytes) and len(value) == 16:
                return str(uuid.UUID(bytes=value))
            return str(uuid.UUID(value))
        except (ValueError, AttributeError, TypeError):
            return None

    return pa.array([canonical(value) for value in values.to_pylist()], pa.large_string())


def hexadecimal(values: Any) -> Any:
    """Return a binary array as hexadecimal text (the whole buffer at once)."""
    values = values.cast(pa.large_binary())
    offsets, data = text_buffers(values)
    return _from_buffers(pa.large_string(), offsets * 2, data.hex().encode(), values)


def from_hexadecimal(text: Any) -> Any:
    """Return hexadecimal text as a large_binary array."""
    offsets, data = text_buffers(text)
    raw = bytes.fromhex(bytes(data).decode())
    return _from_buffers(pa.large_binary(), offsets // 2, raw, text)


def leave_pandas_out() -> None:
    """Keep pyarrow from importing pandas, for processes that are given no pandas objects.

    The first array that pyarrow makes of Python objects imports pandas where it is installed, only
    to ask whether the objects are its own: half a second, and 25 MB that no other process shares.
    Here pyarrow is told that there is none. Frames can still be made: for those it looks again. But
    until then it does not know a pandas Series when it sees one, so that this is for a server's own
    process. Does nothing where pandas is imported already.
    """
    if "pandas" in sys.modules:
        return

    class NoPandas:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> None:
            if name == "pandas":
                raise ImportError("left out")

    sys.meta_path.insert(0, NoPandas)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(NoPandas)


def text_buffers(array: Any) -> tuple[np.ndarray, memoryview]:
    """Return the offsets (int64, from 0) and the bytes of a large_string or large_binary array."""
    if len(array) == 0:
        return np.zeros(1, np.int64), memoryview(b"")
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[array.offset : array.offset + len(array) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    data = memoryview(data_buffer)[first:last] if data_buffer is not None else memoryview(b"")
    return (offsets - first if first else offsets), data


def _from_buffers(kind: Any, offsets: np.ndarray, data: bytes, like: Any) -> Any:
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(data)]
    array = pa.Array.from_buffers(kind, len(like), buffers)
    return array if like.null_count == 0 else keep(array, like.is_valid())
