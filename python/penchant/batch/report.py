"""What a batch job says when it is done."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["Report"]


@dataclasses.dataclass(frozen=True)
class Report:
    """What a job has done.

    Attributes
    ----------
    job : str
        "transform", "recommend", "rank", "related" or "segment".
    source, out : str
        Paths, or "-".
    errors : str or None
        Path of the lines that were no requests, where there are any (`transform`).
    requests : int
        Lines answered.
    rows : int
        Recommendations written.
    unknown : int
        Requests for users that the model does not know, which got popular items.
    failed : int
        Lines that could not be answered.
    seconds : float
        What this run took.
    continued : bool
        An earlier run of the same job had been cut short, and this one went on from there.
    first_errors : tuple of str
        Why the first lines failed.
    model : str
        Version of the model: the first 12 digits of its artifact's SHA-256; empty for a model that
        was not loaded from one.

    Examples
    --------
    >>> print(Report("transform", "in.jsonl", "out.csv", requests=3, rows=30, unknown=1))
    30 recommendations for 3 requests; 1 of them for users unknown to the model: popular items
    >>> print(Report("transform", "in.jsonl", "out.csv", requests=3, rows=30, failed=2))
    30 recommendations for 3 requests; 2 lines not answered
    """

    job: str
    source: str
    out: str
    errors: str | None = None
    requests: int = 0
    rows: int = 0
    unknown: int = 0
    failed: int = 0
    seconds: float = 0.0
    continued: bool = False
    first_errors: tuple[str, ...] = ()
    model: str = ""

    def __str__(self) -> str:
        text = f"{_counted(self.rows, 'recommendation')} for {_counted(self.requests, 'request')}"
        if self.unknown:
            text += f"; {self.unknown:,} of them for users unknown to the model: popular items"
        if self.failed:
            text += f"; {_counted(self.failed, 'line')} not answered"
        return text

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return dataclasses.asdict(self) | {"first_errors": list(self.first_errors)}


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
