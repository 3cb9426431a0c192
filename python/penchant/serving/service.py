"""A model that answers decoded requests; knows no wire format and no web framework."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant.data import arrow
from penchant.errors import choose, require
from penchant.models import load
from penchant.serving.decode import Requests
from penchant.serving.encode import Fragments, Ids, Records, with_query
from penchant.serving.tasks import Predict, Recommend, Similar, Task

if TYPE_CHECKING:
    from penchant.data.ids import IdMap
    from penchant.models import Recommender

__all__ = ["Service"]

# Scored cells (requests times the longest list among them) held at a time.
_BLOCK_CELLS = 2**21
_MOST_KEPT_TEXTS = 500_000
_INTEGER = r"^(0|-?[1-9][0-9]*)$"
_IS_INTEGER = re.compile(_INTEGER)
_FEW = 256
_MOST_KEPT_USERS = 200_000  # some 20 MB; the others are found by a binary search


class Service:
    """Answers requests with a fitted model; safe to use from several threads.

    Parameters
    ----------
    model : Recommender or path
        A fitted model, or the artifact of one, which is verified in full.
    unknown : {"popular", "drop"}, default "popular"
        What users outside the training data get: the most popular items, or nothing.
    num_threads : int, optional
        For each call of the model. Default: the model's own choice.

    Examples
    --------
    >>> import penchant as pc
    >>> from penchant.serving import Requests, Service, to_csv
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]])
    >>> service = Service(pc.Popularity().fit(data))
    >>> print(to_csv(service.answer(Requests.of([("1", 2)]))).decode(), end="")
    1,jam,2
    1,milk,1
    """

    def __init__(
        self,
        model: Recommender | os.PathLike[str] | str,
        *,
        unknown: Literal["popular", "drop"] = "popular",
        num_threads: int | None = None,
    ) -> None:
        choose("unknown", unknown, ("popular", "drop"))
        self.model: Recommender = load(model) if isinstance(model, str | os.PathLike) else model
        self.unknown = unknown
        self.num_threads = num_threads
        self._fragments: Fragments | None = None
        self._user_codes: dict[str, int] | None = None

    def answer(self, requests: Requests) -> Records:
        """Recommend to every user asked about, in order, best item first.

        A list is shorter where the catalogue, or what is new to the user, ends. Items whose score
        is not finite are left out.
        """
        codes = self.codes_of(requests.user_ids)
        parts = list(self._blocks(codes, requests.top_n))
        user_rows, items, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
        distinct, item_rows = _numbered(items, len(self.model.items_))
        return Records(
            self._user_ids(codes, requests.user_ids),
            known_ids(self.model.items_, distinct),
            user_rows,
            item_rows,
            scores,
            unknown=int(np.count_nonzero(codes < 0)),
        )

    def look_up(self, asked: Sequence[str]) -> tuple[NDArray[np.int32], list[bytes]]:
        """Return the code of each user (-1: unknown) and the user as JSON.

        Known users are spelled as the model does, others as they were asked for. A few users are
        looked up one by one: Arrow's calls cost more than that.
        """
        users = self.model.users_
        if len(asked) > _FEW or not (users.is_text or users.is_integer):
            codes = self.codes_of(asked)
            return codes, [
                text.encode() for text in self._user_ids(codes, asked).json().to_pylist()
            ]
        orjson = require("orjson", "serve")
        if self._user_codes is None:
            codes = users.few_codes(asked)
        else:
            codes = np.array([self._user_codes.get(one, -1) for one in asked], np.int32)
        if not users.is_integer:
            return codes, list(map(orjson.dumps, asked))
        # Known ones as the model has them: they may have been asked for as "07".
        numbers = users.integers[codes].tolist() if len(users) else [0] * len(asked)
        texts = [
            b"%d" % number
            if code >= 0
            else one.encode()
            if _IS_INTEGER.fullmatch(one)
            else orjson.dumps(one)
            for code, number, one in zip(codes.tolist(), numbers, asked, strict=True)
        ]
        return codes, texts

    def warm_up(self) -> None:
        """Build what the first answer needs, so that nobody waits for it later."""
        some = np.arange(min(1, len(self.model.users_)))
        self.model.recommend_codes([*some, -1], k=1, num_threads=self.num_threads)
        self.beginnings("item", np.zeros(1, np.int64))
        users = self.model.users_
        if users.is_text and len(users) <= _MOST_KEPT_USERS:
            everybody = users.take(np.arange(len(users))).to_pylist()
            self._user_codes = {user: code for code, user in enumerate(everybody)}

    def perform(self, task: Task) -> Records:
        """Do what a cloud's request comes down to."""
        if isinstance(task, Recommend):
            return self.answer(task.requests)
        return self._pairs(task) if isinstance(task, Predict) else self._alike(task)

    def _pairs(self, task: Predict) -> Records:
        """Score pairs; a row for each, NaN where an id is unknown."""
        rows = np.arange(len(task))
        users = self._user_ids(self.codes_of(task.users), task.users)
        items = pa.array(task.items, pa.large_string())
        named = Ids(items, pa.array(np.zeros(len(task), bool)))
        if self.model.items_.is_integer:
            named = Ids(items, pc.match_substring_regex(items, _INTEGER))
        scores = self.predict(task.users, task.items)
        return Records(users, named, rows, rows, scores, unknown=int(np.isnan(scores).sum()))

    def _alike(self, task: Similar) -> Records:
        """Find items like some; those asked about are the ``users`` of the answer."""
        items = self.model.items_
        codes = items.codes(pa.array(task.items, pa.large_string()))
        known = np.flatnonzero(codes >= 0)
        row, rows, scores = self._neighbours(codes[known], task.top_n[known])
        distinct, item_rows = np.unique(rows, return_inverse=True)
        asked = pa.array(task.items, pa.large_string())
        found = known_ids(items, np.where(codes >= 0, codes, 0))
        mask = pa.array(codes >= 0)
        records = Records(
            Ids(pc.if_else(mask, found.text, asked), pc.and_(mask, found.literal)),
            known_ids(items, distinct),
            known[row],
            item_rows.reshape(-1),
            scores,
            unknown=len(codes) - len(known),
        )
        return with_query(records, codes >= 0, task.top_n) if task.include_query else records

    def _neighbours(self, codes: Any, top_n: Any) -> tuple[Any, Any, Any]:
        """Return (position of the request, item code, score) columns of the items like some.

        An item is looked up once, however often it is asked about, and the longest lists first:
        a block is as wide as its longest list, which are then of about the same length.
        """
        distinct, place = np.unique(codes, return_inverse=True)
        place = place.reshape(-1)
        longest = np.zeros(len(distinct), np.int64)
        np.maximum.at(longest, place, np.minimum(top_n, len(self.model.items_)))
        order = np.argsort(-longest, kind="stable")
        found: list[tuple[Any, Any]] = []
        lengths = np.zeros(len(distinct), np.int64)
        start = 0
        while start < len(order) or not found:  # once for none: the model may refuse
            k = int(longest[order[start : start + 1]].max(initial=1))
            block = order[start : start + max(1, _BLOCK_CELLS // k)]
            rows, scores = self.model.similar_codes(
                distinct[block], k, num_threads=self.num_threads
            )
            wanted = np.arange(rows.shape[1]) < longest[block, None]
            wanted &= (rows >= 0) & np.isfinite(scores)
            lengths[block] = np.count_nonzero(wanted, axis=1)
            found.append((rows[wanted], scores[wanted]))
            start += len(block)
        starts = np.zeros(len(distinct), np.int64)
        starts[order] = np.cumsum(lengths[order]) - lengths[order]
        # Each request has the beginning of its item's list.
        own = np.minimum(top_n, lengths[place])
        row = np.repeat(np.arange(len(codes)), own)
        at = np.repeat(starts[place] - (np.cumsum(own) - own), own) + np.arange(len(row))
        rows, scores = (np.concatenate(column) for column in zip(*found, strict=True))
        return row, rows[at], scores[at]

    def codes_of(self, asked: Sequence[str]) -> NDArray[np.int32]:
        """Return the model's code for each user, -1 where it is unknown."""
        codes: NDArray[np.int32] = self.model.users_.codes(pa.array(asked, pa.large_string()))
        return codes

    def _blocks(self, codes: Any, top_n: Any) -> Iterator[tuple[Any, Any, Any]]:
        """Yield (position of the request, item code, score) columns of some requests at a time."""
        asked = np.arange(len(codes)) if self.unknown == "popular" else np.flatnonzero(codes >= 0)
        k = min(int(top_n.max(initial=1)), len(self.model.items_))
        step = max(1, _BLOCK_CELLS // k)
        yield np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
        for start in range(0, len(asked), step):
            block = asked[start : start + step]
            items, scores = self.model.recommend_codes(
                codes[block], k=k, num_threads=self.num_threads
            )
            wanted = np.arange(items.shape[1]) < top_n[block, None]
            wanted &= (items >= 0) & np.isfinite(scores)
            row, _ = wanted.nonzero()
            yield block[row], items[wanted], scores[wanted]

    def beginnings(self, side: Literal["user", "item"], codes: NDArray[np.int64]) -> list[bytes]:
        """Return how the answers with these codes begin; a small catalogue is written once."""
        name = f"{side}_id"
        if side == "user":
            return Fragments(known_ids(self.model.users_, codes), name).of(np.arange(len(codes)))
        if len(self.model.items_) > _MOST_KEPT_TEXTS:
            return Fragments(known_ids(self.model.items_, codes), name).of(np.arange(len(codes)))
        if self._fragments is None:
            everything = known_ids(self.model.items_, np.arange(len(self.model.items_)))
            self._fragments = Fragments(everything, name)
        return self._fragments.of(codes)

    def predict(self, users: Sequence[str], items: Sequence[str]) -> NDArray[np.float32]:
        """Score pairs of ids, NaN where one is unknown."""
        names = (self.model.columns_.user, self.model.columns_.item)
        columns = [pa.array(ids, pa.large_string()) for ids in (users, items)]
        pairs = pa.Table.from_arrays(columns, names=list(names))
        scores: NDArray[np.float32] = self.model.predict(
            pairs, unknown="nan", num_threads=self.num_threads
        )
        return scores

    def _user_ids(self, codes: Any, asked: Any) -> Ids:
        """Return the model's own spelling of the known users, and the request's of the others."""
        asked = _column(asked)
        known = codes >= 0
        if known.all():
            return known_ids(self.model.users_, codes)
        found = known_ids(self.model.users_, np.where(known, codes, 0))
        mask = pa.array(known)
        # An unknown user of a model with numbers as ids is a number too, if it looks like one.
        number = pc.and_(found.literal, pc.match_substring_regex(asked, _INTEGER))
        return Ids(pc.if_else(mask, found.text, asked), pc.if_else(mask, found.literal, number))


def _column(texts: Any) -> Any:
    return texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())


def _numbered(codes: Any, n: int) -> tuple[Any, Any]:
    """Return the distinct codes, all below n, and the place of each code among them."""
    if len(codes) < n // 16:
        distinct, place = np.unique(codes, return_inverse=True)
        return distinct, place.reshape(-1)
    used = np.zeros(n, dtype=bool)
    used[codes] = True
    return np.flatnonzero(used), (np.cumsum(used) - 1)[codes]


def known_ids(ids: IdMap, codes: Any) -> Ids:
    """Return the ids of some codes, ready to be encoded: integers and booleans as JSON literals."""
    values = ids.take(codes)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    literal = pa.types.is_integer(values.type) or pa.types.is_boolean(values.type)
    return Ids(arrow.to_text(values), pa.array(np.full(len(values), literal)))
