"""The cloud's own clients against a running server: boto3, curl, and Snowflake's requests."""

import csv
import io
import json
import shutil
import subprocess
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hostile_support import serving
from small_models import TOKEN

import penchant as pc


def aws(service, address):
    return boto3.client(
        service,
        endpoint_url=address,
        region_name="eu-west-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def sagemaker(server):
    client = aws("sagemaker-runtime", server)
    yield client
    client.close()


def test_invoke_endpoint(sagemaker, artifact):
    answer = sagemaker.invoke_endpoint(
        EndpointName="shop",
        ContentType="application/json",
        Body=json.dumps({"user_id": "17850", "top_n": "3"}),
    )
    expected = pc.load(artifact).recommend(17850, k=3)
    records = json.loads(answer["Body"].read())
    assert [one["item_id"] for one in records] == expected["what"].tolist()
    assert answer["ContentType"] == "application/json"
    assert len(answer["InvokedProductionVariant"]) == 12


def test_invoke_endpoint_with_csv(sagemaker, artifact):
    def invoke(body, **options):
        options = {"ContentType": "text/csv", "Accept": "text/csv", **options}
        answer = sagemaker.invoke_endpoint(EndpointName="shop", Body=body, **options)
        return answer["Body"].read().decode().splitlines()

    model = pc.load(artifact)
    users = invoke("17850\n17860\n", CustomAttributes="top_n=2")
    assert [line.partition(",")[0] for line in users] == ["17850"] * 2 + ["17860"] * 2
    (score,) = model.predict(model.recommend(17850, k=1))
    item = model.recommend(17850, k=1)["what"][0]
    (line,) = invoke(f"17850,{item}\n")
    assert float(line) == pytest.approx(float(score))


RECORDS = {
    "k": ({"user_id": "17850", "k": 2}, {}),
    "a filter": (
        {"user_id": "17850", "k": 3, "where": "what in $ITEMS",
         "where_values": {"ITEMS": ["MUG", "LAMP"]}, "exclude_seen": False},
        {"where": "what in ('MUG', 'LAMP')", "exclude_seen": False, "k": 3},
    ),
    "lists": (
        {"user_id": 17850, "k": 3, "candidates": ["MUG", "LAMP", "x"], "exclude": ["MUG"],
         "exclude_seen": False},
        {"candidates": ["LAMP"], "exclude_seen": False, "k": 3},
    ),
    "relative scores": ({"user_id": 17850, "top_n": "4", "scores": "softmax"},
                        {"scores": "softmax", "k": 4}),
}  # fmt: skip


@pytest.mark.parametrize(("record", "same"), RECORDS.values(), ids=RECORDS)
def test_invoke_endpoint_takes_the_fields_of_v1(sagemaker, artifact, record, same):
    def invoke(accept, *records):
        answer = sagemaker.invoke_endpoint(
            EndpointName="shop",
            ContentType="application/jsonlines",
            Accept=accept,
            Body="".join(json.dumps(one) + "\n" for one in records),
        )
        return answer["Body"].read().decode()

    expected = pc.load(artifact).recommend(17850, **({"k": 2} | same))
    wanted = list(zip(expected["what"], expected["score"].astype(float), strict=True))
    flat = json.loads(invoke("application/json", record))
    assert [list(one) for one in flat] == [["user_id", "item_id", "score"]] * len(wanted)
    assert {one["user_id"] for one in flat} <= {17850}
    found = [(one["item_id"], one["score"]) for one in flat]
    assert found == [(item, pytest.approx(score, rel=1e-5)) for item, score in wanted]
    twice = [
        json.loads(line) for line in invoke("application/jsonlines", record, record).split("\n")[:2]
    ]
    assert twice[0] == twice[1]
    assert [(one["item_id"], one["score"]) for one in twice[0]["items"]] == found
    rows = list(csv.reader(io.StringIO(invoke("text/csv", record), newline="")))
    assert [(user, item, float(score)) for user, item, score in rows] == [
        ("17850", item, score) for item, score in found
    ]


def test_invoke_endpoint_takes_a_history(sagemaker, artifact):
    body = json.dumps({"history": ["LAMP", "MUG"], "k": 2, "context": {"device": "phone"}})
    answer = sagemaker.invoke_endpoint(
        EndpointName="shop", ContentType="application/json", Body=body
    )
    expected = pc.load(artifact).recommend(history=["LAMP", "MUG"], k=2)["what"].tolist()
    found = json.loads(answer["Body"].read())
    assert [(one["user_id"], one["item_id"]) for one in found] == [(None, one) for one in expected]


def test_tensorflow_servings_shape(sagemaker, artifact):
    body = json.dumps({"instances": ["LAMP"], "include_query": True, "top_n": 3})
    answer = sagemaker.invoke_endpoint(
        EndpointName="shop", ContentType="application/json", Body=body
    )
    (prediction,) = json.loads(answer["Body"].read())["predictions"]
    similar = pc.load(artifact).similar_items("LAMP", k=2)["neighbor"].tolist()
    assert prediction["output_2"] == ["LAMP", *similar]
    assert prediction["output_1"][0] == 1


@pytest.mark.parametrize(
    ("endpoint", "body", "code", "status", "message"),
    [
        ("nope", "{}", "ValidationError", 400, "nope not found"),
        ("shop", "{}", "ModelError", 424, "user_id is missing"),
        ("shop", "{", "ModelError", 424, "not JSON"),
        ("shop", '{"user_id": 1, "kk": 2}', "ModelError", 424, "unknown field"),
        ("shop", '{"user_id": 1, "where": "nope = 1"}', "ModelError", 424, "nope"),
        ("shop", '[{"user_id": 1}, {"user_id": 1, "where": "x <"}]', "ModelError", 424,
         "request 2: "),
        ("nope", '{"user_id": 1, "where": "x <"}', "ValidationError", 400, "nope not found"),
    ],
)  # fmt: skip
def test_errors_have_sagemakers_shape(sagemaker, endpoint, body, code, status, message):
    with pytest.raises(ClientError) as caught:
        sagemaker.invoke_endpoint(EndpointName=endpoint, ContentType="application/json", Body=body)
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert message in caught.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    "target",
    [
        {"TargetModel": "nope.tar.gz"},
        {"TargetVariant": "nope"},
        {"TargetContainerHostname": "nope"},
        {"InferenceComponentName": "nope"},
    ],
    ids=lambda t: next(iter(t)),
)
def test_nobody_answers_for_another_model_or_variant(sagemaker, target):
    request = {"EndpointName": "shop", "ContentType": "application/json", "Body": '{"user_id": 1}'}
    variant = sagemaker.invoke_endpoint(**request)["InvokedProductionVariant"]
    sagemaker.invoke_endpoint(**request, TargetVariant=variant)
    with pytest.raises(ClientError, match="nope") as caught:
        sagemaker.invoke_endpoint(**request, **target)
    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_execution_parameters(server):
    with urllib.request.urlopen(f"{server}/execution-parameters") as response:
        document = json.load(response)
    assert document["BatchStrategy"] == "MULTI_RECORD"
    assert document["MaxPayloadInMB"] == 6


