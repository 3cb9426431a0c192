"""`IdMap`: the ids of one column, numbered from 0 in sorted order."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from penchant.data import _encoding, _limits, arrow
from penchant.data._encoding import IdType
from penchant.errors import ArtifactError, DataError

__all__ = ["IdMap"]

# Below this share of lookups to ids, binary search beats building a hash table of all ids.
_LOOKUPS_PER_HASH = 100


class IdMap:
    """The different ids of one column, sorted, each with a code from 0 to ``len(ids) - 1``.

    Ids are stored as int64 or UTF-8 text and given back in the dtype the caller had. Lookups accept
    the id in whatever dtype it arrives: ``17850``, ``"17850"`` and ``17850.0`` find the same
    customer. The map never changes; make one with `from_column`.

    Examples
    --------
    >>> import pyarrow as pa
    >>> ids, codes = IdMap.from_column(pa.array([17850.0, 12583.0, 17850.0]), "CustomerID")
    >>> ids.to_list(), codes.tolist()
    ([12583, 17850], [1, 0, 1])
    >>> ids.codes(["17850", 12583.0, "unknown"]).tolist()
    [1, 0, -1]
    >>> "12583" in ids, ids.dtype
    (True, 'int64')
    """

    def __init__(self, stored: Any, id_type: IdType, name: str = "id") -> None:
        self._stored = stored
        self._type = id_type
        self._name = name

    @classmethod
    def from_column(cls, column: Any, name: str = "id") -> tuple[IdMap, np.ndarray]:
        """Give each id of a column a number.

        Parameters
        ----------
        column : pyarrow.Array or pyarrow.ChunkedArray of shape (n,)
            Ids without nulls, of any scalar type. Whole floats become integers; fractions become
            text, with a `PenchantWarning`.
        name : str
            Name of the column, for messages.

        Returns
        -------
        ids : IdMap
        codes : ndarray of int32, shape (n,)
            Code of each row.

        Raises
        ------
        DataError
            For nulls, infinite ids, values that are not scalar, or 2**31 ids and more.
        """
        if column.null_count or pa.types.is_null(column.type):
            raise DataError(f"column {name!r} has {column.null_count:,} rows without an id")
        encoded = arrow.combine(_as_dictionary(column))
        values = encoded.dictionary
        _limits.check_ids(len(values), name)
        id_type, stored = _encoding.encode(values, name)
        if pa.types.is_dictionary(column.type):
            id_type = _as_category(id_type, ordered=column.type.ordered)
        ids, rank = _sort_unique(stored)
        codes = rank[np.asarray(encoded.indices)]
        used = np.zeros(len(ids), bool)
        used[codes] = True
        id_map = cls(ids, id_type, name)
        if not used.all():  # categories that no row has
            kept = np.flatnonzero(used)
            renumber = np.cumsum(used, dtype=np.int32) - 1
            id_map, codes = id_map.subset(kept), renumber[codes]
        return id_map, codes.astype(np.int32, copy=False)

    @property
    def name(self) -> str:
        """Name of the column the ids came from."""
        return self._name

    @property
    def dtype(self) -> str:
        """Dtype of the caller's column: ``"int64"``, ``"string"``, ``"category"``, ``"uuid"``."""
        return self._type.name

    def __len__(self) -> int:
        return len(self._stored)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_list())

    def __contains__(self, value: object) -> bool:
        return self.code(value) >= 0

    def __getitem__(self, code: int | slice) -> Any:
        """Return the id with that code; a list of ids for a slice."""
        n = len(self)
        if isinstance(code, slice):
            codes = np.arange(n, dtype=np.int64)[code]
            return _encoding.decode(self._stored.take(pa.array(codes)), self._type).to_pylist()
        if not -n <= code < n:
            raise IndexError(f"code {code} is outside the {n:,} ids of {self._name!r}")
        return _encoding.decode(self._stored.slice(code % n, 1), self._type)[0].as_py()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IdMap):
            return NotImplemented
        return self._type == other._type and bool(self._stored.equals(other._stored))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = [self[code] for code in range(min(len(self), 3))]
        more = ", ..." if len(self) > len(shown) else ""
        inside = ", ".join(map(repr, shown)) + more
        return f"IdMap({self._name!r}, {len(self):,} ids of dtype {self.dtype}: [{inside}])"

    def __reduce__(self) -> tuple[Any, ...]:
        return IdMap.from_state, self.to_state()

    def to_list(self) -> list[Any]:
        """Return all ids as Python objects, in code order."""
        return list(self._decoded.to_pylist())

    def to_arrow(self) -> Any:
        """Return all ids as a `pyarrow.Array` of the caller's dtype, in code order."""
        if self._type.category:
            return self.take(np.arange(len(self), dtype=np.int32))
        return self._decoded

    def take(self, codes: Any) -> Any:
        """Return the ids of some codes in the caller's dtype.

        Parameters
        ----------
        codes : array-like of int, shape (n,)
            Codes from 0 to ``len(self) - 1``.

        Returns
        -------
        pyarrow.Array
            One id for each code; a categorical has all ids as its categories.

        Raises
        ------
        IndexError
            If a code is out of range.
        """
        codes = np.ascontiguousarray(codes)
        if codes.size and (codes.min() < 0 or codes.max() >= len(self)):
            raise IndexError(f"codes must be from 0 to {len(self) - 1} for {self._name!r}")
        if self._type.category:
            return pa.DictionaryArray.from_arrays(
                codes.astype(np.int32), self._decoded, ordered=self._type.ordered
            )
        return _encoding.decode(self._stored.take(pa.array(codes, pa.int64())), self._type)

    def codes(self, values: Any) -> np.ndarray:
        """Return the code of each value, -1 where it is unknown.

        Parameters
        ----------
        values : scalar, list, Series, NumPy or Arrow array of shape (n,)
            Ids in any dtype; nulls are unknown.

        Returns
        -------
        ndarray of int32, shape (n,)

        Raises
        ------
        DataError
            For a frame, a dict, or an array of more dimensions.
        """
        keys = _encoding.match(arrow.to_array(values, self._name), self._type)
        import pyarrow.compute as pc

        if not self._type.text:
            return self._places(np.asarray(pc.fill_null(keys, 0)), np.asarray(pc.is_valid(keys)))
        if len(keys) * _LOOKUPS_PER_HASH < len(self):
            found = [-1 if key is None else self._text_code(key) for key in keys.to_pylist()]
            return np.array(found, np.int32)
        return np.asarray(pc.fill_null(pc.index_in(keys, self._stored), -1)).astype(np.int32)

    def code(self, value: Any) -> int:
        """Return the code of one id, -1 if it is unknown.

        Examples
        --------
        >>> import pyarrow as pa
        >>> ids, _ = IdMap.from_column(pa.array(["MUG", "LANTERN"]), "Description")
        >>> ids.code("MUG"), ids.code("CAKESTAND")
        (1, -1)
        """
        # Servers ask for one id at a time: no Arrow for the common kinds.
        if (self.is_text or self.is_integer) and type(value) in (str, int):
            return int(self.few_codes([str(value)])[0])
        if value is None or isinstance(value, list | tuple | dict | set):
            return -1
        return int(self.codes([value])[0])

    def few_codes(self, texts: Iterable[str]) -> np.ndarray:
        """Return the codes of a few ids given as text, as `codes` does, without Arrow's cost."""
        if self.is_text:
            return np.array([self._text_code(text) for text in texts], np.int32)
        if not self.is_integer:
            return self.codes(list(texts))
        numbers = list(map(_encoding.integer_of, texts))
        known = np.array([number is not None for number in numbers], bool)
        return self._places(np.array([number or 0 for number in numbers], np.int64), known)

    def subset(self, codes: Any) -> IdMap:
        """Return the map of some of the ids, given by their codes in increasing order."""
        return IdMap(self._stored.take(pa.array(codes, pa.int64())), self._type, self._name)

    def union(self, values: Any) -> tuple[IdMap, np.ndarray]:
        """Return a map with more ids, and the codes that the ids of this one have there.

        Integers beyond the caller's dtype, such as int8, make it int64.

        Parameters
        ----------
        values : scalar, list, Series, NumPy or Arrow array of shape (n,)
            Ids in any dtype, known or not.

        Raises
        ------
        DataError
            A value is null or cannot be an id of this map's dtype.

        Examples
        --------
        >>> import pyarrow as pa
        >>> ids, _ = IdMap.from_column(pa.array([10, 30]), "user")
        >>> more, codes = ids.union(["20", 30])
        >>> more.to_list(), codes.tolist()
        ([10, 20, 30], [0, 2])
        """
        import pyarrow.compute as pc

        given = arrow.to_array(values, self._name)
        keys = _encoding.match(given, self._type)
        if keys.null_count:
            row = int(np.flatnonzero(np.asarray(keys.is_null()))[0])
            raise DataError(
                f"{self._name} {given[row].as_py()!r} cannot be an id here: they are {self.dtype}"
            )
        merged = pa.concat_arrays([self._stored, keys.cast(self._stored.type)])
        stored, _ = _sort_unique(merged)
        _limits.check_ids(len(stored), self._name)
        own = np.asarray(pc.index_in(self._stored, stored)).astype(np.int32)
        id_type = self._type
        if self.is_integer and arrow.cast_or_none(stored, id_type.arrow) is None:
            id_type = replace(id_type, arrow=pa.int64())
        return IdMap(stored, id_type, self._name), own

    def to_state(self) -> tuple[Any, dict[str, Any]]:
        """Return the stored ids and a description that JSON can hold, for an artifact.

        Returns
        -------
        stored : pyarrow.Array of shape (n,)
            int64 or large_string, sorted.
        description : dict
        """
        return self._stored, {"name": self._name, **self._type.to_state()}

    @classmethod
    def from_state(
        cls, stored: Any, description: dict[str, Any], *, checked: bool = False
    ) -> IdMap:
        """Rebuild a map from `to_state`; with `checked`, their order was looked at before.

        Raises
        ------
        ArtifactError
            If the ids are not sorted and different, or do not have the type described.
        """
        id_type = IdType.from_state(description)
        stored = arrow.combine(stored)
        name = str(description.get("name", "id"))
        if stored.type != (pa.large_string() if id_type.text else pa.int64()) or stored.null_count:
            raise ArtifactError(
                f"the ids of {name!r} are stored as {stored.type}, not as described"
            )
        if not (checked or _is_increasing(stored)):
            raise ArtifactError(f"the ids of {name!r} are not sorted and different")
        return cls(stored, id_type, name)

    @cached_property
    def _decoded(self) -> Any:
        return _encoding.decode(self._stored, self._type)

    @cached_property
    def integers(self) -> np.ndarray:
        """The ids as int64 in code order, where the caller's are integers."""
        return np.asarray(self._stored)

    @cached_property
    def _text(self) -> tuple[np.ndarray, memoryview]:
        return arrow.text_buffers(self._stored)

    @property
    def is_text(self) -> bool:
        """Whether the caller's ids are text."""
        return self._type.text and arrow.is_text(self._type.arrow)

    @property
    def is_integer(self) -> bool:
        """Whether the caller's ids are integers."""
        return not self._type.text and pa.types.is_integer(self._type.arrow)

    def _places(self, keys: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Return the codes of integers that are `known` to be some, -1 for the others."""
        if not len(self):
            return np.full(len(keys), -1, np.int32)
        place = np.searchsorted(self.integers, keys)
        place[place == len(self)] = 0
        return np.where(known & (self.integers[place] == keys), place, -1).astype(np.int32)

    def _text_code(self, key: str) -> int:
        # Arrow sorts text by its bytes.
        offsets, data = self._text
        wanted = key.encode("utf-8", "surrogatepass")

        def at(code: int) -> bytes:
            return bytes(data[offsets[code] : offsets[code + 1]])

        place = bisect.bisect_left(range(len(self)), wanted, key=at)
        return place if place < len(self) and at(place) == wanted else -1


def _as_dictionary(column: Any) -> Any:
    kind = column.type
    if pa.types.is_dictionary(kind):
        if isinstance(column, pa.ChunkedArray):
            return column.unify_dictionaries()
        return column
    if arrow.is_uuid(kind):
        return _uuid_dictionary(column)
    if str(kind) in ("string_view", "binary_view"):
        column = column.cast(pa.large_string() if arrow.is_text(kind) else pa.large_binary())
    elif pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType):
        # `encode` refuses it with a message.
        return pa.DictionaryArray.from_arrays(
            np.zeros(len(column), np.int32), arrow.combine(column)[:1]
        )
    return column.dictionary_encode()


def _uuid_dictionary(column: Any) -> Any:
    combined = arrow.combine(column)
    encoded = combined.storage.dictionary_encode()
    values = pa.ExtensionArray.from_storage(column.type, encoded.dictionary)
    return pa.DictionaryArray.from_arrays(encoded.indices, values)


def _as_category(id_type: IdType, *, ordered: bool) -> IdType:
    return IdType(id_type.arrow, id_type.text, True, bool(ordered), id_type.hexadecimal)


def _sort_unique(stored: Any) -> tuple[Any, np.ndarray]:
    """Return the sorted different values and the place of each value among them."""
    import pyarrow.compute as pc

    if stored.null_count:
        raise DataError("a category is null; remove it from the categories")
    distinct = stored.unique()
    order = pc.sort_indices(distinct)
    ids = distinct.take(order)
    if len(distinct) == len(stored):
        rank = np.empty(len(ids), np.int32)
        rank[np.asarray(order)] = np.arange(len(ids), dtype=np.int32)
        return ids, rank
    return ids, np.asarray(pc.index_in(stored, ids))


def _is_increasing(stored: Any) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(pc.less(stored[:-1], stored[1:])).as_py()) if len(stored) > 1 else True
