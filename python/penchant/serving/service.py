"""A model that answers decoded requests; knows no wire format and no web framework."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penchant.data import arrow
from penchant.errors import choose
from penchant.models import load
from penchant.serving.decode import Requests
from penchant.serving.encode import Ids, Records

if TYPE_CHECKING:
    from penchant.data.ids import IdMap
    from penchant.models import Recommender

__all__ = ["Service"]

# Scored cells (requests times the longest list among them) held at a time.
_BLOCK_CELLS = 2**21
_INTEGER = r"^(0|-?[1-9][0-9]*)$"


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
    >>> from penchant.serving import Service, decode_body, to_csv
    >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "jam", "milk"]])
    >>> service = Service(pc.Popularity().fit(data))
    >>> requests = decode_body(b'{"user_id": "1", "top_n": "2"}')
    >>> print(to_csv(service.answer(requests)).decode(), end="")
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

    def answer(self, requests: Requests) -> Records:
        """Recommend to every user asked about, in order, best item first.

        A list is shorter where the catalogue, or what is new to the user, ends. Items whose score
        is not finite are left out.
        """
        codes = self.user_codes(requests)
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

    def user_codes(self, requests: Requests) -> Any:
        """Return the model's code for each request's user, -1 where it is unknown."""
        return self.model.users_.codes(_column(requests.user_ids))

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
