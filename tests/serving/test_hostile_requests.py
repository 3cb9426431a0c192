"""A running server and requests that mean no good: no 5xx, no hang, no crash, bounded memory.

What is attacked is listed in `hostile_endpoints`.
"""

import dataclasses
import json
import threading

import pytest
from hostile_endpoints import (
    CSV,
    LARGE,
    ODD_OPTIONS,
    OPTIONED,
    REFUSED,
    REFUSED_LISTS,
    SIMPLE,
    at,
    at_length_json,
    everywhere,
    where_a_length_goes,
    where_ids_go,
    where_json_goes,
)
from hostile_support import MEMORY, Endpoint, answer, is_no_failure, is_refused, reset

pytestmark = pytest.mark.slow  # hundreds of requests, once is enough

# ---- what is asked -------------------------------------------------------------------------------

MALFORMED = {
    "nothing": b" ",
    "half an object": b'{"user_id": "17850"',
    "a comma too many": b'{"user_id": "17850",}',
    "single quotes": b"{'user_id': '17850'}",
    "no UTF-8": b'{"user_id": "\xff\xfe"}',
    "UTF-16": '{"user_id": "17850"}'.encode("utf-16"),
    "a NUL": b'{"user_id": "1\x00"}',
    "only NULs": b"\x00" * 1000,
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"user_id": ' * 50_000,
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "a pickle": b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94.",
}
WRONG = {
    "a number": b"17850",
    "text": b'"17850"',
    "null": b"null",
    "NaN": b'{"user_id": NaN}',
    "infinity": b'{"user_id": 1e999}',
    "deep and closed": b"[" * 100_000 + b"]" * 100_000,
    "as deep as some can read": b'{"user_id": ' + b"[" * 1000 + b"]" * 1000 + b"}",
    "deeper than some can write": b'{"user_id": ' + b"[" * 985 + b"]" * 985 + b"}",
    "a deep context": b'{"user_id": "1", "context": ' + b'{"a": ' * 990 + b"1" + b"}" * 991,
    "many digits": b'{"user_id": ' + b"9" * 100_000 + b"}",
    "lone surrogate": b'{"user_id": "\\ud800"}',
    "a list as id": b'{"user_id": ["17850"]}',
    "an object as id": b'{"user_id": {"$ne": null}}',
    "no id": b'{"top_n": 3}',
    "unknown field": b'{"user_id": "17850", "__class__": "x"}',
}


@where_json_goes
@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_malformed_bodies(attacked, endpoint, body):
    assert is_refused(attacked.ask(endpoint, body=body))


@where_json_goes
@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_bodies_that_say_nothing_sensible(attacked, endpoint, body):
    assert is_refused(attacked.ask(endpoint, body=body))


@where_json_goes
@pytest.mark.parametrize(
    "media",
    [
        "text/csv",
        "text/plain; charset=utf-16",
        "application/x-npy",
        "multipart/form-data; boundary=" + "x" * 1000,
        "application/json; charset=" + "x" * 5000,
        "application/json\t;;;===",
        "nonsense",
        "é",
        ";",
        "",
    ],
)
def test_wrong_content_types(attacked, endpoint, media):
    assert is_no_failure(attacked.ask(endpoint, f"Content-Type: {media}"))


@everywhere
@pytest.mark.parametrize("accept", ["image/png", "*", ";q=", "a/b" * 5000, "text/csv;q=nan", "é"])
def test_odd_accept_headers(attacked, endpoint, accept):
    assert is_no_failure(attacked.ask(endpoint, f"Accept: {accept}"))


@where_a_length_goes
@pytest.mark.parametrize(
    "k",
    [10**9, 10**30, 2**31, 2**63, -1, 1.5, 1e308, "1e9", "٣", [10], True, "9" * 5000],
)
def test_lists_of_any_length(attacked, endpoint, k):
    assert is_refused(attacked.ask(endpoint.with_field(endpoint.k, k)))


