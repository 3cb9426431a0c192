"""`penchant train`: a table in, an artifact out."""

from __future__ import annotations

import shlex
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from penchant.cli.common import check_out, make_interactions, make_model, read_table
from penchant.cli.console import is_live, say
from penchant.cli.options import (
    DataOption,
    DelimiterOption,
    EncodingOption,
    ItemOption,
    NegativeOption,
    TimestampOption,
    TimestampUnitOption,
    UserOption,
    ValueOption,
)
from penchant.errors import ParameterError, choose

__all__ = ["train"]

_OutOption = Annotated[
    Path, typer.Option("--out", metavar="FOLDER", help="Where the artifact goes; replaced.")
]
_ModelOption = Annotated[
    str,
    typer.Option(
        "--model", metavar="MODEL", help="What to train: bpr, popularity, ... in any case."
    ),
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
        help="Part of the rows to hold out and measure on, before training anew on all rows.",
    ),
]
_PatienceOption = Annotated[
    int | None,
    typer.Option(
        "--patience",
        metavar="N",
        min=1,
        help="Stop when N epochs brought no better ndcg@10 on the held-out rows, and train on "
        "all rows for as many epochs as were best.",
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
    delimiter: DelimiterOption = None,
) -> None:
    """Train a model on a table of interactions and save it.

    Rows without a user or an item are dropped, and counted. The columns' names are kept in the
    artifact and come back in every answer. With --validation the metrics are those of a first
    training without the rows held out; the model that is saved is then trained on all rows.
    """
    if not 0 <= validation < 1:
        raise ParameterError(f"--validation takes a fraction from 0 to below 1, not {validation}")
    if patience is not None and not validation:
        raise ParameterError("--patience needs held-out rows: add --validation 0.1")
    choose("--negative-values", negative_values, ("error", "drop", "net"))

    estimator = make_model(model, param or ())
    check_out(out)
    columns = {"--user": user, "--item": item, "--value": value, "--timestamp": timestamp}
    interactions = make_interactions(
        read_table(data, columns, encoding=encoding, delimiter=delimiter),
        user=user,
        item=item,
        value=value,
        timestamp=timestamp,
        timestamp_unit=timestamp_unit,
        negative_values=negative_values,
    )
    start = perf_counter()
    if validation:
        from penchant.cli.validation import measure_and_fit

        measure_and_fit(estimator, interactions, validation, patience, seed)
    else:
        estimator.fit(interactions, progress=is_live())
    say(f"trained  {estimator!r} in {perf_counter() - start:.1f} s")
    estimator.save(out)
    say(f"saved    {out}")
    someone = shlex.quote(str(estimator.users_[0]))
    say(f"next     penchant recommend {shlex.quote(str(out))} --user {someone}")
