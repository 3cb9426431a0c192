import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
from hostile_endpoints import ENDPOINTS
from hostile_support import MEMORY, many_files, serving
from small_models import TOKEN, WARNINGS, fit, wait_until_healthy


@pytest.fixture(scope="session")
def number_model():
    """Customers are numbers: 17850, 17860, ..., 18340."""
    return fit(np.arange(17850, 18350, 10))


@pytest.fixture(scope="session")
def text_model():
    """Customers are text: u0, u1, ..., and two that a CSV or JSON file must quote."""
    return fit(np.array([*(f"u{i}" for i in range(20)), 'a "b", c', "007"]))


@pytest.fixture(scope="session")
def artifact(number_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "artifact"
    number_model.save(path)
    return path


@pytest.fixture(scope="session")
def server(artifact, tmp_path_factory):
    """The address of `penchant serve`, a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, *WARNINGS, "-m", "penchant", "serve", str(artifact)]
    command += ["--port", str(port), "--name", "shop"]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as output:
        environment = {**os.environ, "PENCHANT_ADMIN_TOKEN": TOKEN}
        process = subprocess.Popen(command, env=environment, stderr=output)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_healthy(address, process, log)
            yield address
        finally:
            process.terminate()
            process.wait(60)
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def attacked_process(artifact):
    with many_files(4096), serving(artifact) as server:
        for endpoint in ENDPOINTS:
            assert server.ask(endpoint)[0] == 200, endpoint
        server.rest = server.memory()
        yield server
        code = server.stop()
    assert code in (0, -signal.SIGTERM)


@pytest.fixture
def attacked(attacked_process):
    """The server; well after each test, no error logged, and no larger than it may be."""
    before = len(attacked_process.log)
    yield attacked_process
    attacked_process.is_well(before)
    assert attacked_process.memory() - attacked_process.rest < MEMORY
