"""The demo's picture: how loss and precision moved while the model trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from penchant.errors import require

if TYPE_CHECKING:
    from penchant.models import Recommender


def plot_training(model: Recommender, baseline: dict[str, float], path: Path) -> None:
    """Write a PNG with the loss above and the validation metrics below.

    Parameters
    ----------
    model : Recommender
        Fitted; its history has a column for every key of `baseline`.
    baseline : dict of str to float
        What a popularity recommender reaches in each metric, drawn as a dashed line.
    path : Path
        Of the picture.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    from penchant.data.frames import to_arrow

    figure = require("matplotlib.figure", "plot").Figure(figsize=(8, 6), layout="constrained")
    rows = to_arrow(model.history_)[0].to_pylist()
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(2, 3))
    epochs = [row["epoch"] for row in rows]
    upper.plot(epochs, [row["loss"] for row in rows], color="0.3")
    upper.set_ylabel("loss")
    upper.set_title(f"{type(model).__name__}: {_duration(rows)}")
    for number, (name, popular) in enumerate(baseline.items()):
        points = [(row["epoch"], row[name]) for row in rows if row[name] is not None]
        x, y = zip(*points, strict=True)
        color = f"C{number}"
        lower.plot(x, y, color=color, marker="o", markersize=4, label=name)
        lower.axhline(popular, color=color, linestyle="--", label=f"{name}, most popular items")
    lower.set_ylim(bottom=0)
    lower.set_ylabel("precision")
    lower.set_xlabel("epoch")
    lower.legend(fontsize="small", ncols=2)
    for axes in (upper, lower):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _duration(rows: list[dict[str, Any]]) -> str:
    return f"{len(rows)} epochs in {sum(row['seconds'] for row in rows):.1f} s of training"
