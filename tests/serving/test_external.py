"""invoke_model and deploy_model: what SQL gets back for each row, and what happens once."""

import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from external_support import (
    BATCH,
    ask,
    call_as_snowflake,
    fetch,
    headers_of,
    rows_of,
    served,
    values,
)
from small_models import ITEMS

import penchant as pc
from penchant.errors import ParameterError
from penchant.serving import Service
from penchant.serving.external import ExternalFunctions, ddl

GOLDEN = Path(__file__).parent / "golden" / "external_functions.sql"


def refuse(name, path):
    raise AssertionError("nothing is installed here")


@pytest.fixture
def functions(number_model, text_model):
    models = {"numbers": number_model, "text": Service(text_model)}
    made = ExternalFunctions(models.__getitem__, refuse)
    yield made
    made.close()


class CountingModels:
    """A catalogue that counts how often it is asked."""

    def __init__(self, **models):
        self.models = models
        self.asked = []

    def __call__(self, name):
        self.asked.append(name)
        return self.models[name]


# ---- invoke_model --------------------------------------------------------------------------------


def test_scores_are_those_of_predict(functions, number_model):
    pairs = pd.DataFrame({"who": [17850, 17860, 17870], "what": ITEMS[:3]})
    rows = [["numbers", str(user), item] for user, item in pairs.itertuples(index=False)]
    status, answer = ask(functions, "invoke_model", *rows)
    assert status == 200
    assert np.array_equal(np.float32(values(answer)), number_model.predict(pairs))


def test_ids_may_come_as_numbers(functions, number_model):
    rows = [["numbers", user, "MUG"] for user in (17850, 17850.0, "17850", " 17850.0")]
    status, answer = ask(functions, "invoke_model", *rows)
    assert status == 200
    assert len(set(values(answer))) == 1
    assert isinstance(values(answer)[0], float)


def test_lists_are_those_of_recommend(functions, text_model):
    status, answer = ask(
        functions,
        "invoke_model",
        ["text", 'a "b", c'],
        ["text", "007", {"k": 3}],
        ["text", "u1", {"k": "2"}],
        ["text", "u1", {}],
    )
    assert status == 200
    asked = [('a "b", c', 10), ("007", 3), ("u1", 2), ("u1", 10)]
    for (user, k), value in zip(asked, values(answer), strict=True):
        expected = text_model.recommend([user], k=k)
        assert value["user_id"] == user
        assert [item["item_id"] for item in value["items"]] == expected["what"].tolist()
        assert np.array_equal(
            np.float32([item["score"] for item in value["items"]]), expected["score"]
        )


def test_unknown_and_null_ids(functions, text_model):
    status, answer = ask(
        functions,
        "invoke_model",
        ["text", "nobody", "MUG"],
        ["text", "u1", "nothing"],
        ["text", None, "MUG"],
        ["text", "u1", None],
        ["text", None],
        ["text", None, {"k": 3}],
        ["text", "nobody", {"k": 2}],
    )
    assert status == 200
    assert values(answer)[:6] == [None] * 6
    popular = text_model.recommend(["nobody"], k=2, unknown="popular")["what"].tolist()
    assert [item["item_id"] for item in values(answer)[6]["items"]] == popular


