"""`penchant train`: a table in, an artifact out."""

from __future__ import annotations

import shlex
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penchant.cli.common import make_interactions, make_model, read_table
from penchant.cli.console import is_live, say
from penchant.cli.options import (
    DataOption,
    EncodingOption,
    ItemOption,
    NegativeOption,
    TimestampOption,
    TimestampUnitOption,
    UserOption,
    ValueOption,
)
from penchant.errors import ParameterError, choose

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models import Recommender

__all__ = ["train"]

_OutOption = Annotated[
    Path, typer.Option("--out", metavar="FOLDER", help="Where the artifact goes; replaced.")
]
_ModelOption = Annotated[
    str, typer.Option("--model", metavar="bpr|popularity", help="What to train.")
]
_ParamOption = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", metavar="NAME=VALUE", help="A model parameter; repeatable."),
]
_ValidationOption = Annotated[
    float,
    typer.Option(
        "--validation",
        metavar="FRACTION",
        help="Part of the rows to hold out, and to measure on while training.",
    ),
]
_PatienceOption = Annotated[
    int | None,
    typer.Option(
        "--patience",
        metavar="N",
        help="Stop when N epochs brought no better ndcg@10 on the held-out rows.",
    ),
]
_SeedOption = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, help="Of the --validation split.")
]


def train(
    data: DataOption,
    user: UserOption,
    item: ItemOption,
    out: _OutOption = Path("artifact"),
    value: ValueOption = None,
    timestamp: TimestampOption = None,
    timestamp_unit: TimestampUnitOption = None,
    model: _ModelOption = "bpr",
    param: _ParamOption = None,
    validation: _ValidationOption = 0.0,
    patience: _PatienceOption = None,
    seed: _SeedOption = 41,
    negative_values: NegativeOption = "error",
    encoding: EncodingOption = "utf8",
) -> None:
    """Train a model on a table of interactions and save it.

    Rows without a user or an item are dropped, and counted. The columns' names are kept in the
    artifact and come back in every answer.
    """
    if not 0 <= validation < 1:
        raise ParameterError(f"--validation takes a fraction from 0 to below 1, not {validation}")
    if patience is not None and not validation:
        raise ParameterError("--patience needs held-out rows: add --validation 0.1")
    choose("--negative-values", negative_values, ("error", "drop", "net"))

    estimator = make_model(model, param or ())
    columns = {"--user": user, "--item": item, "--value": value, "--timestamp": timestamp}
    interactions = make_interactions(
        read_table(data, columns, encoding=encoding),
        user=user,
        item=item,
        value=value,
        timestamp=timestamp,
        timestamp_unit=timestamp_unit,
        negative_values=negative_values,
    )
    start = perf_counter()
    if validation:
        _fit_and_measure(estimator, interactions, validation, patience, seed)
    else:
        estimator.fit(interactions, progress=is_live())
    say(f"trained  {estimator!r} in {perf_counter() - start:.1f} s")
    estimator.save(out)
    say(f"saved    {out}")
    someone = shlex.quote(str(estimator.users_[0]))
    say(f"next     penchant recommend {shlex.quote(str(out))} --user {someone}")


def _fit_and_measure(
    model: Recommender, data: Interactions, fraction: float, patience: int | None, seed: int
) -> None:
    """Fit on a part of the data, watch and print the metrics on the rest."""
    from penchant import EarlyStopping, ValidationMetric, evaluate, split
    from penchant.data.frames import to_arrow

    training, held_out = split.random(data, test_size=fraction, random_state=seed)
    names = ("precision@10", "ndcg@10")
    watchers: list[Any] = [ValidationMetric(None, name, every=5) for name in names]
    if patience is not None:
        watchers = [EarlyStopping("ndcg@10", patience=patience)]
    model.fit(training, held_out, progress=is_live(), callbacks=watchers)
    measured = to_arrow(evaluate(model, held_out, metrics=names))[0].to_pylist()
    values = ", ".join(f"{row['metric']} {row['value']:.4f}" for row in measured)
    say(f"measured {values} on {len(held_out):,} held-out rows")
