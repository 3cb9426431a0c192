"""What jobs of every kind share: checks of paths, where output goes, and the report."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from penchant._version import __version__
from penchant.batch import sources
from penchant.batch.models import Loaded
from penchant.batch.report import Report
from penchant.batch.sources import Source
from penchant.batch.work import Stream, Work, opened_work
from penchant.errors import ParameterError
from penchant.storage.files import replaced_file

__all__ = ["check_paths", "opened", "report_of"]

_SHOWN = 5


def check_paths(source: str, out: str, errors: Path | None, model: Path | None) -> None:
    """Refuse to write over the requests, the model, or one output over the other.

    Raises
    ------
    ParameterError
        Naming the two.
    """
    files = {"source": source, "out": out, "errors": str(errors or "-")}
    if "" in (source, out):
        raise ParameterError("a path is empty: name a file, or - for stdin and stdout")
    real = {name: Path(text).resolve() for name, text in files.items() if text != "-"}
    for first, second in (("source", "out"), ("source", "errors"), ("out", "errors")):
        if first in real and real[first] == real.get(second):
            raise ParameterError(f"{first} and {second} are the same file: {files[first]!r}")
    for name in ("out", "errors"):
        if name in real and model is not None and real[name].is_relative_to(model.resolve()):
            raise ParameterError(f"{name} is inside the model: {files[name]!r}; write elsewhere")
        if name in real and real[name].is_dir():
            raise ParameterError(f"{name} is a folder: {files[name]!r}; name a file")


@contextlib.contextmanager
def opened(
    out: str, source: Source, model: Loaded, options: dict[str, Any]
) -> Iterator[Work | Stream]:
    """Open the output of a job: a file that can be continued, or a pipe or device.

    Parameters
    ----------
    out : str
    source : Source
    model : Loaded
    options : dict
        What the answers depend on beside the input and the model, as JSON.
    """
    if out == "-":
        with contextlib.closing(Stream(sys.stdout.buffer)) as stream:
            yield stream
        return
    if Path(out).exists() and not Path(out).is_file():
        if options.get("format") == "parquet":
            raise ParameterError(f"Parquet needs a file, which {out!r} is not")
        with replaced_file(out) as file, contextlib.closing(Stream(file)) as stream:
            yield stream
        return
    given = source.identity()
    identity = None
    if given is not None and model.version is not None:
        versions = {
            "penchant": __version__,
            "pyarrow": pa.__version__,
            "block": sources.BLOCK_BYTES,
        }
        identity = {"input": given, "model": model.version, "options": options | versions}
    with opened_work(out, identity) as work:
        yield work


def report_of(
    job: str,
    source: Source,
    out: str,
    work: Work | Stream,
    model: Loaded,
    errors: Path | None,
    began: float,
) -> Report:
    """Return the report of a job that has answered everything."""
    counts = work.counts
    first = [f"line {bad['line']}: {bad['error']}" for bad in work.shown_errors(_SHOWN)]
    return Report(
        job,
        source.path,
        out,
        str(errors) if errors is not None and counts["bad"] else None,
        requests=counts["requests"],
        rows=counts["rows"],
        unknown=counts["unknown"],
        failed=counts["bad"],
        seconds=time.perf_counter() - began,
        continued=work.continued,
        first_errors=tuple(first),
        model=model.version or "",
    )