def test_a_bad_row_fails_alone(functions, text_model):
    good = ["text", "u1", "MUG"]
    bad = {
        "no model 'shop'": ["shop", "u1", "MUG"],
        "model_name must be text, got None": [None, "u1", "MUG"],
        "model_name must be text, got 5": [5, "u1"],
        "got 1 arguments": ["text"],
        "got 0 arguments": [],
        "got 5 arguments": ["text", "u1", "MUG", 3, 4],
        "user_id must be text or a number, got true": ["text", True, "MUG"],
        'item_id must be text or a number, got ["MUG"]': ["text", "u1", ["MUG"]],
        'user_id must be text or a number, got ""': ["text", "", "MUG"],
        "user_id has 5000 bytes": ["text", "x" * 5000, "MUG"],
        "user_id is not valid Unicode": ["text", "\ud800", "MUG"],
        "k must be a whole number from 1 to 1000, got 0": ["text", "u1", {"k": 0}],
        "from 1 to 1000, got 1000000000": ["text", "u1", {"k": 10**9}],
        "unknown option 'where'": ["text", "u1", {"where": "x"}],
    }
    rows = [row for one in bad.values() for row in (good, one)]
    status, answer = ask(functions, "invoke_model", *rows)
    assert status == 200
    expected = text_model.predict(pd.DataFrame({"who": ["u1"], "what": ["MUG"]}))[0]
    assert [np.float32(value) for value in values(answer)[::2]] == [expected] * len(bad)
    for message, value in zip(bad, values(answer)[1::2], strict=True):
        assert list(value) == ["error"]
        assert message in value["error"]


def test_a_model_that_cannot_be_had_fails_only_its_rows(text_model):
    def find(name):
        return text_model if name == "text" else pc.load(f"/nowhere/{name}")

    functions = ExternalFunctions(find, refuse)
    rows = [["raw", "u1", "MUG"], ["text", "u1", "MUG"], ["raw", "u1"]]
    status, answer = ask(functions, "invoke_model", *rows)
    assert status == 200
    assert "no Penchant artifact at" in values(answer)[0]["error"]
    assert "no Penchant artifact at" in values(answer)[2]["error"]
    assert isinstance(values(answer)[1], float)


def test_unicode_and_control_characters(text_model):
    functions = ExternalFunctions({"modèle ☃": text_model}.__getitem__, refuse)
    rows = [["modèle ☃", "u1", item] for item in ITEMS] + [["modèle ☃", "\x00\x1f\u2028", "日本茶"]]
    status, answer = ask(functions, "invoke_model", *rows)
    assert status == 200
    known = [item for item in ITEMS if item]
    assert sum(isinstance(value, float) for value in values(answer)) == len(known)
    assert values(answer)[-1] is None
    status, answer = ask(functions, "invoke_model", ["modèle ☃", "\x00\x1f\u2028", {"k": 1}])
    assert values(answer)[0]["user_id"] == "\x00\x1f\u2028"


def test_one_version_of_a_model_for_a_whole_request(number_model, text_model):
    models = CountingModels(a=number_model, b=text_model)
    functions = ExternalFunctions(models, refuse)
    rows = [["a", 17850, "MUG"], ["b", "u1"], ["a", 17860], ["b", "u2", "MUG"], ["c", 1, 2]]
    ask(functions, "invoke_model", *rows, *rows)
    assert sorted(models.asked) == ["a", "b", "c"]


def test_no_rows(functions):
    assert ask(functions, "invoke_model") == (200, {"data": []})


def test_answers_are_bounded(text_model):
    functions = ExternalFunctions({"text": text_model}.__getitem__, refuse, max_records=20)
    assert ask(functions, "invoke_model", *[["text", "u1"]] * 2)[0] == 200
    status, answer = ask(functions, "invoke_model", *[["text", "u1"]] * 3)
    assert status == 413
    assert "ask for 30 recommendations, more than 20" in answer["error"]


@pytest.mark.parametrize(
    ("function", "method", "batch", "status", "message"),
    [
        ("invoke_model", "GET", "b", 405, "invoke_model takes POST"),
        ("deploy_model", "PUT", "b", 405, "deploy_model takes POST and GET"),
        ("deploy_model", "GET", None, 400, f"send {BATCH}"),
        ("deploy_model", "POST", None, 400, f"needs the header {BATCH}"),
        ("deploy_model", "GET", "never asked", 404, "no batch 'never asked'"),
        ("drop_table", "POST", "b", 404, "no function 'drop_table'; functions: invoke_model"),
        ("../ping", "GET", "b", 404, "no function"),
    ],
)
def test_other_requests(functions, function, method, batch, status, message):
    got, answer = ask(functions, function, ["text", "u1"], batch=batch, method=method)
    assert got == status
    assert message in answer["error"]


