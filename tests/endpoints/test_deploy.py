"""Deploying, asking, updating and deleting, with real processes."""

import functools
import http.client
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from small_models import fit

import penchant as pc
from endpoint_support import USERS, damaged, foreign, processes_in, version_of, wait_until
from penchant.endpoints.durations import seconds
from penchant.endpoints.state import Folder
from penchant.errors import (
    ArtifactError,
    ArtifactNotFoundError,
    EndpointError,
    EndpointExistsError,
    EndpointNotFoundError,
    ParameterError,
    RequestError,
)


@pytest.fixture(scope="module")
def shop(home, artifacts, tmp_path_factory):
    """An endpoint made of an artifact that has been deleted since."""
    path = shutil.copytree(artifacts[0], tmp_path_factory.mktemp("given") / "artifact")
    predictor = pc.deploy(path, name="shop", progress=False)
    shutil.rmtree(path)
    return predictor


def versions_in(home, name):
    return sorted(path.name for path in (home / "endpoints" / name / "versions").iterdir())


def test_an_answer_has_names_and_scores(shop, artifacts):
    answer = shop.predict({"user_id": "u3", "top_n": 5})
    frame = pc.load(artifacts[0]).recommend("u3", k=5)
    assert answer.pop("scores") == pytest.approx(frame["score"].tolist(), rel=1e-6)
    assert answer == {
        "user_id": "u3",
        "items": frame["what"].tolist(),
        "model": "shop",
        "version": version_of(artifacts[0]),
    }


def test_a_list_is_answered_by_a_list(shop, expected):
    answers = shop.predict([{"user_id": user, "k": 5} for user in USERS])
    assert [one["user_id"] for one in answers] == USERS
    for answer in answers:
        assert answer["items"] == expected[shop.version, answer["user_id"]]
    good, bad = shop.predict([{"user_id": "u1"}, {"user_id": "u1", "where": "year < 3"}])
    assert len(good["items"]) == len(good["scores"])
    assert "year" in bad["error"]


def test_fields_and_kinds_of_the_interface(shop):
    given = ["MUG", "LAMP", " PEN "]
    answer = shop.predict({"history": ["MUG"], "candidates": given, "exclude_seen": False})
    assert sorted(answer["items"]) == sorted(given)
    assert len(shop.predict({"item_id": "MUG", "k": 3}, kind="similar")["items"]) == 3
    audience = shop.predict({"item_id": "BACK\\SLASH", "k": 3}, kind="users")
    assert len(audience["users"]) == len(audience["scores"]) == 3
    pairs = shop.predict({"pairs": [{"user_id": "u1", "item_id": "MUG"}]}, kind="predict")
    assert len(pairs["scores"]) == 1
    with pytest.raises(RequestError, match="top_m"):
        shop.predict({"user_id": "u1", "top_m": 3})


def test_a_frame(shop):
    frame = shop.predict_frame([{"user_id": "u1", "k": 2}, {"user_id": "u2", "k": 3}])
    assert frame.columns.tolist() == ["user_id", "item_id", "score", "rank"]
    assert frame["user_id"].tolist() == ["u1"] * 2 + ["u2"] * 3
    assert frame["rank"].tolist() == [1, 2, 1, 2, 3]
    empty = shop.predict_frame({"user_id": "u1", "candidates": []})
    assert empty.shape == (0, 4)
    with pytest.raises(RequestError, match=r"question 2: .*year"):
        shop.predict_frame([{"user_id": "u1"}, {"user_id": "u1", "where": "year < 3"}])


