"""CSV files of user, item[, value][, timestamp], with or without a row of names."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from penchant.data.csv_width import check_first_row
from penchant.errors import ColumnError, DataError, closest

__all__ = ["CsvForm", "delimiter_of", "first_rows", "opened", "read_csv"]

_ORDER = ("user", "item", "value", "timestamp")
# What columns are often called: a first row with one of these is hardly one of ids.
_USUAL = {
    "user", "userid", "customer", "customerid", "visitor", "visitorid", "member", "memberid", "uid",
    "item", "itemid", "product", "productid", "movieid", "trackid", "articleid", "sku", "iid",
    "value", "rating", "score", "quantity", "count", "amount", "timestamp", "time", "date",
}  # fmt: skip
_PEEK = 2**16
_LONGEST_NAMES = 2**24


@dataclass(frozen=True)
class CsvForm:
    """What is known of the files of a channel.

    Attributes
    ----------
    names : mapping of str to str
        The column of each part.
    given : frozenset of str
        The parts whose column somebody named.
    header : bool or None
        Whether files begin with a row of names; None finds out at the first.
    delimiter : str or None
    """

    names: Mapping[str, str]
    given: frozenset[str]
    header: bool | None = None
    delimiter: str | None = None


def read_csv(path: Path, where: str, form: CsvForm) -> tuple[Any, CsvForm]:
    """Read one file.

    Returns
    -------
    table : pyarrow.Table
        Columns "user" and "item" (text), and "value" (float64) and "timestamp" where there are.
    form : CsvForm
        With what was found out, which the next file of the channel must keep to.

    Raises
    ------
    DataError, ColumnError
        See `channels.read_channel`.
    """
    delimiter = delimiter_of(path, form.delimiter)
    rows = first_rows(path, where, delimiter)
    found = _has_header(rows, where, form)
    if form.header is not None and found != form.header:
        raise DataError(
            f"{where} has {'a' if found else 'no'} row of names, unlike others or what was said"
        )
    width = len(rows[0])
    if found:
        chosen = _by_name(rows[0], where, form)
    else:
        if not 2 <= width <= len(_ORDER):
            raise DataError(
                f"{where} has {width} columns: without a row of names there are two to four, "
                "user, item[, value][, timestamp]" + _other_delimiter(rows[0])
            )
        chosen = {part: str(place) for place, part in enumerate(_ORDER[:width])}
    names = rows[0] if found else [str(place) for place in range(width)]
    table = _read(path, where, delimiter, names, found, chosen)
    return table, dataclasses.replace(form, header=found)


def delimiter_of(path: Path, given: str | None) -> str:
    """Return what stands between the fields of a file: what was said, or what its name says."""
    return given or ("\t" if ".tsv" in path.name.lower() else ",")


def first_rows(path: Path, where: str, delimiter: str) -> list[list[str]]:
    """Return the first two rows of a file that are not empty; an error if there is none."""
    try:
        with opened(path) as file:
            check_first_row(file, delimiter, where)
            file.seek(0)
            start = file.read(_PEEK)
            if len(start) == _PEEK and b"\n" not in start:  # thousands of columns
                start += file.readline(_LONGEST_NAMES)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where} cannot be read: {error}") from error
    if b"\0" in start:
        raise DataError(f"{where} is no text: it holds zero bytes")
    # The last line may be cut in the middle of a character.
    text = start.decode("utf-8-sig", "replace")
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [row for row, _ in zip((row for row in reader if row), range(2), strict=False)]
    except csv.Error as error:
        raise DataError(f"{where} is not readable as CSV: {error}") from error
    if not rows:
        raise DataError(f"{where} has no rows")
    return rows


def opened(path: Path) -> IO[bytes]:
    """Open a file, unpacked if it begins as one of gzip does."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else open(path, "rb")  # type: ignore[return-value]


def _has_header(rows: list[list[str]], where: str, form: CsvForm) -> bool:
    first = [name.strip() for name in rows[0]]
    if form.names["user"] in first and form.names["item"] in first:
        return True
    if form.header is not None:
        return form.header
    if form.given & {"user", "item"}:
        return True  # a column was named: the message about a missing one follows
    if _looks_like_names(first, rows[1] if len(rows) > 1 else None):
        raise DataError(
            f"the first row of {where} looks like one of names ({', '.join(first)[:100]}): set the "
            "hyperparameters user_column and item_column, or header=false if they are ids"
        )
    return False


def _looks_like_names(first: list[str], second: list[str] | None) -> bool:
    if any(name.lower().replace("_", "").replace(" ", "") in _USUAL for name in first):
        return True
    if second is None or len(second) != len(first):
        return False
    return any(
        not _is_number(name) and _is_number(value)
        for name, value in zip(first, second, strict=True)
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _by_name(names: list[str], where: str, form: CsvForm) -> dict[str, str]:
    present = [name.strip() for name in names]
    chosen = {}
    for part, name in form.names.items():
        if present.count(name) > 1:
            raise ColumnError(f"{where} has {present.count(name)} columns named {name!r}")
        if name in present:
            chosen[part] = names[present.index(name)]
        elif part in form.given or part in ("user", "item"):
            hint = closest(name, present) or "."
            raise ColumnError(
                f"{where} has no column {name!r}{hint} Columns: {', '.join(present[:20])}"
                f"{_other_delimiter(names)}; the hyperparameter {part}_column names it"
            )
    return chosen


def _other_delimiter(names: list[str]) -> str:
    for character, shown in ((";", "';'"), ("\t", "tab"), ("|", "'|'"), (",", "','")):
        if len(names) == 1 and character in names[0]:
            return (
                f"; they seem to be separated otherwise: set the hyperparameter delimiter={shown}"
            )
    return ""


def _read(
    path: Path,
    where: str,
    delimiter: str,
    names: list[str],
    header: bool,
    chosen: dict[str, str],
) -> Any:
    from pyarrow import csv as arrow_csv

    types = {chosen["user"]: pa.string(), chosen["item"]: pa.string()}
    if "value" in chosen:
        types[chosen["value"]] = pa.float64()
    try:
        with opened(path) as file:
            table = arrow_csv.read_csv(
                file,
                arrow_csv.ReadOptions(column_names=None if header else names),
                arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                # An empty field is a missing one, in text columns too: a null id is not "".
                arrow_csv.ConvertOptions(
                    include_columns=list(chosen.values()),
                    column_types=types,
                    strings_can_be_null=True,
                ),
            )
    except (pa.ArrowException, KeyError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where} is not readable as CSV: {error}") from error
    return table.select(list(chosen.values())).rename_columns(list(chosen))