def test_wrong_bodies(functions):
    def post(body, **more):
        status, _, answer = functions.handle("invoke_model", "POST", headers_of("b", **more), body)
        return status, json.loads(answer)["error"]

    body = json.dumps(rows_of(["text", "u1"])).encode()
    assert post(body, Content_MD5="AAAA")[0] == 400
    assert post(b"not json")[0] == 400
    assert post(body, Content_Encoding="gzip")[0] == 400
    small = ExternalFunctions({}.__getitem__, refuse, max_bytes=1000)
    bomb = gzip.compress(b" " * 10**7)
    status, _, answer = small.handle("invoke_model", "POST", {"CONTENT-ENCODING": "gzip"}, bomb)
    assert status == 413
    assert "more than 1000 bytes" in json.loads(answer)["error"]


def test_a_bug_is_logged_and_tells_nothing(caplog):
    functions = ExternalFunctions(lambda name: 1 // 0, refuse)
    status, answer = ask(functions, "invoke_model", ["x", "y"])
    assert (status, answer) == (500, {"error": "internal error; the server's log says more"})
    assert "ZeroDivisionError" in caplog.text


def test_over_http_from_many_threads(functions, number_model):
    users = number_model.users_.to_list()
    with served(functions) as url, ThreadPoolExecutor(8) as pool:

        def one(user):
            asked = [["numbers", user, "MUG"], ["numbers", user], ["shop", user]]
            statuses, answer = call_as_snowflake(f"{url}/invoke_model", f"b{user}", *asked)
            assert statuses == [200]
            return values(answer)

        answers = list(pool.map(one, users))
        assert fetch(f"{url}/invoke_model", "GET", headers_of("b"))[0] == 405
        status, _, answer = fetch(
            f"{url}/invoke_model", "POST", headers_of("b", Content_MD5="AAAA"), b"{}"
        )
        assert status == 400
        assert "Content-MD5 is 'AAAA'" in json.loads(answer)["error"]
    pairs = pd.DataFrame({"who": users, "what": "MUG"})
    assert np.array_equal(np.float32([a[0] for a in answers]), number_model.predict(pairs))
    assert [a[1]["user_id"] for a in answers] == users
    assert all("no model 'shop'" in a[2]["error"] for a in answers)


# ---- deploy_model --------------------------------------------------------------------------------


class Catalogue:
    """Installs artifacts for real, and holds the door shut until told to open it."""

    def __init__(self):
        self.models = {}
        self.installed = []
        self.door = threading.Event()
        self.door.set()

    def install(self, name, path):
        assert self.door.wait(600)
        self.models[name] = pc.load(path)
        self.installed.append(name)
        return f"v{len(self.installed)}"


@pytest.fixture
def catalogue():
    return Catalogue()


@pytest.fixture
def deploying(catalogue):
    made = ExternalFunctions(
        catalogue.models.__getitem__, catalogue.install, max_deployments=2, patience=600
    )
    yield made
    catalogue.door.set()
    made.drain()
    made.close()


def test_deploy_then_invoke(deploying, catalogue, artifact):
    assert "error" in values(ask(deploying, "invoke_model", ["shop", 17850, "MUG"])[1])[0]
    status, answer = ask(deploying, "deploy_model", ["shop", str(artifact)], batch="b1")
    assert status == 200
    assert values(answer) == [{"name": "shop", "version": "v1"}]
    assert isinstance(values(ask(deploying, "invoke_model", ["shop", 17850, "MUG"])[1])[0], float)


def test_a_retry_does_not_install_again(deploying, catalogue, artifact):
    rows = [["one", str(artifact)], ["two", str(artifact)]]
    with served(deploying) as url, ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(call_as_snowflake, f"{url}/deploy_model", "b1", *rows) for _ in range(8)
        ]
        answers = [one.result() for one in asked]
        answers.append(call_as_snowflake(f"{url}/deploy_model", "b1", *rows))
    assert catalogue.installed == ["one", "two"]
    assert all(answer == answers[0] for answer in answers)
    assert values(answers[0][1])[1] == {"name": "two", "version": "v2"}
    assert ask(deploying, "deploy_model", *rows, batch="b2")[0] == 200
    assert catalogue.installed == ["one", "two"] * 2


