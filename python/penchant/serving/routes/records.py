"""Answers as flat records, ``{"user_id", "item_id", "score"}`` or CSV lines."""

from __future__ import annotations

from penchant.serving.decode import Requests
from penchant.serving.encode import to_csv, to_json
from penchant.serving.http import JSON, Answer
from penchant.serving.protocols.sagemaker import prefers
from penchant.serving.server import Server

__all__ = ["answer_records"]


async def answer_records(
    server: Server, model: str | None, requests: Requests, accept: str | None
) -> Answer:
    """Answer decoded requests with one model, in the form that the client accepts."""
    service = server.catalog.get(model).service
    server.check_records(int(requests.top_n.clip(max=len(service.model.items_)).sum()))
    csv = prefers(accept) == "csv"

    def work() -> bytes:
        return (to_csv if csv else to_json)(service.answer(requests))

    return Answer(await server.run(work), media="text/csv" if csv else JSON)
