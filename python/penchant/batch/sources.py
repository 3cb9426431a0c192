"""Files of requests, a block at a time: JSON Lines, CSV or Parquet, from a path or stdin.

The blocks of a file are the same each time it is read: a job that continues skips those it has
answered already.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant.data.csv_width import check_width
from penchant.errors import ColumnError, DataError
from penchant.serving.decode import COUNTS
from penchant.serving.questions import PLAIN_FIELDS

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["Block", "Source", "format_of", "text_blocks"]

BLOCK_BYTES = 2**18
_ROWS = 8192
_PREFIX_BYTES = 2**20
_MAX_ROW_BYTES = 2**24
_BOM = b"\xef\xbb\xbf"
_FORMATS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}


class Block(NamedTuple):
    """A part of a file.

    Attributes
    ----------
    first : int
        Number of its first line or row, from 1.
    data : bytes or pyarrow.Table
        Whole lines, or rows with a column ``user_id``.
    size : int
        What it adds to the progress, of `Source.total`.
    odd : list of (int, str)
        Numbers of rows that have too many or too few fields, and their text.
    """

    first: int
    data: Any
    size: int
    odd: list[tuple[int, str]]

    def row_numbers(self) -> NDArray[np.int64]:
        """Return the number of each row of a table: those of odd rows are left out."""
        numbers = np.arange(self.first, self.first + self.data.num_rows + len(self.odd))
        return np.setdiff1d(numbers, [number for number, _ in self.odd])


def format_of(path: str) -> tuple[str, bool]:
    """Return "jsonl", "csv", "parquet" or "" by the suffix of a path, and whether it ends in .gz.

    Examples
    --------
    >>> format_of("users.csv.gz"), format_of("-")
    (('csv', True), ('', False))
    """
    name = Path(path).name.lower()
    packed = name.endswith(".gz")
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix in (".jsonl", ".json", ".ndjson"):
        return "jsonl", packed
    return _FORMATS.get(suffix, ""), packed


class Source:
    """A file of requests, or stdin (``"-"``).

    Parameters
    ----------
    path : str
    max_line : int
        Of a longer line only the beginning is kept, one byte more than this.
    model : Recommender
        Its user column is another name of the column ``user_id``.
    lines : bool, default False
        It is JSON Lines, whatever its suffix.

    Raises
    ------
    DataError
        The file cannot be read, or a Parquet file is compressed as a whole.
    """

    def __init__(
        self, path: str, max_line: int, model: Recommender, *, lines: bool = False
    ) -> None:
        self.path = path
        self.format, self._packed = format_of(path)
        self.format = "jsonl" if lines or not self.format else self.format
        self._max_line = max_line
        self._model = model
        if self.format == "parquet" and self._packed:
            raise DataError(f"{path!r}: Parquet files are compressed inside; gunzip it first")
        if path != "-":
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                raise DataError(f"cannot read {path!r}: {error.strerror}") from error

    def identity(self) -> dict[str, Any] | None:
        """Return what tells this file from another, or from itself changed; None for a pipe."""
        if self.path == "-" or not Path(self.path).is_file():
            return None
        with open(self.path, "rb") as file:
            status = os.fstat(file.fileno())
            prefix = hashlib.sha256(file.read(_PREFIX_BYTES)).hexdigest()
        return {"bytes": status.st_size, "changed": status.st_mtime_ns, "prefix": prefix}

    @property
    def total(self) -> int | None:
        """Bytes, or rows of a Parquet file; None where that is not known."""
        if self.path == "-" or not Path(self.path).is_file() or self._packed:
            return None
        if self.format == "parquet":
            from pyarrow import parquet

            with self._readable(), parquet.ParquetFile(self.path) as file:
                return int(file.metadata.num_rows)
        return os.path.getsize(self.path)

    @property
    def unit(self) -> str:
        """What `total` counts: "B" or "row"."""
        return "row" if self.format == "parquet" else "B"

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks, in order."""
        if self.format == "parquet":
            yield from self._parquet()
            return
        with self._readable(), self._open() as file:
            yield from self._csv(file) if self.format == "csv" else self._lines(file)

    @contextlib.contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        if self.path == "-":
            yield sys.stdin.buffer
            return
        with open(self.path, "rb") as raw:
            if not self._packed:
                yield raw
                return
            import gzip

            with gzip.open(raw, "rb") as unpacked:
                yield unpacked  # type: ignore[misc]

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        import zlib

        try:
            yield
        except (EOFError, zlib.error, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(f"cannot read {self.path!r}: {error}") from error
        except OSError as error:
            if error.errno is not None and not isinstance(error, FileNotFoundError):
                raise
            raise DataError(f"cannot read {self.path!r}: {error}") from error

    def _lines(self, file: IO[bytes]) -> Iterator[Block]:
        first = 1
        for data in text_blocks(file, self._max_line):
            yield Block(first, data, len(data), [])
            first += data.count(b"\n")

    def _parquet(self) -> Iterator[Block]:
        from pyarrow import parquet

        with self._readable(), parquet.ParquetFile(self.path) as file:
            names = file.schema_arrow.names
            chosen = self._columns(names, None)
            columns = [name for name in names if chosen[name] is not None]
            first = 1
            for batch in file.iter_batches(batch_size=_ROWS, columns=columns):
                table = pa.Table.from_batches([batch])
                table = table.rename_columns([str(chosen[name]) for name in table.column_names])
                yield Block(first, table, table.num_rows, [])
                first += table.num_rows

    def _csv(self, file: IO[bytes]) -> Iterator[Block]:
        names: list[str] | None = None
        first = 1
        for data in text_blocks(file, _MAX_ROW_BYTES, quotes=True):
            rows, skipped = data, 0
            if names is None:
                names, rows = self._header(data)
                skipped = len(data) - len(rows)
                first += bool(skipped)
            table, odd = _parse_csv(rows, names, first)
            yield Block(first, table, len(data), odd)
            first += table.num_rows + len(odd)

    def _header(self, data: bytes) -> tuple[list[str], bytes]:
        """Return what the columns of a CSV file are, and the text after the header, if any."""
        text = io.StringIO(data.decode("utf-8", "replace"), newline="")
        fields = next(csv.reader(text), [])
        check_width(len(fields), repr(self.path))
        if not self._wanted() & set(fields):
            # Without a header: users of the model, or numbers, and perhaps how many.
            known = len(fields) in (1, 2) and self._model.users_.code(fields[0]) >= 0
            number = len(fields) in (1, 2) and fields[0].strip().lstrip("-").isdigit()
            if known or number:
                return ["user_id", "top_n"][: len(fields)], data
        chosen = self._columns(fields, data)
        header = len(data[: _end_of_row(data)])
        return [chosen[name] or f"unused {i}" for i, name in enumerate(fields)], data[header:]

    def _wanted(self) -> set[str]:
        return {"user_id", self._model.columns_.user}

    def _columns(self, names: list[str], data: bytes | None) -> dict[str, str | None]:
        """Return what each column of a file is: user_id, k, top_n, or None."""
        user = next((name for name in ("user_id", self._model.columns_.user) if name in names), "")
        if not user and len(names) == 1 and data is None:
            user = names[0]
        if not user:
            shown = ", ".join(repr(name) for name in names[:20])
            raise ColumnError(
                f"{self.path!r} needs a column of users, 'user_id' or "
                f"{self._model.columns_.user!r}; its columns are {shown:.300}"
            )
        for name in (user, *COUNTS):
            if names.count(name) > 1:
                raise ColumnError(f"{self.path!r} has {names.count(name)} columns named {name!r}")
        found: dict[str, str | None] = dict.fromkeys(names)
        found[user] = "user_id"
        found |= {name: name for name in COUNTS if name in found and name != user}
        return found


def text_blocks(file: IO[bytes], max_line: int, *, quotes: bool = False) -> Iterator[bytes]:
    r"""Cut a file into blocks of whole lines.

    Parameters
    ----------
    file : binary file
    max_line : int
        Of a longer line only this many bytes and one more are kept.
    quotes : bool, default False
        Line ends between quotes (``"``) do not end a row, as in CSV; there a longer row is an
        error, since nobody can tell where it ends.

    Examples
    --------
    >>> import io
    >>> list(text_blocks(io.BytesIO(b"one\ntwo\nthree"), 100))
    [b'one\ntwo\n', b'three']
    """
    carry = file.read(BLOCK_BYTES).removeprefix(_BOM)
    while True:
        cut = _end_of_rows(carry) if quotes else carry.rfind(b"\n") + 1
        if cut:
            yield carry[:cut]
            carry = carry[cut:]
        if len(carry) > max_line:
            if quotes:
                raise DataError(f"a row is longer than {max_line} bytes: is a quote not closed?")
            carry = carry[: max_line + 1] + _after_line(file)
        block = file.read(BLOCK_BYTES)
        if not block:
            break
        carry += block
    if carry:
        yield carry


def _after_line(file: IO[bytes]) -> bytes:
    """Read on to the end of a line; return that and what was read after it."""
    while block := file.read(BLOCK_BYTES):
        end = block.find(b"\n")
        if end >= 0:
            return block[end:]
    return b""


def _end_of_rows(data: bytes) -> int:
    """Return where the last row of CSV ends whose quotes are closed."""
    codes = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(codes == 10)
    open_quotes = np.searchsorted(np.flatnonzero(codes == 34), ends) % 2
    closed = ends[open_quotes == 0]
    return int(closed[-1]) + 1 if len(closed) else 0


def _end_of_row(data: bytes) -> int:
    """Return where the first row of CSV ends."""
    codes = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(codes == 10)
    open_quotes = np.searchsorted(np.flatnonzero(codes == 34), ends) % 2
    closed = ends[open_quotes == 0]
    return int(closed[0]) + 1 if len(closed) else len(data)


def _parse_csv(data: bytes, names: list[str], first: int) -> tuple[pa.Table, list[tuple[int, str]]]:
    from pyarrow import csv as arrow_csv

    odd: list[tuple[int, str]] = []

    def set_aside(row: Any) -> str:
        odd.append((first + (row.number or 1) - 1, row.text))
        return "skip"

    wanted = [name for name in names if name in PLAIN_FIELDS]
    if not data.strip():
        return pa.table({name: pa.array([], pa.large_string()) for name in wanted}), odd
    table = arrow_csv.read_csv(
        pa.BufferReader(data),
        read_options=arrow_csv.ReadOptions(
            column_names=names, use_threads=False, block_size=len(data) + 1
        ),
        parse_options=arrow_csv.ParseOptions(
            newlines_in_values=True, invalid_row_handler=set_aside
        ),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=wanted,
            column_types={name: pa.large_binary() for name in wanted},
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    return table, odd
