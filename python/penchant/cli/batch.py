"""`penchant batch`: a file of requests in, a file of recommendations out."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from penchant.errors import DataError, ParameterError

if TYPE_CHECKING:
    from penchant.serving import Service
    from penchant.serving.decode import BadLine

__all__ = ["batch"]

# Lines and, about, recommendations held in memory at a time.
_CHUNK = 8192
_PART_RECORDS = 1_000_000
_MAX_TOP_N = 100_000
_SHOWN = 5


def batch(
    users: Annotated[
        str, typer.Argument(metavar="USERS", help="JSON Lines file of requests; - is stdin.")
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="CSV file to write; - is stdout.")],
    model: Annotated[
        Path, typer.Option("--model", metavar="ARTIFACT", help="Folder written by train or save.")
    ],
    header: Annotated[
        bool, typer.Option("--header", help="Begin with a line user_id,item_id,score.")
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
) -> None:
    """Recommend to every user in a file, in constant memory.

    A line is {"user_id": "17850"} or {"user_id": "17850", "top_n": "5"}; a user gives up to top_n
    rows user_id,item_id,score. Users the model does not know get the most popular items. Lines
    that are no requests are reported and skipped. OUT appears when it is complete.
    """
    from penchant.serving import Service

    if not 1 <= top_n <= _MAX_TOP_N:
        raise ParameterError(f"--top-n must be from 1 to {_MAX_TOP_N}, got {top_n}")
    own_errors = errors is None and out != "-"
    if own_errors:
        errors = Path(f"{out}.errors.jsonl")
    _check_paths(users, out, errors, model)
    service = Service(model)
    bad_lines = _BadLines(errors, remove_stale=own_errors)
    with _open_input(users) as source, _open_output(out) as sink, bad_lines as bad:
        counts = _score(service, source, sink, bad, header=header, top_n=top_n)
        bad.report()
        if bad.count and not counts["requests"]:
            raise DataError(f"no line of {users!r} is a request: nothing was written")
    unknown = f"; {counts['unknown']:,} of them for users unknown to the model: popular items"
    typer.echo(
        f"{counts['rows']:,} recommendations for {counts['requests']:,} requests"
        f"{unknown if counts['unknown'] else ''}",
        err=True,
    )


def _check_paths(users: str, out: str, errors: Path | None, model: Path) -> None:
    """Refuse to write over the requests, the model, or one output over the other."""
    files = {"USERS": users, "OUT": out, "--errors": str(errors or "-")}
    real = {name: Path(text).resolve() for name, text in files.items() if text != "-"}
    for first, second in (("USERS", "OUT"), ("USERS", "--errors"), ("OUT", "--errors")):
        if first in real and real[first] == real.get(second):
            raise ParameterError(f"{first} and {second} are the same file: {files[first]!r}")
    for name in ("OUT", "--errors"):
        if name in real and real[name].is_relative_to(model.resolve()):
            raise ParameterError(f"{name} is inside the model: {files[name]!r}; write elsewhere")


def _score(
    service: Service,
    source: IO[bytes],
    sink: IO[bytes],
    bad: _BadLines,
    *,
    header: bool,
    top_n: int,
) -> dict[str, int]:
    from penchant.serving.decode import decode_lines
    from penchant.serving.encode import CSV_HEADER, to_csv

    counts = {"requests": 0, "unknown": 0, "rows": 0}
    if header:
        sink.write(CSV_HEADER)
    lines = _numbered_lines(source)
    while chunk := list(islice(lines, _CHUNK)):
        requests, wrong = decode_lines(chunk, top_n=top_n, max_top_n=_MAX_TOP_N)
        bad.add(wrong)
        for part in requests.split(_PART_RECORDS):
            records = service.answer(part)
            sink.write(to_csv(records))
            counts["rows"] += len(records)
            counts["requests"] += len(part)
            counts["unknown"] += records.unknown
    return counts


def _numbered_lines(source: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield lines with their numbers; of a line too long to be decoded, only its beginning."""
    from penchant.serving.decode import MAX_LINE_BYTES

    number = 0
    while line := source.readline(MAX_LINE_BYTES + 1):
        number += 1
        yield number, line
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            line = source.readline(MAX_LINE_BYTES + 1)


class _BadLines:
    """Counts the lines that are no requests, and writes them to a file if there are any.

    With `remove_stale` a file left by an earlier run is removed if there are none: it would
    mislead. A file that the user named is never removed.
    """

    def __init__(self, path: Path | None, *, remove_stale: bool) -> None:
        self.count = 0
        self._remove_stale = remove_stale
        self._path = path
        self._first: list[BadLine] = []
        self._stack = contextlib.ExitStack()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> _BadLines:
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._stack.__exit__(*error)

    def add(self, lines: list[BadLine]) -> None:
        """Set some lines aside."""
        from penchant.storage.files import replaced_file

        self.count += len(lines)
        self._first += lines[: _SHOWN - len(self._first)]
        if lines and self._path is not None:
            if self._file is None:
                self._file = self._stack.enter_context(replaced_file(self._path))
            for bad in lines:
                record = {"line": bad.number, "error": bad.error, "input": bad.line}
                self._file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")

    def report(self) -> None:
        """Complete the file, and say on stderr what was skipped and why."""
        self._stack.close()
        if not self.count:
            if self._remove_stale and self._path is not None and self._path.is_file():
                self._path.unlink()
            return
        for bad in self._first:
            typer.echo(f"line {bad.number}: {bad.error}", err=True)
        left = self.count - len(self._first)
        more = f", {left:,} more like these" if left else ""
        where = f": see {self._path}" if self._path is not None else ""
        typer.echo(f"skipped {self.count:,} bad lines{more}{where}", err=True)


@contextlib.contextmanager
def _open_input(path: str) -> Iterator[IO[bytes]]:
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise DataError(f"cannot read {path!r}: {error.strerror}") from error
    with file:
        yield file


@contextlib.contextmanager
def _open_output(path: str) -> Iterator[IO[bytes]]:
    from penchant.storage.files import replaced_file

    if path != "-":
        with replaced_file(path) as file:
            yield file
        return
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()
