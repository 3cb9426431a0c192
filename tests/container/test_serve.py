"""`penchant-sagemaker serve` as a process: the contract of SageMaker's endpoints."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pyarrow as pa
import pytest
from trees import COMMAND, make_tree, run

import penchant as pc
from penchant.container.web import bind_port, worker_count
from penchant.errors import ArtifactNotFoundError, ParameterError
from penchant.serving.artifacts import find_artifact


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = make_tree(tmp_path_factory.mktemp("ml"), {"model": "bpr", "factors": "8", "epochs": "2"})
    assert run("train", root).returncode == 0
    return root


@contextlib.contextmanager
def serving(root, **environment):
    """Run a server; yields the process and its address. It is ended here, if not before."""
    environment = {"SAGEMAKER_BIND_TO_PORT": "0", **environment}
    command = [*COMMAND, "serve", "--root", str(root)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={**os.environ, **environment}, **options) as process:
        try:
            line = process.stdout.readline()
            port = re.search(r"listening on port (\d+)", line)
            assert port, line + process.communicate(timeout=300)[1]
            yield process, f"http://127.0.0.1:{port[1]}"
        finally:
            process.kill()


def ask(url, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read())


def healthy(place):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            return ask(f"{place}/ping")
        time.sleep(0.05)
    raise AssertionError("the server did not come up")


def test_serves_until_sigterm(trained):
    with serving(trained) as (process, place):
        assert healthy(place) == {"status": "healthy"}
        answer = ask(f"{place}/invocations", {"user_id": "17000", "top_n": 3})
        assert [row["user_id"] for row in answer] == [17000] * 3
        # As of `penchant serve`: half a second and 25 MB that no answer needs.
        if int(pa.__version__.partition(".")[0]) >= 18:  # earlier ones import it all the same
            assert "/pandas/" not in Path(f"/proc/{process.pid}/maps").read_text()
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.splitlines()[-1].endswith(" stopped")
    assert "Traceback" not in error


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_sigterm_lets_begun_requests_end(trained, workers):
    """A request whose body is still on its way is answered; then nobody is let in any more."""
    body = json.dumps({"user_id": "17001"}).encode()
    with serving(trained, SAGEMAKER_MODEL_SERVER_WORKERS=workers) as (process, place):
        healthy(place)
        port = int(place.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as slow:
            head = f"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
            slow.sendall(head.encode() + body[:5])
            time.sleep(0.5)  # the server has begun with it
            process.send_signal(signal.SIGTERM)
            refused = threading.Event()

            def knock():
                end = time.monotonic() + 60
                while time.monotonic() < end and not refused.is_set():
                    try:
                        socket.create_connection(("127.0.0.1", port), timeout=5).close()
                    except OSError:
                        refused.set()
                    time.sleep(0.05)

            thread = threading.Thread(target=knock)
            thread.start()
            thread.join()
            assert refused.is_set()
            assert process.poll() is None
            slow.sendall(body[5:])
            answer = b""
            while part := slow.recv(65_536):
                answer += part
        process.communicate(timeout=60)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"user_id": 17001' in answer
    assert process.returncode == 0


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_sigterm_before_it_serves(trained, workers):
    command = [*COMMAND, "serve", "--root", str(trained)]
    environment = {**os.environ, "SAGEMAKER_BIND_TO_PORT": "0"}
    environment["SAGEMAKER_MODEL_SERVER_WORKERS"] = workers
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:  # until it has a handler, the signal just ends it
            caught = int(re.search(r"SigCgt:\s*([0-9a-f]+)", status.read_text())[1], 16)
            if caught & 1 << (signal.SIGTERM - 1):
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=300)
    assert process.returncode == 0


@pytest.mark.slow
def test_sigterm_as_it_begins_to_listen(trained):
    """Before gunicorn has its own handlers: the signal must not be lost."""
    for pause in (0.0, 0.02, 0.05):
        with serving(trained, SAGEMAKER_MODEL_SERVER_WORKERS="2") as (process, _):
            time.sleep(pause)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
            assert process.returncode == 0


@pytest.mark.slow
def test_a_model_that_was_loaded_is_there_whichever_worker_is_asked(trained, tmp_path):
    shutil.copytree(trained / "model", tmp_path / "models" / "shop" / "model")
    environment = {"SAGEMAKER_MULTI_MODEL": "true", "SAGEMAKER_MODEL_SERVER_WORKERS": "2"}
    with serving(tmp_path, **environment) as (_, place):
        healthy(place)
        for number in range(5):
            name = f"shop{number}"
            ask(f"{place}/models", {"model_name": name, "url": str(tmp_path / "models" / "shop")})
            for _ in range(20):
                assert len(ask(f"{place}/models/{name}/invoke", {"user_id": "17000", "k": 1})) == 1


def test_many_models(trained, tmp_path):
    shutil.copytree(trained / "model", tmp_path / "models" / "shop" / "model")
    with serving(tmp_path, SAGEMAKER_MULTI_MODEL="true") as (_, place):
        healthy(place)
        assert ask(f"{place}/models") == {"models": []}
        shop = {"model_name": "shop", "url": str(tmp_path / "models" / "shop")}
        ask(f"{place}/models", shop)
        (listed,) = ask(f"{place}/models")["models"]
        assert listed["modelName"] == "shop"
        answer = ask(f"{place}/models/shop/invoke", {"user_id": "17000", "top_n": 3})
    wanted = pc.load(trained / "model").recommend(17000, k=3)
    assert [row["item_id"] for row in answer] == wanted["item_id"].tolist()


def test_no_model(tmp_path):
    (tmp_path / "model").mkdir()
    done = run("serve", tmp_path)
    assert done.returncode == 1
    assert f"there is no model in {tmp_path / 'model'}" in done.stdout


def test_a_damaged_model(trained, tmp_path):
    (tmp_path / "model").mkdir()
    for file in (trained / "model").iterdir():
        (tmp_path / "model" / file.name).write_bytes(file.read_bytes()[:-1])
    done = run("serve", tmp_path)
    assert done.returncode == 1
    assert "failed: " in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_port_in_use(trained):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", trained, SAGEMAKER_BIND_TO_PORT=port)
    assert done.returncode == 1
    assert f"cannot listen on 0.0.0.0:{port}: Address already in use" in done.stdout


@pytest.mark.parametrize("workers", ["0", "-1", "two", "", "1000", "٣"])
def test_no_number_of_workers(workers):
    with pytest.raises(ParameterError, match="SAGEMAKER_MODEL_SERVER_WORKERS"):
        worker_count({"SAGEMAKER_MODEL_SERVER_WORKERS": workers})


@pytest.mark.parametrize("port", ["", "http", "-1", "65536", "80.5"])
def test_no_port(port):
    with pytest.raises(ParameterError, match="SAGEMAKER_BIND_TO_PORT must be a port"):
        bind_port({"SAGEMAKER_BIND_TO_PORT": port})


def test_where_the_model_is(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "model.json").write_text("{}")
    assert find_artifact(tmp_path) == tmp_path / "a"
    (tmp_path / "b" / "model.json").write_text("{}")
    with pytest.raises(ArtifactNotFoundError, match="there are 2 models"):
        find_artifact(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    assert find_artifact(tmp_path) == tmp_path


def test_dockerfile():
    import penchant

    text = Path(penchant.__file__).with_name("container").joinpath("Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines[0].startswith("FROM python:3")
    assert lines[-1] == 'ENTRYPOINT ["penchant-sagemaker"]'  # with no shell between, for signals
    assert "EXPOSE 8080" in lines
    project = Path(__file__).parents[2].joinpath("pyproject.toml").read_text()
    for extra in re.search(r"\[([a-z0-9,]+)\]\"", text)[1].split(","):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE)
    assert 'penchant-sagemaker = "penchant.container.command:main"' in project
    assert not re.search(r"password|secret=|AWS_", "\n".join(lines), re.IGNORECASE)
