"""`penchant batch`: files of requests in, files of recommendations out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penchant.cli.console import is_live

if TYPE_CHECKING:
    from penchant.batch import Outcome, Report

__all__ = ["batch"]

_EXAMPLES = {
    "transform": """
  penchant batch transform users.jsonl recommendations.csv --model artifact/
      where users.jsonl has lines such as {"user_id": "17850", "k": 10}
  penchant batch transform users.parquet recommendations.parquet --model artifact/""",
    "recommend": """
  penchant batch recommend users.jsonl --model artifact/      the answers: users.jsonl.out
      where users.jsonl has lines such as {"userId": "4638"}
  penchant batch recommend users.jsonl out/ --model artifact/ --num-results 10 \\
      --filter 'INCLUDE ItemID WHERE Items.GENRE IN ($GENRE)'
      where lines have a value too: {"userId": "4638", "filterValues": {"GENRE": "\\"Drama\\""}}""",
    "rank": """
  penchant batch rank lists.jsonl --model artifact/
      where lists.jsonl has lines such as {"userId": "891", "itemList": ["27", "886"]}""",
    "related": """
  penchant batch related items.jsonl --model artifact/
      where items.jsonl has lines such as {"itemId": "105"}""",
    "segment": """
  penchant batch segment items.jsonl --model artifact/ --num-results 1000
      where items.jsonl has lines such as {"itemId": "105"}""",
    "watch": """
  penchant batch watch inbox/ --model artifact/
  cp users.jsonl inbox/recommend-1.jsonl      the answers: inbox/out/TIME-recommend-1.jsonl/""",
    "to-parquet": """
  penchant batch to-parquet users.jsonl.out users.parquet --model artifact/
  penchant batch to-parquet users.jsonl.out users.parquet --items films.csv""",
}

batch = typer.Typer(
    name="batch",
    help="Answer a file of requests: recommendations, rankings, segments.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  penchant batch transform --help      users in, recommendations out: options and examples
  penchant batch recommend --help      the same in the format of Amazon Personalize""",
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
Source = Annotated[str, typer.Argument(metavar="IN", help="JSON Lines; - is stdin.")]
Out = Annotated[
    str | None,
    typer.Argument(metavar="OUT", help="A file or folder; - is stdout. [default: IN.out]"),
]
Results = Annotated[
    int, typer.Option("--num-results", metavar="N", help="For lines that do not say how many.")
]
Filter = Annotated[
    str | None,
    typer.Option("--filter", metavar="EXPRESSION", help="Of Amazon Personalize; $NAMES in lines."),
]
IncludeSeen = Annotated[
    bool, typer.Option("--include-seen", help="Answers may hold what a user has taken already.")
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

    A line is {"user_id": "17850"} or {"user_id": "17850", "k": 5}; a user gives up to k rows
    user_id,item_id,score. CSV and Parquet have the columns user_id and, perhaps, k. (top_n is the
    same as k.) Users the model does not know get the most popular items. Lines that are no requests
    are reported and skipped. OUT appears when it is complete; the same command continues a run that
    was cut short.
    """
    with _telling(notify, "transform", source, out) as told:
        report = told(_jobs().transform)(
            model,
            source,
            out,
            top_n=top_n,
            header=header,
            errors=errors,
            progress=is_live(),
        )
    _say(report)


def recommend(
    source: Source,
    model: Model,
    out: Out = None,
    num_results: Results = 25,
    where: Filter = None,
    include_seen: IncludeSeen = False,
    notify: Notify = None,
) -> None:
    """Recommend items to users, in the format of Amazon Personalize.

    A line is {"userId": "4638"}, perhaps with "numResults" and "filterValues"; its answer has ids
    as text and scores that sum to 1 over the catalogue. A line that cannot be answered has no
    output, and the reason. OUT appears when it is complete; the same command continues a run that
    was cut short.
    """
    options = {"num_results": num_results, "where": where, "exclude_seen": not include_seen}
    _personalize("recommend", model, source, out, notify, options)


def rank(
    source: Source,
    model: Model,
    out: Out = None,
    where: Filter = None,
    notify: Notify = None,
) -> None:
    """Put lists of items in each user's order, in the format of Amazon Personalize.

    A line is {"userId": "891", "itemList": ["27", "886"]}; scores sum to 1 over the list.
    """
    _personalize("rank", model, source, out, notify, {"where": where})


def related(
    source: Source,
    model: Model,
    out: Out = None,
    num_results: Results = 25,
    where: Filter = None,
    notify: Notify = None,
) -> None:
    """Find items like items, in the format of Amazon Personalize.

    A line is {"itemId": "105"}.
    """
    options = {"num_results": num_results, "where": where}
    _personalize("related", model, source, out, notify, options)


def segment(
    source: Source,
    model: Model,
    out: Out = None,
    num_results: Results = 100,
    where: Filter = None,
    include_seen: IncludeSeen = False,
    notify: Notify = None,
) -> None:
    """Find the users who would want items, in the format of Amazon Personalize.

    A line is {"itemId": "105"}; a filter is about users: INCLUDE UserID WHERE Users.AGE >= 18.
    """
    options = {"num_results": num_results, "where": where, "exclude_seen": not include_seen}
    _personalize("segment", model, source, out, notify, options)


def watch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where files are dropped.")],
    model: Model,
    once: Annotated[
        bool, typer.Option("--once", help="Answer what is there, then end; 1 if any failed.")
    ] = False,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", help="Between looks at the folder.")
    ] = 1.0,
    where: Filter = None,
    notify: Notify = None,
) -> None:
    """Answer the files that are dropped in a folder.

    The beginning of a file's name says what it is: recommend, rank, related, segment or transform.
    Results are in DIR/out/TIME-NAME/ and the file is then in DIR/done; one that cannot be answered
    goes to DIR/failed, with the reason beside it. A file is taken when it has stopped changing.
    SIGTERM ends; what was not finished is continued by the next run.
    """
    outcomes = _jobs().watch(
        folder,
        model,
        once=once,
        interval=interval,
        where=where,
        notify=notify,
        on_outcome=_say_outcome,
    )
    if once and any(outcome.error is not None for outcome in outcomes):
        raise typer.Exit(1)


def to_parquet(
    source: Annotated[str, typer.Argument(metavar="IN.out", help="Answers of a batch job.")],
    out: Annotated[str, typer.Argument(metavar="OUT.parquet", help="Table to write.")],
    model: Annotated[
        Path | None, typer.Option("--model", metavar="ARTIFACT", help="Its item table has titles.")
    ] = None,
    items: Annotated[
        Path | None,
        typer.Option("--items", metavar="TABLE", help="Titles: Parquet or CSV, instead."),
    ] = None,
) -> None:
    """Turn the answers of a batch job into a table that people can read.

    Columns: userId (or itemId), and Recommendations: 'Title (year) (first genre) | ...'.
    """
    rows = _jobs().to_parquet(source, out, model=model, items=items)
    typer.echo(f"{rows:,} rows in {out}", err=True)


def _jobs() -> Any:
    from penchant import batch as jobs

    return jobs


def _personalize(
    kind: str,
    model: Path,
    source: str,
    out: str | None,
    notify: str | None,
    options: dict[str, Any],
) -> None:
    with _telling(notify, kind, source, out or f"{source}.out") as told:
        report = told(getattr(_jobs(), kind))(model, source, out, progress=is_live(), **options)
    _say(report)


@contextlib.contextmanager
def _telling(
    target: str | None, kind: str, source: str, out: str
) -> Iterator[Callable[[Callable[..., Report]], Callable[..., Report]]]:
    """Tell `--notify` how a job ends; what it gives keeps the report of the function it wraps."""
    from penchant.batch import notify as telling

    if target is not None:
        telling.check_target(target)
    reports: list[Report] = []

    def keep(job: Callable[..., Report]) -> Callable[..., Report]:
        def run(*arguments: Any, **options: Any) -> Report:
            reports.append(job(*arguments, **options))
            return reports[0]

        return run

    error: BaseException | None = None
    try:
        yield keep
    except BaseException as wrong:
        error = wrong
        raise
    finally:
        if target is not None:
            report = reports[0] if reports else None
            where = report.out if report else out
            telling.notify(target, telling.payload(kind, source, where, report, error))


def _say_outcome(outcome: Outcome) -> None:
    if outcome.error is not None:
        typer.secho(f"{outcome.name}: {outcome.error}", err=True, fg=typer.colors.RED)
    else:
        done = "" if outcome.report is None else f": {outcome.report}"
        typer.echo(f"{outcome.name}{done}; see {outcome.folder}", err=True)


def _say(report: Report) -> None:
    if report.continued:
        typer.echo("continued where an earlier run had stopped", err=True)
    for line in report.first_errors:
        typer.echo(line, err=True)
    if report.failed:
        left = report.failed - len(report.first_errors)
        more = f", {left:,} more like these" if left else ""
        what = "skipped" if report.job == "transform" else "could not answer"
        where = f": see {report.errors}" if report.errors is not None else ""
        lines = "bad line" if report.failed == 1 else "bad lines"
        typer.echo(f"{what} {report.failed:,} {lines}{more}{where}", err=True)
    typer.echo(str(report), err=True)


for _command in (transform, recommend, rank, related, segment, watch, to_parquet):
    _name = _command.__name__.replace("_", "-")
    batch.command(_name, epilog=f"\b\nExamples:{_EXAMPLES[_name]}")(_command)
