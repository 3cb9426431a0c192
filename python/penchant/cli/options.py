"""The options that commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from penchant.errors import choose

DataOption = Annotated[
    Path,
    typer.Option(
        "--data", metavar="FILE", help="Parquet or CSV (.csv, .tsv, also .gz), a row per event."
    ),
]
_USER = typer.Option("--user", metavar="COLUMN", help="Column with the user's id.")
_ITEM = typer.Option("--item", metavar="COLUMN", help="Column with the item's id or name.")
UserOption = Annotated[str, _USER]
ItemOption = Annotated[str, _ITEM]
OptionalUserOption = Annotated[str | None, _USER]
OptionalItemOption = Annotated[str | None, _ITEM]
ValueOption = Annotated[
    str | None, typer.Option("--value", metavar="COLUMN", help="Column with a quantity or weight.")
]
TimestampOption = Annotated[
    str | None, typer.Option("--timestamp", metavar="COLUMN", help="Column with the event's time.")
]
TimestampUnitOption = Annotated[
    str | None,
    typer.Option(
        "--timestamp-unit",
        metavar="s|ms|us|ns",
        help="What a --timestamp column of numbers counts since 1970.",
    ),
]
NegativeOption = Annotated[
    str,
    typer.Option(
        "--negative-values", metavar="error|drop|net", help="What to do with a negative --value."
    ),
]
EncodingOption = Annotated[
    str, typer.Option("--encoding", help="Text encoding of a CSV file, e.g. latin-1.")
]
DelimiterOption = Annotated[
    str | None,
    typer.Option(
        "--delimiter",
        metavar="CHAR",
        help="Between the columns of a CSV file, e.g. ';' or tab. [default: comma; tab in .tsv]",
    ),
]
ArtifactArgument = Annotated[
    Path, typer.Argument(metavar="ARTIFACT", help="Folder written by `penchant train` or `save`.")
]
FormatOption = Annotated[
    str, typer.Option("--format", metavar="table|csv|json", help="How to print the answer.")
]
IncludeSeenOption = Annotated[
    bool, typer.Option("--include-seen", help="Allow items of the user's own training data.")
]
UnknownOption = Annotated[
    str,
    typer.Option(
        "--unknown",
        metavar="error|popular|drop",
        help="What an unknown user gets: an error, popular items, or no answer.",
    ),
]

Unknown = Literal["error", "popular", "drop"]


def check_choices(format: str, unknown: str) -> Unknown:
    """Check the values of `FormatOption` and `UnknownOption`; return the latter."""
    choose("--format", format, ("table", "csv", "json"))
    choose("--unknown", unknown, ("error", "popular", "drop"))
    return cast(Unknown, unknown)
