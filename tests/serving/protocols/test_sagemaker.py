"""Bodies of /invocations in and out: formats, tasks, headers and what is wrong with them."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pyarrow as pa
import pytest
from small_models import fit

from penchant.errors import MediaTypeError, PenchantError, RequestError
from penchant.serving import Records, Service
from penchant.serving.encode import Ids, with_query
from penchant.serving.protocols import sagemaker, tensorflow
from penchant.serving.tasks import Predict, Recommend

CSV, LINES, JSON = "text/csv", "application/jsonlines", "application/json"


def plain(task):
    """Return a task as (kind, what is asked)."""
    if isinstance(task, Recommend):
        return "recommend", list(
            zip(task.requests.user_ids, task.requests.top_n.tolist(), strict=True)
        )
    if isinstance(task, Predict):
        return "predict", list(zip(task.users, task.items, strict=True))
    return "similar", list(zip(task.items, task.top_n.tolist(), strict=True))


@pytest.mark.parametrize(
    ("body", "media", "attributes", "expected"),
    [
        ('{"user_id": 1}', JSON, None, ("recommend", [("1", 10)])),
        ('{"user_id": 1}', None, "top_n=3", ("recommend", [("1", 3)])),
        ('[{"user_id": 1, "top_n": 2}]', JSON, "top_n=3", ("recommend", [("1", 2)])),
        ("[]", JSON, None, ("recommend", [])),
        ("[]", JSON, "task=predict", ("predict", [])),
        ('[{"user_id": 1, "item_id": "é"}]', JSON, None, ("predict", [("1", "é")])),
        ('{"item_id": 7, "top_n": "4"}', JSON, None, ("similar", [("7", 4)])),
        ('[{"user_id": 1, "k": 2}, {"user_id": 2}]', JSON, "top_n=3",
         ("recommend", [("1", 2), ("2", 3)])),
        ('{"pairs": [{"user_id": 1, "item_id": 2}, {"user_id": 1, "item_id": 3}]}', JSON, None,
         ("predict", [("1", "2"), ("1", "3")])),
        ('{"user_id": "a"}\n\n{"user_id": "b"}\r\n', LINES, None,
         ("recommend", [("a", 10), ("b", 10)])),
        ('{"user_id": "a"}\n{"user_id": "b"}', JSON, None, ("recommend", [("a", 10), ("b", 10)])),
        ('{"item_id": "a"}\n{"item_id": "b"}', "application/x-ndjson; charset=utf-8", "top_n=2",
         ("similar", [("a", 2), ("b", 2)])),
        ("1\n2\n", CSV, None, ("recommend", [("1", 10), ("2", 10)])),
        ("1\r\n\r\n 2", "TEXT/CSV; charset=utf-8", "top_n=5", ("recommend", [("1", 5), (" 2", 5)])),
        ('"a ""b"", c"\n"line\nbreak"', CSV, None,
         ("recommend", [('a "b", c', 10), ("line\nbreak", 10)])),
        ("007,MUG\n17850,TÊTE", CSV, None, ("predict", [("007", "MUG"), ("17850", "TÊTE")])),
        ("\ufeffuser_id\n1\n", CSV, None, ("recommend", [("1", 10)])),
        ("who,what\n1,MUG", CSV, None, ("predict", [("1", "MUG")])),
        ("what, Who\nMUG,1", CSV, None, ("predict", [("1", "MUG")])),
        ("user_id,top_n\n1,3\n2,", CSV, None, ("recommend", [("1", 3), ("2", 10)])),
        ("K,user_id\n3,1\n,2", CSV, "k=4", ("recommend", [("1", 3), ("2", 4)])),
        ("item_id,k\n1,3", CSV, None, ("similar", [("1", 3)])),
        ("k\nl", CSV, None, ("recommend", [("k", 10), ("l", 10)])),  # ids, not a row of names
        ("item_id\nMUG", CSV, None, ("similar", [("MUG", 10)])),
        ("1,3\n2,4", CSV, "task=recommend", ("recommend", [("1", 3), ("2", 4)])),
        ("MUG", CSV, "task=similar, top_n=2", ("similar", [("MUG", 2)])),
        ("user_id\n1", CSV, "header=false", ("recommend", [("user_id", 10), ("1", 10)])),
        ("user_id\n1", "text/csv; header=absent", None,
         ("recommend", [("user_id", 10), ("1", 10)])),
        ("user_id,item_id", CSV, None, ("predict", [])),
        ('"a,b","c\nd,"\ne,f', CSV, None, ("predict", [("a,b", "c\nd,"), ("e", "f")])),
        ('a"b,c"d', CSV, None, ("predict", [('a"b', 'c"d')])),
        ("\n" * 50_000 + "1", CSV, None, ("recommend", [("1", 10)])),
    ],
)  # fmt: skip
def test_tasks(body, media, attributes, expected):
    call = sagemaker.decode(body.encode(), media, attributes, columns=("who", "what"))
    assert plain(call.task) == expected
    assert not call.instances


def test_a_column_of_the_model_may_be_called_k():
    def found(text, columns):
        return plain(sagemaker.decode(text.encode(), CSV, columns=columns).task)

    assert found("k\nx\ny", ("k", "what")) == ("recommend", [("x", 10), ("y", 10)])
    assert found("K\nx", ("k", "what")) == ("recommend", [("x", 10)])
    assert found("k\nMUG", ("who", "K")) == ("similar", [("MUG", 10)])
    assert found("k,top_n\nx,1", ("k", "what")) == ("recommend", [("x", 1)])


@pytest.mark.parametrize(
    ("body", "media", "attributes", "message"),
    [
        (b"", JSON, None, "the body is empty"),
        (b" \n ", CSV, None, "the body is empty"),
        (b"{", JSON, None, "not JSON"),
        (b"\xff", JSON, None, "not UTF-8"),
        (b"[" * 100_000, JSON, None, "not usable JSON|not JSON"),
        (b'{"user_id": 1}\n{', LINES, None, "line 2: not JSON"),
        (b'[{"user_id": 1}, {"item_id": 1}]', JSON, None, 'request 2: unknown field "item_id"'),
        (b'[{"user_id": 1, "item_id": 2}, {"user_id": 1}]', JSON, None,
         "request 2: item_id is missing"),
        (b'{"item_id": 2, "top_n": 0}', JSON, None, "^top_n must be .* 1 to 1000, got 0"),
        (b'{"item_id": null}', JSON, None, "item_id is missing"),
        (b'{"user_id": 1, "item": 2}', JSON, "task=predict", "did you mean 'item_id'"),
        (b'{"user_id": 1}', JSON, "top_n=1000000000", "top_n must be a whole number from 1 to"),
        (b'{"user_id": 1}', JSON, "top_m=5", "unknown attribute 'top_m', did you mean 'top_n'"),
        (b'{"user_id": 1}', JSON, "task=rate", 'task must be one of .* got "rate"'),
        (b"1", CSV, "header=maybe", "header must be true or false"),
        (b"1\n2,3", CSV, None, "not readable as CSV: .*Expected 1 columns, got 2"),
        (b"1,2,3", CSV, None, "not 3"),
        (b"\r\n\n1,2,3\n", CSV, None, "not 3"),
        (b"\xef\xbb\xbf\n1,2,3\n", CSV, None, "not 3"),
        (b'"1,2",3,4', CSV, None, "not 3"),
        (b"a\n" + b"a," * 100_000, CSV, None, "Expected 1 columns, got 100001"),
        (b"a,b" + b"c" * 100_000, CSV, None, "row 1 is longer than"),
        (b'"' + b"a," * 100_000, CSV, None, "row 1 is longer than"),
        (b"a\n\xff", CSV, None, "not readable as CSV: .*UTF8"),
        (b'a\n""\n', CSV, None, "row 2: user_id is empty"),
        (b"user_id\na\n" + b"x" * 5000, CSV, None, "row 2: user_id has 5000 bytes"),
        (b"1,2", CSV, "task=recommend,header=true", 'row of names has a column "1"'),
        (b"user_id,top_n\n1,many", CSV, None, 'row 1: top_n must be .* got "many"'),
        (b"user_id,k\n1,2\n2,0", CSV, None, 'row 2: k must be .* from 1 to 1000, got "0"'),
        (b"1", CSV, "k=0", 'k must be a whole number from 1 to 1000, got "0"'),
        (b"1", CSV, "k=1,top_n=1", "give k or top_n, not both"),
        (b"user_id,user_id\n1,1", CSV, None, "cannot tell what to do with the columns"),
        (b"user_id,item_id\n1,1", CSV, "task=recommend", "cannot recommend with the columns"),
    ],
)  # fmt: skip
def test_wrong_bodies(body, media, attributes, message):
    with pytest.raises(RequestError, match=message) as caught:
        sagemaker.decode(body, media, attributes)
    assert isinstance(caught.value, PenchantError)
    assert len(str(caught.value)) < 300


def test_a_row_of_many_columns_costs_nothing():
    """Refused before a column is made of each of them; measured in a process of its own."""
    program = """
