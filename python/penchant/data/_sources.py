"""Reading Parquet files and lists into one Arrow table."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from penchant.data import arrow, frames
from penchant.data._columns import Columns
from penchant.errors import ColumnError, DataError, MissingFileError, ParameterError


def read_parquet(source: Any, columns: list[str]) -> Any:
    """Return columns of one or more Parquet files as one table, files in sorted order."""
    tables = [_read_file(path, columns) for path in _paths(source)]
    if len(tables) == 1:
        return tables[0]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"the files' columns do not have matching types: {error}") from error


def _read_file(path: str, columns: list[str]) -> Any:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = frames.column_names(file.schema_arrow.empty_table())
            for name in columns:
                if name not in names:
                    raise ColumnError(f"{path}: {frames.missing_column(name, names)}")
            table = file.read(columns=list(dict.fromkeys(columns)))
    except PermissionError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}") from error
    arrays = [frames.readable(table[name], name) for name in table.column_names]
    return pa.table(arrays, names=table.column_names)


def _paths(source: Any) -> list[str]:
    if isinstance(source, str | os.PathLike):
        return _expand(os.fspath(source))
    if not isinstance(source, Iterable):
        raise ParameterError(f"source must be a path, a pattern or a list of these, not {source!r}")
    paths = list(itertools.chain.from_iterable(_expand(os.fspath(path)) for path in source))
    if not paths:
        raise ParameterError("the list of Parquet files is empty")
    return paths


def _expand(path: Any) -> list[str]:
    path = os.path.expanduser(os.fsdecode(path))
    if os.path.isdir(path):
        found = sorted(str(file) for file in Path(path).rglob("*.parquet") if file.is_file())
        if not found:
            raise MissingFileError(f"there are no *.parquet files in the directory {path}")
        return found
    if os.path.exists(path):
        return [path]
    found = sorted(glob.glob(path, recursive=True))
    if not found:
        raise MissingFileError(f"no such file: {path}")
    return found


def from_sequences(sequences: Iterable[Iterable[Any]], users: Any, columns: Columns) -> Any:
    """Return lists of items as a table of user, item and position."""
    lists: list[list[Any]] = []
    for sequence in sequences:
        if isinstance(sequence, str | bytes) or not isinstance(sequence, Iterable):
            raise DataError(
                f"sequence {len(lists)} is {sequence!r}; each one must be a list of items"
            )
        lists.append(sequence if isinstance(sequence, list) else list(sequence))
    lengths = np.array([len(sequence) for sequence in lists], np.int64)
    if lengths.sum() == 0:
        raise DataError("the sequences hold no items")
    names = arrow.to_array(np.arange(len(lists)) if users is None else users)
    if len(names) != len(lists):
        raise ParameterError(f"there are {len(names):,} users for {len(lists):,} sequences")
    items = arrow.to_array(list(itertools.chain.from_iterable(lists)))
    starts = np.cumsum(lengths) - lengths
    positions = np.arange(len(items)) - np.repeat(starts, lengths)
    owners = names.take(pa.array(np.repeat(np.arange(len(lists)), lengths)))
    return pa.table({columns.user: owners, columns.item: items, columns.order: positions})
