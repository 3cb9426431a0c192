"""JSON Lines as columns: a block of lines is parsed by Arrow, and one by one only where it is odd.

Most files have lines of one form, which Arrow reads in native code. A block in which any line is of
another form is cut in halves until the odd lines are alone; those are left to a decoder in Python,
which says exactly what is wrong with each.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant.data import arrow

__all__ = ["Lines", "quoted", "read_lines", "run_together", "split_lines"]

Part = TypeVar("Part")

# Blocks of so few lines are not worth cutting further.
_FEW = 64
_SPECIAL = r'["\\\x00-\x1f]'
_IS_TEXT = np.ones(256, dtype=np.uint8)
_IS_TEXT[list(b" \t\r\n\x0b\x0c")] = 0


@dataclasses.dataclass(frozen=True)
class Lines:
    """Some lines of a block that are not blank.

    Attributes
    ----------
    block : bytes
    offsets : int64 array of shape (n + 1,)
        Where each line starts; blank lines belong to the line before them.
    numbers : int64 array of shape (n,)
        Their numbers in the file, from 1.
    """

    block: bytes
    offsets: NDArray[np.int64]
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    def part(self, start: int, end: int) -> Lines:
        """Return the lines from one place to another."""
        return Lines(self.block, self.offsets[start : end + 1], self.numbers[start:end])

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield numbers and lines, without space around them."""
        places = self.offsets.tolist()
        for number, start, end in zip(self.numbers.tolist(), places, places[1:], strict=False):
            yield number, self.block[start:end].strip()

    def text(self) -> Any | None:
        """Return the lines, without space around them, as Arrow text; None if not UTF-8."""
        data = memoryview(self.block)[int(self.offsets[0]) : int(self.offsets[-1])]
        offsets = np.ascontiguousarray(self.offsets - self.offsets[0])
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        raw = pa.Array.from_buffers(pa.large_binary(), len(self), buffers)
        text = arrow.cast_or_none(raw, pa.large_string())
        return None if text is None else pc.ascii_trim_whitespace(text)


def split_lines(block: bytes, first: int = 1) -> Lines:
    r"""Find the lines of a block that are not blank.

    Parameters
    ----------
    block : bytes
        Whole lines; the last may lack its end.
    first : int
        Number of the first line.

    Examples
    --------
    >>> lines = split_lines(b'{"a": 1}\n\n {"a": 2}\r\n')
    >>> list(lines)
    [(1, b'{"a": 1}'), (3, b'{"a": 2}')]
    """
    data = np.frombuffer(block, dtype=np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(data == 10) + 1])
    starts = starts[starts < len(data)]
    if not len(starts):
        return Lines(block, np.zeros(1, np.int64), np.empty(0, np.int64))
    filled = np.add.reduceat(_IS_TEXT[data], starts, dtype=np.int64) > 0
    offsets = np.append(starts[filled], len(data)).astype(np.int64)
    return Lines(block, offsets, np.flatnonzero(filled) + first)


def read_lines(
    lines: Lines,
    fields: Collection[str] | pa.Schema,
    max_bytes: int,
    by_columns: Callable[[pa.Table, Any, Lines], Part | None],
    one_by_one: Callable[[Lines], Part],
) -> list[Part]:
    """Decode lines, by columns where they are of one form.

    Parameters
    ----------
    lines : Lines
    fields : collection of str or pyarrow.Schema
        Fields that objects may have; others are left to `one_by_one`. With a schema, the columns
        wanted, and other fields are passed over.
    max_bytes : int
        Longer lines are left to `one_by_one`.
    by_columns : callable
        Gets a table with a row for each line, the lines as text, and the lines; returns None where
        a value is not as it should be.
    one_by_one : callable
        Gets lines that are odd, or near odd ones.

    Returns
    -------
    list
        What the two returned, in the order of the lines.
    """
    if not len(lines):
        return []
    text = lines.text() if int(np.diff(lines.offsets).max()) <= max_bytes else None
    if text is not None:
        table = _read_table(lines, text, fields)
        part = None if table is None else by_columns(table, text, lines)
        if part is not None:
            return [part]
    if len(lines) <= _FEW:
        return [one_by_one(lines)]
    middle = len(lines) // 2
    halves = lines.part(0, middle), lines.part(middle, len(lines))
    return [
        part
        for half in halves
        for part in read_lines(half, fields, max_bytes, by_columns, one_by_one)
    ]


