"""`penchant endpoints`: models served on this machine, in the background."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from penchant.cli.console import format_table, say
from penchant.cli.serve import named_filters

if TYPE_CHECKING:
    from penchant.endpoints import Predictor

__all__ = ["endpoints"]

endpoints = typer.Typer(
    name="endpoints",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="Serve models on this machine in the background: deploy, list, update, logs, delete.",
)

_NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the endpoint.")]
_ModelArgument = Annotated[
    Path, typer.Argument(metavar="ARTIFACT", help="Folder, or model.tar.gz of one.")
]
_ExpiresOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Stop by itself after this time: 90s, 30m, 2h, 1d."),
]
_Command = TypeVar("_Command", bound=Callable[..., None])
_FOLLOW_SECONDS = 0.3


def _command(name: str, examples: str) -> Callable[[_Command], _Command]:
    lines = "\n".join(f"  penchant endpoints {line}" for line in examples.splitlines())
    return endpoints.command(name, epilog=f"\b\nExamples:\n{lines}")


@_command("list", "list\nlist --json")
def list_endpoints(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show the endpoints and how they are."""
    import penchant.endpoints

    found = [_describe(predictor) for predictor in penchant.endpoints.list()]
    if as_json:
        say(json.dumps(found, indent=2))
    elif not found:
        say("no endpoints; start one with: penchant endpoints deploy ARTIFACT --name NAME")
    else:
        rows = [[str(value or "-") for value in one.values()] for one in found]
        say(format_table(list(found[0]), rows))


def _describe(predictor: Predictor) -> dict[str, str | None]:
    expires = predictor.expires_at
    return {
        "name": predictor.name,
        "status": predictor.status,
        "version": predictor.version,
        "url": predictor.endpoint_url,
        "expires": None if expires is None else _clock(expires),
        "reason": predictor.reason,
    }


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


@_command("deploy", "deploy artifact/ --name shop\ndeploy artifact/ --name shop --expires 2h")
def deploy(
    artifact: _ModelArgument,
    name: Annotated[str, typer.Option(metavar="NAME", help="What to call it.")],
    workers: Annotated[int | None, typer.Option(help="Processes that answer. [default: 1]")] = None,
    expires: _ExpiresOption = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of 127.0.0.1; 0 picks a free one.")
    ] = 0,
    named_filter: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="NAME=EXPRESSION",
            help="A filter that Personalize's clients name by filterArn; repeatable.",
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append questions, context and answers, as JSON Lines."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Update it if it exists.")] = False,
) -> None:
    """Start an endpoint; it goes on when this command has ended."""
    from penchant.endpoints import deploy as start

    predictor = start(
        artifact,
        name,
        workers=workers,
        expires=expires,
        port=port,
        filters=named_filters(named_filter) if named_filter else None,
        record=record,
        replace=replace,
        progress=sys.stderr.isatty(),
    )
    _say_ready(predictor)


@_command("update", "update shop new_artifact/")
def update(name: _NameArgument, artifact: _ModelArgument) -> None:
    """Let another version take over; no request is lost."""
    _say_ready(_get(name).update(artifact))


@_command("start", "start shop")
def start(name: _NameArgument, expires: _ExpiresOption = None) -> None:
    """Bring a stopped or failed endpoint back."""
    _say_ready(_get(name).start(expires=expires))


@_command("stop", "stop shop")
def stop(name: _NameArgument) -> None:
    """End an endpoint's process when it has answered; `start` brings it back."""
    _get(name).stop()
    say(f"stopped {name}")


@_command("delete", "delete shop\ndelete shop films")
def delete(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of endpoints.")],
) -> None:
    """End endpoints when they have answered, and forget them."""
    for predictor in [_get(name) for name in names]:  # none is deleted if one is misspelt
        predictor.delete_endpoint()
        say(f"deleted {predictor.name}")


@_command("logs", "logs shop\nlogs shop -n 200\nlogs shop --follow")
def logs(
    name: _NameArgument,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="How many lines.")] = 50,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
) -> None:
    """Print the end of an endpoint's log."""
    predictor = _get(name)
    start = predictor.log_path.stat().st_size
    text = predictor.logs(lines)
    if text:
        say(text)
    if follow:
        _follow(predictor, start)


def _follow(predictor: Predictor, start: int) -> None:
    with open(predictor.log_path, encoding="utf-8", errors="replace") as file:
        file.seek(start)
        while True:
            there = predictor.log_path.exists()  # asked first: nothing comes when it has gone
            text = file.read()
            if text:
                typer.echo(text, nl=False)
            elif there:
                time.sleep(_FOLLOW_SECONDS)
            else:
                return


@_command("router", "router\nrouter --port 9000\nrouter --stop")
def router(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on. [default: 8080]")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    expires: _ExpiresOption = None,
    stop: Annotated[bool, typer.Option("--stop", help="End the router instead.")] = False,
) -> None:
    """Give all endpoints one address, which boto3 takes for Amazon's; it runs in the background."""
    from penchant.endpoints import Router
    from penchant.endpoints import router as start

    if stop:
        Router().stop()
        say("stopped the router")
        return
    found = start(port, host=host, expires=expires, progress=sys.stderr.isatty())
    say(f"the router is in service on {found.url}")
    say(f"  boto3.client('sagemaker-runtime', endpoint_url='{found.url}', ...)")


def _get(name: str) -> Predictor:
    from penchant.endpoints import get

    return get(name)


def _say_ready(predictor: Predictor) -> None:
    url = predictor.endpoint_url
    say(f"{predictor.name} is in service on {url} with version {predictor.version}")
