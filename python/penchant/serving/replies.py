"""From questions to the bytes of their answers: one native call for all that are asked alike.

Questions that came in together and have the same options are answered in one call of the model.
An error of one question is the answer to that question alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant.errors import HTTPError, PenchantError, RequestError
from penchant.models.columns import columns_beside
from penchant.models.expression_filters import Asker
from penchant.models.histories import read_histories
from penchant.models.item_filter import ItemFilter, read_filter
from penchant.models.results import distinct_names
from penchant.retrieval.filters import RowLists, take_lists
from penchant.serving.encode import score_texts, to_objects
from penchant.serving.questions import PLAIN, Options, Question
from penchant.serving.service import Service, known_ids

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["Reply", "pair_replies", "reply"]

_log = logging.getLogger("penchant.serving")
Reply = bytes | PenchantError
Found = tuple[NDArray[np.int64], NDArray[np.float32]]


class _Group(NamedTuple):
    """Questions that one call answers: their places among all, and themselves."""

    places: list[int]
    questions: list[Question]


def reply(service: Service, kind: str, questions: Sequence[Question], about: bytes) -> list[Reply]:
    """Answer questions of one kind, each by a JSON object or by an error of its own.

    Parameters
    ----------
    service : Service
    kind : {"recommend", "similar", "predict", "users"}
    questions : sequence of Question
    about : bytes
        What every object ends with, such as ``"model": "shop", "version": "0a1b2c3d4e5f"``.

    Returns
    -------
    list of bytes or PenchantError
        One for each question, in order.
    """
    answer = _KINDS[kind]
    replies: list[Reply] = [b""] * len(questions)
    for group in _grouped(questions):
        for place, found in zip(
            group.places, _answered(answer, service, group.questions, about), strict=True
        ):
            replies[place] = found
    return replies


_Answer = Callable[[Service, Sequence[Question], bytes], list[bytes]]


def _grouped(questions: Sequence[Question]) -> list[_Group]:
    groups: dict[Hashable, _Group] = {}
    for place, question in enumerate(questions):
        options = None if question.options is PLAIN else question.options
        key = (options, type(question.history), question.min_score)
        group = groups.setdefault(key, _Group([], []))
        group.places.append(place)
        group.questions.append(question)
    return list(groups.values())


def _answered(
    answer: _Answer, service: Service, questions: Sequence[Question], about: bytes
) -> list[Reply]:
    """Answer questions together; where that fails, one by one, to find whose fault it was."""
    try:
        return list(answer(service, questions, about))
    except Exception as error:
        if len(questions) == 1:
            return [error if isinstance(error, PenchantError) else _bug(error)]
    return [_answered(answer, service, [question], about)[0] for question in questions]


def _bug(error: Exception) -> PenchantError:
    """Log what should not have happened; the client learns no more than that."""
    _log.error("a question failed", exc_info=error)
    return HTTPError(500, "internal error; the server's log says more")


# ---- the kinds ----------------------------------------------------------------------------------


def _recommend(service: Service, questions: Sequence[Question], about: bytes) -> list[bytes]:
    options = questions[0].options
    k = max(question.k for question in questions)
    if questions[0].history is None:
        heads, found = _known(service, questions, k, options)
    else:
        heads, found = _strangers(service, questions, k, options)
    return _whole(heads, "items", _objects_of(service, "item", questions, found), about)


def _known(
    service: Service, questions: Sequence[Question], k: int, options: Options
) -> tuple[list[bytes], Found]:
    model = service.model
    asked = [str(question.user_id) for question in questions]
    codes, texts = service.look_up(asked)
    wanted = _filter(model, asked, codes, options)
    found = model.recommend_codes(
        codes,
        k,
        exclude_seen=options.exclude_seen,
        item_filter=wanted,
        scores=options.scores,  # type: ignore[arg-type]
        num_threads=service.num_threads,
    )
    heads = [
        b'"user_id": ' + text if known else b'"user_id": ' + text + b', "unknown": true'
        for text, known in zip(texts, (codes >= 0).tolist(), strict=True)
    ]
    return heads, found


def _filter(model: Recommender, asked: list[str], codes: Any, options: Options) -> ItemFilter:
    if options._replace(exclude_seen=True, scores="raw", with_columns=()) == PLAIN:
        return ItemFilter()
    labels = pa.array(asked, pa.large_string())
    return read_filter(
        model, labels, Asker(codes, lambda: take_lists(model.seen_, codes)), **_said(model, options)
    )


def _said(model: Recommender, options: Options) -> dict[str, Any]:
    """Return what options say about items; ids that the model does not know choose nothing."""

    def known(ids: tuple[str, ...] | None) -> list[Any] | None:
        if ids is None:
            return None
        codes = model.items_.codes(pa.array(ids, pa.large_string()))
        found: list[Any] = model.items_.take(codes[codes >= 0]).to_pylist()
        return found

    return {
        "candidates": known(options.candidates),
        "exclude": known(options.exclude),
        "where": options.where,
        "where_values": options.values(),
    }


def _strangers(
    service: Service, questions: Sequence[Question], k: int, options: Options
) -> tuple[list[bytes], Found]:
    model = service.model
    given = [_history(question) for question in questions]
    labels, histories = read_histories(given, model.items_, model.columns_, "popular")
    asker = Asker(np.full(histories.n, -1), lambda: RowLists(*histories.matrix("distinct")[:2]))
    found = model.recommend_histories(
        histories,
        k,
        exclude_seen=options.exclude_seen,
        item_filter=read_filter(model, labels, asker, **_said(model, options)),
        scores=options.scores,  # type: ignore[arg-type]
        num_threads=service.num_threads,
    )
    return [b'"user_id": null'] * len(questions), found


def _history(question: Question) -> dict[str, float] | list[str]:
    history = question.history
    return dict(history) if isinstance(history, dict) else list(history or ())


def _similar(service: Service, questions: Sequence[Question], about: bytes) -> list[bytes]:
    model = service.model
    k = max(question.k for question in questions)
    asked = [str(question.item_id) for question in questions]
    codes = _item_codes(model, asked)
    found = model.similar_codes(codes, k, num_threads=service.num_threads)
    ids = known_ids(model.items_, codes).json().to_pylist()
    heads = [f'"item_id": {text}'.encode() for text in ids]
    return _whole(heads, "items", _objects_of(service, "item", questions, found), about)


def _item_codes(model: Recommender, asked: list[str]) -> NDArray[np.int32]:
    codes = model.items_.codes(pa.array(asked, pa.large_string()))
    unknown = np.flatnonzero(codes < 0)
    if len(unknown):
        raise RequestError(f"no item {asked[unknown[0]]!r:.200} in the model")
    return codes


def _users(service: Service, questions: Sequence[Question], about: bytes) -> list[bytes]:
    """Audiences; each is a search over all users, answered by itself."""
    return [_audience(service, question, about) for question in questions]


def _audience(service: Service, question: Question, about: bytes) -> bytes:
    model, options = service.model, question.options
    items = None
    head = b'"item_id": null'
    if question.item_id is not None:
        codes = _item_codes(model, [question.item_id])
        items = model.items_.take(codes).to_pylist()
        head = f'"item_id": {known_ids(model.items_, codes).json()[0]}'.encode()
    frame = model.recommend_users(
        items,
        k=question.k,
        where=options.where,
        where_values=options.values(),
        min_score=question.min_score,
        num_threads=service.num_threads,
    )
    codes = model.users_.codes(frame[model.columns_.user])
    scores = np.asarray(frame["score"], dtype=np.float32)
    found = codes[None, :].astype(np.int64), scores[None, :]
    return _whole([head], "users", _objects_of(service, "user", [question], found), about)[0]


def _predict(service: Service, questions: Sequence[Question], about: bytes) -> list[bytes]:
    pairs = [pair for question in questions for pair in question.pairs]
    scores = service.predict([user for user, _ in pairs], [item for _, item in pairs])
    return pair_replies(questions, scores, about)


def pair_replies(
    questions: Sequence[Question], scores: NDArray[np.float32], about: bytes
) -> list[bytes]:
    """Write the scores of pairs down, each question's in one object.

    Parameters
    ----------
    questions : sequence of Question
    scores : float32 array
        Of the pairs of all questions after each other; NaN where there is none.
    about : bytes
        As of `reply`.
    """
    texts = score_texts(scores, "null").to_pylist()
    replies = []
    start = 0
    for question in questions:
        end = start + len(question.pairs)
        listed = ", ".join(texts[start:end])
        replies.append(f'{{"scores": [{listed}], '.encode() + about + b"}")
        start = end
    return replies


_KINDS: dict[str, _Answer] = {
    "recommend": _recommend,
    "similar": _similar,
    "predict": _predict,
    "users": _users,
}


# ---- encoding -----------------------------------------------------------------------------------


# Fields of an answer, and of the rows that clients make of it. A column of such a name has an
# underscore more, by the rule that the frames of `recommend` go by.
_OWN = ["user_id", "item_id", "score", "rank"]


def _objects_of(
    service: Service,
    side: Literal["user", "item"],
    questions: Sequence[Question],
    found: Found,
) -> list[bytes]:
    """Cut what was found to what each question wants, and write it down."""
    rows, scores = found
    wanted = (rows >= 0) & np.isfinite(scores)
    if len(questions) > 1:
        wanted &= np.arange(rows.shape[1]) < np.array([[question.k] for question in questions])
    ends = np.append(0, np.cumsum(np.count_nonzero(wanted, axis=1))).tolist()
    codes = rows[wanted]
    columns = None
    if names := questions[0].options.with_columns:
        about = columns_beside(service.model, side, names)
        assert about is not None
        own = [*_OWN, "neighbor"] if side == "item" and questions[0].item_id else _OWN
        titles = distinct_names([*own, *about.column_names])[len(own) :]
        columns = about.rename_columns(titles).take(pa.array(codes)).to_pylist()
    return to_objects(service.beginnings(side, codes), scores[wanted], ends, columns)


def _whole(heads: list[bytes], name: str, lists: list[bytes], about: bytes) -> list[bytes]:
    middle = f', "{name}": ['.encode()
    tail = b"], " + about + b"}"
    return [
        b"".join((b"{", head, middle, found, tail))
        for head, found in zip(heads, lists, strict=True)
    ]
