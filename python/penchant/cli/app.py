"""The typer application: registration, `--version`, and how errors reach the user.

Everything the commands need beyond typer is imported inside them, so `penchant --help` stays quick.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from penchant.cli.batch import batch
from penchant.cli.config import config
from penchant.cli.demo import demo
from penchant.cli.endpoints import endpoints
from penchant.cli.evaluate import evaluate
from penchant.cli.jobs import app as jobs
from penchant.cli.recommend import recommend
from penchant.cli.serve import serve
from penchant.cli.train import train
from penchant.errors import PenchantError, PenchantWarning

__all__ = ["app"]

_UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # click's, wherever typer keeps click
_INTERRUPTED = 130
# What messages written for Python callers name, and the option it is on the command line.
_OPTIONS = {
    "negative_values": "--negative-values",
    "random_state": "--seed",
    "timestamp_unit": "--timestamp-unit",
    "unknown": "--unknown",
}
# unknown='drop', or several values: timestamp_unit='s', 'ms', 'us' or 'ns'
_VALUE = r"(?:'\w+'|\d+)"
_ARGUMENT = re.compile(rf"(?<![-\w])({'|'.join(_OPTIONS)})=({_VALUE}(?:(?:, | or ){_VALUE})*)")


class _Group(TyperGroup):
    """Turns what goes wrong into one line on stderr and an exit code; `--debug` shows it all."""

    def main(self, args: Sequence[str] | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        arguments = list(sys.argv[1:] if args is None else args)
        debug = "--debug" in arguments  # accepted before and after the command's name
        arguments = [text for text in arguments if text != "--debug"] or ["--help"]
        kwargs["standalone_mode"] = False  # the exceptions come to us, not to click's own printer
        with warnings.catch_warnings():
            warnings.simplefilter("always", PenchantWarning)
            warnings.showwarning = _show_warning
            code = self._run(arguments, debug, kwargs)
        sys.exit(code)

    def _run(self, arguments: list[str], debug: bool, kwargs: dict[str, Any]) -> int:
        try:
            result = super().main(args=arguments, **kwargs)
        except _UsageError as error:
            context = getattr(error, "ctx", None)
            path = context.command_path if context else "penchant"
            return _fail(f"{error.format_message()} (see: {path} --help)", debug)  # type: ignore[attr-defined]
        except (KeyboardInterrupt, typer.Abort):
            result = _INTERRUPTED
        except BrokenPipeError:  # the reader, say `head`, has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except (PenchantError, OSError, ImportError) as error:
            return _fail(str(error) or repr(error), debug)
        except Exception as error:
            text = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
            return _fail(text, debug, code=1)
        if result == _INTERRUPTED:  # newer typer makes this exit code of Ctrl-C by itself
            typer.echo("interrupted", err=True)
        return result if isinstance(result, int) else 0


def _fail(message: str, debug: bool, code: int = 2) -> int:
    if debug:
        traceback.print_exc()
    typer.secho("error: " + _line(message), err=True, fg=typer.colors.RED)
    return code


def _show_warning(
    message: Warning | str, category: type[Warning], *_: object, **__: object
) -> None:
    if issubclass(category, PenchantWarning):
        typer.secho("note: " + _line(str(message)), err=True, fg=typer.colors.YELLOW)


def _line(message: str) -> str:
    """Make one line of a message, and options of the Python arguments it names."""
    text = " ".join(message.split()).replace("exclude_seen=False", "--include-seen")
    return _ARGUMENT.sub(_option, text)


def _option(argument: re.Match[str]) -> str:
    name, values = argument.groups()
    return f"{_OPTIONS[name]} {values.replace(chr(39), '')}"


app = typer.Typer(
    cls=_Group,
    name="penchant",
    rich_markup_mode=None,  # plain help: the same text in a terminal, a pipe and a log
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  penchant demo                                   see the whole job on a generated shop
  penchant train --data purchases.parquet --user CustomerID --item Description --out artifact/
  penchant recommend artifact/ --user 17850
  penchant train --help                           options and examples of one command""",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from penchant import __version__

        typer.echo(f"penchant {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (any position).")
    ] = False,
) -> None:
    """Penchant turns a table of purchases into recommendations."""


_EXAMPLES = {
    "demo": """
  penchant demo
  penchant demo --data transactions.parquet --user CustomerID --item Description
  penchant demo --data sales.csv --user customer --item product --quantity pieces --out demo/""",
    "train": """
  penchant train --data purchases.parquet --user CustomerID --item Description --out artifact/
  penchant train --data sales.csv --user customer --item product --param factors=128 \\
      --param negatives=dynamic --validation 0.1 --patience 3 --out artifact/
  penchant train --data sales.csv --user customer --item product --model popularity --out top/""",
    "evaluate": """
  penchant evaluate artifact/ --data held_out.parquet
  penchant evaluate artifact/ --data held_out.csv --user customer --item product \\
      --metrics recall@20,ndcg@20 --format json""",
    "recommend": """
  penchant recommend artifact/ --user 17850
  penchant recommend artifact/ --user 17850 --user 13047 -k 5 --format csv
  penchant recommend artifact/ --user 17850 --include-seen --format json""",
    "serve": """
  penchant serve artifact/ --port 8080
  curl 'http://127.0.0.1:8080/recommend?user_id=17850'""",
    "config": """
  penchant config
  penchant config --json""",
}

for _command in (demo, train, evaluate, recommend, serve, config):
    _name = _command.__name__
    app.command(_name, epilog=f"\b\nExamples:{_EXAMPLES[_name]}")(_command)

# Commands of several parts; each part has examples of its own.
_GROUPS = {
    "batch": (
        batch,
        """
  penchant batch transform users.jsonl recommendations.csv --model artifact/
      where users.jsonl has lines such as {"user_id": "17850", "k": 10}
  penchant batch recommend users.jsonl --model artifact/    Amazon Personalize's format""",
    ),
    "jobs": (
        jobs,
        """
  penchant jobs list
  penchant jobs logs NAME""",
    ),
    "endpoints": (
        endpoints,
        """
  penchant endpoints deploy artifact/ --name shop
  penchant endpoints router                       one address for all, which boto3 understands
  penchant endpoints deploy --help                options and examples of one command""",
    ),
}

for _name, (_group, _examples) in _GROUPS.items():
    app.add_typer(_group, name=_name, epilog=f"\b\nExamples:{_examples}")
