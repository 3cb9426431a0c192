"""What a learnt ranking goes by: scores of models, counts, and columns of the tables as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant.data import arrow
from penchant.errors import ColumnError, closest, notice
from penchant.models.ranker import Scores
from penchant.models.two_stages import Found, Retriever, Stage
from penchant.retrieval.column_values import plain_column

Matrix = NDArray[np.float32]

RANK = 1  # the place of the rank among the features

_FEW_TEXTS = 20  # so many may be categories, however often each stands

_CELLS_AT_ONCE = 1 << 24  # bounds the memory of comparing pairs with what is retrieved


class Column(NamedTuple):
    """A column of a table as a feature; `categories` are the texts of a category, in order."""

    name: str
    categories: tuple[str, ...] | None = None


def choose_columns(
    table: pa.Table | None, names: Iterable[str] | None, id_name: str, what: str
) -> tuple[Column, ...]:
    """Decide how each column of a table becomes a feature.

    Parameters
    ----------
    table : pyarrow.Table or None
    names : iterable of str, or None
        The columns wanted; None means all but the ids, titles and other texts most of which stand
        once, and what is neither numbers nor texts.
    id_name : str
        The column of the ids.
    what : str
        "item" or "user", for messages.

    Raises
    ------
    ColumnError
        The table lacks a column of `names`, or it is neither numbers nor texts.
    """
    present = [] if table is None else table.column_names
    chosen = [name for name in present if name != id_name] if names is None else list(names)
    columns, left_out = [], []
    for name in chosen:
        if table is None or name not in present:
            raise ColumnError(
                f"{what}_columns names {name!r}{closest(name, present)}; the {what} table has "
                f"{', '.join(map(repr, present)) or 'no columns'}"
            )
        kind = table.schema.field(name).type
        if pa.types.is_dictionary(kind) or arrow.is_text(kind):
            texts = _texts(table[name])
            there = len(table) - table[name].null_count
            if names is None and 2 * len(texts) > max(there, 2 * _FEW_TEXTS):
                left_out.append(f"{name!r} ({len(texts):,} texts in {there:,} rows)")
            else:
                columns.append(Column(name, texts))
        elif _is_number(kind):
            columns.append(Column(name))
        elif names is not None:
            raise ColumnError(f"{what}_columns: {name!r} is {kind}, neither numbers nor texts")
        else:
            left_out.append(f"{name!r} ({kind})")
    if left_out:
        notice(
            f"LambdaMART: {', '.join(left_out)} of the {what} table are left out: features are "
            f"numbers, and texts that many rows share; name them in {what}_columns= to say which"
        )
    return tuple(columns)


def encode(table: pa.Table | None, columns: Sequence[Column], n_rows: int) -> Matrix:
    """Return columns as numbers: categories as their place; null, NaN and the unknown as NaN.

    Returns
    -------
    float32 array of shape (n_rows, len(columns))

    Examples
    --------
    >>> table = pa.table({"year": [1995, None], "kind": ["film", "play"]})
    >>> encode(table, [Column("year"), Column("kind", ("film",))], 2)
    array([[1995.,    0.],
           [  nan,   nan]], dtype=float32)
    """
    found = np.full((n_rows, len(columns)), np.nan, dtype=np.float32)
    for place, column in enumerate(columns):
        if table is None or column.name not in table.column_names:
            continue  # as if every value were missing
        values = arrow.combine(plain_column(table[column.name]))
        if column.categories is not None:
            known = pa.array(column.categories, pa.large_string())
            values = pc.index_in(_as_text(values), known)
        elif not _is_number(values.type):
            continue
        elif pa.types.is_temporal(values.type):
            wide = pa.int32() if values.type.bit_width == 32 else pa.int64()
            values = values.cast(wide)
        numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            found[:, place] = numbers
    found[~np.isfinite(found)] = np.nan
    return found


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
    dates = (types.is_date, types.is_timestamp, types.is_time, types.is_duration)
    return any(test(kind) for test in (*tests, *dates))


def _as_text(values: Any) -> Any:
    return plain_column(values).cast(pa.large_string())


def _texts(column: Any) -> tuple[str, ...]:
    values = pc.unique(_as_text(arrow.combine(column))).drop_null()
    return tuple(sorted(values.to_pylist()))


class Features:
    """Makes the features of pairs.

    Parameters
    ----------
    retriever : Retriever
    depth : int
        Ranks beyond it are told apart no more.
    models : mapping of str to Stage
        Further models whose scores are features, by name.
    columns : mapping
        Those of the "item" and the "user" table.
    """

    def __init__(
        self,
        retriever: Retriever,
        depth: int,
        models: Mapping[str, Stage],
        columns: Mapping[Literal["item", "user"], Sequence[Column]],
    ) -> None:
        model = retriever.model
        self._retriever = retriever
        self._depth = depth
        self._models = models
        self._items = encode(model.item_features_, columns["item"], len(model.items_))
        self._users = encode(model.user_features_, columns["user"], len(model.users_))
        self._shares = model.item_counts_ / max(int(model.item_counts_.sum()), 1)

    def matrix(self, found: Found, num_threads: int) -> Matrix:
        """Return a row of features for each pair, in the order of `feature_names`."""
        asked, rows, items = found.asked, found.rows, found.items
        ranks = self._ranks(found, num_threads) if found.ranks is None else found.ranks
        # A pipeline may retrieve more by now than it did in training.
        ranks = np.minimum(ranks, self._depth + 1)
        taken = np.diff(asked.seen(self._retriever.model.seen_).indptr)
        first = [found.scores, ranks, self._shares[items], taken[rows]]
        scores = [stage.score(asked, rows, items, num_threads) for stage in self._models.values()]
        numbers = [*first, *scores]
        whole = np.empty(
            (len(rows), len(numbers) + self._items.shape[1] + self._users.shape[1]), np.float32
        )
        for place, values in enumerate(numbers):
            whole[:, place] = values
        middle = len(numbers) + self._items.shape[1]
        whole[:, len(numbers) : middle] = self._items[items]
        # Nothing but their history is known of strangers.
        whole[:, middle:] = np.nan if asked.users is None else self._users[asked.users[rows]]
        return whole

    def _ranks(self, found: Found, num_threads: int) -> Scores:
        """Return where each item stands among the new items that the query retrieves unfiltered.

        So the rank, and with it the score, of a pair does not depend on what else is asked for.
        """
        asked = found.asked
        seen = asked.seen(self._retriever.model.seen_)
        filters = {"exclude": seen, "candidates": None, "allowed": None}
        items, scores = self._retriever.search(asked, self._depth, filters, num_threads)
        ranks = np.empty(len(found.rows), dtype=np.float32)
        step = max(1, _CELLS_AT_ONCE // max(items.shape[1], 1))
        for start in range(0, len(ranks), step):
            part = slice(start, start + step)
            rows, own = found.rows[part], found.scores[part, None]
            before = scores[rows] > own
            before |= (scores[rows] == own) & (items[rows] < found.items[part, None])
            # Lists are padded with -1 and -inf, which come before nothing.
            ranks[part] = 1 + np.count_nonzero(before & (items[rows] >= 0), axis=1)
        return ranks


def feature_names(
    models: Iterable[str], columns: Mapping[Literal["item", "user"], Sequence[Column]]
) -> list[str]:
    """Return the names of the columns of `Features.matrix`."""
    tables = [f"{side}: {column.name}" for side in ("item", "user") for column in columns[side]]
    first = ["score", "rank", "item popularity", "user activity"]
    return [*first, *(f"score of {name}" for name in models), *tables]


def categorical_places(
    n_models: int, columns: Mapping[Literal["item", "user"], Sequence[Column]]
) -> list[int]:
    """Return which columns of `Features.matrix` are categories."""
    kinds = [*columns["item"], *columns["user"]]
    return [4 + n_models + i for i, column in enumerate(kinds) if column.categories is not None]
