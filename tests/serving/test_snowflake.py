"""The wire format: what came in, what goes out, byte by byte."""

import base64
import gzip
import hashlib
import json
import tracemalloc
import zlib

import numpy as np
import pytest

from penchant.errors import RequestError, RequestTooLargeError
from penchant.serving import Requests, Service
from penchant.serving.protocols import snowflake

EXAMPLE = b"""{
    "data": [
                [0, 10, "Alex", "2014-01-01 16:00:00"],
                [1, 20, "Steve", "2015-01-01 16:00:00"]
            ]
}"""


def md5(body):
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def test_the_documented_example():
    batch = snowflake.decode_batch(EXAMPLE, {})
    assert batch.numbers == [0, 1]
    assert batch.arguments[1] == [20, "Steve", "2015-01-01 16:00:00"]
    assert len(batch) == 2


def test_numbers_are_kept_as_they_come():
    batch = snowflake.decode_batch(b'{"data": [[7], [3, null], [-1, true, {"a": [1.5]}]]}', {})
    assert batch.numbers == [7, 3, -1]
    assert batch.arguments == [[], [None], [True, {"a": [1.5]}]]
    answer = json.loads(snowflake.encode_values(batch.numbers, ["1", '{"a": 1}', '"x"']))
    assert answer == {"data": [[7, 1], [3, {"a": 1}], [-1, "x"]]}


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(EXAMPLE, mtime=0)),
        ("GZIP ", gzip.compress(EXAMPLE, mtime=0)),
        ("x-gzip", gzip.compress(EXAMPLE[:50], mtime=0) + gzip.compress(EXAMPLE[50:], mtime=0)),
        ("deflate", zlib.compress(EXAMPLE)),
        ("identity", EXAMPLE),
        ("", EXAMPLE),
    ],
)
def test_encodings_give_the_same_rows_and_digest(encoding, packed):
    headers = {"content-encoding": encoding, "content-md5": md5(packed)}
    assert snowflake.decode_batch(packed, headers) == snowflake.decode_batch(EXAMPLE, {})


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b"", {}, "not JSON"),
        (b"{", {}, "not JSON: .* at character 2"),
        (b"\xff", {}, "not UTF-8 text: .* at byte 0"),
        (b'{"data": [[0, NaN]]}', {}, "not JSON: NaN"),
        (b'{"data": [[0, -Infinity]]}', {}, "not JSON: -Infinity"),
        (b"[" * 100_000, {}, "not usable JSON"),
        (b'{"data": [[0, ' + b"9" * 5000 + b"]]}", {}, "not usable JSON"),
        (b"[[0, 1]]", {}, "expected"),
        (b"{}", {}, "expected"),
        (b'{"data": {"0": 1}}', {}, "expected"),
        (b'{"data": [[0, 1], 5]}', {}, r"data\[1\] must be a list"),
        (b'{"data": [[]]}', {}, r"data\[0\] must be a list"),
        (b'{"data": [["0", 1]]}', {}, r"data\[0\] must be a list"),
        (b'{"data": [[true, 1]]}', {}, r"data\[0\] must be a list"),
        (b'{"data": [[0.0, 1]]}', {}, r"data\[0\] must be a list"),
        (EXAMPLE, {"content-md5": md5(EXAMPLE + b" ")}, "Content-MD5 is .* damaged"),
        (EXAMPLE, {"content-md5": "no base64"}, "Content-MD5 is 'no base64'"),
        (
            gzip.compress(EXAMPLE, mtime=0),
            {"content-encoding": "gzip", "content-md5": md5(EXAMPLE)},
            "MD5",
        ),
        (EXAMPLE, {"content-encoding": "gzip"}, "the body is not gzip"),
        (gzip.compress(EXAMPLE, mtime=0)[:-9], {"content-encoding": "gzip"}, "ends before its end"),
        (
            gzip.compress(EXAMPLE, mtime=0) + b"x" * 20,
            {"content-encoding": "gzip"},
            "the body is not gzip",
        ),
        (b"", {"content-encoding": "gzip"}, "ends before its end"),
        (EXAMPLE, {"content-encoding": "br"}, "cannot read Content-Encoding 'br'"),
        (
            gzip.compress(b"", mtime=0) * 200_000,
            {"content-encoding": "gzip"},
            "more than 100 gzip files",
        ),
        (EXAMPLE, {"sf-external-function-format": "arrow"}, "format must be 'json', got 'arrow'"),
        (EXAMPLE, {"sf-external-function-format-version": "2.0"}, "must be '1.0', got '2.0'"),
    ],
)
def test_what_is_refused(body, headers, message):
    with pytest.raises(RequestError, match=message) as caught:
        snowflake.decode_batch(body, headers)
    assert not isinstance(caught.value, RequestTooLargeError)


