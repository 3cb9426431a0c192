"""Requests made up from the OpenAPI document, by a tool that looks for servers' mistakes."""

import asyncio
import collections
import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from small_models import TOKEN, WARNINGS, wait_until_healthy

from penchant.serving import create_app

# A server of all there is: several models, and a folder that SageMaker may load others from.
PROGRAM = """
import socket, sys, uvicorn
from penchant.serving import create_app
root, artifact, token, address = sys.argv[1:]
app = create_app({"shop": artifact}, models_root=root, admin_token=token)
listening = socket.create_server(("127.0.0.1", 0))
with open(address, "w") as file:
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", file=file)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listening])
"""

CAMPAIGN = "arn:aws:personalize:eu-west-1:000000000000:campaign/shop"
ITEM = {"item_id": "LAMP", "k": 2}
# Bodies that are answered, by the end of the path, and what is named in a path.
BODIES = {
    "/recommend": {"user_id": 17850, "k": 2, "exclude": ["MUG"]},
    "/similar": ITEM,
    "/users": ITEM,
    "/predict": {"user_id": 17850, "item_id": "LAMP"},
    "/invocations": {"user_id": 17850, "k": 2, "where": "what = 'LAMP'", "exclude_seen": False},
    "/invoke": ITEM,
    "/recommendations": {"campaignArn": CAMPAIGN, "userId": "17850", "numResults": 3},
    "/personalize-ranking": {"campaignArn": CAMPAIGN, "userId": "1", "inputList": ["LAMP", "x"]},
    "/snowflake/{function}": {"data": [[0, "shop", "17850"]]},
}
NAMES = {"name": "shop", "function": "invoke_model"}
SPARE = "spare"  # the name of a model that comes and goes


@pytest.fixture
def whole_server(artifact, tmp_path):
    """The address of a server with every endpoint, and a folder of a model that it may load."""
    root = tmp_path / "models"
    folder = root / SPARE / "model"
    folder.mkdir(parents=True)
    for file in artifact.iterdir():
        (folder / file.name).hardlink_to(file)
    address, log = tmp_path / "address", tmp_path / "log"
    command = [sys.executable, *WARNINGS, "-c", PROGRAM, str(root), str(artifact), TOKEN]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, str(address)], stderr=output)
    try:
        while not (address.exists() and address.read_text().endswith("\n")):
            assert process.poll() is None, log.read_text()
        wait_until_healthy(address.read_text().strip(), process, log)
        yield address.read_text().strip(), folder
    finally:
        process.terminate()
        process.wait(60)
    assert "Traceback" not in log.read_text()


def with_examples(document, artifact, folder):
    """The document with a request for each operation that is answered; others are made up."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            names = dict(NAMES)
            body = next((BODIES[end] for end in BODIES if path.endswith(end)), None)
            if method in ("put", "delete"):  # by the admin, or by SageMaker
                body = {"artifact": str(artifact)}
                names["name"] = SPARE if path.startswith("/v1/") else "loaded"
            if path == "/models" and method == "post":
                body = {"model_name": "loaded", "url": str(folder)}
            if "requestBody" in operation:
                operation["requestBody"]["content"]["application/json"]["example"] = body
            examples = names | {"user_id": "17850", "k": 2}
            for parameter in operation.get("parameters", []):
                if parameter["name"] in examples:
                    parameter["example"] = examples[parameter["name"]]
    return document


def operations_of(document):
    return {
        (method.upper(), path) for path in document["paths"] for method in document["paths"][path]
    }


def answered(har, operations):
    """The statuses of each operation."""
    found = collections.defaultdict(set)
    patterns = {
        one: re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(one[1]))) for one in operations
    }
    for entry in json.loads(har.read_text())["log"]["entries"]:
        method, path = entry["request"]["method"], urlsplit(entry["request"]["url"]).path
        for one, pattern in patterns.items():
            if one[0] == method and pattern.fullmatch(path):
                found[one].add(entry["response"]["status"])
    return found


@pytest.mark.slow
def test_schemathesis_finds_no_server_error(whole_server, artifact, tmp_path):
    """Every operation is answered at least once, and none fails."""
    server, folder = whole_server
    with urllib.request.urlopen(f"{server}/openapi.json") as response:
        document = with_examples(json.load(response), artifact, folder)
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    command = [str(Path(sys.executable).with_name("schemathesis")), "run"]
    command += [str(tmp_path / "openapi.json"), "--url", server]
    command += ["--header", f"Authorization: Bearer {TOKEN}", "--report-har-path", "report.har"]
    # Not the phase that makes up sequences: it would take away what others ask about.
    command += ["--phases", "examples,coverage,fuzzing"]
    command += ["--checks", "not_a_server_error", "--max-examples", "8", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=1200)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "generated" in done.stdout
    operations = operations_of(document)
    statuses = answered(tmp_path / "report.har", operations)
    never = {one: statuses[one] for one in operations if 200 not in statuses[one]}
    assert never == {}


def test_bodies_of_other_media_types_are_refused_where_the_document_says_so(number_model):
    app = create_app({"shop": number_model})

    async def ask():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            document = (await client.get("/openapi.json")).json()
            for path, operations in document["paths"].items():
                body = next((BODIES[end] for end in BODIES if path.endswith(end)), None)
                if body is None or "post" not in operations:
                    continue
                place = path.replace("{name}", "shop").replace("{function}", "invoke_model")
                answer = await client.post(
                    place, content=json.dumps(body), headers={"content-type": "text/html"}
                )
                declared = "415" in operations["post"]["responses"]
                told = [answer.status_code, answer.headers.get("x-amzn-errortype")]
                refused = told[0] == 415 or (
                    told == [424, "ModelError"] and b"415" in answer.content
                )
                assert refused == declared, (path, told)
                assert declared or told[0] == 200, (path, answer.text)

    asyncio.run(ask())


def test_personalizes_fields_are_declared(number_model):
    """Each field that boto3 may send and the server reads, and no other."""
    paths = create_app(number_model).openapi()["paths"]
    for path, own in (
        ("/recommendations", {"itemId", "numResults"}),
        ("/personalize-ranking", {"inputList"}),
    ):
        content = paths[path]["post"]["requestBody"]["content"]
        schema = content["application/json"]["schema"]
        common = {"campaignArn", "userId", "filterArn", "filterValues", "context"}
        assert common | own <= set(schema["properties"])
        assert schema["additionalProperties"] is False
