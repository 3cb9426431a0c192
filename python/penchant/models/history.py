"""The record of a training run: a table with a row per epoch, and its plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from penchant.errors import DataError, require

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.axes import Axes

_ALWAYS = {"epoch": pa.int64(), "loss": pa.float64(), "seconds": pa.float64()}
# What the training itself measures: drawn only where there is nothing better.
_OF_TRAINING = ("auc", "rmse")


def history_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return the epochs as a table: epoch, loss, the model's other measures, seconds, callbacks'.

    A measure that was not taken in every epoch is null in the others.
    """
    names = dict.fromkeys(name for row in rows for name in row) or dict.fromkeys(_ALWAYS)
    return pa.table(
        {
            name: pa.array([row.get(name) for row in rows], _ALWAYS.get(name, pa.float64()))
            for name in names
        }
    )


def history_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows behind `history_table`, nulls left out."""
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in table.to_pylist()
    ]


def plot_rows(
    rows: Sequence[Mapping[str, Any]], title: str, path: str | PathLike[str] | None
) -> Axes:
    """Draw the loss (left axis) and the metrics (right axis) over the epochs.

    The AUC or RMSE of the training pairs is drawn only where there is no other metric: an AUC is
    close to 1 where the metrics of interest are small, and would flatten them.
    """
    if not rows:
        raise DataError("there is no history to plot: this model does not train in epochs")
    if path is None:
        figure = require("matplotlib.pyplot", "plot").figure(figsize=(7, 4), layout="constrained")
    else:
        # Not registered with pyplot: nothing to close, and no display is needed.
        figure = require("matplotlib.figure", "plot").Figure(figsize=(7, 4), layout="constrained")
    left: Axes = figure.add_subplot()
    lines = left.plot(
        [row["epoch"] for row in rows], [row["loss"] for row in rows], color="0.35", label="loss"
    )
    left.set_xlabel("epoch")
    left.set_ylabel("loss")
    left.set_title(title)
    left.grid(alpha=0.25)
    right = left.twinx()
    right.set_ylabel("metric")
    ticks = require("matplotlib.ticker", "plot").MaxNLocator(integer=True)
    left.xaxis.set_major_locator(ticks)
    measured = dict.fromkeys(name for row in rows for name in row if name not in _ALWAYS)
    metrics = [name for name in measured if name not in _OF_TRAINING] or list(measured)
    right.set_visible(bool(metrics))
    for number, name in enumerate(metrics):
        points = [(row["epoch"], row[name]) for row in rows if row.get(name) is not None]
        marker = "o" if len(points) < len(rows) or len(rows) == 1 else ""
        lines += right.plot(
            *zip(*points, strict=True), color=f"C{number}", marker=marker, markersize=3, label=name
        )
    figure.legend(
        handles=lines, loc="outside lower center", ncols=min(len(lines), 4), frameon=False
    )
    if path is not None:
        figure.savefig(Path(path), dpi=150)
    return left
