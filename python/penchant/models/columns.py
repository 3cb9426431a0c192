"""Columns of the item or user table beside an answer: the argument `with_columns`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from penchant.errors import ColumnError, ParameterError, closest
from penchant.models.expression_filters import feature_table

if TYPE_CHECKING:
    from penchant.models.fitted import FittedModel


def columns_beside(
    model: FittedModel, side: Literal["item", "user"], names: Iterable[str]
) -> pa.Table | None:
    """Return columns of a table, a row for each item or user of a model; None for no names."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ParameterError(f"with_columns is a sequence of names: [{names!r}]")
    wanted = list(names)  # once: it may be an iterator
    if not wanted:
        return None
    table = feature_table(model, side)
    for name in wanted:
        if name not in table.column_names:
            raise ColumnError(
                f"with_columns names {name!r}{closest(name, table.column_names)}; the {side} "
                f"table has {', '.join(map(repr, table.column_names))}"
            )
    return table.select(wanted)
