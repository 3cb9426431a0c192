"""Service and encoder together, against the answers of the model itself."""

import csv
import datetime
import io
import json
import uuid

import numpy as np
import pandas as pd
import pytest
from small_models import ITEMS

import penchant as pc
from penchant.errors import ArtifactError, ParameterError, UnsupportedError
from penchant.serving import Requests, Service, service, to_csv, to_json
from penchant.serving.tasks import Similar


def ask(model, *pairs, **options):
    return Service(model, **options).answer(Requests.of(pairs))


def from_json(records):
    def refuse(text):
        raise AssertionError(f"{text} in JSON")

    return json.loads(to_json(records), parse_constant=refuse)


def from_csv(records):
    return list(csv.reader(io.StringIO(to_csv(records).decode(), newline="")))


def expected(model, users, top_n):
    frame = model.recommend(users, k=top_n)
    return list(zip(frame["who"], frame["what"], frame["score"], strict=True))


@pytest.mark.parametrize("top_n", [1, 3, 100])
def test_answers_are_the_models_own(number_model, top_n):
    users = number_model.users_.to_list()
    records = from_json(ask(number_model, *((str(user), top_n) for user in users)))
    assert [list(record) for record in records[:1]] == [["user_id", "item_id", "score"]]
    found = [(r["user_id"], r["item_id"], np.float32(r["score"])) for r in records]
    assert found == expected(number_model, users, top_n)
    assert all(type(r["user_id"]) is int and type(r["item_id"]) is str for r in records)


def test_each_request_has_its_own_length(number_model):
    found = from_json(ask(number_model, ("17850", 1), ("17860", 4), ("17850", 2)))
    one, two = (expected(number_model, [user], 4) for user in (17850, 17860))
    wanted = one[:1] + two + one[:2]
    assert [(r["user_id"], r["item_id"]) for r in found] == [pair[:2] for pair in wanted]


def test_blocks_do_not_change_the_answer(number_model, monkeypatch):
    pairs = [(str(user), 1 + i % 4) for i, user in enumerate(number_model.users_)]
    whole = to_json(ask(number_model, *pairs))
    monkeypatch.setattr(service, "_BLOCK_CELLS", 9)
    assert to_json(ask(number_model, *pairs)) == whole


def alike(model, *pairs, **options):
    items = [item for item, _ in pairs]
    task = Similar(items, np.array([n for _, n in pairs], np.int64), **options)
    return from_json(Service(model).perform(task))


def test_similar_items_are_the_models_own(number_model):
    """Each list has its own length, however often an item is asked about and in any block."""
    asked = [("LAMP", 2), ("MUG", 1), ("nothing", 3), ("LAMP", 4), ("日本茶", 100), ("MUG", 1)]
    wanted = []
    for item, k in asked:
        if item != "nothing":
            frame = number_model.similar_items(item, k=k)
            wanted += zip([item] * len(frame), frame["neighbor"], frame["score"], strict=True)
    found = alike(number_model, *asked)
    assert [(r["user_id"], r["item_id"]) for r in found] == [one[:2] for one in wanted]
    assert [r["score"] for r in found] == pytest.approx([one[2] for one in wanted], rel=1e-6)
    assert alike(number_model, ("nothing", 3)) == []
    with pytest.raises(UnsupportedError):
        alike(pc.Popularity().fit(pc.Interactions.from_sequences([["a"]])), ("b", 1))


@pytest.mark.parametrize("block", [1, 9, 2**21])
def test_similar_items_are_searched_once_and_in_blocks(number_model, monkeypatch, block):
    asked = [("LAMP", 1)] * 50 + [(item, 1) for item in ITEMS] + [("MUG", 5), ("LAMP", 2)] * 3
    whole = alike(number_model, *asked)
    searched = []
    search = number_model.similar_codes

    def spy(codes, k, **options):
        searched.append((len(codes), k))
        return search(codes, k, **options)

    monkeypatch.setattr(number_model, "similar_codes", spy)
    monkeypatch.setattr(service, "_BLOCK_CELLS", block)
    assert alike(number_model, *asked) == whole
    assert sum(n for n, _ in searched) == len({item for item, _ in asked})
    assert all(n == 1 or n * k <= block for n, k in searched)
    if block == 9:  # one long list does not make all others as long
        assert sum(n * k for n, k in searched) < 3 * len(ITEMS)


def test_every_text_survives_json_and_csv(text_model):
    users = text_model.users_.to_list()
    records = ask(text_model, *((user, 100) for user in users))
    wanted = [tuple(map(str, row[:2])) for row in expected(text_model, users, 100)]
    assert [(r["user_id"], r["item_id"]) for r in from_json(records)] == wanted
    assert [tuple(row[:2]) for row in from_csv(records)] == wanted
    assert {item for _, item in wanted} >= set(ITEMS[1:])
    assert {user for user, _ in wanted} >= {"007", 'a "b", c'}


