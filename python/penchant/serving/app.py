"""The web application: HTTP around a `Catalog` of models.

==================================  ===============================================================
``GET /ping``                       200 when models are loaded
``POST /v1/recommend``              ``{"user_id": "17850", "k": 10}``; also ``/v1/similar``,
                                    ``/v1/predict``, ``/v1/users``, and ``/v1/models/{name}/...``
``GET /recommend``                  ``?user_id=17850&top_n=10``, for a browser
``POST /invocations``               Amazon SageMaker's container interface, in records of the same
                                    fields; its runtime API is
                                    ``/endpoints/{name}/invocations``
``POST /recommendations``           Amazon Personalize's runtime API; also ``/personalize-ranking``
``POST /snowflake/{function}``      Snowflake's external functions
``PUT /v1/models/{name}``           another version takes over
``GET /docs``, ``/openapi.json``    all of it, described
==================================  ===============================================================

Errors are ``{"error": "..."}``: 400 a wrong request, 404 no such model, 413 a body too large, 415
another media type.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route as StarletteRoute

from penchant._version import __version__
from penchant.serving import openapi
from penchant.serving.catalog import Catalog
from penchant.serving.http import Endpoint, Receive, Scope, Send
from penchant.serving.recorder import Recorder
from penchant.serving.routes import admin, own, personalize, sagemaker, snowflake
from penchant.serving.server import Limits, Route, Server

if TYPE_CHECKING:
    from penchant.models import Recommender

__all__ = ["Limits", "create_app"]


class _App(FastAPI):
    """FastAPI, but for requests to a path of ours: those go to their endpoint at once.

    FastAPI's way through middleware and routing costs more than the answer. It has the rest: paths
    with parts, wrong methods, the documentation, and whatever is mounted or added later.
    """

    def __init__(self, routes: Iterable[Route], server: Server) -> None:
        self._listed = list(routes)
        self._at_once: dict[tuple[str, str], Endpoint] = {}
        super().__init__(title="Penchant", version=__version__, lifespan=_closing)
        for route in self._listed:
            endpoint = Endpoint(
                route.handle,
                body_bytes=server.limits.body_bytes,
                as_error=route.as_error,
                catch_up=server.catch_up,
            )
            if "{" not in route.path:
                self._at_once[route.method, route.path] = endpoint
            self.router.routes.append(StarletteRoute(route.path, endpoint, methods=[route.method]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            endpoint = self._at_once.get((scope["method"], scope["path"]))
            if endpoint is not None:
                await endpoint(scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        return openapi.document(self._listed)


def create_app(
    models: Recommender | os.PathLike[str] | str | Mapping[str, Any] | Catalog,
    *,
    limits: Limits | None = None,
    admin_token: str | None = None,
    recorder: Recorder | None = None,
    num_threads: int = 1,
    models_root: os.PathLike[str] | str | None = None,
    connect: Callable[[], Any] | None = None,
    filters: Mapping[str, str] | None = None,
    state: os.PathLike[str] | str | None = None,
) -> FastAPI:
    """Make the web application that serves models.

    Parameters
    ----------
    models : Recommender, path, mapping of str to those, or Catalog
        A fitted model or the artifact of one, which is then called "default"; or several by name,
        of which the first is the default.
    limits : Limits, optional
    admin_token : str, optional
        With it, ``PUT`` and ``DELETE /v1/models/{name}`` change what is served.
    recorder : Recorder, optional
        Keeps what is asked and answered.
    num_threads : int, default 1
        Of a call of a model. Requests run beside each other: a call that used several threads
        would only take them from another.

    models_root : path, optional
        A folder whose artifacts ``POST /models`` may load: a SageMaker multi-model container. It
        may start without a model, and is healthy then.
    connect : callable, optional
        Opens the warehouse that ``POST /snowflake/train_and_get_recommendations`` reads and writes.
    filters : mapping of str to str, optional
        Expressions on the item table by name, for the ``filterArn`` of Personalize's clients.
    state : path, optional
        A file that all processes of one server share, in which Snowflake's batch ids and their
        answers are kept: a retry may reach another process. Default: memory.

    Returns
    -------
    fastapi.FastAPI
        An ASGI application: ``uvicorn.run(create_app("artifact/"))``. Each process, and each event
        loop, needs one of its own.
    """
    if not isinstance(models, Catalog):
        named = models if isinstance(models, Mapping) else {"default": models}
        models = Catalog(named, num_threads=num_threads)
    limits = limits or Limits()
    server = Server(models, limits, admin_token=admin_token, recorder=recorder, filters=filters)
    listed = [
        *own.routes(server),
        *admin.routes(server, may_be_empty=models_root is not None),
        *sagemaker.routes(server, models_root),
        *personalize.routes(server),
        *snowflake.routes(server, connect, state),
    ]
    app = _App(listed, server)
    app.state.server = server
    app.add_exception_handler(HTTPException, _answer_http_error)
    return app


@asynccontextmanager
async def _closing(app: FastAPI) -> AsyncIterator[None]:
    yield
    app.state.server.close()


async def _answer_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)
