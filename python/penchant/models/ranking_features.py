"""What a learnt ranking goes by: scores of models, counts, and columns of the tables as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant.data import arrow
from penchant.errors import ArtifactError, ColumnError, closest, notice
from penchant.models.ranker import Scores
from penchant.models.two_stages import Found, Retriever, Stage
from penchant.retrieval.column_values import column_entries, is_list, plain_column

Matrix = NDArray[np.float32]

RANK = 1  # the place of the rank among the features

_FEW_TEXTS = 20  # so many may be categories, however often each stands

_MOST_ELEMENTS = 32  # of a column become features: each is a column of every example

_SEVERAL = "several"

_CELLS_AT_ONCE = 1 << 24  # bounds the memory of comparing pairs with what is retrieved


class Column(NamedTuple):
    """A column of a table as one feature, or as several.

    Attributes
    ----------
    name : str
    categories : tuple of str, optional
        The texts of a category, in order; None for numbers.
    several : bool
        A row has several of `categories`, each of which is a feature of 0 and 1.
    """

    name: str
    categories: tuple[str, ...] | None = None
    several: bool = False

    def features(self) -> tuple[str, ...]:
        """Return the names of its features."""
        if self.several and self.categories is not None:
            return tuple(f"{self.name}={text}" for text in self.categories)
        return (self.name,)

    def saved(self) -> list[Any]:
        """Return its name and kind as JSON has them; the categories are saved apart."""
        return [self.name, _SEVERAL if self.several else self.categories is not None]

    @classmethod
    def restored(cls, saved: Any, categories: Sequence[str]) -> Column:
        """Return one as `saved` tells it; early versions knew one category of a row only.

        Raises
        ------
        ArtifactError
            It is of no known kind.
        """
        name, kind = saved
        if kind not in (True, False, _SEVERAL):
            raise ArtifactError(f"column {name!r:.80} of the ranking is of kind {kind!r:.80}")
        return cls(name, tuple(categories) if kind else None, kind == _SEVERAL)


def choose_columns(
    table: pa.Table | None, names: Iterable[str] | None, id_name: str, what: str
) -> tuple[Column, ...]:
    """Decide how each column of a table becomes a feature.

    Parameters
    ----------
    table : pyarrow.Table or None
    names : iterable of str, or None
        The columns wanted; None means all but the ids, titles and other texts most of which stand
        once, and what is neither numbers, texts nor lists of texts.
    id_name : str
        The column of the ids.
    what : str
        "item" or "user", for messages.

    Raises
    ------
    ColumnError
        The table lacks a column of `names`, or it is neither numbers, texts nor lists of texts.
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
        if _holds_texts(kind):
            column, n_texts, there = _of_texts(name, table[name])
            if names is None and 2 * n_texts > max(there, 2 * _FEW_TEXTS):
                left_out.append(f"{name!r} ({n_texts:,} texts in {there:,} rows)")
            else:
                columns.append(column)
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

    Where a row has several categories there is a column of each, 1 where the row has it.

    Returns
    -------
    float32 array of shape (n_rows, number of features of all columns)

    Examples
    --------
    >>> table = pa.table({"year": [1995, None], "kind": ["film", "play"], "for": ["all|me", "me"]})
    >>> columns = [Column("year"), Column("kind", ("film",)), Column("for", ("all", "me"), True)]
    >>> encode(table, columns, 2).tolist()
    [[1995.0, 0.0, 1.0, 1.0], [nan, nan, 0.0, 1.0]]
    """
    ends = np.cumsum([len(column.features()) for column in columns], dtype=np.int64)
    found = np.full((n_rows, int(ends[-1]) if len(ends) else 0), np.nan, dtype=np.float32)
    for end, column in zip(ends.tolist(), columns, strict=True):
        if table is None or column.name not in table.column_names:
            continue  # as if every value were missing
        values = arrow.combine(plain_column(table[column.name]))
        if column.several:
            own = found[:, end - len(column.features()) : end]
            own[np.asarray(pc.is_valid(values)).astype(bool)] = 0
            rows, texts = _entries(values, column.name)
            codes = _places(texts, column)
            own[rows[codes.is_valid()], codes.drop_null()] = 1
            continue
        if column.categories is not None:
            values = _places(_as_text(values), column)
        elif not _is_number(values.type):
            continue
        elif pa.types.is_temporal(values.type):
            wide = pa.int32() if values.type.bit_width == 32 else pa.int64()
            values = values.cast(wide)
        numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            found[:, end - 1] = numbers
    found[~np.isfinite(found)] = np.nan
    return found


def _places(texts: Any, column: Column) -> Any:
    """Return the place of each text among the categories of a column, null for others."""
    return pc.index_in(texts, pa.array(column.categories, pa.large_string()))


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    dates = (types.is_date, types.is_timestamp, types.is_time, types.is_duration)
    return arrow.holds_numbers(kind) or any(test(kind) for test in dates)


def _as_text(values: Any) -> Any:
    return plain_column(values).cast(pa.large_string())


def _holds_texts(kind: pa.DataType) -> bool:
    """Whether values of a type are texts, or lists of what can be told apart by its text."""
    if is_list(kind):
        # Lists of fractions are vectors, whose components are no categories.
        return _has_texts(kind.value_type) and not pa.types.is_floating(kind.value_type)
    return arrow.is_text(kind) or (pa.types.is_dictionary(kind) and _has_texts(kind))


def _has_texts(kind: pa.DataType) -> bool:
    """Whether the text of a value tells it from others."""
    if pa.types.is_dictionary(kind):
        return _has_texts(kind.value_type)
    return arrow.is_text(kind) or arrow.is_uuid(kind) or _is_number(kind)


def _of_texts(name: str, values: Any) -> tuple[Column, int, int]:
    """Return a column of texts, how many they are, and how often they stand in a row."""
    values = plain_column(values)
    if not is_list(values.type):
        values = _as_text(values)
        if not pc.any(pc.match_substring(values, "|")).as_py():
            texts = pc.unique(arrow.combine(values)).drop_null().to_pylist()
            return Column(name, tuple(sorted(texts))), len(texts), len(values) - values.null_count
    rows, elements = _entries(values, name)
    # A row may hold the same twice.
    pairs = pa.table({"row": rows, "text": elements}).group_by(["row", "text"]).aggregate([])
    counts = pairs.group_by("text").aggregate([("text", "count")])
    most = counts.sort_by([("text_count", "descending"), ("text", "ascending")])["text"]
    texts = most[:_MOST_ELEMENTS].to_pylist()
    return Column(name, tuple(sorted(texts)), True), len(counts), len(pairs)


def _entries(values: Any, name: str) -> tuple[NDArray[np.int64], Any]:
    """Return the row of each element of a column, and the elements as text."""
    rows, elements = column_entries(values, name, "LambdaMART")
    return rows, arrow.combine(_as_text(elements))


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
    tables = [
        f"{side}: {feature}"
        for side in ("item", "user")
        for column in columns[side]
        for feature in column.features()
    ]
    first = ["score", "rank", "item popularity", "user activity"]
    return [*first, *(f"score of {name}" for name in models), *tables]


def categorical_places(
    n_models: int, columns: Mapping[Literal["item", "user"], Sequence[Column]]
) -> list[int]:
    """Return which columns of `Features.matrix` are categories."""
    kinds = [
        column.categories is not None and not column.several
        for column in (*columns["item"], *columns["user"])
        for _ in column.features()
    ]
    return [4 + n_models + place for place, is_category in enumerate(kinds) if is_category]
