"""The table of what is attacked: a new endpoint is a new row."""

import json

import pytest
from hostile_support import Endpoint

ENDPOINTS = [
    Endpoint("POST", "/invocations", b'{"user_id": "17850", "top_n": 3}', k="top_n"),
    Endpoint("GET", "/recommend?user_id=17850&top_n=3", k="top_n"),
    Endpoint("POST", "/v1/recommend", b'{"user_id": "17850", "k": 3}'),
    Endpoint("POST", "/v1/models/default/recommend", b'{"user_id": "17850", "k": 3}'),
    Endpoint("POST", "/v1/similar", b'{"item_id": "MUG", "k": 3}', id="item_id"),
    Endpoint("POST", "/v1/users", b'{"item_id": "MUG", "k": 3}', id="item_id"),
    Endpoint("POST", "/v1/predict", b'{"user_id": "17850", "item_id": "MUG"}', k=None),
    Endpoint("POST", "/models/default/invoke", b'{"user_id": "17850", "top_n": 3}', k="top_n"),
    Endpoint("POST", "/endpoints/default/invocations", b'{"user_id": "17850"}', k="top_n"),
    Endpoint(
        "POST",
        "/recommendations",
        b'{"campaignArn": "default", "userId": "17850", "numResults": 3}',
        id="userId",
        k="numResults",
    ),
    Endpoint(
        "POST",
        "/personalize-ranking",
        b'{"campaignArn": "default", "userId": "17850", "inputList": ["MUG", "LAMP"]}',
        id="userId",
        k=None,
    ),
    Endpoint(
        "POST", "/snowflake/invoke_model", b'{"data": [[0, "default", "17850"]]}', id=None, k=None
    ),
    Endpoint(
        "POST",
        "/invocations",
        b'{"user_id": "17850", "top_n": 3}\n',
        k="top_n",
        media="application/jsonlines",
    ),
    Endpoint("POST", "/invocations", b"17850\n17860\n", id=None, k=None, media="text/csv"),
    Endpoint("GET", "/v1/models", id=None, k=None),
    Endpoint("GET", "/openapi.json", id=None, k=None),
]
SIMPLE = ENDPOINTS[0]
ATTACKED_AT_LENGTH = ENDPOINTS[:3]  # by what takes seconds
CSV = next(endpoint for endpoint in ENDPOINTS if endpoint.media == "text/csv")
OPTIONED = [
    endpoint
    for endpoint in ENDPOINTS
    if endpoint.path.endswith(("/recommend", "/users"))
    or (endpoint.path == "/invocations" and endpoint.takes_json)
]
SURROGATE = "\ud800"
# Options of `/v1/...` that are refused, by what is wrong with them; "where" alone or "history"
# says about whom a question is, so that these stand beside no id.
REFUSED = {
    "half a text in where": {"where": f"what = '{SURROGATE}'"},
    "half a name in where": {"where": f"`{SURROGATE}` = 1"},
    "half a value": {"where": "what = $A", "where_values": {"A": SURROGATE}},
    "half a value in a list": {"where": "what in $A", "where_values": {"A": ["MUG", SURROGATE]}},
    "half a name of a value": {"where": "what = $A", "where_values": {SURROGATE: "MUG"}},
    "half a name beside": {"where": "what = $A", "where_values": {"A": "MUG", SURROGATE: 1}},
    "a value too deep": {"where": "what = $A", "where_values": {"A": {"B": ["MUG"]}}},
    "null as a value": {"where": "what = $A", "where_values": {"A": None}},
    "many digits as a value": {"where": "what = $A", "where_values": {"A": 10**200}},
    "no value": {"where": "what = $A"},
    "a value that nothing asks for": {"where": "what = 'MUG'", "where_values": {"A": 1}},
    "values without where": {"where_values": {"A": 1}},
    "values that are a list": {"where": "what = $A", "where_values": [1]},
    "code": {"where": "__import__('os').system('x')"},
    "SQL": {"where": "1 = 1; drop table items"},
    "no column": {"where": "price < 5"},
    "a comparison with a number": {"where": "what < 5"},
    "brackets": {"where": "(" * 5000},
    "nothing but not": {"where": "not " * 2000 + "what"},
    "a long expression": {"where": "what = '" + "x" * 20_000 + "'"},
    "an unclosed quote": {"where": "what = 'MUG"},
    "backslashes": {"where": "what = '" + "\\" * 4999},
    "where as a number": {"where": 5},
    "where as a list": {"where": ["what = 'MUG'"]},
    "half a column": {"with_columns": [SURROGATE]},
    "no such column": {"with_columns": ["__class__"]},
    "columns as text": {"with_columns": "what"},
    "columns as objects": {"with_columns": [{"what": 1}]},
    "an unknown field, half": {SURROGATE: 1},
}
# The same, of recommendations only.
REFUSED_LISTS = {
    "half a candidate": {"candidates": ["MUG", SURROGATE]},
    "candidates as text": {"candidates": "MUG"},
    "candidates as an object": {"candidates": {"17850": ["MUG"]}},
    "a candidate that is a list": {"candidates": [["MUG"]]},
    "null as a candidate": {"candidates": [None]},
    "a candidate too long": {"candidates": ["x" * 5000]},
    "too many candidates": {"candidates": ["MUG"] * 100_001},
    "half of what is excluded": {"exclude": [SURROGATE]},
    "excluded as an object": {"exclude": {}},
    "half a history": {"user_id": None, "history": [SURROGATE]},
    "half a key of a history": {"user_id": None, "history": {SURROGATE: 1}},
    "a history as text": {"user_id": None, "history": "MUG"},
    "a deep history": {"user_id": None, "history": [[["MUG"]]]},
    "values of a history": {"user_id": None, "history": {"MUG": "1"}},
    "truth as a value of a history": {"user_id": None, "history": {"MUG": True}},
    "an infinite history": {"user_id": None, "history": {"MUG": 10**400}},
    "a history without an end": {"user_id": None, "history": ["MUG"] * 100_001},
    "a history and a user": {"history": ["MUG"]},
    "scores": {"scores": SURROGATE},
}
# Odd, and yet answered.
ODD_OPTIONS = {
    "no candidates": {"candidates": []},
    "strangers as candidates": {"candidates": ["x", "\u0000", "日本" * 300]},
    "one candidate, often": {"candidates": ["MUG"] * 50_000},
    "all excluded": {"exclude": ["MUG", "LAMP", "x"] * 1000},
    "an empty history": {"user_id": None, "history": []},
    "strangers as a history": {"user_id": None, "history": ["x", "\ufffe", "😀"]},
    "a long history": {"user_id": None, "history": ["MUG", "LAMP"] * 20_000},
    "a history below zero": {"user_id": None, "history": {"MUG": -1e300, "LAMP": 1e300}},
    "a value of NUL": {"where": "what = $A", "where_values": {"A": "\u0000"}},
    "many values": {"where": "what in $A", "where_values": {"A": ["MUG"] * 50_000}},
    "a number for a text": {"where": "what in $A", "where_values": {"A": [1, "MUG"]}},
    "an empty list of values": {"where": "what in $A", "where_values": {"A": []}},
    "no columns": {"with_columns": []},
    "a context": {"context": {SURROGATE: [SURROGATE]}},
}
# The most recommendations that one request may ask for.
LARGE = json.dumps([{"user_id": n, "top_n": 1000} for n in range(1000)]).encode()


def at(endpoints):
    """Run a test at each of these."""
    names = [
        endpoint.path.partition("?")[0] + endpoint.media.removeprefix("application/json")
        for endpoint in endpoints
    ]
    return pytest.mark.parametrize("endpoint", endpoints, ids=names)


everywhere = at(ENDPOINTS)
where_json_goes = at([endpoint for endpoint in ENDPOINTS if endpoint.takes_json])
where_ids_go = at([endpoint for endpoint in ENDPOINTS if endpoint.id])
at_length = at(ATTACKED_AT_LENGTH)
at_length_json = at([endpoint for endpoint in ATTACKED_AT_LENGTH if endpoint.takes_json])
where_a_length_goes = at([endpoint for endpoint in ENDPOINTS if endpoint.k])