def test_what_is_kept_is_private(shop, home):
    folder = home / "endpoints" / "shop"
    for path, mode in ((folder, 0o700), (folder / "admin-token", 0o600), (folder / "log", 0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert (folder / "admin-token").read_text() not in subprocess.run(
        ["ps", "-ww", "-e", "-o", "args"], capture_output=True, text=True, check=True
    ).stdout


def test_it_is_found_by_name(shop, home):
    assert shop.status == "InService"
    assert shop.endpoint_url.startswith("http://127.0.0.1:")
    assert [one.name for one in pc.endpoints.list()] == ["shop"]
    assert pc.endpoints.get("shop").endpoint_url == shop.endpoint_url
    with pytest.raises(EndpointNotFoundError, match="did you mean 'shop'"):
        pc.endpoints.get("shap")
    assert repr(shop).startswith("Predictor(name='shop', status='InService', version='")
    assert shop.endpoint_url in shop._repr_html_()
    assert shop.endpoint_url in pc.endpoints.list()._repr_html_()


def test_logs_end_with_what_the_server_said(shop):
    assert shop.logs(1).startswith("serving BPR (20 users")
    assert "starting" in shop.logs()
    assert shop.logs(0) == ""


def test_a_name_is_taken_once(shop, artifacts):
    before = shop.endpoint_url
    with pytest.raises(EndpointExistsError, match="replace=True"):
        pc.deploy(artifacts[1], name="shop")
    assert shop.version == version_of(artifacts[0])
    pc.deploy(artifacts[1], name="shop", replace=True)
    assert shop.predict({"user_id": "u1"})["version"] == version_of(artifacts[1])
    assert shop.endpoint_url == before
    shop.update(pc.load(artifacts[0]))
    assert shop.version == version_of(artifacts[0])


def test_a_failed_update_leaves_the_old_version(shop, artifacts, home, tmp_path):
    old, kept = shop.version, versions_in(home, "shop")
    with pytest.raises(ArtifactError, match="checksum"):
        shop.update(damaged(artifacts[1], tmp_path / "damaged"))
    with pytest.raises(ArtifactError, match=f"version {old} stays: .*Nobody"):
        shop.update(foreign(tmp_path / "foreign"))
    with pytest.raises(ArtifactNotFoundError):
        shop.update(tmp_path / "nowhere")
    with pytest.raises(ParameterError, match="not a model"):
        shop.update(7)
    assert shop.predict({"user_id": "u1"})["version"] == old == shop.version
    assert versions_in(home, "shop") == kept


def test_a_replacement_that_does_not_start_leaves_the_old_version(home, artifacts, tmp_path):
    """Also where the process had to be ended for other settings."""
    one = version_of(artifacts[0])
    with pc.deploy(artifacts[0], "firm", filters={"old": "year > 3"}, progress=False) as firm:
        url = firm.endpoint_url
        new = {"name": "firm", "filters": {"new": "year > 4"}, "replace": True, "progress": False}
        with pytest.raises(ArtifactError, match="checksum"):
            pc.deploy(damaged(artifacts[1], tmp_path / "damaged"), **new)
        assert firm.endpoint_url == url  # not even ended
        with pytest.raises(EndpointError, match=f"(?s)Nobody.*version {one} is back in service"):
            pc.deploy(foreign(tmp_path / "foreign"), **new)
        assert firm.predict({"user_id": "u1"})["version"] == one == firm.version
        assert Folder.of("endpoints", "firm").settings()["filters"] == {"old": "year > 3"}
        assert versions_in(home, "firm") == [one]
        # One that nobody waits for keeps what was there before until it is known to serve.
        pc.deploy(tmp_path / "foreign", **new, wait=False)
        wait_until(lambda: firm.status == "Failed")
        assert versions_in(home, "firm") == sorted([one, version_of(tmp_path / "foreign")])
        with pytest.raises(EndpointError, match="settings stay"):
            pc.deploy(tmp_path / "foreign", **new)
        pc.deploy(artifacts[1], **new)
        assert versions_in(home, "firm") == [version_of(artifacts[1])] == [firm.version]


def seen_in_lists(answers, version):
    return any(len(found) > 1 and found[0]["version"] == version for found in answers)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_update_under_load(home, artifacts, expected, workers):
    """No request fails, no answer mixes versions, and what comes after an update is new.

    One of the clients asks for lists of several micro-batches.
    """
    one, two = map(version_of, artifacts)
    stop = threading.Event()
    answers = []
    failures = []

    def ask(number):
        place = number
        while not stop.is_set():
            place += 1
            users = [USERS[(place + n) % len(USERS)] for n in range(1 if number else 600)]
            questions = [{"user_id": user, "k": 5} for user in users]
            try:
                found = (
                    busy.predict(questions) if len(questions) > 1 else [busy.predict(*questions)]
                )
                answers.append(found)
            except Exception as error:
                failures.append(error)

    with pc.deploy(artifacts[0], "busy", workers=workers, progress=False) as busy:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: len(answers) > 20)
            for path, version in ((artifacts[1], two), (artifacts[0], one)):
                busy.update(path)
                after = [busy.predict({"user_id": user, "k": 5}) for user in USERS]
                assert {answer["version"] for answer in after} == {version}
                wait_until(functools.partial(seen_in_lists, answers, version))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert not failures
    seen = {1: set(), 600: set()}  # versions by the length of the list
    for found in answers:
        (version,) = {answer["version"] for answer in found}
        for answer in found:
            assert answer["items"] == expected[version, answer["user_id"]]
        seen[len(found)].add(version)
    assert seen == {1: {one, two}, 600: {one, two}}
    assert "busy" not in [predictor.name for predictor in pc.endpoints.list()]


def test_a_deleted_endpoint_answers_what_it_was_asked(home, artifacts):
    predictor = pc.deploy(artifacts[0], name="drained", progress=False)
    body = json.dumps({"user_id": "u1", "k": 5}).encode()
    connection = http.client.HTTPConnection(urlsplit(predictor.endpoint_url).netloc, timeout=60)
    connection.putrequest("POST", "/v1/recommend")
    connection.putheader("content-length", str(len(body)))
    connection.endheaders()
    connection.send(body[:5])
    # A whole request on another connection: by its answer the first one's headers are read.
    predictor.predict({"user_id": "u1"})
    deletion = threading.Thread(target=predictor.delete_endpoint)
    deletion.start()
    try:
        wait_until(lambda: not _connects(predictor_address(connection)))
        connection.send(body[5:])
        answer = connection.getresponse()
        assert answer.status == 200
        assert len(json.loads(answer.read())["items"]) == 5
    finally:
        connection.close()
        deletion.join()
    assert not (home / "endpoints" / "drained").exists()
    assert repr(predictor) == "Predictor(name='drained', status='deleted')"
    for call in (predictor.logs, predictor.delete_endpoint, predictor.start):
        with pytest.raises(EndpointNotFoundError):
            call()


def predictor_address(connection):
    return connection.host, connection.port


def _connects(address):
    connection = http.client.HTTPConnection(*address, timeout=5)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def test_what_does_not_start_says_why_and_leaves_nothing(home, artifacts, tmp_path):
    with pytest.raises(EndpointError, match=r"(?s)exit code 2.*Nobody"):
        pc.deploy(foreign(tmp_path / "foreign"), name="bad", progress=False)
    with pytest.raises(ArtifactError, match="checksum"):
        pc.deploy(damaged(artifacts[0], tmp_path / "damaged"), name="bad")
    with pytest.raises(ArtifactNotFoundError):
        pc.deploy(tmp_path / "nowhere", name="bad")
    assert not (home / "endpoints" / "bad").exists()
    assert "bad" not in [one.name for one in pc.endpoints.list()]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "../up"}, "no name"),
        ({"workers": 0}, "workers=0"),
        ({"port": -1}, "port=-1"),
        ({"expires": "soon"}, "expires='soon'"),
        ({"expires": -3}, "expires=-3"),
    ],
)
def test_arguments_that_make_no_sense(home, artifacts, arguments, words):
    with pytest.raises(ParameterError, match=words):
        pc.deploy(artifacts[0], **({"name": "none"} | arguments))
    assert not (home / "endpoints" / "none").exists()


