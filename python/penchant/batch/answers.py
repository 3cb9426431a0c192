"""Answers of a model to lines of Personalize's batch jobs, many lines at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant.data import arrow
from penchant.data.frames import to_arrow
from penchant.errors import PenchantError
from penchant.models.expression_filters import Asker, check_values, chosen, item_filter
from penchant.models.ranker import Ranker
from penchant.retrieval.filters import ItemFilter, RowLists, distinct_lists, offsets, take_lists
from penchant.serving.json_lines import quoted
from penchant.serving.ranking import NONE_KNOWN, likest, shares

if TYPE_CHECKING:
    from penchant.data.ids import IdMap
    from penchant.models import Recommender
    from penchant.serving.protocols.personalize_lines import BatchLines

__all__ = ["ANSWERS", "Answers", "Question", "check_filter"]

Codes = NDArray[np.int64]
# Scored cells (lines times the longest list among them) held at a time.
_BLOCK_CELLS = 2**21
_FRAME_CELLS = 2**19  # where a cell is a row of a frame, with the texts of its ids


class Question(NamedTuple):
    """What holds for all lines of a job.

    Attributes
    ----------
    model : Recommender
    where : str or None
        Filter expression.
    exclude_seen : bool
    num_threads : int or None
    """

    model: Recommender
    where: str | None
    exclude_seen: bool
    num_threads: int | None


class Answers(NamedTuple):
    """Ids and scores of each line, one after the other.

    Attributes
    ----------
    starts : int64 array of shape (n + 1,)
    ids : pyarrow.Array of large_string, shape (m,)
    scores : float32 array of shape (m,), or None
    errors : pyarrow.Array of large_string, shape (n,)
    unknown : int
        Lines about users that the model does not know.
    """

    starts: Codes
    ids: Any
    scores: NDArray[np.float32] | None
    errors: Any
    unknown: int


class _Found:
    """Gathers what is found for lines, in any order."""

    def __init__(self, lines: BatchLines) -> None:
        self._n = len(lines)
        self._owners: list[Codes] = []
        self._codes: list[Codes] = []
        self._scores: list[NDArray[np.float32]] = []
        self.errors = np.array(lines.errors.to_pylist(), dtype=object)

    @property
    def left(self) -> Codes:
        """Places of the lines that are not in error."""
        return np.flatnonzero(self.errors == None)  # noqa: E711

    def fail(self, places: Codes, message: str) -> None:
        """Answer lines with an error."""
        self.errors[places] = message

    def add(self, owners: Codes, codes: Codes, scores: NDArray[np.float32]) -> None:
        """Add answers: of which line, what, and its score, best first."""
        self._owners.append(owners)
        self._codes.append(codes)
        self._scores.append(scores)

    def answers(self, ids: IdMap, further: Any, *, scored: bool, unknown: int = 0) -> Answers:
        """Return the answers in the order of the lines.

        Codes beyond those of `ids` are places in `further`, texts that come after them.
        """
        owners = np.concatenate([np.empty(0, np.int64), *self._owners])
        codes = np.concatenate([np.empty(0, np.int64), *self._codes])
        scores = np.concatenate([np.empty(0, np.float32), *self._scores])
        if len(self._owners) > 1:
            order = np.argsort(owners, kind="stable")
            owners, codes, scores = owners[order], codes[order], scores[order]
        n = len(ids)
        used = np.zeros(n + len(further), dtype=np.bool_)
        used[codes] = True
        place = np.cumsum(used) - 1
        known = np.flatnonzero(used[:n])
        texts = [arrow.to_text(_plain(ids.take(known))), further.filter(pa.array(used[n:]))]
        distinct = quoted(pa.concat_arrays(texts))
        return Answers(
            offsets(np.bincount(owners, minlength=self._n)),
            distinct.take(pa.array(place[codes])),
            scores if scored else None,
            pa.array(self.errors.tolist(), pa.large_string()),
            unknown,
        )


def _plain(ids: Any) -> Any:
    return ids.cast(ids.type.value_type) if pa.types.is_dictionary(ids.type) else ids


def _nothing() -> Any:
    return pa.array([], pa.large_string())


def check_filter(kind: str, model: Recommender, where: str, values: dict[str, Any] | None) -> None:
    """Evaluate a filter once; what it chooses is kept for the lines.

    Raises
    ------
    PenchantError
        The expression, or a value, does not fit.
    """
    check_values(values or {}, where)
    if kind in ("related", "segment"):
        chosen(model, "user" if kind == "segment" else "item", where, values)
        return
    nobody = np.empty(0, np.int64)
    nothing = RowLists(np.zeros(1, np.int64), np.empty(0, np.int32))
    item_filter(model, where, values, Asker(nobody, lambda: nothing))


def _groups(
    found: _Found, lines: BatchLines, kind: str, question: Question
) -> Iterator[tuple[Codes, dict[str, Any] | None]]:
    """Yield lines with equal filter values, and these; lines whose values do not fit fail."""
    left = found.left
    for group in np.unique(lines.groups[left]).tolist():
        places, values = left[lines.groups[left] == group], lines.values[group]
        if question.where is None and values:
            found.fail(places, "filterValues are for a filter, and the job has none")
            continue
        try:
            if question.where is not None:
                check_filter(kind, question.model, question.where, values)
        except PenchantError as error:
            found.fail(places, str(error))
        else:
            yield places, values


def _filter(question: Question, users: Codes, values: dict[str, Any] | None) -> ItemFilter:
    if question.where is None:
        return ItemFilter()
    seen = question.model.seen_
    asker = Asker(users, lambda: take_lists(seen, users))
    return item_filter(question.model, question.where, values, asker)


def _blocks(wanted: Codes, most: int, cells: int | None = None) -> Iterator[tuple[Codes, int]]:
    """Yield places of lines to answer at once, and the longest list that one of them wants.

    Those that want least come first: one line that wants everything is alone, or nearly, and the
    others are not answered at its length.
    """
    wanted = np.minimum(wanted, max(most, 1))
    order = np.argsort(wanted, kind="stable")
    start = 0
    while start < len(order):
        longest = wanted[order[start:]]
        sizes = np.arange(1, len(longest) + 1) * longest
        fitting = int(np.searchsorted(sizes, cells or _BLOCK_CELLS, side="right"))
        end = start + max(1, fitting)
        yield np.sort(order[start:end]), int(longest[end - start - 1])
        start = end


def answer_recommend(question: Question, lines: BatchLines) -> Answers:
    """Recommend items to users; the popular ones to users that the model does not know.

    Scores are the softmax over the whole catalogue.
    """
    model = question.model
    found = _Found(lines)
    users = model.users_.codes(lines.ids).astype(np.int64)
    unknown = int(np.count_nonzero(users[found.left] < 0))
    for places, values in _groups(found, lines, "recommend", question):
        for some, k in _blocks(lines.wanted[places], len(model.items_)):
            block = places[some]
            rows, scores = model.recommend_codes(
                users[block],
                k=k,
                item_filter=_filter(question, users[block], values),
                exclude_seen=question.exclude_seen,
                scores="softmax",
                index="exact",
                num_threads=question.num_threads,
            )
            wanted = np.arange(rows.shape[1]) < lines.wanted[block, None]
            _add(found, block, rows, scores, wanted)
    return found.answers(model.items_, _nothing(), scored=True, unknown=unknown)


def _add(
    found: _Found, block: Codes, rows: Codes, scores: NDArray[np.float32], wanted: NDArray[np.bool_]
) -> None:
    wanted = wanted & (rows >= 0) & np.isfinite(scores)
    owner, _ = wanted.nonzero()
    found.add(block[owner], rows[wanted], scores[wanted])


def answer_rank(question: Question, lines: BatchLines) -> Answers:
    """Put the items of each line in the order of their scores, whose softmax is over the list.

    Items that the model does not know come last, in their own order and with a score of 0.
    """
    model = question.model
    found = _Found(lines)
    users = model.users_.codes(lines.ids).astype(np.int64)
    unknown = int(np.count_nonzero(users[found.left] < 0))
    items = model.items_.codes(lines.items).astype(np.int64)
    owners = np.repeat(np.arange(len(lines)), np.diff(lines.starts))
    strange = np.flatnonzero(items < 0)
    _fail_where(found, owners, items >= 0, NONE_KNOWN.format("itemList"))
    candidates = distinct_lists(owners[items >= 0], items[items >= 0], len(lines))
    for places, values in _groups(found, lines, "rank", question):
        lengths = np.diff(take_lists(candidates, places).indptr)
        for part, k in _blocks(lengths, len(model.items_)):
            block = places[part]
            lists = take_lists(candidates, block)
            own_scores = model.has_own_scores(users[block])
            for some in (own_scores, ~own_scores):
                raw = some is own_scores and type(model)._finish is Ranker._finish
                if some.any():
                    own = take_lists(lists, np.flatnonzero(some))
                    rows, scores = _ranked(question, users[block[some]], own, k, values, raw=raw)
                    _add(found, block[some], rows, scores, np.ones(rows.shape, dtype=np.bool_))
    kept = strange[np.isin(owners[strange], found.left)]
    found.add(owners[kept], len(model.items_) + kept, np.zeros(len(kept), np.float32))
    return found.answers(model.items_, lines.items, scored=True, unknown=unknown)


def _fail_where(found: _Found, owners: Codes, good: NDArray[np.bool_], message: str) -> None:
    """Fail the lines that own something, but nothing good."""
    n = len(found.errors)
    some = np.bincount(owners, minlength=n) > 0
    none_good = some & (np.bincount(owners[good], minlength=n) == 0)
    left = found.left
    found.fail(left[none_good[left]], message)


def _ranked(
    question: Question,
    users: Codes,
    lists: RowLists,
    k: int,
    values: dict[str, Any] | None,
    *,
    raw: bool,
) -> tuple[Codes, NDArray[np.float32]]:
    """Rank lists; with `raw` by the scores that the model shows, no need for all other items'."""
    wanted = _filter(question, users, values).only(lists)

    def ask(scores: Any) -> tuple[Codes, NDArray[np.float32]]:
        return question.model.recommend_codes(
            users,
            k=k,
            item_filter=wanted,
            exclude_seen=False,
            scores=scores,
            index="exact",
            num_threads=question.num_threads,
        )

    if raw:
        rows, shown = ask("raw")
        return rows, shares(shown)
    rows, found = ask("softmax")
    parts = np.where((rows >= 0) & np.isfinite(found), found, 0).astype(np.float64)
    sums = parts.sum(axis=1, keepdims=True)
    found = (parts / np.maximum(sums, 1e-300)).astype(np.float32)
    faint = (sums[:, 0] < 1e-30) & (rows >= 0).any(axis=1)
    if faint.any():  # all so far below the best of the catalogue that float32 does not hold them
        found[faint] = shares(ask("raw")[1][faint])
    return rows, found


