"""One address for all endpoints, asked by boto3's own clients; and each endpoint asked directly."""

import csv
import fcntl
import io
import json
import os
import shutil
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import penchant as pc
from endpoint_support import USERS, version_of, wait_until
from penchant.endpoints.state import Folder
from penchant.errors import EndpointError, HTTPError, ParameterError
from penchant.serving.routes import personalize

ARN = "arn:aws:personalize:us-east-1:000000000000:campaign/"


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def aws(service, url):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"max_attempts": 0}),
    )


@pytest.fixture(scope="module")
def shops(home, artifacts):
    """Two endpoints, of the two versions."""
    filters = {"pens": 'INCLUDE ItemID WHERE Items.what IN (" PEN ")'}
    first = pc.deploy(artifacts[0], "one", filters=filters, progress=False, wait=False)
    second = pc.deploy(artifacts[1], "two", progress=False)
    first.wait()
    return first, second


@pytest.fixture(scope="module")
def router(home):
    return pc.endpoints.router(0, progress=False)


def invoke(client, name, body):
    return client.invoke_endpoint(EndpointName=name, Body=body, ContentType="application/json")


def test_invoke_endpoint(shops, router, artifacts, expected):
    body = json.dumps({"user_id": "u3", "top_n": 5})
    client = aws("sagemaker-runtime", router.url)
    for predictor, artifact in zip(shops, artifacts, strict=True):
        answer = invoke(client, predictor.name, body)
        items = [one["item_id"] for one in json.loads(answer["Body"].read())]
        assert items == expected[version_of(artifact), "u3"]
        assert answer["ContentType"] == "application/json"
        assert answer["InvokedProductionVariant"] == version_of(artifact)
        direct = invoke(aws("sagemaker-runtime", predictor.endpoint_url), predictor.name, body)
        assert [one["item_id"] for one in json.loads(direct["Body"].read())] == items


def test_formats_and_attributes_are_passed_on(shops, router):
    answer = aws("sagemaker-runtime", router.url).invoke_endpoint(
        EndpointName="one",
        Body=b"u1\nu2\n",
        ContentType="text/csv",
        Accept="text/csv",
        CustomAttributes="top_n=2",
    )
    assert answer["ContentType"] == "text/csv"
    rows = csv.reader(io.StringIO(answer["Body"].read().decode(), newline=""))
    assert [row[0] for row in rows] == ["u1", "u1", "u2", "u2"]


def test_a_large_body_without_a_type(shops, router):
    """Two megabytes; and JSON is what a body is that does not say."""
    body = json.dumps([{"user_id": user, "top_n": 1} for user in USERS * 2500])
    answer = aws("sagemaker-runtime", router.url).invoke_endpoint(EndpointName="one", Body=body)
    found = json.loads(answer["Body"].read())
    assert [one["user_id"] for one in found[:20]] == USERS
    assert len(found) == 50_000


def error_of(call, *arguments, **options):
    with pytest.raises(ClientError) as caught:
        call(*arguments, **options)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response


def test_errors_of_sagemaker(shops, router):
    client = aws("sagemaker-runtime", router.url)
    for name in ("three", "a..", "%2e%2e"):
        assert error_of(invoke, client, name, b"{}")[:2] == ("ValidationError", 400)
    kind, status, response = error_of(invoke, client, "one", b"{")
    assert (kind, status, response["OriginalStatusCode"]) == ("ModelError", 424, 400)
    assert "JSON" in response["OriginalMessage"]


def test_personalize(shops, router, artifacts, expected):
    client = aws("personalize-runtime", router.url)
    for predictor, artifact in zip(shops, artifacts, strict=True):
        arn = ARN + predictor.name
        answer = client.get_recommendations(campaignArn=arn, userId="u3", numResults=5)
        items = [one["itemId"] for one in answer["itemList"]]
        assert items == expected[version_of(artifact), "u3"]
        given = [item for item in items if item]  # Amazon has no empty ids
        ranked = client.get_personalized_ranking(
            campaignArn=arn, userId="u3", inputList=sorted(given)
        )
        assert [one["itemId"] for one in ranked["personalizedRanking"]] == given
    pens = client.get_recommendations(campaignArn=ARN + "one", userId="u3", filterArn=ARN + "pens")
    assert {one["itemId"] for one in pens["itemList"]} <= {" PEN "}