@where_a_length_goes
@pytest.mark.parametrize("k", [0, "", {}, [], False, None])
def test_lists_of_no_length(attacked, endpoint, k):
    assert is_no_failure(attacked.ask(endpoint.with_field(endpoint.k, k)))


@where_ids_go
@pytest.mark.parametrize(
    "value",
    [
        "nobody",
        "日本茶 ☃ 😀",
        "\u202e\u0000\u0001\x1f\x7f\u2028",
        "a\r\nSet-Cookie: x=1",
        "' OR '1'='1",
        "../../etc/passwd",
        "%s%s%n{0}${jndi:ldap://x}",
        "e\u0301" * 500,
        "x" * 4096,
        "-0",
        "1e5",
        "9" * 400,
        "\ufeff17850",
        "\ufdd0\uffff",
    ],
)
def test_ids_of_any_kind(attacked, endpoint, value):
    found = attacked.ask(endpoint.with_field(endpoint.id, value))
    assert found[0] in (200, 400, 404), found
    if found[0] == 200:
        json.loads(found[1])


@where_ids_go
def test_ids_that_are_too_long_or_no_text(attacked, endpoint):
    assert is_refused(attacked.ask(endpoint.with_field(endpoint.id, "x" * 5000)))
    assert is_no_failure(attacked.ask(endpoint.with_field(endpoint.id, "\ud800")))
    assert is_refused(attacked.ask(endpoint.with_field(endpoint.id, "")))


@pytest.mark.parametrize(
    "path",
    [
        *[
            "//",
            "/..",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/recommend/../ping",
            "/%00",
            "/%ff",
            "/\u00e9",
        ],
        *["/recommend", "/recommend?", "/recommend?user_id", "/recommend?user_id=%ff%fe", "*"],
        *["/static/%2e%2e/x", "http://elsewhere/"],
        pytest.param("/" + "a" * 60_000, id="long"),
        pytest.param("/recommend?" + "&".join(f"a{n}=1" for n in range(5000)), id="many fields"),
    ],
)
def test_odd_paths(attacked, path):
    assert is_no_failure(attacked.ask(Endpoint("GET", path)))


@everywhere
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW"])
def test_other_methods(attacked, endpoint, method):
    found = attacked.ask(dataclasses.replace(endpoint, method=method))
    assert (method == "HEAD" and found == (200, b"")) or is_refused(found)


def with_options(endpoint, options):
    """A request with more fields; what is None is left out."""
    record = {**json.loads(endpoint.body), **options}
    return json.dumps({name: value for name, value in record.items() if value is not None}).encode()


@at(OPTIONED)
@pytest.mark.parametrize("options", REFUSED.values(), ids=REFUSED)
def test_options_that_are_refused(attacked, endpoint, options):
    assert is_refused(attacked.ask(endpoint, body=with_options(endpoint, options)))


@at([endpoint for endpoint in OPTIONED if endpoint.id == "user_id"])
@pytest.mark.parametrize("options", REFUSED_LISTS.values(), ids=REFUSED_LISTS)
def test_lists_that_are_refused(attacked, endpoint, options):
    assert is_refused(attacked.ask(endpoint, body=with_options(endpoint, options)))


@at([endpoint for endpoint in OPTIONED if endpoint.id == "user_id"])
@pytest.mark.parametrize("options", ODD_OPTIONS.values(), ids=ODD_OPTIONS)
def test_odd_options(attacked, endpoint, options):
    found = attacked.ask(endpoint, body=with_options(endpoint, options))
    assert found[0] in (200, 400), found
    json.loads(found[1])


