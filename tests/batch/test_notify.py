"""Who is told of a job: a command, a web hook, SNS through the real boto3 (to a local server)."""

import json
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from penchant.batch.notify import check_target, notify, payload
from penchant.batch.report import Report
from penchant.errors import ParameterError, PenchantWarning

CONTENT = payload("rank", "a.jsonl", "-", Report("rank", "a.jsonl", "-", requests=3, rows=9))
ARN = "arn:aws:sns:eu-central-1:123456789012:done"


@pytest.fixture
def server():
    """Collect what is posted; paths that begin with /no are refused."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers, body))
            self.send_response(500 if self.path.startswith("/no") else 200)
            answer = b"<PublishResponse><PublishResult/></PublishResponse>"
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", got
        http.shutdown()
        thread.join()


def test_what_is_told():
    assert CONTENT["status"] == "completed"
    assert CONTENT["counts"] == {"requests": 3, "rows": 9, "unknown": 0, "failed": 0}
    failed = payload("rank", "a.jsonl", "-", None, ValueError("why"))
    assert (failed["status"], failed["error"]) == ("failed", "why")


def test_a_command_gets_it_on_stdin(tmp_path):
    code = f"import sys; open({str(tmp_path / 'got')!r}, 'w').write(sys.stdin.read())"
    assert notify(f'{sys.executable} -c "{code}"', CONTENT)
    assert json.loads((tmp_path / "got").read_text()) == CONTENT


def test_a_web_hook_gets_a_post(server):
    address, got = server
    assert notify(f"{address}/hook", CONTENT)
    ((path, headers, body),) = got
    assert (path, headers["Content-Type"]) == ("/hook", "application/json")
    assert json.loads(body) == CONTENT


def test_sns_gets_a_message(server, monkeypatch):
    pytest.importorskip("boto3")
    address, got = server
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    check_target(f"sns:{ARN}")
    assert notify(f"sns:{ARN}", CONTENT)
    sent = urllib.parse.parse_qs(got[0][2].decode())
    assert sent["TopicArn"] == [ARN]
    assert json.loads(sent["Message"][0]) == CONTENT


@pytest.mark.parametrize(
    "target", ["false", "no-such-command-here", "http://127.0.0.1:9/x", "{server}/no"]
)
def test_a_failure_is_a_notice(server, target):
    with pytest.warns(PenchantWarning, match="the job is done, but"):
        assert not notify(target.format(server=server[0]), CONTENT)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://me:hunter2@127.0.0.1:9/hunter2?key=hunter2", "'http://127.0.0.1:9'"),
        ("{server}/no/hunter2", "it answered with status 500"),
        ("{server}/hunter2 x", "InvalidURL"),
        ("http://127.0.0.1:hunter2/x", "'http://...'"),
        ("https:///hunter2", "'https://'"),
    ],
)
def test_the_address_of_a_web_hook_is_not_shown(server, address, shown):
    """Whoever knows it can post there."""
    with pytest.warns(PenchantWarning, match="could not be told") as caught:
        assert not notify(address.format(server=server[0]), CONTENT)
    (said,) = (str(one.message) for one in caught)
    assert shown in said
    assert "hunter2" not in said


@pytest.mark.parametrize("target", ["", "sns:topic", "arn:aws:s3:::bucket", "say 'it"])
def test_targets_that_cannot_be_told(target):
    with pytest.raises(ParameterError, match="--notify"):
        check_target(target)


def test_the_command_line_tells(command, artifact, server, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"userId": "17850"}\n')
    source, told = tmp_path / "a.jsonl", ("--model", artifact, "--notify", f"{server[0]}/ok")
    done = command("recommend", source, *told)
    assert done.returncode == 0, done.stderr
    assert command("recommend", tmp_path / "missing", *told).returncode == 2
    first, second = (json.loads(body) for _, _, body in server[1])
    assert (first["status"], first["output"]) == ("completed", f"{source}.out")
    assert (second["status"], second["counts"]["requests"]) == ("failed", 0)