def test_errors_of_personalize(shops, router):
    client = aws("personalize-runtime", router.url)
    ask = client.get_recommendations
    missing = error_of(ask, campaignArn=ARN + "three", userId="u1")
    assert missing[:2] == ("ResourceNotFoundException", 404)
    assert error_of(ask, userId="u1")[:2] == ("InvalidInputException", 400)
    assert error_of(ask, campaignArn="arn:aws", userId="u1")[:2] == ("InvalidInputException", 400)
    # From the endpoint itself.
    assert error_of(ask, campaignArn=ARN + "one")[:2] == ("InvalidInputException", 400)
    unknown = error_of(ask, campaignArn=ARN + "two", userId="u1", filterArn=ARN + "pens")
    assert unknown[:2] == ("ResourceNotFoundException", 404)


def test_an_endpoint_is_followed_to_its_new_process(home, artifacts, router):
    client = aws("sagemaker-runtime", router.url)
    body = json.dumps({"user_id": USERS[0], "top_n": 5})
    with pc.deploy(artifacts[0], "moving", progress=False) as predictor:
        invoke(client, "moving", body)
        server = json.loads(Folder.of("endpoints", "moving").runtime.read_text())["server_pid"]
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: predictor.status == "Failed")
        kind, status, response = error_of(invoke, client, "moving", body)
        assert (kind, status) == ("ServiceUnavailable", 503)
        assert "killed by signal 9" in response["Error"]["Message"]
        predictor.start()
        assert invoke(client, "moving", body)["Body"].read()
    assert error_of(invoke, client, "moving", body)[0] == "ValidationError"


def test_its_own_paths(shops, router):
    assert httpx.get(f"{router.url}/ping", trust_env=False).status_code == 200
    listed = httpx.get(f"{router.url}/endpoints", trust_env=False).json()
    assert {"name": "one", "status": "InService"} in listed


def test_a_large_body_is_refused(shops, router):
    answer = httpx.post(
        f"{router.url}/recommendations", content=b" " * (7 * 2**20), trust_env=False
    )
    assert answer.status_code == 400
    assert answer.headers["x-amzn-errortype"] == "InvalidInputException"


def test_there_is_one_router(router):
    assert pc.endpoints.router().url == router.url
    with pytest.raises(EndpointError, match="stop it first"):
        pc.endpoints.router(port=1)
    with pytest.raises(ParameterError, match="port=-1"):
        pc.endpoints.router(port=-1)
    assert router.url in repr(router)
    assert router.url in router._repr_html_()
    assert "routing to endpoints" in router.logs()


def test_a_port_in_use_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PENCHANT_HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EndpointError, match=f"cannot listen on 127.0.0.1:{port}"):
            pc.endpoints.router(port, progress=False)
    assert pc.endpoints.Router().status == "Failed"


@pytest.fixture
def recording(home):
    """An endpoint that notes the headers of what it is asked."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("content-length") or 0))
            got.append(self.headers)
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    folder = Folder.of("endpoints", "recording")
    folder.path.mkdir(parents=True)
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server,
        open(folder.path / "alive", "w") as alive,
    ):
        fcntl.flock(alive, fcntl.LOCK_EX)
        folder.write_runtime(state="InService", url=f"http://127.0.0.1:{server.server_port}")
        folder.write_settings({"name": "recording"})
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield got
        server.shutdown()
        thread.join()
        shutil.rmtree(folder.path)


def test_what_names_a_model_is_passed_on(recording, router):
    """Else the default one would answer for it."""
    aws("sagemaker-runtime", router.url).invoke_endpoint(
        EndpointName="recording",
        Body=b"{}",
        TargetModel="one.tar.gz",
        TargetVariant="green",
        TargetContainerHostname="second",
        InferenceComponentName="part",
    )
    (headers,) = recording
    assert headers["x-amzn-sagemaker-target-model"] == "one.tar.gz"
    assert headers["x-amzn-sagemaker-target-variant"] == "green"
    assert headers["x-amzn-sagemaker-target-container-hostname"] == "second"
    assert headers["x-amzn-sagemaker-inference-component"] == "part"


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6")
def test_ipv6(tmp_path, monkeypatch):
    monkeypatch.setenv("PENCHANT_HOME", str(tmp_path))
    with pc.endpoints.router(0, host="::1", progress=False) as router:
        assert router.url.startswith("http://[::1]:")
        assert httpx.get(f"{router.url}/ping", trust_env=False).status_code == 200


@pytest.mark.parametrize("status", [400, 404, 413, 429, 500, 503, 504])
def test_errors_of_personalize_are_its_own(status):
    answer = personalize.runtime_error(HTTPError(status, "no"), None)
    assert answer.status == {413: 400, 504: 503}.get(status, status)
