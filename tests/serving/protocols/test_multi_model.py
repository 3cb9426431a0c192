"""Documents of multi-model endpoints."""

from __future__ import annotations

import json

import pytest

from penchant.errors import RequestError
from penchant.serving.protocols import multi_model, sagemaker


def test_load():
    body = b'{"model_name": "a-1", "url": "/opt/ml/models/a-1/model", "later": 1}'
    assert multi_model.read_load(body) == ("a-1", "/opt/ml/models/a-1/model")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[]", "expected an object"),
        (b"{", "not JSON"),
        (b'{"url": "/m"}', "model_name is missing"),
        (b'{"model_name": "a"}', "url is missing"),
        (b'{"model_name": "a", "url": ""}', "url must be the path"),
        (b'{"model_name": "a", "url": "/m\\u0000"}', "url must be the path"),
        *[
            (json.dumps({"model_name": name, "url": "/m"}).encode(), "model_name")
            for name in ("..", "../x", "a/b", "", ".hidden", "a\n", "a" * 300, 5, "\u00e9")
        ],
    ],
)
def test_wrong_loads(body, message):
    with pytest.raises(RequestError, match=message):
        multi_model.read_load(body)


def test_models_lie_in_the_root(tmp_path):
    root = tmp_path / "models"
    (root / "a" / "model").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "inner").symlink_to(root / "a")
    inside = (root / "a" / "model").resolve()
    for url in (str(inside), "a/model", f"file://{inside}", "inner/model"):
        assert multi_model.model_directory(url, root) == inside
    for url in ("../secret", "link", "/etc", str(root / ".." / "secret"), "a/../../secret"):
        with pytest.raises(RequestError, match="url must lie in"):
            multi_model.model_directory(url, root)
    with pytest.raises(RequestError, match="there is no folder"):
        multi_model.model_directory("missing", root)


def test_pages():
    models = [(f"m{number:02}", f"/m/{number}") for number in range(25)]
    names, start = [], 0
    while start is not None:
        start, limit = multi_model.read_page({"next_page_token": str(start), "limit": "10"})
        page = json.loads(multi_model.model_list(reversed(models), start=start, limit=limit))
        names += [entry["modelName"] for entry in page["models"]]
        start = page.get("nextPageToken")
    assert names == [name for name, _ in models]
    for query in ({"limit": "0"}, {"limit": "x"}, {"next_page_token": "-1"}):
        with pytest.raises(RequestError, match="must be a whole number"):
            multi_model.read_page(query)


def test_documents():
    assert json.loads(multi_model.model_document("a", "/m")) == {"modelName": "a", "modelUrl": "/m"}
    document = json.loads(sagemaker.execution_parameters(concurrency=2, max_bytes=1000))
    assert document == {
        "MaxConcurrentTransforms": 2,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 1,
    }
