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
    Endpoint("GET", "/v1/models", id=None, k=None),
    Endpoint("GET", "/openapi.json", id=None, k=None),
]
SIMPLE = ENDPOINTS[0]
ATTACKED_AT_LENGTH = ENDPOINTS[:3]  # by what takes seconds
# The most recommendations that one request may ask for.
LARGE = json.dumps([{"user_id": n, "top_n": 1000} for n in range(1000)]).encode()


def at(endpoints):
    """Run a test at each of these."""
    names = [endpoint.path.partition("?")[0] for endpoint in endpoints]
    return pytest.mark.parametrize("endpoint", endpoints, ids=names)


everywhere = at(ENDPOINTS)
where_json_goes = at([endpoint for endpoint in ENDPOINTS if endpoint.takes_json])
where_ids_go = at([endpoint for endpoint in ENDPOINTS if endpoint.id])
at_length = at(ATTACKED_AT_LENGTH)
at_length_json = at([endpoint for endpoint in ATTACKED_AT_LENGTH if endpoint.takes_json])
where_a_length_goes = at([endpoint for endpoint in ENDPOINTS if endpoint.k])
