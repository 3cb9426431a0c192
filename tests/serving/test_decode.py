import json

import pytest

from penchant.errors import PenchantError, RequestError
from penchant.serving import Requests, decode_lines
from penchant.serving.decode import MAX_LINE_BYTES, load_json
from penchant.serving.protocols import sagemaker
from penchant.serving.questions import PLAIN_FIELDS, read_question


def decoded(body, top_n=10, media="application/json"):
    requests = sagemaker.decode(body, media, f"top_n={top_n}").task.requests
    return list(zip(requests.user_ids, requests.top_n.tolist(), strict=True))


def read(record, **options):
    question = read_question(record, "recommend", fields=PLAIN_FIELDS, **options)
    return question.user_id, question.k


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"user_id": "17850", "top_n": "10"}', [("17850", 10)]),
        (b'{"user_id": 17850, "top_n": 3}', [("17850", 3)]),
        (b'{"user_id": 17850, "k": 3}', [("17850", 3)]),
        (b'{"k": "3", "user_id": 17850, "top_n": null}', [("17850", 3)]),
        (b'{"user_id": 17850.0, "top_n": 3.0}', [("17850", 3)]),
        (b'{"user_id": 1.5, "top_n": " 3.0 "}', [("1.5", 3)]),
        (b'{"user_id": "x", "top_n": null}', [("x", 7)]),
        (b'\n {\n"user_id":\n "x"}\n\n', [("x", 7)]),
        (b'\xef\xbb\xbf{"user_id": "x"}', [("x", 7)]),
        (b'[{"user_id": 1}, {"user_id": "1"}]', [("1", 7), ("1", 7)]),
        (b"[]", []),
        (b'{"user_id": "a"}\n\n{"user_id": "b", "top_n": 1}\r\n', [("a", 7), ("b", 1)]),
        ('{"user_id": "Zoë \\ud83d\\ude00"}'.encode(), [("Zoë 😀", 7)]),
        (b'{"user_id": -9223372036854775808}', [("-9223372036854775808", 7)]),
        (b'{"user_id": 1234567890123456789012345}', [("1234567890123456789012345", 7)]),
    ],
)
def test_bodies(body, expected):
    assert decoded(body, top_n=7) == expected


def test_lines_are_read_as_lines():
    assert decoded(b'{"user_id": "a"}', media="application/jsonlines") == [("a", 10)]
    with pytest.raises(RequestError, match="line 1: expected an object, got"):
        decoded(b'[{"user_id": "a"}]', media="application/jsonlines")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "user_id is missing"),
        ({"user_id": None}, "user_id is missing$"),
        ({"k": 3}, "user_id is missing$"),
        ({"history": ["a"]}, 'unknown field "history"; fields: user_id, k, top_n'),
        ({"user_id": "a", "where": "x = 1"}, 'unknown field "where"; fields: user_id, k, top_n'),
        ({"user_id": "a", "context": None}, 'unknown field "context"'),
        ({"user_id": "a", "k": 5, "top_n": 5}, "give k or top_n, not both: they mean the same"),
        ({"user_id": "a", "k": 0}, "k must be a whole number from 1 to 1000, got 0"),
        ({"user_id": True}, "user_id must be text or a number, got true"),
        ({"user_id": ""}, 'user_id must be text or a number, got ""'),
        ({"user_id": ["a"]}, r'user_id must be text or a number, got \["a"\]'),
        ({"user_id": float("nan")}, "user_id must be text or a number, got NaN"),
        ({"user_id": float("inf")}, "user_id must be text or a number, got Infinity"),
        ({"user_id": "\ud800"}, "user_id is not valid Unicode"),
        ({"user_id": "x" * 5000}, "user_id has 5000 bytes, more than 4096"),
        ({"user_id": "a", "top_n": 0}, "top_n must be a whole number from 1 to 1000, got 0"),
        ({"user_id": "a", "top_n": -1}, "got -1"),
        ({"user_id": "a", "top_n": 1001}, "got 1001"),
        ({"user_id": "a", "top_n": 2.5}, "got 2.5"),
        ({"user_id": "a", "top_n": True}, "got true"),
        ({"user_id": "a", "top_n": "ten"}, 'got "ten"'),
        ({"user_id": "a", "top_n": "1_0"}, 'got "1_0"'),
        ({"user_id": "a", "top_n": "9" * 99}, "top_n must be a whole number"),
        ({"user_id": "a", "top_n": float("nan")}, "got NaN"),
        ({"user_id": "a", "topn": 5}, "unknown field \"topn\", did you mean 'top_n'"),
        ({"user_id": "a", "zzz": 5}, 'unknown field "zzz"; fields: user_id, k, top_n'),
        ("a", 'expected an object, got "a"'),
        (None, "got null"),
    ],
)
def test_wrong_records(record, message):
    with pytest.raises(RequestError, match=message) as caught:
        read(record)
    assert isinstance(caught.value, PenchantError)
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("fields", [None, PLAIN_FIELDS])
def test_a_plain_request_is_a_question_of_the_same_values(fields):
    """Those of a user and a length are read by a shorter way."""
    for said in ({}, {"k": 3}, {"top_n": "3"}, {"k": None}, {"k": None, "top_n": 3.0}):
        for user in ("a", "ü", 7, 7.0, 1.5):
            record = {"user_id": user, **said}
            short = read_question(record, "recommend", fields=fields)
            if fields is None:
                assert short == read_question({**record, "history": None}, "recommend")
            assert (short.user_id, short.k) == (
                str(user).removesuffix(".0"),
                3 if any(said.values()) else 10,
            )


