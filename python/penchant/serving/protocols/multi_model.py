"""The documents by which SageMaker loads and unloads models of a multi-model endpoint.

========================  ===============  ====================================================
``POST /models``          `read_load`      200; 409 it is loaded already; 507 no memory for it
``GET /models``           `model_list`     200; `read_page` reads the query
``GET /models/{name}``    `model_document` 200; 404 it is not loaded
``DELETE /models/{name}``                  200; 404 it is not loaded; 507 no memory
``POST /models/{name}/invoke``             as ``/invocations``; 404 it is not loaded
========================  ===============  ====================================================
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from penchant.errors import ParameterError, RequestError
from penchant.serving.catalog import check_name
from penchant.serving.decode import load_json, show, whole_number

__all__ = ["CONFLICT", "OUT_OF_MEMORY", "LoadModel", "model_directory", "model_document"]
__all__ += ["model_list", "read_load", "read_page"]

CONFLICT = 409
OUT_OF_MEMORY = 507
_MAX_PAGE = 1000


class LoadModel(NamedTuple):
    """What ``POST /models`` asks for: a name and where the model's files are."""

    name: str
    url: str


def read_load(body: bytes) -> LoadModel:
    """Read the body of ``POST /models``.

    Raises
    ------
    RequestError
        Also for a name that `check_name` refuses, such as ``..`` or ``a/b``.

    Examples
    --------
    >>> read_load(b'{"model_name": "shop", "url": "/opt/ml/models/shop/model"}')
    LoadModel(name='shop', url='/opt/ml/models/shop/model')
    """
    document = load_json(body)
    if not isinstance(document, dict):
        raise RequestError(f"expected an object with model_name and url, got {show(document)}")
    for field in ("model_name", "url"):
        if field not in document:
            raise RequestError(f"{field} is missing")
    url = document["url"]
    if not isinstance(url, str) or not url or "\0" in url:
        raise RequestError(f"url must be the path of a model, got {show(url)}")
    name = document["model_name"]
    if not isinstance(name, str):
        raise RequestError(f"model_name must be text, got {show(name)}")
    try:
        return LoadModel(check_name(name), url)
    except ParameterError as error:
        raise RequestError(f"model_name: {error}") from None


def model_directory(url: str, root: os.PathLike[str] | str) -> Path:
    """Return the folder that a model's url means, which must lie inside a root.

    SageMaker puts a model's files into ``/opt/ml/models/{name}/model``. Links are followed before
    the check: one that leads out of the root is refused.

    Raises
    ------
    RequestError
        It lies elsewhere, or there is no such folder.
    """
    base = Path(os.path.realpath(root))
    path = Path(os.path.realpath(base / url.removeprefix("file://")))
    if not path.is_relative_to(base):
        raise RequestError(f"url must lie in {base}, got {show(url)}")
    if not path.is_dir():
        raise RequestError(f"there is no folder {show(url)}")
    return path


def model_document(name: str, url: str) -> bytes:
    """Return the answer to ``GET /models/{name}``."""
    return json.dumps(_entry(name, url)).encode()


def read_page(query: Mapping[str, str]) -> tuple[int, int]:
    """Return where a page of `model_list` begins and its most entries.

    Raises
    ------
    RequestError

    Examples
    --------
    >>> read_page({"limit": "10", "next_page_token": "20"})
    (20, 10)
    """
    found = []
    for name, least, default in (("next_page_token", 0, 0), ("limit", 1, 100)):
        text = query.get(name)
        number = default if text is None else whole_number(text)
        if number is None or number < least:
            raise RequestError(f"{name} must be a whole number from {least}, got {show(text)}")
        found.append(number)
    return found[0], min(found[1], _MAX_PAGE)


def model_list(models: Iterable[tuple[str, str]], *, start: int = 0, limit: int = 100) -> bytes:
    """Return the answer to ``GET /models``.

    Parameters
    ----------
    models : iterable of (str, str)
        The names and urls of what is loaded.
    start, limit : int
        See `read_page`.

    Examples
    --------
    >>> model_list([("a", "/m/a"), ("b", "/m/b")], limit=1).decode()
    '{"models": [{"modelName": "a", "modelUrl": "/m/a"}], "nextPageToken": "1"}'
    """
    entries = [_entry(name, url) for name, url in sorted(models)]
    document: dict[str, object] = {"models": entries[start : start + limit]}
    if start + limit < len(entries):
        document["nextPageToken"] = str(start + limit)
    return json.dumps(document).encode()


def _entry(name: str, url: str) -> dict[str, str]:
    return {"modelName": name, "modelUrl": url}
