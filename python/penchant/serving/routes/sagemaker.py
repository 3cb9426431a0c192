"""Amazon SageMaker: a container's ``/invocations`` and ``/models``, and the runtime API itself.

``boto3.client("sagemaker-runtime", endpoint_url=...)`` speaks to ``/endpoints/{name}/invocations``.
Records in JSON have the fields of ``/v1``: filters, a history, a context, ...
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penchant.config import read_config
from penchant.errors import ArtifactNotFoundError, HTTPError, RequestError
from penchant.serving.artifacts import find_artifact
from penchant.serving.catalog import Version
from penchant.serving.http import Answer, Call, error_message, error_status
from penchant.serving.openapi import operation, path_parameter
from penchant.serving.protocols import multi_model, sagemaker
from penchant.serving.routes.records import RECORDS, answer_records
from penchant.serving.server import Route, Server

__all__ = ["routes", "runtime_error"]

_MEDIA = ("application/json", "application/jsonlines", "text/csv")
_NAME = path_parameter("name", "A model.")
_INVOKE = operation(
    summary="Recommend to users, score pairs or find similar items, as Amazon SageMaker asks.",
    body=RECORDS,
    answer={},
    media=_MEDIA,
    named=True,
    strict=True,
)
_NAMED = _INVOKE | {"parameters": [_NAME]}


def routes(server: Server, models_root: os.PathLike[str] | str | None) -> list[Route]:
    """Return the endpoints of a SageMaker container; `models_root` makes it a multi-model one."""
    found = [
        Route("POST", "/invocations", _invoke(server), _INVOKE),
        Route("POST", "/models/{name}/invoke", _invoke(server), _NAMED),
        Route("GET", "/execution-parameters", _parameters(server), _PARAMETERS),
    ]
    path = "/endpoints/{name}/invocations"
    found.append(Route("POST", path, _runtime(server), _NAMED, runtime_error))
    if models_root is not None:
        root = Path(models_root)
        found += [
            Route("GET", "/models", _list(server), _LIST),
            Route("POST", "/models", _load(server, root), _LOAD),
            Route("GET", "/models/{name}", _show(server), _SHOW),
            Route("DELETE", "/models/{name}", _unload(server), _UNLOAD),
        ]
    return found


def _invoke(server: Server) -> Any:
    async def handle(call: Call) -> Answer:
        version = server.catalog.get(call.names.get("name"))
        return await server.run(_answer, server, version, call)

    return handle


def _answer(server: Server, version: Version, call: Call) -> Answer:
    columns = version.service.model.columns_
    invocation = sagemaker.decode(
        call.body,
        call.header("content-type"),
        call.header(sagemaker.ATTRIBUTES_HEADER.lower()),
        columns=(columns.user, columns.item),
        max_top_n=server.limits.top_n,
    )
    return answer_records(server, version, invocation, call.header("accept"))


def _parameters(server: Server) -> Any:
    document = sagemaker.execution_parameters(
        concurrency=read_config().threads, max_bytes=server.limits.body_bytes
    )

    async def handle(_: Call) -> Answer:
        return Answer(document)

    return handle


_PARAMETERS = operation(summary="What SageMaker's batch transform goes by.", answer={})


# ---- the runtime API ----------------------------------------------------------------------------


def _runtime(server: Server) -> Any:
    async def handle(call: Call) -> Answer:
        version = server.catalog.get(call.names["name"])  # the one that answers is the one named
        _check_targets(call, version)
        answer = await server.run(_answer, server, version, call)
        headers = {"x-amzn-invoked-production-variant": version.version}
        return Answer(answer.content, media=answer.media, headers=headers)

    return handle


def _check_targets(call: Call, version: Version) -> None:
    """Refuse to answer for another model or variant than the one an endpoint has."""
    variant = call.header("x-amzn-sagemaker-target-variant")
    if variant and variant != version.version:
        raise HTTPError(421, f"there is no variant {variant!r}: {version.version!r} answers")
    for kind in ("target-model", "target-container-hostname", "inference-component"):
        target = call.header(f"x-amzn-sagemaker-{kind}")
        if target:
            raise HTTPError(421, f"{kind} {target!r}: this endpoint has one model")


def runtime_error(error: BaseException, call: Call) -> Answer:
    """Return an error as SageMaker's runtime answers with it."""
    status, headers, body = sagemaker.runtime_error(
        error_status(error), error_message(error), endpoint=call.names["name"]
    )
    media = headers.pop("content-type")
    return Answer(body, status, media, headers)


# ---- several models -----------------------------------------------------------------------------


def _load(server: Server, root: Path) -> Any:
    lock = threading.Lock()
    loading: set[str] = set()

    @contextmanager
    def reserved(name: str) -> Iterator[None]:
        """Refuse a name that is taken; nobody else may load a model under it meanwhile."""
        with lock:
            if name in loading or name in {version.name for version in server.catalog}:
                raise HTTPError(multi_model.CONFLICT, f"model {name} is loaded already")
            loading.add(name)
        try:
            yield
        finally:
            with lock:
                loading.discard(name)

    def load(body: bytes) -> Answer:
        wanted = multi_model.read_load(body)
        directory = multi_model.model_directory(wanted.url, root)
        with reserved(wanted.name):
            try:
                # Again for what is in the folder: that may be a link out of the root.
                directory = multi_model.model_directory(str(find_artifact(directory)), root)
                version = server.catalog.install(wanted.name, directory)
            except MemoryError:
                message = f"no memory is left for model {wanted.name}"
                raise HTTPError(multi_model.OUT_OF_MEMORY, message) from None
            except ArtifactNotFoundError as error:
                raise RequestError(str(error)) from error
        return Answer(multi_model.model_document(version.name, str(directory)))

    async def handle(call: Call) -> Answer:
        return await server.run_slow(load, call.body)

    return handle


def _list(server: Server) -> Any:
    async def handle(call: Call) -> Answer:
        start, limit = multi_model.read_page(call.query())
        models = [(version.name, version.artifact or "") for version in server.catalog]
        return Answer(multi_model.model_list(models, start=start, limit=limit))

    return handle


def _show(server: Server) -> Any:
    async def handle(call: Call) -> Answer:
        version = server.catalog.get(call.names["name"])
        return Answer(multi_model.model_document(version.name, version.artifact or ""))

    return handle


def _unload(server: Server) -> Any:
    async def handle(call: Call) -> Answer:
        await server.run_slow(server.catalog.remove, call.names["name"])
        return Answer(b"{}")

    return handle


_LIST = operation(summary="List the models that are loaded.", answer={})
_SHOW = operation(summary="Show a loaded model.", answer={}, parameters=[_NAME], named=True)
_UNLOAD = operation(summary="Unload a model.", answer={}, parameters=[_NAME], named=True)
_LOAD = operation(
    summary="Load a model.",
    answer={},
    body={
        "type": "object",
        "properties": {"model_name": {"type": "string"}, "url": {"type": "string"}},
        "required": ["model_name", "url"],
    },
)
