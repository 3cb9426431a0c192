"""The runtime API's wire format, judged by boto3 over a real socket."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from penchant.errors import RequestError
from penchant.serving.protocols import personalize

CAMPAIGN = "arn:aws:personalize:us-east-1:000000000000:campaign/shop"
FILTER = "arn:aws:personalize:us-east-1:000000000000:filter/drama"


@pytest.fixture
def client():
    """Return boto3's client of a server that answers with what it has understood."""
    boto3 = pytest.importorskip("boto3")
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, answer = self.answer(body)
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def answer(self, body):
            json_type = {"content-type": "application/json"}
            try:
                if self.path == "/recommendations":
                    got.append(personalize.parse_recommendations(body))
                    answer = personalize.recommendations_answer(["a", "ü"], [0.5, 0.25], "RID")
                else:
                    got.append(personalize.parse_ranking(body))
                    answer = personalize.ranking_answer(got[-1].input_list, [0.75, 0.25])
            except RequestError as error:
                return personalize.error_answer("InvalidInputException", str(error))
            if got[-1].campaign != "shop":
                return personalize.error_answer("ResourceNotFoundException", "no such campaign")
            return 200, json_type, answer

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made = boto3.client(
            "personalize-runtime",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{server.server_port}",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        yield made, got
        made.close()
        server.shutdown()
        thread.join()


def test_get_recommendations(client):
    boto, got = client
    answer = boto.get_recommendations(
        campaignArn=CAMPAIGN,
        userId="7",
        numResults=2,
        filterArn=FILTER,
        filterValues={"GENRE": '"drama","war"', "YEAR": "1990"},
        context={"DEVICE": "phone"},
    )
    assert answer["itemList"] == [{"itemId": "a", "score": 0.5}, {"itemId": "ü", "score": 0.25}]
    assert answer["recommendationId"] == "RID"
    assert got == [
        personalize.RecommendationsRequest(
            "shop",
            "7",
            None,
            2,
            "drama",
            {"GENRE": ["drama", "war"], "YEAR": 1990},
            {"DEVICE": "phone"},
        )
    ]


def test_get_personalized_ranking(client):
    boto, got = client
    answer = boto.get_personalized_ranking(campaignArn=CAMPAIGN, userId="7", inputList=["b", "a"])
    ranked = answer["personalizedRanking"]
    assert ranked == [{"itemId": "b", "score": 0.75}, {"itemId": "a", "score": 0.25}]
    assert answer["recommendationId"].startswith("RID-")
    assert got[0].input_list == ["b", "a"]


def test_errors_are_those_of_the_client(client):
    boto, _ = client
    with pytest.raises(boto.exceptions.InvalidInputException, match="numResults must be"):
        boto.get_recommendations(campaignArn=CAMPAIGN, userId="7", numResults=501)
    other = CAMPAIGN.replace("shop", "other")
    with pytest.raises(boto.exceptions.ResourceNotFoundException, match="no such campaign"):
        boto.get_recommendations(campaignArn=other, userId="7")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"[]", "must be an object"),
        (b"{}", "userId or itemId is missing"),
        (b'{"userID": "1"}', "did you mean 'userId'"),
        (b'{"userId": ""}', "userId must be text"),
        (b'{"userId": "\\ud800"}', "not valid Unicode"),
        (b'{"userId": "1", "numResults": 1.5}', "numResults"),
        (b'{"userId": "1", "filterArn": "arn:aws:x"}', "not an ARN"),
        (b'{"userId": "1", "filterValues": {"A": {}}}', "filterValues: 'A' must"),
        (b'{"userId": "1", "context": 3}', "context"),
        (b'{"userId": "1", "promotions": [{}]}', "promotions"),
    ],
)
def test_bodies_that_are_wrong(body, message):
    with pytest.raises(RequestError, match=message):
        personalize.parse_recommendations(body)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a"', "a"),
        ('"a","b"', ["a", "b"]),
        ("12", 12),
        ("1.5,2", [1.5, 2]),
        ("plain", "plain"),
        ("a,b", "a,b"),
        ("007", "007"),
        ("null", "null"),
        ("NaN", "NaN"),
        ('"open', '"open'),
        ("", ""),
        ([1, 2], [1, 2]),
    ],
)
def test_values_of_filters(text, value):
    assert personalize.filter_values({"X": text}) == {"X": value}


def test_scores_have_few_digits():
    answer = json.loads(personalize.ranking_answer(["a"], [0.1234567891]))
    assert answer["personalizedRanking"][0]["score"] == 0.1234568