def _read_table(lines: Lines, text: Any, fields: Collection[str] | pa.Schema) -> pa.Table | None:
    """Return a table with a row for each line, None if any does not look like the first one."""
    from pyarrow import json as arrow_json

    schema = fields if isinstance(fields, pa.Schema) else _schema_of(text[0].as_py(), fields)
    if schema is None:
        return None
    # Objects that begin and end with their line, and as many of them: one in each.
    if not pc.all(pc.and_(pc.starts_with(text, "{"), pc.ends_with(text, "}"))).as_py():
        return None
    data = memoryview(lines.block)[int(lines.offsets[0]) : int(lines.offsets[-1])]
    try:
        table = arrow_json.read_json(
            pa.BufferReader(pa.py_buffer(data)),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=arrow_json.ParseOptions(
                explicit_schema=schema,
                unexpected_field_behavior="ignore" if schema is fields else "error",
            ),
        )
    except pa.ArrowInvalid:
        return None
    return table.combine_chunks() if table.num_rows == len(lines) else None


def _schema_of(line: str, fields: Collection[str]) -> pa.Schema | None:
    """Return the schema of an object with some of the fields; None where it is no such object."""
    try:
        sample = json.loads(line)
        if not isinstance(sample, dict) or not sample or not set(sample) <= set(fields):
            return None
        types = {name: _type_of(value) for name, value in sample.items()}
    except (ValueError, RecursionError):
        return None
    return None if None in types.values() else pa.schema(types)


def _type_of(value: Any) -> Any | None:
    """Return the Arrow type that holds a value of JSON as it is; None where that is not plain."""
    if isinstance(value, str):
        return pa.string()
    if type(value) is int:
        return pa.int64()
    if isinstance(value, list) and value:
        kind = _type_of(value[0])
        return None if kind is None or pa.types.is_nested(kind) else pa.list_(kind)
    if isinstance(value, dict) and value:
        kinds = {name: _type_of(one) for name, one in value.items()}
        return None if None in kinds.values() else pa.struct(list(kinds.items()))
    return None


def quoted(texts: Any) -> Any:
    r"""Return an Arrow column of text as JSON strings; characters above ASCII stay as they are.

    Examples
    --------
    >>> import pyarrow as pa
    >>> quoted(pa.array(['tea', 'a "b"'], pa.large_string())).to_pylist()
    ['"tea"', '"a \\"b\\""']
    """
    mark, nothing = pa.scalar('"', pa.large_string()), pa.scalar("", pa.large_string())
    plain = pc.binary_join_element_wise(mark, texts, mark, nothing)
    special = np.asarray(pc.fill_null(pc.match_substring_regex(texts, _SPECIAL), False))
    if not special.any():
        return plain
    odd = texts.filter(pa.array(special)).to_pylist()
    escaped = pa.array([json.dumps(text, ensure_ascii=False) for text in odd], pa.large_string())
    return pc.replace_with_mask(plain, pa.array(special), escaped)


def run_together(texts: Any, starts: NDArray[np.int64], separator: str) -> Any:
    """Join the texts of each row.

    Parameters
    ----------
    texts : pyarrow.Array of large_string, shape (m,)
    starts : int64 array of shape (n + 1,)
        Where the texts of each row start.
    separator : str

    Returns
    -------
    pyarrow.Array of large_string, shape (n,)

    Examples
    --------
    >>> import numpy as np, pyarrow as pa
    >>> texts = pa.array(["a", "b", "c"], pa.large_string())
    >>> run_together(texts, np.array([0, 2, 2, 3]), "|").to_pylist()
    ['a|b', '', 'c']
    """
    between = np.ones(len(texts), dtype=np.bool_)
    between[starts[:-1][np.diff(starts) > 0]] = False
    marks = pa.array([separator, ""], pa.large_string()).take(pa.array(np.where(between, 0, 1)))
    separated = pc.binary_join_element_wise(marks, texts, pa.scalar("", pa.large_string()))
    # One text after the other is how Arrow holds them: only the offsets are new.
    offsets, data = arrow.text_buffers(separated)
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets[starts])), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_string(), len(starts) - 1, buffers)
