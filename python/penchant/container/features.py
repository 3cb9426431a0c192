"""The channels ``items`` and ``users``: tables with a row for each, which filters ask for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from penchant.container.channels import files_of, is_parquet
from penchant.errors import ColumnError, DataError, MissingFileError, closest

__all__ = ["read_features"]


def read_features(folder: Path, name: str, settings: Mapping[str, Any] | None = None) -> Any:
    """Read every file of a channel as one table.

    Parameters
    ----------
    folder : Path
        Its files: Parquet, or CSV with a row of names.
    name : str
        The column of ids, which is called as in the events.
    settings : mapping, optional
        Of the channel; its ``ContentType`` may be about Parquet.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    MissingFileError
        There is no file.
    DataError
        A file cannot be read, is no plain file, or does not go with the others.
    ColumnError
        A file has no column of ids.
    """
    content_type = str((settings or {}).get("ContentType") or "").lower()
    tables = []
    for path in files_of(folder):
        where = f"{folder.name}/{path.relative_to(folder)}"
        try:
            if is_parquet(path, where, content_type):
                table = pq.read_table(path)
            else:
                table = _read_csv(path, name)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{where} cannot be read: {error}") from error
        if name not in table.column_names:
            hint = closest(name, table.column_names) or "."
            raise ColumnError(
                f"{where} has no column {name!r}{hint} Columns: "
                f"{', '.join(table.column_names[:20])}; ids are called there as in the events"
            )
        tables.append(table)
    if not tables:
        raise MissingFileError(f"the channel {folder.name!r} has no file")
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"the files of the channel {folder.name!r} do not match: {error}"
        ) from error


def _read_csv(path: Path, name: str) -> Any:
    tabs = ".tsv" in path.suffixes
    return pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(
            delimiter="\t" if tabs else ",", newlines_in_values=True
        ),
        # 007 is no number; ids are matched to those of the events, whatever they are.
        convert_options=pyarrow.csv.ConvertOptions(column_types={name: pa.string()}),
    )
