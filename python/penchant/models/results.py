"""Between the caller's ids and frames, and codes and arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant.data import arrow
from penchant.data.frames import from_arrow, to_arrow
from penchant.data.interactions import Interactions
from penchant.errors import DataError, UnknownIdError, choose

if TYPE_CHECKING:
    from penchant.data.ids import IdMap

Codes = NDArray[np.int32]


class ResolvedIds(NamedTuple):
    """The ids of a request: their codes (-1 for unknown) and how to write them down again."""

    codes: Codes
    labels: Any  # pyarrow.Array of the same length


def resolve(
    ids: IdMap, values: Any, kind: str, unknown: str, policies: tuple[str, ...]
) -> ResolvedIds:
    """Look up the ids of a request; None means all of them.

    Parameters
    ----------
    ids : IdMap
        The ids of the model.
    values : id, sequence, Series, array or None
        The caller's ids.
    kind : str
        "user" or "item", for messages.
    unknown : str
        "error" raises, "drop" leaves unknown ids out, any other of `policies` keeps them as -1.
    policies : tuple of str
        What the caller may choose from.

    Raises
    ------
    UnknownIdError
        With "error", naming the first five unknown ids.
    DataError
        For a frame, a dict, or an array of more dimensions.
    """
    choose("unknown", unknown, policies)
    if values is None:
        codes = np.arange(len(ids), dtype=np.int32)
        return ResolvedIds(codes, ids.take(codes))
    given = arrow.to_array(values, ids.name)
    codes = ids.codes(given)
    missing = codes < 0
    if not missing.any():
        return ResolvedIds(codes, ids.take(codes))
    if unknown == "error":
        raise UnknownIdError(unknown_message(given.filter(pa.array(missing)), kind, policies[1:]))
    if unknown == "drop":
        codes = codes[~missing]
        return ResolvedIds(codes, ids.take(codes))
    return ResolvedIds(codes, _labels(ids, codes, given))


def unknown_message(missing: Any, kind: str, policies: tuple[str, ...]) -> str:
    """Say which ids are unknown and what can be done about it."""
    examples = list(dict.fromkeys(repr(value) for value in missing.to_pylist()))[:5]
    options = " or ".join(f"unknown={policy!r}" for policy in policies)
    advice = f"; pass {options} to go on" if options else ""
    count = "1 id is" if len(missing) == 1 else f"{len(missing)} ids are"
    return (
        f"{count} not among the {kind}s of the training data: {', '.join(examples)}"
        f"{', ...' if len(missing) > len(examples) else ''}{advice}"
    )


def _labels(ids: IdMap, codes: Codes, given: Any) -> Any:
    """Return known ids in their own type and unknown ones beside them, as text if they differ."""
    known = ids.take(codes[codes >= 0])
    others = given.filter(pa.array(codes < 0))
    category = pa.types.is_dictionary(known.type)
    if category:
        known = known.cast(known.type.value_type)
    if pa.types.is_dictionary(others.type):
        others = others.cast(others.type.value_type)
    same = arrow.cast_or_none(others, known.type)
    parts = [arrow.to_text(known), arrow.to_text(others)] if same is None else [known, same]
    order = np.empty(len(codes), dtype=np.int64)
    order[np.concatenate([np.flatnonzero(codes >= 0), np.flatnonzero(codes < 0)])] = np.arange(
        len(codes)
    )
    labels = pa.concat_arrays(parts).take(pa.array(order))
    return labels.dictionary_encode() if category else labels


def ranked_frame(
    labels: Any | None,
    items: IdMap,
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    names: tuple[str, str],
    backend: str,
    about: pa.Table | None = None,
) -> Any:
    """Write search results down: <query column>, <answer column>, score, rank; no padding.

    `labels` (pyarrow.Array) name the queries; without them there is no query column. `about` has a
    row for each of `items`; its columns come last.
    """
    query, column = np.nonzero(rows >= 0)
    codes = rows[query, column].astype(np.int32)
    columns = [
        items.take(codes),
        pa.array(scores[query, column]),
        pa.array(column.astype(np.int64) + 1),
    ]
    further = [] if about is None else about.column_names
    titles = distinct_names([*names, "score", "rank", *further])
    if labels is None:
        titles = distinct_names([names[1], "score", "rank", *further])
    else:
        columns.insert(0, labels.take(pa.array(query)))
    if about is not None:
        columns += about.take(pa.array(codes)).columns
    return from_arrow(pa.Table.from_arrays(columns, names=titles), backend)


def distinct_names(names: list[str]) -> list[str]:
    """Append underscores to later names that an earlier one has taken.

    Examples
    --------
    >>> distinct_names(["user", "rank", "score", "rank"])
    ['user', 'rank', 'score', 'rank_']
    """
    taken: list[str] = []
    for name in names:
        while name in taken:
            name += "_"
        taken.append(name)
    return taken


def vector_frame(ids: IdMap, vectors: NDArray[np.float32], name: str, backend: str) -> Any:
    """Return vectors with their ids: the index in pandas, the first column elsewhere."""
    columns = distinct_names([name, *(f"factor_{j}" for j in range(vectors.shape[1]))])
    everyone = np.arange(len(ids), dtype=np.int32)
    arrays = [ids.take(everyone), *(pa.array(np.ascontiguousarray(part)) for part in vectors.T)]
    frame = from_arrow(pa.Table.from_arrays(arrays, names=columns), backend)
    return frame.set_index(name) if backend == "pandas" else frame


def keep_rows(table: pa.Table | None, kept: NDArray[np.bool_]) -> pa.Table | None:
    """Return some rows of a table that may be missing."""
    return None if table is None else table.filter(pa.array(kept))


def to_frame(table: pa.Table, backend: str) -> Any:
    """Return a table as a frame of the caller's kind."""
    return from_arrow(table, backend)


def pair_columns(pairs: Any, names: tuple[str, str]) -> tuple[Any, Any]:
    """Return the user and item column of the caller's frame of pairs."""
    table, _ = to_arrow(pairs, names)
    return table[names[0]], table[names[1]]


def check_interactions(data: Any, name: str) -> None:
    """Raise a DataError with the way out when `data` is a frame, not `Interactions`."""
    if not isinstance(data, Interactions):
        raise DataError(
            f"{name} must be penchant.Interactions, got {type(data).__name__}: "
            "make them with pc.Interactions.from_frame(df, user=..., item=...)"
        )