import pyarrow.csv
from penchant.errors import RequestError
from penchant.serving.protocols.sagemaker import decode

def most():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

decode(b"a,b", "text/csv")
before = most()
try:
    decode(b"a," * 50_000, "text/csv")
except RequestError as error:
    print(most() - before, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kilobytes, _, message = done.stdout.partition(" ")
    assert int(kilobytes) < 50_000
    assert "or two (users and items to score), not" in message


def test_other_media_types_are_told_apart():
    with pytest.raises(MediaTypeError, match="cannot read 'image/png': send application/json"):
        sagemaker.decode(b"x", "image/png")


def test_attributes_of_others_are_passed_over():
    found = sagemaker.parse_attributes("c000b4f9-df62-4c85; trace=1 , top_n=4;include_query=TRUE")
    assert found == (None, 4, True, None)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "json"), ("", "json"), ("*/*", "json"), ("text/csv", "csv"), ("text/*", "csv"),
        ("text/html, application/jsonlines;q=0.5", "jsonlines"), ("image/png", "json"),
        ("APPLICATION/JSON, text/csv", "json"),
    ],
)  # fmt: skip
def test_accept(accept, kind):
    assert sagemaker.prefers(accept) == kind


# ---- answers -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service():
    users = np.array([*(f"u{number}" for number in range(20)), 'a "b", c'])
    return Service(fit(users), unknown="drop")


