"""The channels ``items`` and ``users``: tables with a row for each, which filters ask for."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from penchant.container.channels import files_of, is_parquet
from penchant.container.csv_rows import delimiter_of, first_rows, opened
from penchant.container.tree import say
from penchant.data import arrow
from penchant.errors import ColumnError, DataError, MissingFileError, closest

__all__ = ["read_features"]


def read_features(
    folder: Path,
    name: str,
    settings: Mapping[str, Any] | None = None,
    delimiter: str | None = None,
) -> Any:
    """Read every file of a channel as one table.

    Parameters
    ----------
    folder : Path
        Its files: Parquet, or CSV with a row of names. Empty ones are passed over, with a word in
        the log.
    name : str
        The column of ids, which is called as in the events.
    settings : mapping, optional
        Of the channel; its ``ContentType`` may be about Parquet.
    delimiter : str, optional
        Of CSV; None goes by the file's name.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    MissingFileError
        There is no file.
    DataError
        A file cannot be read, is no plain file, has a row without an id, or does not go with the
        others.
    ColumnError
        A file has no column of ids, or two.
    """
    content_type = str((settings or {}).get("ContentType") or "").lower()
    tables = []
    for path in files_of(folder):
        where = f"{folder.name}/{path.relative_to(folder)}"
        if path.stat().st_size == 0:
            say(f"note: {where} is empty")
            continue
        try:
            if is_parquet(path, where, content_type):
                table = pq.read_table(path)
            else:
                table = _read_csv(path, where, name, delimiter)
        except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
            raise DataError(f"{where} cannot be read: {error}") from error
        _check_names(table.column_names, where, name)
        tables.append(table)
    if not tables:
        raise MissingFileError(f"the channel {folder.name!r} has no file with anything in it")
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"the files of the channel {folder.name!r} do not match: {error}"
        ) from error


def _check_names(names: list[str], where: str, name: str) -> None:
    if name not in names:
        hint = closest(name, names) or "."
        raise ColumnError(
            f"{where} has no column {name!r}{hint} Columns: {', '.join(names[:20])}; ids are "
            "called there as in the events"
        )
    if names.count(name) > 1:
        raise ColumnError(f"{where} has {names.count(name)} columns named {name!r}")


def _read_csv(path: Path, where: str, name: str, delimiter: str | None) -> Any:
    delimiter = delimiter_of(path, delimiter)
    names = first_rows(path, where, delimiter)[0]
    stripped = [one.strip() for one in names]
    _check_names(stripped, where, name)
    with opened(path) as file:
        table = pyarrow.csv.read_csv(
            file,
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            # 007 is no number; ids are matched to those of the events, whatever they are.
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={names[stripped.index(name)]: pa.string()}
            ),
        )
    try:
        table = table.rename_columns([one.strip() for one in table.column_names])
    except UnicodeDecodeError as error:
        raise DataError(f"{where} cannot be read: its names are not UTF-8 text") from error
    for column in table.schema:
        if arrow.is_bytes(column.type):  # which is what Arrow makes of text it cannot decode
            raise DataError(f"{where} cannot be read: the column {column.name!r} is not UTF-8 text")
    empty = np.flatnonzero(np.asarray(pc.equal(table[name], "")))
    if len(empty):
        raise DataError(
            f"{where} has no {name!r} in row {empty[0] + 1} (not counting the row of names)"
        )
    return table
