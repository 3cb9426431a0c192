"""What an `Interactions` shows of itself."""

from __future__ import annotations

import html as markup
from typing import TYPE_CHECKING

import numpy as np

from penchant.data._times import show

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions

_DROPPED = {
    "missing_user": "without {user}",
    "missing_item": "without {item}",
    "missing_session": "without {session}",
    "negative_value": "with negative {value}",
    "returned": "with nothing left after returns",
    "repeated": "merged into another row of the same pair",
}


def dropped_text(data: Interactions) -> list[str]:
    """Return ``"243,007 rows without CustomerID"`` and the like."""
    names = {part: name for part, name in data.columns if not part.startswith("context:")}
    return [
        f"{_count(count, 'row')} {_DROPPED[reason].format(**names)}"
        for reason, count in data.dropped.items()
    ]


def text(data: Interactions) -> str:
    """Return the one-line summary."""
    columns = data.columns
    parts = [
        f"{_count(len(data), 'event')}, {_count(data.n_users, 'user')} {columns.user!r}, "
        f"{_count(data.n_items, 'item')} {columns.item!r}"
    ]
    rest = [
        f"{part.partition(':')[0]} {name!r}"
        for part, name in columns
        if part not in ("user", "item")
    ]
    if rest:
        parts.append(", ".join(rest))
    if data.dropped:
        parts.append("dropped " + ", ".join(dropped_text(data)))
    return f"Interactions({'; '.join(parts)})"


def facts(data: Interactions) -> dict[str, str]:
    """Return a summary as pairs of a name and a text."""
    csr = data.csr("distinct")
    n_pairs = len(csr.indices)
    found = {
        "events": f"{len(data):,}",
        f"users ({data.columns.user})": f"{data.n_users:,}",
        f"items ({data.columns.item})": f"{data.n_items:,}",
        "distinct pairs": f"{n_pairs:,}",
        "repeated events": f"{1 - n_pairs / len(data):.1%}",
        "density": f"{n_pairs / (data.n_users * data.n_items):.3%}",
        "events per user": _spread(np.bincount(data.array("user"), minlength=data.n_users)),
        "events per item": _spread(np.bincount(data.array("item"), minlength=data.n_items)),
    }
    if data.columns.value is not None:
        value = data.array("value")
        found[f"value ({data.columns.value})"] = (
            f"{value.min():g} to {value.max():g}, mean {value.mean():.4g}"
        )
    if data.columns.timestamp is not None:
        time = data.array("timestamp")
        found[f"time ({data.columns.timestamp})"] = f"{show(time.min())} to {show(time.max())}"
    if data.sessions is not None:
        found[f"sessions ({data.columns.session})"] = f"{len(data.sessions):,}"
    for line in dropped_text(data):
        count, _, reason = line.partition(" ")
        found[f"dropped: {reason}"] = count
    return found


def html(data: Interactions) -> str:
    """Return the summary as an HTML table."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{markup.escape(name)}</th>"
        f"<td style='text-align:right'>{markup.escape(value)}</td></tr>"
        for name, value in facts(data).items()
    )
    return f"<table><caption>Interactions</caption><tbody>{rows}</tbody></table>"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _spread(counts: np.ndarray) -> str:
    return (
        f"{counts.min():,} to {counts.max():,}, median {np.median(counts):g}, "
        f"mean {counts.mean():.1f}"
    )
