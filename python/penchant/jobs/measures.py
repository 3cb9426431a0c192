"""What a job's log says of its epochs."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from penchant.errors import DataError, require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Measure", "metrics_frame", "plot_metrics", "read_measures", "shown_name"]

_LINE = re.compile(r"(\S+) (?:epoch=(\d+)|test); (.*;)\s*")
_VALUE = re.compile(r"([A-Za-z][A-Za-z0-9_]*)=([-+.0-9eainf]+);")
_AT = re.compile(r"(test_)?([a-z_]+)_at_(\d+)")


class Measure(NamedTuple):
    """One value of one metric: when, of which epoch (None: of the finished model), and what."""

    timestamp: str
    epoch: int | None
    metric: str
    value: float


def shown_name(name: str) -> str:
    """Return the name of a metric in frames and plots.

    Examples
    --------
    >>> shown_name("precision_at_10"), shown_name("test_ndcg_at_5"), shown_name("loss")
    ('p@k(10)', 'test ndcg@k(5)', 'loss')
    """
    found = _AT.fullmatch(name)
    if found is None:
        return name.replace("test_", "test ", 1) if name.startswith("test_") else name
    prefix, metric, k = found.groups()
    return f"{'test ' if prefix else ''}{'p' if metric == 'precision' else metric}@k({k})"


def read_measures(lines: Iterable[str]) -> list[Measure]:
    """Return the measures in the lines of a log, in order.

    Examples
    --------
    >>> read_measures(["2024-05-01T12:00:00.000Z epoch=3; loss=0.5; precision_at_10=0.125;"])[1]
    Measure(timestamp='2024-05-01T12:00:00.000Z', epoch=3, metric='p@k(10)', value=0.125)
    """
    found = []
    for line in lines:
        if match := _LINE.fullmatch(line):
            time, epoch, rest = match.groups()
            number = None if epoch is None else int(epoch)
            found += [
                Measure(time, number, shown_name(name), float(value))
                for name, value in _VALUE.findall(rest)
            ]
    return found


def metrics_frame(measures: list[Measure]) -> pd.DataFrame:
    """Return measures as a frame: timestamp (UTC), epoch (Int64), metric, value (float64)."""
    import pandas as pd

    frame = pd.DataFrame(measures, columns=list(Measure._fields))
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], format="ISO8601", utc=True)
    frame["epoch"] = frame["epoch"].astype("Int64")
    frame["value"] = frame["value"].astype("float64")
    return frame[["timestamp", "metric", "value", "epoch"]]


def plot_metrics(
    measures: list[Measure], title: str, path: os.PathLike[str] | str | None = None
) -> Any:
    """Draw a line for each metric over the epochs, the loss and the like in a part of their own.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        There is nothing to draw yet.
    MissingExtraError
        Without matplotlib.
    """
    series: dict[str, list[tuple[int, float]]] = {}
    for measure in measures:
        if measure.epoch is not None:
            series.setdefault(measure.metric, []).append((measure.epoch, measure.value))
    if not series:
        raise DataError(f"{title} has measured nothing yet")
    figure = require("matplotlib.figure", "plot").Figure(figsize=(7, 4.5), layout="constrained")
    groups = [
        {name: points for name, points in series.items() if ("@k(" in name) == ranking}
        for ranking in (True, False)
    ]
    groups = [group for group in groups if group]
    axes = figure.subplots(len(groups), sharex=True, squeeze=False)[:, 0]
    for part, group in zip(axes, groups, strict=True):
        for name, points in group.items():
            epochs, values = zip(*points, strict=True)
            part.plot(epochs, values, marker="o", markersize=3, label=name)
        part.legend(fontsize="small")
        part.grid(alpha=0.25)
        part.spines[["top", "right"]].set_visible(False)
    axes[0].set_title(title)
    axes[-1].set_xlabel("epoch")
    if path is not None:
        figure.savefig(path, dpi=150)
    # A figure that pyplot has not made is shown by notebooks only if it can draw itself.
    figure._repr_png_ = partial(_png, figure)
    return figure


def _png(figure: Any) -> bytes:
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=100)
        return file.getvalue()
