"""What a predictor's requests may hold."""

import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from penchant.endpoints.client import encode
from penchant.errors import RequestError


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(7), 7),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("u1"), "u1"),
        (pd.Timestamp("2024-05-01 12:30"), "2024-05-01T12:30:00"),
        (np.datetime64("2024-05-01", "D"), "2024-05-01"),
        (datetime.date(2024, 5, 1), "2024-05-01"),
        (np.array([1, 2]), [1, 2]),
        (np.array([["a"], ["b"]]), [["a"], ["b"]]),
        (pd.Series([1, 2]), [1, 2]),
        (pd.Index(["a", "b"]), ["a", "b"]),
        (["a", (1, None)], ["a", [1, None]]),
    ],
)
def test_values_of_other_libraries_are_plain_ones(value, plain):
    assert json.loads(encode({"user_id": value})) == {"user_id": plain}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"user_id": float("nan")}, "^user_id: nan"),
        ({"user_id": np.float32("inf")}, "^user_id: inf"),
        ({"user_id": pd.NaT}, "^user_id: NaT"),
        ({"user_id": np.datetime64("NaT")}, "^user_id: .*NaT"),
        ({"user_id": pd.NA}, "^user_id: <NA>"),
        ({"user_id": np.complex64(1)}, r"^user_id: .*complex64"),
        ([{"user_id": 1}, {"history": ["a", {"b"}]}], r"^\[1\]\.history\[1\]: .*set"),
        ({"where_values": {"x": decimal.Decimal(1)}}, r"^where_values\.x: .*Decimal"),
        ({"history": np.array([1.0, np.nan])}, r"^history\[1\]: nan"),
        ({"context": {(7,): 1}}, r"^context: field \(7,\) must be text"),
        ({"context": {np.int64(7): 1}}, r"^context: field (np.int64\()?7\)? must be text"),
        (object(), r"^data: .*object"),
    ],
)
def test_what_has_no_form_is_named(body, words):
    with pytest.raises(RequestError, match=words):
        encode(body)


def test_what_holds_itself_is_refused():
    body = {"context": {}}
    body["context"]["again"] = body
    with pytest.raises(RequestError, match="nested"):
        encode(body)


def test_a_predictor_takes_ids_from_a_frame(home, tmp_path):
    frame = pd.DataFrame({"who": [1, 1, 2, 3], "what": ["a", "b", "a", "c"]})
    model = pc.Popularity().fit(pc.Interactions.from_frame(frame, user="who", item="what"))
    with pc.deploy(model, "numbers", progress=False) as predictor:
        answer = predictor.predict({"user_id": frame["who"][0], "k": np.int64(1)})
        assert (answer["user_id"], answer["items"]) == (1, ["c"])
        with pytest.raises(RequestError, match="user_id"):
            predictor.predict({"user_id": float("nan")})
