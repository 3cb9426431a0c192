"""Channels: folders of CSV and Parquet files that a job learns from."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from penchant.container.csv_rows import CsvForm, read_csv
from penchant.container.tree import say
from penchant.data.written_ids import read_ids
from penchant.errors import ColumnError, DataError, MissingFileError, closest

__all__ = ["DEFAULTS", "Plan", "files_of", "is_parquet", "read_channel"]

# What columns are called where nobody says; the last two are read where they are there.
DEFAULTS = {"user": "user_id", "item": "item_id", "value": "value", "timestamp": "timestamp"}
_IDS = ("user", "item")
_PARQUET = (".parquet", ".pq")
_CSV = (".csv", ".tsv", ".txt")
_PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True)
class Plan:
    """How the files of a channel are read.

    Attributes
    ----------
    columns : mapping of str to str
        Names that were given of the columns "user", "item", "value" and "timestamp".
    header : {"auto", "true", "false"}
    delimiter : str or None
    ids_only : bool
        Whether values and timestamps may be missing though they were named: a test needs none.
    """

    columns: Mapping[str, str]
    header: str = "auto"
    delimiter: str | None = None
    ids_only: bool = False

    @property
    def given(self) -> frozenset[str]:
        """The parts whose column was named and must be there."""
        return frozenset(part for part in self.columns if not self.ids_only or part in _IDS)


def read_channel(
    folder: Path, plan: Plan, settings: Mapping[str, Any] | None = None
) -> tuple[Any, dict[str, str]]:
    """Read every file of a channel as one table.

    Parameters
    ----------
    folder : Path
        Its files and those in folders under it; names that begin with ``.`` or ``_`` are
        passed over, and so are empty files, with a word in the log.
    plan : Plan
    settings : mapping, optional
        Of the channel: ``ContentType`` may say ``text/csv; header=present`` or be about Parquet.

    Returns
    -------
    table : pyarrow.Table
    columns : dict of str to str
        Its columns: "user" and "item", and "value" and "timestamp" where they are there.

    Raises
    ------
    MissingFileError
        There is no such folder, or no file in it.
    DataError
        A file cannot be read, is no plain file, or is a link that leads out of the channel.
    ColumnError
        A file has no column of a name that was given.
    """
    if not folder.is_dir():
        raise MissingFileError(f"the channel {folder.name!r} is missing: there is no {folder}")
    content_type = str((settings or {}).get("ContentType") or "").lower().replace(" ", "")
    form = _form(plan, content_type)
    tables, text_ids = [], False
    for path in files_of(folder):
        where = f"{folder.name}/{path.relative_to(folder)}"
        if path.stat().st_size == 0:
            say(f"note: {where} is empty")
            continue
        if is_parquet(path, where, content_type):
            table = _read_parquet(path, where, plan)
        else:
            text_ids = True
            table, form = read_csv(path, where, form)
        tables.append(table)
    if not tables:
        raise MissingFileError(
            f"the channel {folder.name!r} has no file with anything in it{_passed_over(folder)}"
        )
    return _join(tables, folder.name, plan, text_ids)


def _form(plan: Plan, content_type: str) -> CsvForm:
    header = plan.header
    if header == "auto" and "header=" in content_type:
        header = "true" if "header=present" in content_type else "false"
    return CsvForm(
        names={part: plan.columns.get(part, name) for part, name in DEFAULTS.items()},
        given=plan.given,
        header={"true": True, "false": False}.get(header),
        delimiter=plan.delimiter,
    )


def files_of(folder: Path) -> Iterator[Path]:
    """Yield the files of a channel, sorted; whatever is not one of its own plain files is refused.

    A link could name any file of the machine, and what is learnt from it could be asked back.
    """
    home = Path(os.path.realpath(folder))
    for base, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*folders, *files]):
            if name.startswith((".", "_")):
                continue
            path = Path(base, name)
            where = f"{folder.name}/{path.relative_to(folder)}"
            real = Path(os.path.realpath(path))
            if path.is_symlink() and not real.is_relative_to(home):
                raise DataError(f"{where} is a link that leads out of the channel: it is not read")
            if name in folders:
                continue
            try:
                mode = path.stat().st_mode
            except OSError as error:
                raise DataError(f"{where} cannot be read: {error.strerror}") from error
            if not stat.S_ISREG(mode):
                raise DataError(f"{where} is not a plain file")
            yield path
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]


def _passed_over(folder: Path) -> str:
    """Name the files that were not read because of their names."""
    found = sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(part[0] in "._" for part in path.relative_to(folder).parts)
    )
    if not found:
        return ""
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return f"; passed over, as names that begin with '.' or '_' are: {', '.join(found[:5])}{more}"


def is_parquet(path: Path, where: str, content_type: str) -> bool:
    """Tell Parquet from CSV by the name, the channel's type of content, or the first bytes."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    if kind in _PARQUET:
        return True
    if kind in _CSV or "csv" in content_type:
        return False
    try:
        with open(path, "rb") as file:
            start = file.read(4)
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror}") from error
    if start == _PARQUET_MAGIC or "parquet" in content_type:
        return True
    if kind and not kind[1:].isdigit():
        raise DataError(f"{where} is neither Parquet (.parquet) nor CSV (.csv, .tsv)")
    return False


def _read_parquet(path: Path, where: str, plan: Plan) -> Any:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            present = file.schema_arrow.names
            chosen = _choose(present, plan, where)
            table = file.read(columns=list(chosen.values()))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{where} is not a readable Parquet file: {error}") from error
    return table.select(list(chosen.values())).rename_columns(list(chosen))


def _choose(present: list[str], plan: Plan, where: str) -> dict[str, str]:
    """Return the columns to read by their parts: those named, and default ones that are there."""
    chosen = {}
    for part, default in DEFAULTS.items():
        name = plan.columns.get(part, default)
        if name in present:
            chosen[part] = name
        elif part in plan.given or part in _IDS:
            hint = closest(name, present) or "."
            raise ColumnError(
                f"{where} has no column {name!r}{hint} Columns: {', '.join(present[:20])}; the "
                f"hyperparameter {part}_column names it"
            )
    return chosen


def _join(
    tables: list[Any], channel: str, plan: Plan, text_ids: bool
) -> tuple[Any, dict[str, str]]:
    parts = tables[0].column_names
    for table in tables:
        if table.column_names != parts:
            raise DataError(
                f"the files of the channel {channel!r} have different columns: "
                f"{', '.join(parts)} and {', '.join(table.column_names)}"
            )
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(f"the files of the channel {channel!r} do not match: {error}") from error
    if not table.num_rows:
        raise DataError(f"the channel {channel!r} has no rows")
    columns = {part: plan.columns.get(part, DEFAULTS[part]) for part in parts}
    arrays = []
    for part in parts:
        column = table.column(part)
        if text_ids and part in _IDS and pa.types.is_string(column.type):
            column = read_ids(column)  # of all files together: one 007 keeps all of them text
        arrays.append(column)
    return pa.table(arrays, names=[columns[part] for part in parts]), columns