def test_recommendations_are_the_same_in_every_format(service):
    body = json.dumps([{"user_id": user, "top_n": 3} for user in ("u1", "nobody", 'a "b", c')])
    call = sagemaker.decode(body.encode(), JSON)
    records = service.answer(call.task.requests)

    content, media = sagemaker.encode(call, records)
    rows = json.loads(content)
    assert media == "application/json"
    assert [row["user_id"] for row in rows] == ["u1"] * 3 + ['a "b", c'] * 3

    content, media = sagemaker.encode(call, records, LINES)
    assert media == "application/jsonlines"
    lines = [json.loads(line) for line in content.splitlines()]
    assert [line["user_id"] for line in lines] == ["u1", "nobody", 'a "b", c']  # one a request
    assert lines[1]["items"] == []
    flat = [{"user_id": line["user_id"], **item} for line in lines for item in line["items"]]
    assert flat == rows

    content, media = sagemaker.encode(call, records, CSV)
    assert media == "text/csv"
    read = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert [(user, item, float(score)) for user, item, score in read] == [
        (row["user_id"], row["item_id"], row["score"]) for row in rows
    ]


def ids(*texts, literal=False):
    return Ids(pa.array(texts, pa.large_string()), pa.array([literal] * len(texts)))


def pair_records():
    scores = np.array([0.1, np.nan], np.float32)
    rows = np.arange(2)
    return Records(ids("1", "2", literal=True), ids("}, {", "b"), rows, rows, scores, 1)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (CSV, "0.1\nnan\n"),
        (JSON, '[{"user_id": 1, "item_id": "}, {", "score": 0.1}, '
               '{"user_id": 2, "item_id": "b", "score": null}]'),
        (LINES, '{"user_id": 1, "item_id": "}, {", "score": 0.1}\n'
                '{"user_id": 2, "item_id": "b", "score": null}\n'),
    ],
)  # fmt: skip
def test_predictions(accept, expected):
    call = sagemaker.decode(b"1,}\n2,b", CSV)
    assert sagemaker.encode(call, pair_records(), accept)[0].decode() == expected


def neighbours():
    """Three items asked about; the last is unknown, the second has no neighbours."""
    return Records(
        ids("a", "b", "x"),
        ids("b", "c"),
        np.array([0, 0]),
        np.array([1, 0]),
        np.array([0.75, 0.5], np.float32),
        1,
    )


def test_similar_items():
    call = sagemaker.decode(b"item_id\na\nb\nx\n", CSV)
    assert sagemaker.encode(call, neighbours(), CSV)[0] == b"a,c,0.75\na,b,0.5\n"
    rows = json.loads(sagemaker.encode(call, neighbours())[0])
    assert rows[0] == {"item_id": "a", "neighbor": "c", "score": 0.75}
    lines = sagemaker.encode(call, neighbours(), LINES)[0].decode().splitlines()
    assert [json.loads(line)["item_id"] for line in lines] == ["a", "b", "x"]