def curl(*arguments):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    done = subprocess.run(
        ["curl", "-sS", "-w", "\n%{http_code}", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_curl(server, artifact):
    status, body = curl(f"{server}/v1/recommend", "-d", '{"user_id": "17850", "k": 2}')
    assert status == 200
    expected = pc.load(artifact).recommend(17850, k=2)["what"].tolist()
    assert [one["item_id"] for one in json.loads(body)["items"]] == expected


def test_models_change_only_with_the_token(server, artifact):
    body = ["-X", "PUT", "-d", json.dumps({"artifact": str(artifact)})]
    token = ["-H", f"Authorization: Bearer {TOKEN}"]
    assert curl(f"{server}/v1/models/more", *body)[0] == 401
    assert curl(f"{server}/v1/models/more", *body, "-H", "Authorization: Bearer x")[0] == 401
    assert curl(f"{server}/v1/models/more", *body, *token)[0] == 200
    assert curl(f"{server}/v1/models/..%2fmore", *body, *token)[0] in (400, 404, 405)
    missing = ["-X", "PUT", "-d", '{"artifact": "/no/such/place"}']
    status, text = curl(f"{server}/v1/models/more", *missing, *token)
    assert (status, "no such" in text) == (400, True)
    assert curl(f"{server}/v1/models/more/recommend", "-d", '{"user_id": 1}')[0] == 200
    assert curl("-X", "DELETE", f"{server}/v1/models/more")[0] == 401
    assert curl("-X", "DELETE", f"{server}/v1/models/more", *token)[0] == 200
    assert curl(f"{server}/v1/models/more")[0] == 404


def test_snowflake_invokes_a_model(server, artifact):
    rows = {"data": [[0, "shop", "17850", "LAMP"], [1, "nope", "17850", "LAMP"]]}
    headers = {"content-type": "application/json", "sf-external-function-query-batch-id": "1"}
    request = urllib.request.Request(
        f"{server}/snowflake/invoke_model", json.dumps(rows).encode(), headers
    )
    with urllib.request.urlopen(request) as response:
        (first, score), (second, error) = json.load(response)["data"]
    assert (first, second) == (0, 1)
    assert isinstance(score, float)
    assert "nope" in error["error"]


def test_snowflakes_functions_with_effects_need_the_token(server, artifact):
    def deploy(**headers):
        rows = {"data": [[0, "snow", str(artifact)]]}
        headers |= {"sf-external-function-query-batch-id": f"deploy {len(headers)}"}
        request = urllib.request.Request(
            f"{server}/snowflake/deploy_model", json.dumps(rows).encode(), headers
        )
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    with pytest.raises(urllib.error.HTTPError) as caught:
        deploy()
    assert caught.value.code == 401
    caught.value.close()
    token = {"sf-custom-authorization": f"Bearer {TOKEN}"}
    for more in ({}, {"authorization": "AWS4-HMAC-SHA256 Credential=a gateway's"}):
        assert deploy(**token, **more)["data"][0][1]["name"] == "snow"


def test_snowflakes_retry_after_a_restart(artifact, tmp_path, monkeypatch):
    """The second server has the first one's answer: nothing is deployed again."""
    monkeypatch.setenv("PENCHANT_ADMIN_TOKEN", TOKEN)
    headers = {"sf-external-function-query-batch-id": "1", "authorization": f"Bearer {TOKEN}"}
    body = json.dumps({"data": [[0, "snow", str(artifact)]]}).encode()
    answers = []
    for _ in range(2):
        with serving(artifact, "--state", str(tmp_path / "calls.db")) as server:
            url = f"http://127.0.0.1:{server.port}"
            with urllib.request.urlopen(
                urllib.request.Request(f"{url}/snowflake/deploy_model", body, headers)
            ) as response:
                answers.append(response.read())
            with urllib.request.urlopen(f"{url}/v1/models") as response:
                names = [model["name"] for model in json.load(response)]
            server.stop()
    assert answers[0] == answers[1]
    assert names == ["default"]


# ---- Personalize --------------------------------------------------------------------------------

ARN = "arn:aws:personalize:eu-west-1:000000000000"


@pytest.fixture(scope="module")
def personalize(server):
    client = aws("personalize-runtime", server)
    yield client
    client.close()


def test_get_recommendations(personalize, artifact):
    answer = personalize.get_recommendations(
        campaignArn=f"{ARN}:campaign/shop",
        userId="17850",
        numResults=4,
        context={"DEVICE": "phone"},
    )
    expected = pc.load(artifact).recommend(17850, k=4, scores="softmax")
    found = [(one["itemId"], one["score"]) for one in answer["itemList"]]
    assert [item for item, _ in found] == expected["what"].tolist()
    assert [score for _, score in found] == pytest.approx(expected["score"].tolist(), rel=1e-5)
    assert answer["recommendationId"]


def test_get_related_items(personalize, artifact):
    answer = personalize.get_recommendations(
        campaignArn=f"{ARN}:campaign/shop", itemId="LAMP", numResults=2
    )
    expected = pc.load(artifact).similar_items("LAMP", k=2)["neighbor"].tolist()
    assert [one["itemId"] for one in answer["itemList"]] == expected


def test_get_personalized_ranking(personalize, artifact):
    items = ["LAMP", "MUG", " PEN "]
    answer = personalize.get_personalized_ranking(
        campaignArn=f"{ARN}:campaign/shop", userId="17850", inputList=items
    )
    model = pc.load(artifact)
    expected = model.recommend(17850, candidates=items, k=3, exclude_seen=False)["what"].tolist()
    assert [one["itemId"] for one in answer["personalizedRanking"]] == expected
    assert sum(one["score"] for one in answer["personalizedRanking"]) == pytest.approx(1)


def test_strangers_are_ranked_last(personalize):
    def rank(*items):
        answer = personalize.get_personalized_ranking(
            campaignArn=f"{ARN}:campaign/shop", userId="17850", inputList=items
        )
        return [(one["itemId"], one["score"]) for one in answer["personalizedRanking"]]

    known = rank("LAMP", "MUG")
    assert rank("y", "MUG", "x", "LAMP") == [*known, ("y", 0), ("x", 0)]
    assert sum(score for _, score in known) == pytest.approx(1)
    with pytest.raises(ClientError, match="none of the items in inputList is known") as caught:
        rank("x", "y")
    assert caught.value.response["Error"]["Code"] == "InvalidInputException"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"campaignArn": f"{ARN}:campaign/nope", "userId": "1"}, "ResourceNotFoundException"),
        ({"campaignArn": f"{ARN}:campaign/shop"}, "InvalidInputException"),
        (
            {
                "campaignArn": f"{ARN}:campaign/shop",
                "userId": "1",
                "filterArn": f"{ARN}:filter/drama",
            },
            "ResourceNotFoundException",
        ),
        (
            {
                "campaignArn": f"{ARN}:campaign/shop",
                "itemId": "LAMP",
                "filterArn": f"{ARN}:filter/drama",
            },
            "ResourceNotFoundException",
        ),
        ({"campaignArn": f"{ARN}:campaign/shop", "itemId": "no such"}, "InvalidInputException"),
    ],
)
def test_errors_have_personalizes_shape(personalize, arguments, code):
    with pytest.raises(ClientError) as caught:
        personalize.get_recommendations(**arguments)
    assert caught.value.response["Error"]["Code"] == code
