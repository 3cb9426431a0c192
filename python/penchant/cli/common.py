"""Input files and model settings, shared by the commands."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penchant.cli.console import say
from penchant.errors import ColumnError, DataError, ParameterError, PenchantWarning, closest

if TYPE_CHECKING:
    import pyarrow as pa

    from penchant.data.interactions import Interactions
    from penchant.models import Recommender

_CSV = (".csv", ".tsv", ".txt")
_IDS = ("--user", "--item")


def read_table(
    path: Path,
    columns: Mapping[str, str | None],
    *,
    optional: tuple[str, ...] = (),
    encoding: str = "utf8",
    delimiter: str | None = None,
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
        Of a CSV file. Its columns of ids (`--user`, `--item`) are read as integers only where
        that loses nothing: 007 stays text.
    delimiter : str, optional
        Of a CSV file, one character; a comma by default, or a tab in a `.tsv`.

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
        return _read_csv(path, columns, optional, encoding, _delimiter(path, delimiter))
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


def _delimiter(path: Path, given: str | None) -> str:
    if given is None:
        return "\t" if ".tsv" in path.name.lower() else ","
    character = {"tab": "\t", "\\t": "\t"}.get(given, given)
    if len(character) != 1 or not character.isascii() or character in '"\r\n\0':
        raise ParameterError(f"--delimiter takes one character, such as ';' or tab, not {given!r}")
    return character


def _read_csv(
    path: Path,
    columns: Mapping[str, str | None],
    optional: tuple[str, ...],
    encoding: str,
    delimiter: str,
) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    from penchant.data.csv_width import check_first_row
    from penchant.data.written_ids import read_ids

    reading = csv.ReadOptions(encoding=encoding)
    parsing = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    # Only for the header: with a wrong delimiter the rows seldom fit it.
    peeking = csv.ParseOptions(
        delimiter=delimiter, newlines_in_values=True, invalid_row_handler=lambda _: "skip"
    )
    try:  # decoded, since codecs.lookup knows some that are none of text
        b"a".decode(encoding, "replace")
    except LookupError as error:
        raise DataError(f"--encoding: no text encoding {encoding!r}") from error
    try:
        with pa.input_stream(path) as file:  # unpacked by suffix, as below
            check_first_row(file, delimiter, repr(str(path)), encoding)
        with csv.open_csv(path, read_options=reading, parse_options=peeking) as reader:
            names = reader.schema.names
        wanted = _choose(names, columns, optional, path, _other_delimiter(names))
        ids = {name for option, name in columns.items() if name and option in _IDS}
        # An empty field is a missing one, in text columns too: a null id must not become "".
        converting = csv.ConvertOptions(
            include_columns=wanted,
            column_types=dict.fromkeys(ids, pa.binary()),
            strings_can_be_null=True,
        )
        table = csv.read_csv(
            path, read_options=reading, parse_options=parsing, convert_options=converting
        )
    except UnicodeDecodeError as error:
        raise DataError(f"{str(path)!r} is not {encoding} text: {error}; see --encoding") from error
    except pa.ArrowInvalid as error:
        raise DataError(f"{str(path)!r} is not a readable CSV file: {error}") from error
    for number, field in enumerate(table.schema):
        if not pa.types.is_binary(field.type):
            continue
        try:  # ids, and what pyarrow could not make text of
            text = table.column(number).cast(pa.string())
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{str(path)!r}: column {field.name!r} is not UTF-8 text; "
                "name its encoding, e.g. --encoding latin-1"
            ) from error
        table = table.set_column(number, field.name, read_ids(text))
    return table


def _other_delimiter(names: list[str]) -> str:
    """Return a hint if a header that is all one name looks like it was cut in the wrong places."""
    for character, shown in ((";", "';'"), ("\t", "tab"), ("|", "'|'"), (",", "','")):
        if len(names) == 1 and character in names[0]:
            return f"; the columns seem to be separated otherwise: add --delimiter {shown}"
    return ""


def _choose(
    present: list[str],
    columns: Mapping[str, str | None],
    optional: tuple[str, ...],
    path: Path,
    hint: str = "",
) -> list[str]:
    """Check the wanted columns against the ones in the file; return those to read."""
    for option, name in columns.items():
        if name is not None and name not in present:
            raise ColumnError(
                f"{option}: no column {name!r} in {path.name}{closest(name, present) or '.'} "
                f"Columns: {', '.join(present)}{hint}"
            )
        if name is not None and present.count(name) > 1:
            raise ColumnError(
                f"{option}: {path.name} has {present.count(name)} columns named {name!r}; "
                "rename all but one"
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
    from penchant.models.named import find_class

    model_class = find_class(name, "--model")
    values: dict[str, str] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ParameterError(f"--param takes NAME=VALUE, not {setting!r}")
        values[key] = text
    return model_class.from_texts(values)


def make_interactions(table: pa.Table, indent: str = "", **arguments: Any) -> Interactions:
    """Call `Interactions.from_frame`, print how many rows it dropped, why, and what is left."""
    from penchant import Interactions
    from penchant.data.report import dropped_text

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


class _DryRunError(Exception):
    """Ends a dry run."""


def check_out(path: Path) -> None:
    """Find out, before there is anything to save, whether an artifact can be saved at a path.

    Raises
    ------
    ParameterError
        The folder holds files, and no artifact among them.
    ArtifactError
        It cannot be written to, or something else is in the way.
    """
    from penchant.storage.artifact import replacing_artifact
    from penchant.storage.files import pending_file
    from penchant.storage.manifest import MANIFEST

    if path.is_dir() and not (path / MANIFEST).exists() and any(path.iterdir()):
        raise ParameterError(
            f"--out: {str(path)!r} holds files and no artifact; name an empty or a new folder"
        )
    with suppress(_DryRunError), replacing_artifact(path) as writer, pending_file(writer.directory):
        raise _DryRunError  # a folder and a file could be made; both are taken away again
