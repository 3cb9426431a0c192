"""Recommendations as CSV, JSON Lines or Parquet, a part at a time."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from penchant.batch.sources import format_of
from penchant.errors import ParameterError
from penchant.serving.encode import CSV_HEADER, Records, to_csv, to_flat_json_lines

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["csv_header", "encode", "output_format", "to_parquet"]

_KINDS = {"": "csv", "csv": "csv", "jsonl": "jsonl", "parquet": "parquet"}
_ROWS = 1 << 18


def output_format(path: str) -> str:
    """Return "csv", "csv.gz", "jsonl", "jsonl.gz" or "parquet" by the suffix of a path.

    Raises
    ------
    ParameterError
        Another suffix.

    Examples
    --------
    >>> output_format("out.csv.gz"), output_format("-")
    ('csv.gz', 'csv')
    """
    kind, packed = format_of(path)
    name = path.rpartition("/")[2].lower().removesuffix(".gz")
    if (kind == "" and "." in name.lstrip(".") and path != "-") or (kind == "parquet" and packed):
        raise ParameterError(
            f"cannot tell what to write from the name {path!r}: end it in .csv, .csv.gz, .jsonl, "
            ".jsonl.gz or .parquet"
        )
    return _KINDS[kind] + (".gz" if packed else "")


def csv_header(form: str) -> bytes:
    """Return the line of names of a CSV file."""
    return _packed(form, CSV_HEADER)


def encode(form: str, records: Records) -> bytes:
    """Return records in a format; of Parquet, as a stream of Arrow for `to_parquet`."""
    if form == "parquet":
        return _arrow(records) if len(records) else b""
    return _packed(form, to_csv(records) if form.startswith("csv") else to_flat_json_lines(records))


def _packed(form: str, data: bytes) -> bytes:
    # Members of gzip, one after the other, are a file of gzip.
    return gzip.compress(data, 6, mtime=0) if form.endswith(".gz") and data else data


def _arrow(records: Records) -> bytes:
    columns = {
        "user_id": records.users.text.take(pa.array(records.user_rows)),
        "item_id": records.items.text.take(pa.array(records.item_rows)),
        "score": pa.array(records.scores),
    }
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def to_parquet(model: Recommender, counts: Counter[str], parts: IO[bytes], file: IO[bytes]) -> None:
    """Make a Parquet file (snappy) of the streams that `encode` has made.

    Ids are integers where those of the model are; of users, where all asked about are.

    Parameters
    ----------
    model : Recommender
    counts : Counter
        ``text_users`` is the number of users whose id is no integer.
    parts, file : binary file
    """
    from pyarrow import parquet

    kinds = [_kind(model.users_, counts["text_users"] == 0), _kind(model.items_, True)]
    schema = pa.schema([("user_id", kinds[0]), ("item_id", kinds[1]), ("score", pa.float32())])
    with parquet.ParquetWriter(file, schema, compression="snappy") as writer:
        waiting: list[pa.Table] = []
        for table in _streams(parts):
            waiting.append(table.cast(schema))
            if sum(part.num_rows for part in waiting) >= _ROWS:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting))


def _kind(ids: Any, integers: bool) -> Any:
    kind = ids.take(np.empty(0, np.int32)).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.int64() if integers and pa.types.is_integer(kind) else pa.string()


def _streams(parts: IO[bytes]) -> Iterator[pa.Table]:
    while parts.read(1):
        parts.seek(-1, 1)
        with pa.ipc.open_stream(parts) as stream:
            yield stream.read_all()
