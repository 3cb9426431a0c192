"""Hyperparameters: strings, whatever they mean, read by the rules of what they set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penchant.errors import ParameterError, closest
from penchant.evaluation.names import parse_metric
from penchant.models.named import find_class
from penchant.models.params import Choice, Integer, Real, Rule
from penchant.models.ratings import RatingModel

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["RATING_ERRORS", "Settings", "read_settings"]

RATING_ERRORS = ("rmse", "mae")
_PARTS = ("user", "item", "value", "timestamp")
# SageMaker's own, beside those of the user.
_FOREIGN = re.compile(r"sagemaker_.*|_tuning_objective_metric")
_RANKING = ("precision", "recall", "ndcg")


@dataclass(frozen=True)
class _Text:
    """Any text that is not empty."""

    def accepts(self, value: object) -> bool:
        return isinstance(value, str) and bool(value)

    def read(self, text: str) -> Any:
        return text

    def describe(self) -> str:
        return "a text"


_RULES: dict[str, Rule] = {
    "model": _Text(),
    "user_column": _Text(),
    "item_column": _Text(),
    "value_column": _Text(),
    "timestamp_column": _Text(),
    "timestamp_unit": Choice(("s", "ms", "us", "ns")),
    "negative_values": Choice(("error", "drop", "net")),
    "duplicates": Choice(("keep", "sum", "last")),
    "header": Choice(("auto", "true", "false")),
    "delimiter": _Text(),
    "metrics": _Text(),
    "metrics_every": Integer(1, 2**31 - 1),
    "k": Integer(1, 100_000),
    "validation": Real(0, 0.9),
    "validation_seed": Integer(0, 2**32 - 1),
    "patience": Integer(1, 2**31 - 1),
    "data_url": _Text(),
    "query": _Text(),
    "table": _Text(),
    "secret": _Text(),
}


@dataclass(frozen=True)
class Settings:
    """What a training job was asked to do.

    Attributes
    ----------
    model : Recommender
        Unfitted.
    columns : dict of str to str
        Names of the columns that were given: keys "user", "item", "value" and "timestamp".
    reading : dict of str to str
        ``timestamp_unit``, ``negative_values`` and ``duplicates`` of `Interactions.from_frame`.
    header : {"auto", "true", "false"}
    delimiter : str or None
        Of CSV; None goes by the file's name.
    metrics : list of str
        Such as ``precision@10``, or ``rmse``.
    every : int
        Measure after every so many epochs.
    validation : float
        Share of the training rows to hold out where there is no such channel.
    seed : int
        Of that split.
    patience : int or None
        Measurements without a better first metric before training stops.
    url, query, table, secret : str or None
        A database to read the training data from.
    """

    model: Recommender
    columns: dict[str, str]
    reading: dict[str, str]
    header: str
    delimiter: str | None
    metrics: list[str]
    every: int
    validation: float
    seed: int
    patience: int | None
    url: str | None
    query: str | None
    table: str | None
    secret: str | None


def read_settings(hyperparameters: Mapping[str, Any]) -> Settings:
    """Read hyperparameters as SageMaker passes them: names and strings.

    Raises
    ------
    ParameterError
        An unknown name, with the closest one; a value that means nothing or is out of range.

    Examples
    --------
    >>> settings = read_settings({"model": "bpr", "factors": "16", "k": "5"})
    >>> settings.model, settings.metrics
    (BPR(factors=16), ['precision@5', 'recall@5', 'ndcg@5'])
    """
    texts = {name: _text(name, value) for name, value in hyperparameters.items()}
    texts = {name: text for name, text in texts.items() if not _FOREIGN.fullmatch(name)}
    cls = find_class(texts.get("model", "bpr"), "hyperparameter model")
    # A name that both have (k of a pipeline) is the model's.
    own = [name for name in _RULES if name == "model" or name not in cls._defaults()]
    for name in texts:
        if name not in own and name.partition("__")[0] not in cls._defaults():
            hint = closest(name, [*own, *cls._defaults()]) or "."
            raise ParameterError(
                f"there is no hyperparameter {name!r:.80}{hint} {cls.__name__} has "
                f"{', '.join(cls._defaults()) or 'none'}; the job has {', '.join(own)}"
            )
    said = {name: _read(name, text) for name, text in texts.items() if name in own}
    model = cls.from_texts({name: text for name, text in texts.items() if name not in own})
    settings = Settings(
        model=model,
        columns={part: said[f"{part}_column"] for part in _PARTS if f"{part}_column" in said},
        reading={
            name: said[name]
            for name in ("timestamp_unit", "negative_values", "duplicates")
            if name in said
        },
        header=said.get("header", "auto"),
        delimiter=said.get("delimiter"),
        metrics=_metrics(said.get("metrics"), said.get("k", 10), model),
        every=said.get("metrics_every", 1),
        validation=said.get("validation", 0.0),
        seed=said.get("validation_seed", 41),
        patience=said.get("patience"),
        url=said.get("data_url"),
        query=said.get("query"),
        table=said.get("table"),
        secret=said.get("secret"),
    )
    _check(settings)
    return settings


def _text(name: str, value: Any) -> str:
    """Return a value as it is written; JSON numbers and flags are taken too."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        text = str(value).strip()
        return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if value is None:
        return "none"
    raise ParameterError(f"hyperparameter {name!r:.80} must be a string, got {value!r:.80}")


def _read(name: str, text: str) -> Any:
    rule = _RULES[name]
    if name in ("header", "timestamp_unit", "negative_values", "duplicates"):
        text = text.lower()
    if name == "delimiter":
        text = {"tab": "\t", "\\t": "\t"}.get(text, text)
        if len(text) != 1 or not text.isascii() or text in '"\r\n\0':
            raise ParameterError(f"delimiter must be one character, such as ';' or tab: {text!r}")
    value = rule.read(text)
    if not rule.accepts(value):
        raise ParameterError(f"hyperparameter {name} must be {rule.describe()}, got {text!r:.80}")
    return value


def _metrics(text: str | None, k: int, model: Recommender) -> list[str]:
    """Return names such as ``ndcg@10`` out of ``ndcg``, ``ndcg@10`` or ``ndcg_at_10``."""
    if text is None:
        names = list(RATING_ERRORS if isinstance(model, RatingModel) else _RANKING)
    else:
        names = [name.strip().lower() for name in text.strip("[]() ").split(",")]
    found = []
    for name in names:
        metric, separator, cut = name.strip("\"' ").replace("_at_", "@").partition("@")
        if metric in RATING_ERRORS and not separator:
            found.append(metric)
        else:
            found.append(str(parse_metric(f"{metric}@{cut if separator else k}")))
    return list(dict.fromkeys(found))


def _check(settings: Settings) -> None:
    """Raise for settings that do not go together."""
    if settings.url is None:
        for name in ("query", "table", "secret"):
            if getattr(settings, name) is not None:
                raise ParameterError(f"{name} is about a database: give its data_url too")
    elif (settings.query is None) == (settings.table is None):
        raise ParameterError("data_url needs a table or a query to read, and not both")
    if not isinstance(settings.model, RatingModel):
        for name in settings.metrics:
            if name in RATING_ERRORS:
                raise ParameterError(
                    f"{type(settings.model).__name__} does not estimate ratings, so that there is "
                    f"no {name}: measure ndcg, or train svd"
                )