def test_csv_and_json_have_the_same_digits(number_model):
    records = ask(number_model, ("17850", 5), ("nobody", 2))
    scores = [record["score"] for record in from_json(records)]
    assert [float(row[2]) for row in from_csv(records)] == scores
    assert np.array_equal(np.float32(scores), records.scores)


def test_only_what_needs_quotes_is_quoted():
    data = pc.Interactions.from_sequences([["LAMP", 'BOX, "RED"', "PEN"], ["PEN"]])
    records = ask(pc.Popularity().fit(data), ("1", 5))
    assert to_csv(records) == b'1,"BOX, ""RED""",1\n1,LAMP,1\n'
    assert to_json(records) == (
        b'[{"user_id": 1, "item_id": "BOX, \\"RED\\"", "score": 1}, '
        b'{"user_id": 1, "item_id": "LAMP", "score": 1}]'
    )


@pytest.mark.parametrize("unknown", ["99999", "-5", "bob", "017850x", '"', "1e3", "0"])
def test_unknown_users_get_popular_items(number_model, unknown):
    records = ask(number_model, (unknown, 3), ("17850", 1))
    assert records.unknown == 1
    popular = number_model.recommend([31337], k=3, unknown="popular")
    found = from_json(records)
    assert [r["item_id"] for r in found[:3]] == popular["what"].to_list()
    assert [r["score"] for r in found[:3]] == popular["score"].to_list()
    wanted = int(unknown) if unknown.lstrip("-").isdigit() else unknown
    assert found[0]["user_id"] == wanted
    assert found[3]["user_id"] == 17850


def test_unknown_users_can_be_dropped(number_model):
    records = ask(number_model, ("bob", 3), ("17850", 1), unknown="drop")
    assert [r["user_id"] for r in from_json(records)] == [17850]
    assert from_json(ask(number_model, ("bob", 3), unknown="drop")) == []
    with pytest.raises(ParameterError, match="unknown='raise' is not one of"):
        Service(number_model, unknown="raise")


def test_nothing_asked_nothing_answered(number_model):
    records = Service(number_model).answer(Requests.of([]))
    assert len(records) == 0
    assert to_json(records) == b"[]"
    assert to_csv(records) == b""


def test_a_user_who_has_everything():
    model = pc.Popularity().fit(pc.Interactions.from_sequences([["a", "b"], ["a"]]))
    found = from_json(ask(model, ("0", 5), ("1", 5)))
    assert [(r["user_id"], r["item_id"]) for r in found] == [(1, "b")]


@pytest.mark.parametrize(
    ("ids", "asked", "answered"),
    [
        (np.array([True, False]), "true", True),
        (
            np.array(["2024-01-01", "2024-02-01"], "M8[us]"),
            "2024-01-01",
            "2024-01-01 00:00:00.000000",
        ),
        ([datetime.date(2024, 1, 1), datetime.date(2024, 2, 1)], "2024-01-01", "2024-01-01"),
        ([uuid.UUID(int=1), uuid.UUID(int=2)], str(uuid.UUID(int=1)), str(uuid.UUID(int=1))),
        (np.array([1.5, 2.5]).astype(str), "1.5", "1.5"),
        (np.array([2, 3], "uint8"), "2", 2),
        (np.array([2.0, np.float64(3)]), "2", 2),
        (pd.Categorical([5, 6]), "5", 5),
        (pd.Categorical(["x", "y"]), "x", "x"),
    ],
    ids=["bool", "datetime", "date", "uuid", "text", "uint8", "float", "category", "categories"],
)
def test_ids_of_other_types(ids, asked, answered):
    model = fit_pair(ids)
    records = ask(model, (asked, 1))
    assert records.unknown == 0
    assert from_json(records) == [{"user_id": answered, "item_id": "c", "score": 1}]
    spelled = from_csv(records)[0][0]  # can be sent back
    assert from_json(ask(model, (spelled, 1))) == from_json(records)


def fit_pair(ids):
    """Two users: the first has a and b, the second has b and c."""
    events = pd.DataFrame({"who": pd.Series(ids).repeat(2), "what": ["a", "b", "b", "c"]})
    return pc.Popularity().fit(pc.Interactions.from_frame(events, user="who", item="what"))


def test_an_artifact_answers_like_its_model(number_model, artifact):
    pairs = [(str(user), 5) for user in number_model.users_]
    assert to_json(ask(artifact, *pairs)) == to_json(ask(str(artifact), *pairs))
    assert to_json(ask(artifact, *pairs)) == to_json(ask(number_model, *pairs))


def test_a_damaged_artifact_is_not_served(number_model, tmp_path):
    number_model.save(tmp_path / "a")
    (file,) = (tmp_path / "a").glob("item_factors.*")
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(ArtifactError, match="SHA-256"):
        Service(tmp_path / "a")


def test_threads_share_a_service(number_model):
    from concurrent.futures import ThreadPoolExecutor

    shared = Service(number_model, num_threads=1)
    requests = [Requests.of([(str(user), 3)]) for user in number_model.users_] * 4
    alone = [to_json(shared.answer(r)) for r in requests]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda r: to_json(shared.answer(r)), requests)) == alone