def test_what_does_not_say_wants_no_more_than_it_may():
    assert read({"user_id": "a"}, max_k=5) == ("a", 5)
    assert read({"user_id": "a"}, k=3, max_k=5) == ("a", 3)
    assert read_question({"item_id": "a"}, "similar", max_k=5).k == 5


def test_the_place_is_named():
    with pytest.raises(RequestError, match=r"^request 2: user_id is missing"):
        decoded(b'[{"user_id": 1}, {}]')
    with pytest.raises(RequestError, match=r"^line 3: top_n must be"):
        decoded(b'{"user_id": 1}\n\n{"user_id": 1, "top_n": "x"}')
    with pytest.raises(RequestError, match=r"^user_id is missing"):
        decoded(b"{}")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty"),
        (b" \n ", "the body is empty"),
        (b"user_id=1", "not JSON: Expecting value at character 1"),
        (b'{"user_id": "a"', "not JSON"),
        (b'{"user_id": "\xff"}', "not UTF-8 text: invalid start byte at byte 13"),
        (b"[" * 100_000, "not usable JSON"),
        (b'{"user_id": ' + b"9" * 5000 + b"}", "not usable JSON"),
        (b'{"user_id": NaN}', "got NaN"),
        (b'{"user_id": 1e999}', "got Infinity"),
    ],
)
def test_wrong_bodies(body, message):
    with pytest.raises(RequestError, match=message):
        decoded(body)


def test_wrong_lines_are_set_aside():
    lines = [
        b'{"user_id": 1}\n',
        b"\n",
        b"nonsense\r\n",
        b'{"user_id": 2, "top_n": "2"}',
        b'{"user_id": "\xff"}',
        b'{"user_id": 3}' + b" " * MAX_LINE_BYTES,
    ]
    requests, bad = decode_lines(enumerate(lines, 1))
    assert requests.user_ids == ["1", "2"]
    assert requests.top_n.tolist() == [10, 2]
    assert [(line.number, line.error[:8]) for line in bad] == [
        (3, "not JSON"),
        (5, "not UTF-"),
        (6, "longer t"),
    ]
    assert bad[0].line == "nonsense"
    assert bad[1].line == '{"user_id": "\\xff"}'


@pytest.mark.parametrize("depth", [400, 1000, 1020, 20_000])
@pytest.mark.parametrize("line", [b'{"user_id": %s}', b'{"user_id": 1, "k": %s}', b'{"x": %s}'])
def test_lines_nested_deep_are_set_aside(depth, line):
    """Also where they are read, but no message can be made of what they hold."""
    for start, end in ((b"[", b"]"), (b'{"a":', b"}")):
        nested = line % (start * depth + b"1" + end * depth)
        requests, bad = decode_lines([(1, nested), (2, b'{"user_id": 1}')])
        assert requests.user_ids == ["1"]
        assert [found.number for found in bad] == [1]
        assert 0 < len(bad[0].error) < 200


@pytest.mark.parametrize(
    "digits",
    [
        "9999999999999999999",  # 19, as are the next two
        "-9223372036854775808",
        "-9999999999999999999",
        "99999999999999999999",  # 20, more than 64 bits hold
        "18446744073709551617",
        "1234567890123456789012345",
    ],
)
def test_long_numbers_keep_their_digits(digits):
    assert decoded(f'{{"user_id": {digits}}}'.encode()) == [(digits, 10)]
    requests, bad = decode_lines([(1, f'{{"k": 3, "user_id": {digits}}}'.encode())])
    assert (requests.user_ids, bad) == ([digits], [])


def test_a_line_cannot_smuggle_in_another():
    requests, bad = decode_lines([(1, b'{"user_id": 1}, {"user_id": 2}'), (2, b"")])
    assert len(requests) == 0
    assert [line.number for line in bad] == [1]


def test_many_lines_at_once():
    body = "\n".join(json.dumps({"user_id": i}) for i in range(1000)).encode()
    assert [user for user, _ in decoded(body)] == [str(i) for i in range(1000)]


@pytest.mark.parametrize("records", [1, 2, 5, 6, 100])
def test_splitting(records):
    top_n = [3, 1, 1, 9, 1, 2, 2, 2]
    requests = Requests.of((str(i), n) for i, n in enumerate(top_n))
    parts = list(requests.split(records))
    assert [user for part in parts for user in part.user_ids] == requests.user_ids
    assert [n for part in parts for n in part.top_n.tolist()] == top_n
    assert all(part.top_n[1:].sum() <= records for part in parts)
    assert (len(parts) == 1) == (records == 100)
    assert list(Requests.of([]).split(records)) == []


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a": ', "}")])
def test_depth(opened, closed):
    allowed = load_json((opened * 100 + "1" + closed * 100).encode())
    assert json.dumps(allowed) == opened * 100 + "1" + closed * 100
    for depth in (101, 500, 1020, 100_000):
        with pytest.raises(RequestError, match="not usable JSON"):
            load_json((opened * depth + "1" + closed * depth).encode())
    assert len(load_json(b"[" + b'{"a": ["[[[["]}, ' * 1000 + b"1]")) == 1001
