"""Text for people: plain in a pipe, with a little weight in a terminal."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

import typer

if TYPE_CHECKING:
    import pyarrow as pa


def say(text: str = "") -> None:
    """Print one line of a report."""
    typer.echo(text)


def heading(text: str) -> None:
    """Print the title of a part, bold where the terminal can."""
    typer.secho(text, bold=True)


def is_live() -> bool:
    """Tell whether progress can be drawn over itself: stderr is a terminal."""
    return sys.stderr.isatty()


def width() -> int:
    """Columns of text to fill."""
    return min(shutil.get_terminal_size((100, 24)).columns, 120)


def text_width(text: str) -> int:
    """Columns a text takes in a terminal (East Asian wide characters take two)."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def fit(text: str, columns: int) -> str:
    """Cut or pad a text to exactly `columns` columns; control characters become spaces."""
    text = "".join(character if character.isprintable() else " " for character in text)
    if text_width(text) > columns:
        while text and text_width(text) > columns - 1:
            text = text[:-1]
        text = text.rstrip() + "…"
    return text + " " * (columns - text_width(text))


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Lay out text cells in columns: the first to the left, the others to the right if numeric."""
    cells = [list(header), *map(list, rows)]
    numeric = [all(_is_number(row[j]) for row in cells[1:]) for j in range(len(header))]
    widths = [max(text_width(row[j]) for row in cells) for j in range(len(header))]

    def line(row: Sequence[str]) -> str:
        parts = [
            " " * (widths[j] - text_width(cell)) + cell if numeric[j] else fit(cell, widths[j])
            for j, cell in enumerate(row)
        ]
        return indent + "  ".join(parts).rstrip()

    rule = indent + "  ".join("-" * columns for columns in widths)
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])])


def _is_number(text: str) -> bool:
    if text in ("", "-"):
        return True
    try:
        float(text.replace(",", ""))
    except ValueError:
        return False
    return True


def side_by_side(left: Iterable[str], right: Iterable[str], columns: int, indent: str = "") -> str:
    """Set two lists of lines beside each other, filling `columns` columns."""
    half = (columns - len(indent) - 3) // 2
    lefts, rights = list(left), list(right)
    rows = max(len(lefts), len(rights))
    lefts += [""] * (rows - len(lefts))
    rights += [""] * (rows - len(rights))
    return "\n".join(
        f"{indent}{fit(a, half)} | {fit(b, half)}".rstrip()
        for a, b in zip(lefts, rights, strict=True)
    )


def write_frame(table: pa.Table, style: str) -> None:
    """Print a result as a text table, CSV with a header, or a JSON list of records."""
    names = table.column_names
    rows = list(zip(*map(_values, table.columns), strict=True))
    if style == "json":
        records = [dict(zip(names, row, strict=True)) for row in rows]
        typer.echo(json.dumps(records, indent=2, ensure_ascii=False, default=str))
    elif style == "csv":
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
        typer.echo(buffer.getvalue(), nl=False)
    else:
        typer.echo(format_table(names, [[_short(value) for value in row] for row in rows]))


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Python values of a column; not-a-number is None, a float32 has the digits it needs."""
    import pyarrow as pa

    if not pa.types.is_floating(column.type):
        return list(column.to_pylist())
    texts = column.cast(pa.string()).to_pylist()
    return [None if text in (None, "nan", "-nan") else float(text) for text in texts]


def _short(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)


class Steps:
    """The numbered parts of a long job, and what each of them took."""

    def __init__(self) -> None:
        self.seconds: list[tuple[str, float]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Print a heading, time what happens inside."""
        heading(f"{len(self.seconds) + 1}. {title}")
        start = perf_counter()
        yield
        self.seconds.append((title, perf_counter() - start))
        say()

    def report(self) -> str:
        """Return the timings as a table, with the total."""
        total = sum(seconds for _, seconds in self.seconds)
        rows = [(title, f"{seconds:.2f}") for title, seconds in (*self.seconds, ("total", total))]
        return format_table(("step", "seconds"), rows, indent="  ")
