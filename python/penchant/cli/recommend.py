"""`penchant recommend`: answers from an artifact, printed."""

from __future__ import annotations

from typing import Annotated

import typer

from penchant.cli.console import write_frame
from penchant.cli.options import (
    ArtifactArgument,
    FormatOption,
    IncludeSeenOption,
    UnknownOption,
    check_choices,
)

__all__ = ["recommend"]


def recommend(
    artifact: ArtifactArgument,
    user: Annotated[
        list[str], typer.Option("--user", metavar="ID", help="A user's id; repeatable.")
    ],
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many items per user.")] = 10,
    include_seen: IncludeSeenOption = False,
    unknown: UnknownOption = "error",
    format: FormatOption = "table",
) -> None:
    """Recommend items to users of an artifact.

    Ids are matched to the model's id type: `--user 17850` finds customer 17850 whether the model
    was trained on numbers or on text.
    """
    policy = check_choices(format, unknown)

    import penchant
    from penchant.data.frames import to_arrow

    answer = penchant.load(artifact).recommend(
        user, k=k, exclude_seen=not include_seen, unknown=policy
    )
    write_frame(to_arrow(answer)[0], format)