def test_a_slow_deployment_is_polled(catalogue, artifact):
    functions = ExternalFunctions(catalogue.models.__getitem__, catalogue.install, patience=0)
    catalogue.door.clear()
    with served(functions) as url, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(call_as_snowflake, f"{url}/deploy_model", "b1", ["x", str(artifact)])
        while ask(functions, "deploy_model", batch="b1", method="GET")[0] == 404:
            pass
        assert ask(functions, "deploy_model", batch="b1", method="GET")[0] == 202
        catalogue.door.set()
        statuses, answer = asked.result()
    assert statuses[0] == 202
    assert statuses[-1] == 200
    assert values(answer) == [{"name": "x", "version": "v1"}]
    functions.close()


def test_errors_of_deploying(deploying, catalogue, artifact, tmp_path):
    status, answer = ask(deploying, "deploy_model", ["x", str(tmp_path / "none")], batch="b1")
    assert status == 400
    assert "no Penchant artifact at" in answer["error"]
    assert ask(deploying, "deploy_model", ["x", str(tmp_path / "none")], batch="b1")[1] == answer
    mixed = [["x", str(artifact)], ["y", str(tmp_path / "none")], ["z", 5], ["z"]]
    status, answer = ask(deploying, "deploy_model", *mixed, batch="b2")
    assert status == 200
    assert values(answer)[0] == {"name": "x", "version": "v1"}
    assert "no Penchant artifact at" in values(answer)[1]["error"]
    assert "artifact_path must be text, got 5" in values(answer)[2]["error"]
    assert "expected name and artifact_path" in values(answer)[3]["error"]
    assert catalogue.installed == ["x"]
    many = [["x", str(artifact)]] * 101
    status, answer = ask(deploying, "deploy_model", *many, batch="b3")
    assert status == 400
    assert "MAX_BATCH_ROWS = 1" in answer["error"]


def test_a_batch_id_with_other_rows(deploying, catalogue, artifact):
    assert ask(deploying, "deploy_model", ["x", str(artifact)], batch="b1")[0] == 200
    status, answer = ask(deploying, "deploy_model", ["y", str(artifact)], batch="b1")
    assert status == 409
    assert "had other rows before" in answer["error"]
    assert catalogue.installed == ["x"]


def test_a_crash_of_a_run_is_an_answer(caplog):
    functions = ExternalFunctions({}.__getitem__, lambda name, path: 1 // 0, patience=600)
    status, answer = ask(functions, "deploy_model", ["x", "y"], batch="b1")
    assert (status, answer) == (400, {"error": "internal error; the server's log says more"})
    assert "ZeroDivisionError" in caplog.text


# ---- the statements ------------------------------------------------------------------------------


def test_ddl_is_the_golden_one():
    assert ddl("https://api.example.com/prod/", "penchant_api") == GOLDEN.read_text()


def test_ddl_names():
    text = ddl("https://api.example.com", '"My Api"', schema="shop.public")
    assert 'API_INTEGRATION = "My Api"' in text
    assert text.count("EXTERNAL FUNCTION shop.public.invoke_model(") == 3
    for url in ("api.example.com", "https://x/' OR '1'='1", "https://x/\n", "ftp://x", ""):
        with pytest.raises(ParameterError, match="base_url"):
            ddl(url, "penchant_api")
    with pytest.raises(ParameterError, match="api_integration"):
        ddl("https://x", "a; DROP TABLE b")
    with pytest.raises(ParameterError, match="schema"):
        ddl("https://x", "a", schema="b.c.d")
