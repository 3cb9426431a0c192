"""Names of ranking metrics: ``ndcg@10``, ``coverage@100``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from penchant.errors import ParameterError, closest

PER_USER = ("precision", "recall", "ndcg", "map", "mrr", "hit_rate")
KNOWN = (*PER_USER, "coverage")

_NAME = re.compile(r"([^@]+)(?:@([0-9]{1,9})?)?")


class MetricName(NamedTuple):
    """A metric and the length of the lists it looks at."""

    metric: str
    k: int

    def __str__(self) -> str:
        return f"{self.metric}@{self.k}"


def parse_metric(name: object) -> MetricName:
    """Read the name of a metric.

    Raises
    ------
    ParameterError
        With the closest known name, or what is wrong with the k.

    Examples
    --------
    >>> parse_metric("ndcg@10")
    MetricName(metric='ndcg', k=10)
    >>> parse_metric("precison@10")
    Traceback (most recent call last):
    ...
    penchant.errors.ParameterError: unknown metric 'precison@10', did you mean 'precision@10'? \
Metrics are precision, recall, ndcg, map, mrr, hit_rate, coverage, each with @k
    """
    if isinstance(name, MetricName):
        return name
    found = _NAME.fullmatch(name.strip()) if isinstance(name, str) else None
    metric = found[1].casefold().replace("-", "_") if found else ""
    if found and metric in KNOWN:
        if found[2] is None:
            raise ParameterError(f"metric {name!r} has no k: add @k, as in {metric}@10")
        if int(found[2]) < 1:
            raise ParameterError(f"metric {name!r}: k must be >= 1, as in {metric}@10")
        return MetricName(metric, int(found[2]))
    hint = ""
    if isinstance(name, str):
        text, _, k = name.strip().partition("@")
        cutoff = k if k.isdigit() and int(k) >= 1 else "10"
        hint = closest(f"{text}@{cutoff}", [f"{metric}@{cutoff}" for metric in KNOWN])
    raise ParameterError(
        f"unknown metric {name!r}{hint or '.'} Metrics are {', '.join(KNOWN)}, each with @k"
    )


def parse_metrics(names: str | Iterable[str]) -> list[MetricName]:
    """Read one name or several; repeats are kept once."""
    chosen = [names] if isinstance(names, str) else list(names)
    if not chosen:
        raise ParameterError("metrics is empty: name at least one, such as 'ndcg@10'")
    return list(dict.fromkeys(parse_metric(name) for name in chosen))
