"""Input files and model settings, shared by the commands."""

from __future__ import annotations

import codecs
import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penchant.cli.console import say
from penchant.errors import ColumnError, DataError, ParameterError, PenchantWarning, closest

if TYPE_CHECKING:
    import pyarrow as pa

    from penchant.data.interactions import Interactions
    from penchant.models import Recommender

_CSV = (".csv", ".tsv", ".txt")


def read_table(
    path: Path,
    columns: Mapping[str, str | None],
    *,
    optional: tuple[str, ...] = (),
    encoding: str = "utf8",
) -> pa.Table:
    """Read the named columns of a Parquet or CSV file.

    Parameters
    ----------
    path : Path
        A Parquet file, or a CSV file with a header (`.csv`, `.txt`, tab-separated `.tsv`,
        each optionally compressed as `.gz`).
    columns : mapping of str to (str or None)
        The option a name was given with, e.g. `"--user"`, to the column; None columns are skipped.
    optional : tuple of str
        Columns to read as well where the file has them.
    encoding : str
        Of a CSV file.

    Raises
    ------
    DataError
        The file is missing, not readable or of another kind.
    ColumnError
        A column is not in the file; the message suggests one that is.
    """
    if not path.exists():
        raise DataError(f"no file {str(path)!r} (relative to {Path.cwd()})")
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder; --data takes one Parquet or CSV file")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = (
        suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else "".join(suffixes[-1:])
    )
    if kind in (".parquet", ".pq"):
        return _read_parquet(path, columns, optional)
    if kind in _CSV:
        return _read_csv(path, columns, optional, encoding)
    raise DataError(f"{str(path)!r} is neither Parquet (.parquet) nor CSV (.csv, .tsv)")


def _read_parquet(
    path: Path, columns: Mapping[str, str | None], optional: tuple[str, ...]
) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=_choose(file.schema_arrow.names, columns, optional, path))
    except pa.ArrowInvalid as error:
        raise DataError(f"{str(path)!r} is not a readable Parquet file: {error}") from error


def _read_csv(
    path: Path, columns: Mapping[str, str | None], optional: tuple[str, ...], encoding: str
) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    delimiter = "\t" if ".tsv" in path.name.lower() else ","
    reading = csv.ReadOptions(encoding=encoding)
    parsing = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise DataError(f"--encoding: no text encoding {encoding!r}") from error
    try:
        with csv.open_csv(path, read_options=reading, parse_options=parsing) as reader:
            names = reader.schema.names
        wanted = _choose(names, columns, optional, path)
        # An empty field is a missing one, in text columns too: a null id must not become "".
        table = csv.read_csv(
            path,
            read_options=reading,
            parse_options=parsing,
            convert_options=csv.ConvertOptions(include_columns=wanted, strings_can_be_null=True),
        )
    except UnicodeDecodeError as error:
        raise DataError(f"{str(path)!r} is not {encoding} text: {error}; see --encoding") from error
    except pa.ArrowInvalid as error:
        raise DataError(f"{str(path)!r} is not a readable CSV file: {error}") from error
    for field in table.schema:
        if pa.types.is_binary(field.type):  # what pyarrow makes of bytes that are not UTF-8
            raise DataError(
                f"{str(path)!r}: column {field.name!r} is not UTF-8 text; "
                "name its encoding, e.g. --encoding latin-1"
            )
    return table


def _choose(
    present: list[str],
    columns: Mapping[str, str | None],
    optional: tuple[str, ...],
    path: Path,
) -> list[str]:
    """Check the wanted columns against the ones in the file; return those to read."""
    for option, name in columns.items():
        if name is not None and name not in present:
            raise ColumnError(
                f"{option}: no column {name!r} in {path.name}{closest(name, present) or '.'} "
                f"Columns: {', '.join(present)}"
            )
    chosen = [name for name in columns.values() if name is not None]
    if len(set(chosen)) < len(chosen):
        named = ", ".join(f"{option} {name}" for option, name in columns.items() if name)
        raise ColumnError(f"one column is named twice: {named}")
    return chosen + [name for name in optional if name in present and name not in chosen]


def make_model(name: str, settings: Iterable[str]) -> Recommender:
    """Build an unfitted model from its name and `NAME=VALUE` settings.

    Raises
    ------
    ParameterError
        An unknown model or parameter, or a value the model refuses.
    """
    from penchant.models import BPR, Popularity

    classes: dict[str, type[Recommender]] = {"bpr": BPR, "popularity": Popularity}
    if name.lower() not in classes:
        hint = closest(name, classes) or "."
        raise ParameterError(f"--model: no model {name!r}{hint} Models: {', '.join(classes)}")
    model_class = classes[name.lower()]
    known = model_class().get_params()
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ParameterError(f"--param takes NAME=VALUE, not {setting!r}")
        if key not in known:
            hint = closest(key, known) or "."
            raise ParameterError(
                f"--param: {model_class.__name__} has no parameter {key!r}{hint} "
                f"Parameters: {', '.join(known)}"
            )
        values[key] = _parse(text)
    return model_class(**values)


def _parse(text: str) -> Any:
    """Read `64`, `0.01`, `true`, `none` as what they look like; anything else is text."""
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def make_interactions(table: pa.Table, indent: str = "", **arguments: Any) -> Interactions:
    """Call `Interactions.from_frame`, print how many rows it dropped, why, and what is left."""
    from penchant import Interactions
    from penchant.data._report import dropped_text

    with warnings.catch_warnings():
        # The lines below say the same.
        warnings.filterwarnings("ignore", message="dropped", category=PenchantWarning)
        # Whoever loads the saved model in Python gets the frames that most expect.
        data = Interactions.from_frame(table, backend="pandas", **arguments)
    for text in dropped_text(data):
        count, _, reason = text.partition(" ")
        say(f"{indent}dropped  {count:>9}  {reason}")
    say(f"{indent}kept     {len(data):>9,}  rows, {data.n_users:,} users, {data.n_items:,} items")
    return data
