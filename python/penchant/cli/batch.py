"""`penchant batch`: files of requests in, files of recommendations out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penchant.cli.console import is_live

if TYPE_CHECKING:
    from penchant.batch import Report

__all__ = ["batch"]

_EXAMPLES = {
    "transform": """
  penchant batch transform users.jsonl recommendations.csv --model artifact/
      where users.jsonl has lines such as {"user_id": "17850", "top_n": "10"}
  penchant batch transform users.parquet recommendations.parquet --model artifact/""",
}

batch = typer.Typer(
    name="batch",
    help="Answer a file of requests: recommendations, rankings, segments.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[
    Path, typer.Option("--model", metavar="ARTIFACT", help="Folder written by train or save.")
]
Notify = Annotated[
    str | None,
    typer.Option(
        "--notify",
        metavar="TARGET",
        help="Tell when done: a command, an http(s):// address or sns:ARN gets JSON.",
    ),
]


def transform(
    source: Annotated[
        str,
        typer.Argument(metavar="IN", help="Users: .jsonl, .csv, .parquet; - is stdin (JSONL)."),
    ],
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="As .csv, .jsonl or .parquet; - is stdout (CSV).")
    ],
    model: Model,
    header: Annotated[
        bool, typer.Option("--header", help="Begin CSV with a line user_id,item_id,score.")
    ] = False,
    errors: Annotated[
        Path | None,
        typer.Option(
            "--errors",
            metavar="FILE",
            help="Where lines that are no requests go, as JSON Lines. [default: OUT.errors.jsonl]",
        ),
    ] = None,
    top_n: Annotated[
        int, typer.Option("--top-n", metavar="N", help="For requests that do not say how many.")
    ] = 10,
    notify: Notify = None,
) -> None:
    """Recommend to every user in a file, in bounded memory.

    A line is {"user_id": "17850"} or {"user_id": "17850", "top_n": "5"}; a user gives up to top_n
    rows user_id,item_id,score. CSV and Parquet have the columns user_id and, perhaps, top_n. Users
    the model does not know get the most popular items. Lines that are no requests are reported and
    skipped. OUT appears when it is complete; the same command continues a run that was cut short.
    """
    from penchant import batch as jobs

    report = jobs.transform(
        model,
        source,
        out,
        top_n=top_n,
        header=header,
        errors=errors,
        progress=is_live(),
    )
    _say(report)


def _say(report: Report) -> None:
    if report.continued:
        typer.echo("continued where an earlier run had stopped", err=True)
    for line in report.first_errors:
        typer.echo(line, err=True)
    if report.failed:
        left = report.failed - len(report.first_errors)
        more = f", {left:,} more like these" if left else ""
        where = f": see {report.errors}" if report.errors is not None else ""
        typer.echo(f"skipped {report.failed:,} bad lines{more}{where}", err=True)
    typer.echo(str(report), err=True)


for _command in (transform,):
    _name = _command.__name__
    batch.command(_name, epilog=f"\b\nExamples:{_EXAMPLES[_name]}")(_command)