def test_durations():
    assert [seconds(text) for text in ("90s", "30m", "2h", "1d", "1w")] == [
        *(90, 1800, 7200, 86400, 604800)
    ]
    assert seconds(timedelta(minutes=2)) == 120


SCRIPT = """
import sys
import penchant as pc
try:
    pc.deploy(sys.argv[1], name="contested", progress=False)
except pc.errors.EndpointError as error:
    print("refused:", error)
else:
    print("deployed")
"""


def test_of_two_processes_one_gets_the_name(home, artifacts):
    """And the endpoint outlives the process that deployed it."""
    command = [sys.executable, "-c", SCRIPT, str(artifacts[0])]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    said = sorted(process.communicate()[0] for process in both)
    assert said[0] == "deployed\n"
    assert said[1].startswith("refused: endpoint 'contested' ")
    predictor = pc.endpoints.get("contested")
    assert len(predictor.predict({"user_id": "u1"})["items"]) > 0
    assert len(processes_in(home / "endpoints" / "contested")) == 2  # one server, and who watches
    predictor.delete_endpoint()


def test_another_file_system_and_archives_are_copied(home, artifacts, tmp_path, monkeypatch):
    from penchant.endpoints import store

    def no_link(*_, **__):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    version = store.store(artifacts[0], tmp_path / "versions")
    assert version == version_of(artifacts[0])
    pc.load(tmp_path / "versions" / version)
    pc.storage.pack(artifacts[1], tmp_path / "model.tar.gz")
    more = store.store(tmp_path / "model.tar.gz", tmp_path / "versions")
    pc.load(tmp_path / "versions" / more)
    store.keep_only(tmp_path / "versions", more)
    assert [path.name for path in (tmp_path / "versions").iterdir()] == [more]


def test_an_artifact_that_is_overwritten_is_served_as_it_was(home, artifacts, tmp_path, expected):
    path = tmp_path / "artifact"
    shutil.copytree(artifacts[0], path)
    with pc.deploy(path, "kept", progress=False) as predictor:
        fit(USERS, pc.BPR(factors=8, epochs=5, random_state=9)).save(path)
        predictor.stop()
        assert predictor.status == "Stopped"
        with pytest.raises(EndpointError, match=r"is stopped .*start\(\) brings"):
            predictor.predict({"user_id": "u1"})
        predictor.start()
        answer = predictor.predict({"user_id": "u1", "k": 5})
        assert answer["items"] == expected[version_of(artifacts[0]), "u1"]
