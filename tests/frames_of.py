"""The same table in each kind of frame."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

KINDS = ["pandas", "polars", "pyarrow"]


def make_frame(kind: str, columns: dict[str, Any]) -> Any:
    if kind == "pandas":
        return pd.DataFrame(columns)
    if kind == "pyarrow":
        return pa.table(columns)
    import polars

    return polars.DataFrame(columns, strict=False)


def to_columns(frame: Any) -> dict[str, list[Any]]:
    """Return any frame as lists of Python values."""
    if isinstance(frame, pa.Table):
        return dict(frame.to_pydict())
    if isinstance(frame, pd.DataFrame):
        return {str(name): column.tolist() for name, column in frame.items()}
    return dict(frame.to_dict(as_series=False))


def kind_of(frame: Any) -> str:
    return type(frame).__module__.partition(".")[0]
