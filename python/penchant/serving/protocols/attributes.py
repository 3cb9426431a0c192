"""SageMaker's header of custom attributes: what to do with a body that does not say."""

from __future__ import annotations

from typing import Any, NamedTuple

from penchant.errors import RequestError, closest
from penchant.serving.decode import COUNTS, DEFAULT_COUNT, read_count, show

__all__ = ["ATTRIBUTES_HEADER", "Attributes", "parse_attributes"]

ATTRIBUTES_HEADER = "X-Amzn-SageMaker-Custom-Attributes"
_TASKS = ("recommend", "predict", "similar")
_NAMES = ("task", *COUNTS, "include_query", "header")


class Attributes(NamedTuple):
    """What the header of custom attributes says, such as ``task=predict,top_n=5``.

    Attributes
    ----------
    task : {"recommend", "predict", "similar"} or None
        None goes by the body.
    top_n : int
        For requests that do not say; given as ``k`` or ``top_n``.
    include_query : bool
        Similar items begin with the item itself.
    header : bool or None
        Whether CSV begins with a row of names; None recognises one.
    """

    task: str | None = None
    top_n: int = DEFAULT_COUNT
    include_query: bool = False
    header: bool | None = None


def parse_attributes(text: str | None, *, max_top_n: int = 1000) -> Attributes:
    """Read the header of custom attributes: ``name=value`` parts between commas or semicolons.

    Others than ours may be in it (an id to trace a request by, say) and are passed over, unless
    they look like one of ours misspelt.

    Raises
    ------
    RequestError

    Examples
    --------
    >>> parse_attributes("task=predict; trace-id=81f0")
    Attributes(task='predict', top_n=10, include_query=False, header=None)
    """
    found: dict[str, Any] = {}
    counts: dict[str, Any] = {}
    for part in (text or "").replace(";", ",").split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in _NAMES:
            if equals and (hint := closest(name, _NAMES)):
                raise RequestError(f"{ATTRIBUTES_HEADER}: unknown attribute {name!r}{hint}")
        elif name == "task":
            if value not in _TASKS:
                raise RequestError(f"task must be one of {', '.join(_TASKS)}, got {show(value)}")
            found[name] = value
        elif name in COUNTS:
            counts[name] = value
        else:
            if value.lower() not in ("true", "false"):
                raise RequestError(f"{name} must be true or false, got {show(value)}")
            found[name] = value.lower() == "true"
    return Attributes(top_n=read_count(counts, DEFAULT_COUNT, max_top_n), **found)
