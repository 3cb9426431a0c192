"""`penchant serve`: models behind HTTP."""

from __future__ import annotations

import functools
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penchant.cli.options import ArtifactArgument
from penchant.errors import ParameterError

if TYPE_CHECKING:
    from penchant.serving.settings import Settings

__all__ = ["serve"]


_PortOption = Annotated[
    int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")
]
_HostOption = Annotated[
    str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")
]
_NameOption = Annotated[str, typer.Option(help="What the model is called.")]
_WorkersOption = Annotated[
    int, typer.Option(help="Processes that answer; they share the artifact.")
]
_FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="NAME=EXPRESSION",
        help="A filter that Personalize's clients name by filterArn; repeatable.",
    ),
]
_WarehouseOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Database that Snowflake's functions train on: duckdb:///FILE, postgresql://...",
    ),
]
_SecretOption = Annotated[
    str | None,
    typer.Option(metavar="WHERE", help="Its password: env:NAME, file:PATH or aws:ARN."),
]
_StateOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Keep the answers of Snowflake's functions beyond a restart."
    ),
]
_RecordOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Append the questions of /v1 and /invocations and their answers, as JSON Lines.",
    ),
]


def serve(
    artifact: ArtifactArgument,
    port: _PortOption = 8080,
    host: _HostOption = "127.0.0.1",
    name: _NameOption = "default",
    workers: _WorkersOption = 1,
    named_filter: _FilterOption = None,
    warehouse: _WarehouseOption = None,
    secret: _SecretOption = None,
    state: _StateOption = None,
    record: _RecordOption = None,
) -> None:
    """Answer recommendation requests over HTTP until Ctrl-C or SIGTERM.

    POST /v1/recommend, /v1/similar, /v1/predict, /v1/users with JSON such as
    {"user_id": "17850", "k": 10}; GET /recommend?user_id=ID; POST /invocations as SageMaker asks.
    GET /docs describes all. With PENCHANT_ADMIN_TOKEN set, PUT /v1/models/NAME swaps the model.
    """
    from penchant.serving.catalog import check_name
    from penchant.serving.listening import check_installed, check_workers
    from penchant.serving.settings import Settings

    check_name(name)
    check_workers(workers, "--workers")
    check_installed(workers)
    settings = Settings(
        {name: str(artifact)},
        record=None if record is None else str(record),
        filters=named_filters(named_filter or []),
        warehouse=warehouse,
        secret=secret,
        state=None if state is None else str(state),
    )
    settings.check()
    _run(settings, host, port, workers)


def _run(settings: Settings, host: str, port: int, workers: int) -> None:
    from penchant.serving.listening import address, listen

    with listen(host, port, "; choose another --port or --host") as listener:
        run = _run_one if workers == 1 else functools.partial(_run_several, workers)
        run(settings, listener, address(host, listener))


def named_filters(given: list[str]) -> dict[str, str]:
    """Read what ``--filter`` options say: an expression by its name."""
    found = {}
    for one in given:
        name, equals, expression = one.partition("=")
        if not equals or not name or not expression.strip():
            raise ParameterError(f"--filter takes NAME=EXPRESSION, not {one!r}")
        found[name] = expression
    return found


def _run_one(settings: Settings, listener: socket.socket, place: str) -> None:
    from penchant.serving.listening import make_server
    from penchant.serving.settings import make_app

    app = make_app(settings)
    (model,) = app.state.server.catalog
    typer.echo(
        f"serving {model.describe()['class']} ({model.describe()['users']:,} users, "
        f"{model.describe()['items']:,} items) on {place} - Ctrl-C stops it",
        err=True,
    )
    make_server(app).run(sockets=[listener])


def _run_several(workers: int, settings: Settings, listener: socket.socket, place: str) -> None:
    from penchant.serving.workers import prepare, run_workers

    prepare(settings)
    typer.echo(f"serving with {workers} workers on {place} - Ctrl-C stops them", err=True)
    if code := run_workers(settings, listener, workers):
        raise typer.Exit(code)