CSV_BODIES = {
    "many columns": b"a," * 500_000,
    "many columns in quotes": b'"a",' * 300_000,
    "many columns in the second row": b"a\n" + b"a," * 500_000,
    "three columns": b"a,b,c",
    "rows of different lengths": b"a\nb,c\n" * 1000,
    "an open quote": b'"' + b"a" * (5 * 2**20),
    "an open quote and separators": b'"' + b"a," * (2 * 2**20),
    "doubled quotes": b'"' * (5 * 2**20),
    "a long id": b"a" * 5000,
    "empty ids": b'""\n' * 1000,
    "only blank lines": b"\r\n" * 100_000,
    "blank lines after a mark": b"\xef\xbb\xbf" + b"\n" * 100_000 + b"a," * 500_000,
    "no UTF-8": b"\xff\xfe\n",
    "UTF-16": "17850\n".encode("utf-16"),
    "too many recommendations": b"17850,1000\n" * 200_000,
    "lengths that are none": b"17850,many\n",
    "a length without an end": b"17850," + b"9" * 4000,
}
TASKS = ("recommend", "similar")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("body", CSV_BODIES.values(), ids=CSV_BODIES)
def test_csv_bodies(attacked, body, task):
    said = f"X-Amzn-SageMaker-Custom-Attributes: task={task}"
    found = attacked.ask(CSV, said, body=body)
    assert is_refused(found)


@pytest.mark.parametrize("item", ["MUG", "nothing"])
def test_one_long_list_of_similar_items_among_many_short_ones(attacked, item):
    said = "X-Amzn-SageMaker-Custom-Attributes: task=similar"
    body = f"{item},1\n".encode() * 60_000 + b"LAMP,1000\n"
    status, answer = attacked.ask(CSV, said, "Accept: text/csv", body=body)
    assert status == 200
    assert answer.count(b"\n") >= (60_000 if item == "MUG" else 1)


# ---- large ones ----------------------------------------------------------------------------------


@at_length_json
def test_bodies_of_10_megabytes(attacked, endpoint):
    big = {
        "one id": json.dumps({endpoint.id or "x": "x" * (10 * 2**20)}).encode(),
        "many requests": json.dumps([json.loads(endpoint.body)] * 300_000).encode(),
        "many fields": json.dumps({f"a{n}": n for n in range(700_000)}).encode(),
        "spaces": endpoint.body + b" " * (10 * 2**20),
        "zeros": b"\x00" * (10 * 2**20),
        "brackets": b"[" * (10 * 2**20),
    }
    for name, body in big.items():
        found = attacked.ask(endpoint, body=body)
        assert found is None or is_refused(found), name


@at_length_json
def test_bodies_of_10_megabytes_side_by_side(attacked, endpoint):
    body = endpoint.body + b" " * (10 * 2**20)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(attacked.ask(endpoint, body=body)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert all(one is None or is_refused(one) for one in found)


@at_length_json
def test_a_body_without_an_end(attacked, endpoint):
    """Chunks for ever: the server must hang up, or answer, before it has read 100 MB."""
    head = endpoint.raw("Transfer-Encoding: chunked", body=b"")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with attacked.connect() as client:
        client.sendall(head)
        try:
            for _ in range(1600):
                client.sendall(chunk)
        except (ConnectionResetError, BrokenPipeError):
            pass
        found = answer(client)
    assert found is None or is_refused(found)


@where_json_goes
def test_a_body_that_is_announced_and_never_comes(attacked, endpoint):
    for length in (2**63, 10**30, 10**12):
        with attacked.connect() as client:
            client.sendall(endpoint.raw(f"Content-Length: {length}", body=b""))
            reset(client)
    assert attacked.memory() - attacked.rest < MEMORY


def test_large_answers_that_nobody_reads(attacked):
    clients = [attacked.connect(receive_buffer=4096) for _ in range(8)]
    for client in clients:
        client.sendall(SIMPLE.raw(body=LARGE))
    assert attacked.ask(SIMPLE)[0] == 200
    for client in clients[::2]:
        reset(client)
    for client in clients[1::2]:
        status, body = answer(client)
        assert status == 200
        assert len(json.loads(body)) > 1000
        client.close()
