"""A caller that behaves as Snowflake does, and a small HTTP server for it to call."""

import gzip
import json
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BATCH = "sf-external-function-query-batch-id"
TRAIN = "train_and_get_recommendations"


def headers_of(batch=None, **more):
    found = {
        "Content-Type": "application/json",
        "sf-external-function-format": "json",
        "sf-external-function-format-version": "1.0",
        "sf-external-function-current-query-id": "01b0-query",
    }
    if batch is not None:
        found[BATCH] = batch
    return found | {name.replace("_", "-"): value for name, value in more.items()}


def rows_of(*arguments):
    return {"data": [[number, *row] for number, row in enumerate(arguments)]}


def ask(functions, function, *arguments, batch=None, method="POST", **more):
    """Call `handle` directly; return the status and the decoded body."""
    body = json.dumps(rows_of(*arguments)).encode()
    status, headers, answer = functions.handle(function, method, headers_of(batch, **more), body)
    assert headers["Content-Type"] == "application/json"
    if headers.get("Content-Encoding") == "gzip":
        answer = gzip.decompress(answer)
    return status, json.loads(answer)


def values(answer):
    """The values of an answer, whose rows must be numbered as those of the request."""
    assert [len(row) for row in answer["data"]] == [2] * len(answer["data"])
    assert [number for number, _ in answer["data"]] == list(range(len(answer["data"])))
    return [value for _, value in answer["data"]]


@contextmanager
def served(functions):
    """Mount `handle` under a real HTTP server; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            function = self.path.rpartition("/")[2]
            status, headers, answer = functions.handle(
                function, self.command, dict(self.headers.items()), body
            )
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_POST  # noqa: N815

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/snowflake"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def fetch(url, method, headers, body=None):
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=600) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def call_as_snowflake(url, batch, *arguments, pause=0.02):
    """POST gzipped rows, poll while the answer is 202, unpack; return statuses and the document."""
    headers = headers_of(batch, Content_Encoding="gzip", Accept_Encoding="gzip")
    body = gzip.compress(json.dumps(rows_of(*arguments)).encode())
    status, got, answer = fetch(url, "POST", headers, body)
    statuses = [status]
    del headers["Content-Encoding"]
    while status == 202:
        threading.Event().wait(pause)
        status, got, answer = fetch(url, "GET", headers)
        statuses.append(status)
    if got.get("Content-Encoding") == "gzip":
        answer = gzip.decompress(answer)
    return statuses, json.loads(answer)
