"""Kills, expiry and numbers of processes that belong to others by now."""

import json
import os
import signal
import subprocess

import pytest

import penchant as pc
from endpoint_support import processes_in, version_of, wait_until
from penchant.endpoints.state import Folder
from penchant.errors import EndpointError


def runtime(name):
    return json.loads(Folder.of("endpoints", name).runtime.read_text())


def test_expiry_stops_it_and_start_brings_it_back(home, artifacts):
    predictor = pc.deploy(artifacts[0], name="brief", expires="1h", progress=False)
    assert "expires=" in repr(predictor)
    # The process is told by its settings: shorter, while it runs.
    pc.deploy(artifacts[0], name="brief", expires=0.3, replace=True)
    wait_until(lambda: not processes_in(home / "endpoints" / "brief"))
    assert (predictor.status, predictor.reason) == ("Stopped", "it has expired")
    assert predictor.endpoint_url is None
    predictor.start(expires="1h")
    assert len(predictor.predict({"user_id": "u1"})["items"]) > 0
    predictor.delete_endpoint()


@pytest.mark.slow
def test_a_killed_server_is_noticed_with_all_its_workers(home, artifacts):
    predictor = pc.deploy(artifacts[0], name="killed", workers=2, progress=False)
    os.kill(runtime("killed")["server_pid"], signal.SIGKILL)
    wait_until(lambda: predictor.status == "Failed")
    assert predictor.reason == "the server was killed by signal 9"
    assert "killed by signal 9" in predictor.logs(1)
    wait_until(lambda: not processes_in(home / "endpoints" / "killed"))
    with pytest.raises(EndpointError, match="failed"):
        predictor.predict({"user_id": "u1"})
    pc.deploy(artifacts[1], name="killed", workers=1, replace=True, progress=False)
    assert predictor.predict({"user_id": "u1"})["version"] == version_of(artifacts[1])
    predictor.delete_endpoint()


@pytest.mark.slow
def test_a_server_ends_with_who_watches_it(home, artifacts):
    predictor = pc.deploy(artifacts[0], name="orphan", workers=2, progress=False)
    os.kill(runtime("orphan")["pid"], signal.SIGKILL)
    wait_until(lambda: predictor.status == "Failed")
    assert "killed, or the machine restarted" in predictor.reason
    wait_until(lambda: not processes_in(home / "endpoints" / "orphan"))
    predictor.start()
    assert predictor.status == "InService"
    predictor.delete_endpoint()


def test_a_process_that_has_the_number_now_is_left_alone(home, artifacts):
    predictor = pc.deploy(artifacts[0], name="reused", progress=False)
    predictor.stop()
    with subprocess.Popen(["sleep", "600"]) as foreign:
        try:
            # As after kill -9, or a restart of the machine.
            folder = Folder.of("endpoints", "reused")
            folder.write_runtime(
                state="InService", url="http://127.0.0.1:9", pid=foreign.pid, server_pid=foreign.pid
            )
            assert predictor.status == "Failed"
            predictor.delete_endpoint()
            assert foreign.poll() is None
        finally:
            foreign.kill()


def test_a_deployment_that_was_killed_halfway_is_no_obstacle(home, artifacts):
    (home / "endpoints" / "half" / "versions" / ".staging").mkdir(parents=True)
    assert "half" not in [one.name for one in pc.endpoints.list()]
    with pc.deploy(artifacts[0], "half", progress=False) as predictor:
        assert predictor.status == "InService"


def test_not_waiting(home, artifacts):
    with pc.deploy(artifacts[0], "later", wait=False) as predictor:
        if predictor.status == "Creating":
            with pytest.raises(EndpointError, match="is starting"):
                predictor.predict({"user_id": "u1"})
        predictor.wait()
        assert predictor.status == "InService"
