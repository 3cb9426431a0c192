"""`penchant evaluate`: how good is an artifact on held-out interactions."""

from __future__ import annotations

from typing import Annotated

import typer

from penchant.cli.common import read_table
from penchant.cli.console import write_frame
from penchant.cli.options import (
    ArtifactArgument,
    DataOption,
    DelimiterOption,
    EncodingOption,
    FormatOption,
    IncludeSeenOption,
    UnknownOption,
    check_choices,
)

__all__ = ["evaluate"]

_AsTrainedOption = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Where it differs from the training data.")
]
_MetricsOption = Annotated[
    str,
    typer.Option(
        metavar="NAME@K,...", help="Of precision, recall, ndcg, map, mrr, hit_rate, coverage."
    ),
]


def evaluate(
    artifact: ArtifactArgument,
    data: DataOption,
    user: _AsTrainedOption = None,
    item: _AsTrainedOption = None,
    metrics: _MetricsOption = "precision@10,recall@10,ndcg@10",
    include_seen: IncludeSeenOption = False,
    unknown: UnknownOption = "popular",
    format: FormatOption = "table",
    encoding: EncodingOption = "utf8",
    delimiter: DelimiterOption = None,
) -> None:
    """Measure an artifact on held-out interactions.

    Every item is ranked for every user; a user's own training items are left out, and not asked
    for, unless --include-seen is given. Users without a held-out item are not counted.
    """
    policy = check_choices(format, unknown)

    import penchant
    from penchant.data.frames import to_arrow

    model = penchant.load(artifact)
    user, item = user or model.columns_.user, item or model.columns_.item
    columns = {"--user": user, "--item": item}
    table = read_table(data, columns, encoding=encoding, delimiter=delimiter)
    test = penchant.Interactions.from_frame(table, user=user, item=item)
    result = penchant.evaluate(
        model,
        test,
        metrics=[name.strip() for name in metrics.split(",") if name.strip()],
        exclude_seen=not include_seen,
        unknown=policy,
    )
    write_frame(to_arrow(result)[0], format)
