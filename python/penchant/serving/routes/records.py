"""Answers as flat records, ``{"user_id", "item_id", "score"}`` or CSV lines."""

from __future__ import annotations

from penchant.serving.decode import Requests
from penchant.serving.encode import to_csv, to_json
from penchant.serving.http import JSON, Answer
from penchant.serving.server import Server

__all__ = ["answer_records", "prefers_csv"]


async def answer_records(
    server: Server, model: str | None, requests: Requests, accept: str | None
) -> Answer:
    """Answer decoded requests with one model, in the form that the client accepts."""
    service = server.catalog.get(model).service
    server.check_records(int(requests.top_n.clip(max=len(service.model.items_)).sum()))
    csv = prefers_csv(accept)

    def work() -> bytes:
        return (to_csv if csv else to_json)(service.answer(requests))

    return Answer(await server.run(work), media="text/csv" if csv else JSON)


def prefers_csv(accept: str | None) -> bool:
    """Tell whether the first media type of an Accept header that we can give is CSV."""
    for part in (accept or "").lower().split(","):
        media = part.partition(";")[0].strip()
        if media in ("text/csv", "application/json", "application/*", "*/*"):
            return media == "text/csv"
    return False