def test_a_bomb_is_not_unpacked():
    bomb = gzip.compress(b" " * 2**26, mtime=0)
    assert len(bomb) < 2**17
    tracemalloc.start()
    try:
        with pytest.raises(RequestTooLargeError, match="unpacks to more than 1000000 bytes"):
            snowflake.decode_batch(bomb, {"content-encoding": "gzip"}, max_bytes=1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20  # the body itself is among it where it is copied


def test_a_bomb_in_two_parts():
    half = gzip.compress(b" " * 600)
    with pytest.raises(RequestTooLargeError):
        snowflake.decode_batch(half + half, {"content-encoding": "gzip"}, max_bytes=1000)


def test_the_limit_itself_is_allowed():
    body = EXAMPLE + b" " * (1000 - len(EXAMPLE))
    assert len(snowflake.decode_batch(body, {}, max_bytes=1000)) == 2
    packed = gzip.compress(body, mtime=0)
    assert len(snowflake.decode_batch(packed, {"content-encoding": "gzip"}, max_bytes=1000)) == 2
    with pytest.raises(RequestTooLargeError, match="larger than 999 bytes"):
        snowflake.decode_batch(body, {}, max_bytes=999)


def test_batch_ids():
    name = snowflake.BATCH_ID
    assert snowflake.batch_id({name: "01b02bdf-0001:1:1:0:0"}) == "01b02bdf-0001:1:1:0:0"
    assert snowflake.batch_id({}) is None
    assert snowflake.batch_id({name: "  "}) is None
    with pytest.raises(RequestError, match="2000 characters"):
        snowflake.batch_id({name: "x" * 2000})


def test_scores_keep_every_bit():
    rng = np.random.default_rng(5)
    scores = (rng.normal(size=500) * 10.0 ** rng.integers(-30, 30, 500)).astype(np.float32)
    read = [np.float32(json.loads(text)) for text in snowflake.score_values(scores)]
    assert np.array_equal(np.array(read), scores)
    odd = np.array([np.nan, np.inf, -np.inf, 0, -0.0], np.float32)
    assert [json.loads(text) for text in snowflake.score_values(odd)] == [None] * 3 + [0, 0]
    assert snowflake.score_values(np.empty(0, np.float32)) == []


def test_recommendations_of_several_users(text_model):
    asked = [('a "b", c', 3), ("u3", 1), ("nobody\n\x01", 4), ("u3", 13)]
    records = Service(text_model).answer(Requests.of(asked))
    found = [json.loads(text) for text in snowflake.recommendation_values(records)]
    assert [value["user_id"] for value in found] == [user for user, _ in asked]
    for (user, k), value in zip(asked, found, strict=True):
        if user.startswith("nobody"):
            expected = text_model.recommend([user], k=k, unknown="popular")
        else:
            expected = text_model.recommend([user], k=k)
        assert [item["item_id"] for item in value["items"]] == expected["what"].tolist()
        scores = np.array([item["score"] for item in value["items"]], np.float32)
        assert np.array_equal(scores, expected["score"].to_numpy())


def test_users_without_recommendations(text_model):
    service = Service(text_model, unknown="drop")
    asked = [("stranger", 2), ("u1", 2), ("stranger", 2)]
    values = snowflake.recommendation_values(service.answer(Requests.of(asked)))
    assert [len(json.loads(text)["items"]) for text in values] == [0, 2, 0]
    values = snowflake.recommendation_values(service.answer(Requests.of(asked[:1])))
    assert json.loads(values[0]) == {"user_id": "stranger", "items": []}


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("br", False),
        ("", False),
    ],
)
def test_packing(accepted, packed):
    body = b'{"data": [[0, "' + b"x" * 2000 + b'"]]}'
    headers, sent = snowflake.pack(body, {"accept-encoding": accepted})
    assert (headers.get("Content-Encoding") == "gzip") is packed
    assert (gzip.decompress(sent) if packed else sent) == body
    assert headers["Content-MD5"] == md5(sent)
    assert "Content-MD5" not in snowflake.pack(body, {}, content_md5=False)[0]


def test_short_answers_are_sent_as_they_are():
    headers, sent = snowflake.pack(b'{"data": []}', {"accept-encoding": "gzip"})
    assert sent == b'{"data": []}'
    assert "Content-Encoding" not in headers


def test_errors_of_any_text():
    assert json.loads(snowflake.encode_error('no "x"\n日本')) == {"error": 'no "x"\n日本'}
    assert json.loads(snowflake.encode_error("lone \ud800"))["error"].startswith("lone ")
