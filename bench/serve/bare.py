"""`python -m bench.serve.bare KIND FILE --port N`: servers that answer with a constant.

They stand for what HTTP costs without any recommending, in the framework named; uvicorn has the
settings of `penchant serve`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench.serve.servers import PATH

FASTAPI, STARLETTE, ASGI = "fastapi", "starlette", "asgi"
_MEDIA = "application/json"


def fastapi(content: bytes) -> Any:
    """Make the cheapest handler that FastAPI has: no parameters, ready bytes."""
    from fastapi import FastAPI, Response

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/ping")
    @app.post(PATH)
    async def constant() -> Response:
        return Response(content, media_type=_MEDIA)

    return app


def starlette(content: bytes) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def constant(_: Request) -> Response:
        return Response(content, media_type=_MEDIA)

    return Starlette(routes=[Route("/ping", constant), Route(PATH, constant, methods=["POST"])])


def asgi(content: bytes) -> Any:
    length = str(len(content)).encode()
    headers = [(b"content-type", _MEDIA.encode()), (b"content-length", length)]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    body = {"type": "http.response.body", "body": content}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start)
        await send(body)

    return app


KINDS = {FASTAPI: fastapi, STARLETTE: starlette, ASGI: asgi}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("answer", type=Path)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    import uvicorn

    from penchant.serving.listening import uvicorn_options

    app = KINDS[options.kind](options.answer.read_bytes())
    uvicorn.run(app, port=options.port, **uvicorn_options())


if __name__ == "__main__":
    main()