def answer_related(question: Question, lines: BatchLines) -> Answers:
    """Find the items most like an item."""
    model = question.model
    found = _Found(lines)
    items = _known_items(found, lines, model)
    n = len(model.items_)
    for places, values in _groups(found, lines, "related", question):
        allowed = np.ones(n, dtype=np.bool_)
        if question.where is not None:
            allowed = chosen(model, "item", question.where, values)
        for block, asked, owner, k in _asked(items, places, lines.wanted, n, _BLOCK_CELLS):
            rows, scores = likest(model, asked, k, allowed, num_threads=question.num_threads)
            kept = (rows >= 0) & np.isfinite(scores)
            lists = RowLists(offsets(np.count_nonzero(kept, axis=1)), rows[kept].astype(np.int32))
            _expand(found, block, owner, lists, lines.wanted)
    return found.answers(model.items_, _nothing(), scored=False)


def answer_segment(question: Question, lines: BatchLines) -> Answers:
    """Find the users who would want an item most."""
    model = question.model
    found = _Found(lines)
    items = _known_items(found, lines, model)
    n = len(model.users_)
    for places, values in _groups(found, lines, "segment", question):
        for block, asked, owner, k in _asked(items, places, lines.wanted, n, _FRAME_CELLS):
            frame = model.recommend_users(
                model.items_.take(asked),
                k=k,
                users_where=question.where,
                where_values=values,
                exclude_seen=question.exclude_seen,
                num_threads=question.num_threads,
            )
            rows = _lists(frame, asked, model.items_, model.users_)
            _expand(found, block, owner, rows, lines.wanted)
    return found.answers(model.users_, _nothing(), scored=False)


