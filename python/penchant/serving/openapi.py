"""The OpenAPI document of the endpoints, put together from what their routes say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from penchant._version import __version__

if TYPE_CHECKING:
    from penchant.serving.server import Route

__all__ = ["document", "operation", "path_parameter", "query_parameter"]

_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


def operation(
    *,
    summary: str,
    answer: Mapping[str, Any],
    body: Mapping[str, Any] | None = None,
    parameters: Iterable[Mapping[str, Any]] = (),
    named: bool = False,
    guarded: bool = False,
    error: Mapping[str, Any] = _ERROR,
    media: Iterable[str] = ("application/json",),
    answer_media: Iterable[str] | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Describe an endpoint.

    Parameters
    ----------
    summary : str
    answer, body, error : mapping
        JSON schemas.
    parameters : iterable of mapping
    named : bool, default False
        It names a model, which may not be there (404).
    guarded : bool, default False
        It needs the admin token (401, 403).
    media, answer_media : iterable of str
        Media types of the body and of the answer.
    strict : bool, default False
        A body of another media type is refused (415); others are read as JSON whatever they are
        called, since that is what ``curl -d`` sends.

    Returns
    -------
    dict
        An OpenAPI operation object.
    """
    answer_media = media if answer_media is None else answer_media
    found: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": {"description": "OK", "content": _content(answer, answer_media)}},
    }
    codes = {"400": "The request is wrong", "503": "No model is loaded"}
    if named:
        codes["404"] = "No such model"
    if body is not None:
        found["requestBody"] = {"required": True, "content": _content(body, media)}
        codes |= {"408": "The body came too slowly", "413": "The body is too large"}
    if strict:
        codes["415"] = "The body is of another media type"
    if guarded:
        codes |= {"401": "The admin token is missing", "403": "The server has no admin token"}
        found["security"] = [{"token": []}]
    if listed := list(parameters):
        found["parameters"] = listed
    for code, text in codes.items():
        content = _content(error, ("application/json",))
        found["responses"][code] = {"description": text, "content": content}
    return found


def _content(schema: Mapping[str, Any], media: Iterable[str]) -> dict[str, Any]:
    return {one: {"schema": dict(schema) if "json" in one else {"type": "string"}} for one in media}


def path_parameter(name: str, description: str) -> dict[str, Any]:
    """Describe a part of the path."""
    schema = {"type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,62}$"}
    described = {"name": name, "in": "path", "required": True, "schema": schema}
    return described | {"description": description}


def query_parameter(
    name: str, schema: Mapping[str, Any], description: str, required: bool = False
) -> dict[str, Any]:
    """Describe a field of the query."""
    described = {"name": name, "in": "query", "required": required, "schema": dict(schema)}
    return described | {"description": description}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if route.doc:
            paths.setdefault(route.path, {})[route.method.lower()] = dict(route.doc)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penchant",
            "version": __version__,
            "description": "Recommendations of the models that this server has loaded.",
        },
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }
