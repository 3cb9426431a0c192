"""Answers to records that are questions: the objects of ``/v1`` in the shapes of `encode`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from penchant.serving.tasks import Asked

__all__ = ["encode_answers"]


def encode_answers(asked: Asked, answers: Sequence[bytes], kind: str) -> bytes:
    r"""Write the answers to questions down as the answers to records are.

    Parameters
    ----------
    asked : Asked
        Recommendations or similar items; pairs are scored as a column, see `Predict`.
    answers : sequence of bytes
        The JSON object that answers each question; empty where there is no answer.
    kind : {"json", "jsonlines", "csv"}

    Examples
    --------
    >>> from penchant.serving.questions import read_question
    >>> question = read_question({"user_id": 7, "where": "year > 1990"}, "recommend")
    >>> answer = b'{"user_id": 7, "items": [{"item_id": "tea", "score": 0.5}], "model": "shop"}'
    >>> encode_answers(Asked("recommend", [question], [""]), [answer], "json")
    b'[{"user_id": 7, "item_id": "tea", "score": 0.5}]'
    """
    documents = [json.loads(answer) if answer else {} for answer in answers]
    owner = "item_id" if asked.kind == "similar" else "user_id"
    name = "neighbor" if asked.kind == "similar" else "item_id"
    lists = list(_lists(asked, documents, owner))
    if kind == "jsonlines":
        return _lines({owner: about, "items": items} for about, items in lists)
    rows = ((about, one) for about, items in lists for one in items)
    if kind == "csv":
        return _csv([about, *one.values()] for about, one in rows)
    flat = [{owner: about, name: one["item_id"], **_without(one, "item_id")} for about, one in rows]
    return _json(flat)


def _lists(
    asked: Asked, documents: list[dict[str, Any]], owner: str
) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """Yield whom or what each list is about, and the list."""
    for question, document in zip(asked.questions, documents, strict=True):
        if not document:
            yield getattr(question, owner), []
            continue
        items = document["items"]
        if asked.include_query and asked.kind == "similar":
            query = {"item_id": document["item_id"], "score": 1}
            items = [query, *items[: question.k - 1]]
        yield document[owner], items


def _without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


def _json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def _lines(records: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(_json(record) + b"\n" for record in records)


def _csv(rows: Iterable[Iterable[Any]]) -> bytes:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode()