def _asked(
    items: Codes, places: Codes, wanted: Codes, most: int, cells: int
) -> Iterator[tuple[Codes, Codes, Codes, int]]:
    """Yield lines to answer at once, their items, which of these each line has, and a length."""
    for some, k in _blocks(wanted[places], most, cells):
        block = places[some]
        asked, owner = np.unique(items[block], return_inverse=True)
        yield block, asked, owner.reshape(-1), k


def _known_items(found: _Found, lines: BatchLines, model: Recommender) -> Codes:
    items = model.items_.codes(lines.ids).astype(np.int64)
    left = found.left
    for place in left[items[left] < 0].tolist():
        found.errors[place] = f"the model does not know the item {lines.ids[place].as_py()!r:.100}"
    return items


def _lists(frame: Any, asked: Codes, owners: IdMap, answers: IdMap) -> RowLists:
    """Return the answers to each code asked about, as a frame of `Recommender` has them."""
    table = to_arrow(frame)[0]
    place = np.full(len(owners), -1)
    place[asked] = np.arange(len(asked))
    rows = place[owners.codes(table.column(0))] if table.num_rows else np.empty(0, np.int64)
    codes = answers.codes(table.column(1)) if table.num_rows else np.empty(0, np.int32)
    return RowLists(offsets(np.bincount(rows, minlength=len(asked))), codes)


def _expand(found: _Found, places: Codes, owner: Codes, rows: RowLists, wanted: Codes) -> None:
    """Add to each line what was found for the item it asks about."""
    lengths = np.minimum(np.diff(rows.indptr)[owner], wanted[places])
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    codes = rows.indices[np.repeat(rows.indptr[:-1][owner], lengths) + within]
    nothing = np.zeros(len(codes), np.float32)
    found.add(np.repeat(places, lengths), codes.astype(np.int64), nothing)


ANSWERS: dict[str, Callable[[Question, BatchLines], Answers]] = {
    "recommend": answer_recommend,
    "rank": answer_rank,
    "related": answer_related,
    "segment": answer_segment,
}