def test_the_query_comes_first_when_asked():
    call = sagemaker.decode(b'{"instances": ["a", ["b"], "x"], "include_query": true, "top_n": 2}')
    assert call.instances
    assert call.task.include_query
    records = with_query(neighbours(), np.array([True, True, False]), call.task.top_n)
    predictions = json.loads(sagemaker.encode(call, records, CSV)[0])["predictions"]
    assert predictions == [
        {"output_1": [1.0, 0.75], "output_2": ["a", "c"]},
        {"output_1": [1.0], "output_2": ["b"]},
        {"output_1": [], "output_2": []},
    ]


@pytest.mark.parametrize("name", ["k", "top_n"])
def test_instances_say_how_many(name):
    users = tensorflow.decode({"instances": [{"user_id": "u1", name: 2}, {"user_id": 2}], name: 3})
    assert users.requests.user_ids == ["u1", "2"]
    assert users.requests.top_n.tolist() == [2, 3]
    items = tensorflow.decode({"instances": [{"item_id": "a", name: 2.0}, "b", [7]]}, top_n=4)
    assert (items.items, items.top_n.tolist()) == (["a", "b", "7"], [2, 4, 4])


def test_instances_of_users(service):
    call = sagemaker.decode(
        b'{"instances": [{"user_id": "u1", "top_n": 2}], "signature_name": "s"}'
    )
    records = service.answer(call.task.requests)
    (answer,) = json.loads(sagemaker.encode(call, records)[0])["predictions"]
    assert answer["output_2"] == records.items.text.take(pa.array(records.item_rows)).to_pylist()
    assert answer["output_1"] == [float(str(score)) for score in records.scores]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"instances": "tea"}, 'instances must be a list, got "tea"'),
        ({"instances": ["a", {"user_id": 1}]}, "all be items or all be users"),
        ({"instances": ["a", None]}, r"instances\[1\]: an item must be text or a number, got null"),
        ({"instances": [{"item_id": "a", "user_id": 1}]}, r"instances\[0\]: give user_id or"),
        ({"instances": [{"item_id": "a", "topn": 1}]}, "did you mean 'top_n'"),
        ({"instances": ["a"], "top_n": 0}, "top_n must be a whole number from 1 to 1000, got 0"),
        ({"instances": ["a"], "k": 0}, "^k must be a whole number from 1 to 1000, got 0"),
        ({"instances": ["a"], "k": 1, "top_n": 1}, "^give k or top_n, not both"),
        ({"instances": [{"user_id": 1, "k": 1, "top_n": 1}]}, r"\[0\]: give k or top_n, not both"),
        ({"instances": [{"item_id": 1, "k": "x"}]}, r"\[0\]: k must be .* got \"x\""),
        ({"instances": [{"user_id": 1, "where": "x"}]}, "fields: user_id, k, top_n"),
        ({"instances": [{"item_id": 1, "where": "x"}]}, "fields: item_id, k, top_n"),
        ({"instances": ["a"], "include_query": 1}, "include_query must be true or false, got 1"),
        ({"instances": ["a"], "signature": 1}, "did you mean 'signature_name'"),
    ],
)
def test_wrong_instances(document, message):
    with pytest.raises(RequestError, match=message):
        tensorflow.decode(document)


def test_a_task_that_instances_do_not_fit():
    with pytest.raises(RequestError, match="task=recommend does not go with these instances"):
        sagemaker.decode(b'{"instances": ["a"]}', JSON, "task=recommend")


# ---- boto3 reads the errors ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "ModelError"), (404, "ValidationError"), (503, "ServiceUnavailable")],
)
def test_errors_as_boto3_reads_them(status, code):
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            outer, headers, body = sagemaker.runtime_error(status, "top_n is wrong", endpoint="e")
            self.send_response(outer)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            client = boto3.client(
                "sagemaker-runtime",
                endpoint_url=f"http://127.0.0.1:{server.server_port}",
                region_name="us-east-1",
                aws_access_key_id="x",
                aws_secret_access_key="x",
                config=Config(retries={"max_attempts": 1}),
            )
            with pytest.raises(ClientError) as caught:
                client.invoke_endpoint(EndpointName="e", Body=b"{}")
            client.close()
        finally:
            server.shutdown()
            thread.join()
    assert caught.value.response["Error"]["Code"] == code
    if code == "ModelError":
        assert caught.value.response["OriginalStatusCode"] == 400
        assert caught.value.response["OriginalMessage"] == "top_n is wrong"
    assert re.search("top_n|Endpoint e", caught.value.response["Error"]["Message"])
