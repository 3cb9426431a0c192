"""A server that was ready, and answers /ping no more or not always."""

import subprocess
import sys

import pytest

from endpoint_support import processes_in, wait_until
from penchant.endpoints.process import end
from penchant.endpoints.state import Folder

SERVER = """
import http.server, pathlib, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open("asked", "a") as asked:
            asked.write("x")
        said = pathlib.Path("say").read_text()
        if said == "nothing":
            time.sleep(600)
        if said == "once":
            pathlib.Path("say").write_text("200")
        self.send_response(503 if said == "once" else int(said))
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(f"serving on http://127.0.0.1:{server.server_port} - Ctrl-C stops it", flush=True)
server.serve_forever()
"""
RUNNER = """
import sys
from penchant.endpoints import watchdog
watchdog._CHECK_SECONDS = watchdog._TICK_SECONDS = 0.05
watchdog._PATIENCE_SECONDS = 1.0
sys.exit(watchdog.main(sys.argv[1:]))
"""


@pytest.fixture
def folder(tmp_path):
    """The folder of a server in service, which is looked at many times a second."""
    found = Folder(tmp_path)
    (tmp_path / "say").write_text("200")
    with open(found.log, "ab") as log:
        subprocess.run(
            [sys.executable, "-c", RUNNER, str(tmp_path), "-c", SERVER],
            stdout=log,
            stderr=log,
            cwd=tmp_path,
            start_new_session=True,
            check=True,
        )
    wait_until(lambda: found.status().state == "InService")
    yield found
    end(found)
    assert not processes_in(tmp_path)


def asked(folder):
    return (folder.path / "asked").stat().st_size


@pytest.mark.parametrize(
    ("says", "why"), [("nothing", "nothing within 1 s"), ("500", "status 500")]
)
def test_a_server_that_no_longer_answers_has_failed(folder, says, why):
    (folder.path / "say").write_text(says)
    wait_until(lambda: folder.status().state == "Failed")
    assert folder.status().reason == f"the server did not answer /ping 3 times in a row ({why})"
    assert why in folder.tail(1)
    wait_until(lambda: not processes_in(folder.path))  # it is ended, not left behind


def test_a_server_that_misses_once_goes_on(folder):
    for _ in range(4):
        (folder.path / "say").write_text("once")
        before = asked(folder)
        wait_until(lambda before=before: asked(folder) > before + 3)
    assert folder.status().state == "InService"
    assert folder.tail(50).count("status 503") == 4
