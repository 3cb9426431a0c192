"""Amazon Personalize's batch jobs: the format to the letter, scores, filters and errors."""

import json

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from penchant.batch import personalizing, sources
from penchant.errors import ColumnError, DataError, ParameterError, UnsupportedError


@pytest.fixture(scope="session")
def films():
    """Forty users and twelve films with genre and year; users have an age."""
    rng = np.random.RandomState(5)
    names = np.arange(100, 112)
    items = pd.DataFrame({"film": names, "GENRE": np.resize(["Drama", "Comedy|War", "War"], 12)})
    items["YEAR"] = 1980 + np.arange(12)
    users = pd.DataFrame({"who": np.arange(1, 41), "AGE": np.arange(10, 50)})
    pairs = {(user, rng.choice(names)) for user in range(1, 41) for _ in range(5)}
    pairs |= {(1 + i, name) for i, name in enumerate(names)}
    events = pd.DataFrame(sorted(pairs), columns=["who", "film"])
    data = pc.Interactions.from_frame(
        events, user="who", item="film", item_features=items, user_features=users
    )
    return pc.IALS(factors=4, random_state=1).fit(data, progress=False)


@pytest.fixture
def ask(tmp_path):
    """Run a job on some lines; give the answers."""

    def ask(job, model, lines, **options):
        source = tmp_path / "in.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        source.write_text("\n".join(texts) + "\n")
        report = job(model, source, **options)
        answers = [json.loads(line) for line in open_lines(report.out)]
        assert [list(one) for one in answers] == [["input", "output", "error"]] * len(answers)
        assert report.requests + report.failed == len(answers)
        return answers

    return ask


def open_lines(path):
    with open(path, encoding="utf8") as file:
        return file.read().split("\n")[:-1]


def test_recommend_to_the_letter(tmp_path):
    data = pc.Interactions.from_sequences([["a", 'b "q"'], ["a"], ["a", "日本"]])
    (tmp_path / "in.jsonl").write_text('{"userId":"1"}\n{ "userId": 9, "numResults": 1 }\nbad\n')
    report = pc.batch.recommend(pc.Popularity().fit(data), tmp_path / "in.jsonl")
    score = np.exp(1) / (np.exp(3) + 2 * np.exp(1))
    lines = open_lines(report.out)
    first = json.loads(lines[0])
    assert lines[0].startswith(
        '{"input":{"userId":"1"},"output":{"recommendedItems":["b \\"q\\"","日本"],"scores":['
    )
    assert lines[0].endswith(']},"error":null}')
    assert first["output"]["scores"] == pytest.approx([score, score])
    assert lines[1:] == [
        '{"input":{ "userId": 9, "numResults": 1 },"output":{"recommendedItems":["a"],'
        '"scores":[0.6]},"error":null}',
        '{"input":"bad","output":null,"error":"not JSON: Expecting value at character 1"}',
    ]


def test_recommendations_are_the_models(films, ask):
    users = films.users_.to_list()
    answers = ask(pc.batch.recommend, films, [{"userId": str(u)} for u in users], num_results=3)
    frame = films.recommend(users, k=3, scores="softmax")
    for user, answer in zip(users, answers, strict=True):
        wanted = frame[frame["who"] == user]
        assert answer["output"]["recommendedItems"] == [str(f) for f in wanted["film"]]
        found = np.float32(answer["output"]["scores"])
        np.testing.assert_array_equal(found, wanted["score"])


def test_scores_sum_to_one_over_the_catalogue(films, ask):
    lines = [{"userId": "3", "numResults": 1000}, {"userId": "stranger", "numResults": 1000}]
    for answer in ask(pc.batch.recommend, films, lines, exclude_seen=False):
        assert len(answer["output"]["recommendedItems"]) == len(films.items_)
        assert sum(answer["output"]["scores"]) == pytest.approx(1, rel=1e-5)


def test_lines_that_cannot_be_answered(films, ask):
    lines = [
        {"userId": "3"},
        {"userID": "3"},
        {"userId": ""},
        {"userId": None},
        {"userId": "3", "numResults": 0},
        '{"userId": NaN}',
        "[1]",
        {"userId": "3", "filterValues": {"GENRE": "x"}},
        {"userId": "3", "context": {"DEVICE": "phone"}},
    ]
    answers = ask(pc.batch.recommend, films, lines)
    assert [answer["output"] is None for answer in answers] == [False, *[True] * 7, False]
    assert [answer["error"] for answer in answers[1:5]] == [
        "unknown field 'userID', did you mean 'userId'?",
        'userId must be text or a number, got ""',
        "userId is missing",
        "numResults must be a whole number from 1 to 5000000",
    ]
    assert answers[7]["error"] == "filterValues are for a filter, and the job has none"
    assert answers[1]["input"] == {"userID": "3"}


FILTER = "INCLUDE ItemID WHERE Items.GENRE IN ($G) AND Items.YEAR >= $Y"


def test_filters_take_their_values_from_the_lines(films, ask):
    values = [
        {"G": '"Drama"', "Y": "1980"},
        {"G": '"Comedy","War"', "Y": "1985"},
        {"G": "War", "Y": 1985},
        {"G": ["Drama"], "Y": 1980},
        {"G": '"Drama"'},
        None,
        {"G": '"Drama"', "Y": "1980", "X": "1"},
    ]
    lines = [{"userId": "7", "filterValues": one} for one in values] * 3
    answers = ask(pc.batch.recommend, films, lines, where=FILTER, num_results=20)
    assert answers[:7] == answers[7:14] == answers[14:]
    for answer, (genres, year) in zip(
        answers, [(["Drama"], 1980), (["Comedy", "War"], 1985), (["War"], 1985)], strict=False
    ):
        wanted = films.recommend(
            "7", k=20, scores="softmax", where=FILTER, where_values={"G": genres, "Y": year}
        )
        assert answer["output"]["recommendedItems"] == [str(one) for one in wanted["film"]]
        assert len(wanted)
    assert answers[3]["output"] == answers[0]["output"]
    assert "Y" in answers[4]["error"]
    assert "G" in answers[5]["error"]
    assert "where_values has 'X'" in answers[6]["error"]


def test_values_that_are_no_unicode_are_a_matter_of_their_line(films, ask):
    lines = [
        '{"userId": "7", "filterValues": {"G": "\\ud800"}}',
        '{"userId": "7", "filterValues": {"G": ["War", "\\udc00"]}}',
        '{"userId": "7", "filterValues": {"G": "\\"War\\",\\"\\ud800\\""}}',
        '{"userId": "7", "filterValues": {"\\ud800": "War"}}',
        '{"userId": "7", "filterValues": {"\\ud800": {}}}',
        '{"userId": "7", "filterValues": {"G": "War"}}',
    ]
    answers = ask(pc.batch.recommend, films, lines, where="GENRE in $G")
    assert [answer["output"] is None for answer in answers] == [True] * 5 + [False]
    for answer in answers[:3]:
        assert "where_values['G']" in answer["error"]
        assert "is not valid Unicode" in answer["error"]
    assert "where_values has '\\ud800'" in answers[3]["error"]
    assert "'\\ud800' must be text" in answers[4]["error"]


def test_filters_of_what_users_took(films, ask):
    where = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'
    lines = [{"userId": str(user), "numResults": 20} for user in (1, 2, 3, 999)]
    found = ask(pc.batch.recommend, films, lines, where=where, exclude_seen=False)
    assert found == ask(pc.batch.recommend, films, lines)
    young = 'INCLUDE ItemID WHERE Items.GENRE IN ("War") IF CurrentUser.AGE < 12'
    answers = ask(pc.batch.recommend, films, lines, where=young, exclude_seen=False)
    sizes = [len(answer["output"]["recommendedItems"]) for answer in answers]
    assert sizes == [8, 8, 12, 12]


@pytest.mark.parametrize(
    ("job", "where", "error"),
    [
        ("recommend", "INCLUDE ItemID WHERE", ParameterError),
        ("recommend", "INCLUDE ItemID WHERE Items.NOTHING = 1", ColumnError),
        ("recommend", "INCLUDE ItemID WHERE Items.GENRE IN ($G", ParameterError),
        ("segment", 'INCLUDE ItemID WHERE Items.GENRE IN ("War")', UnsupportedError),
    ],
)
def test_a_wrong_filter_is_no_matter_of_lines(films, ask, tmp_path, job, where, error):
    with pytest.raises(error):
        ask(getattr(pc.batch, job), films, [{"userId": "1"}], where=where)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_rankings(films, ask):
    lists = [["101", "104", "111", "101"], [105, 100], ["x", "103", "y"], ["x", "y"]]
    lines = [{"userId": "4", "itemList": own} for own in lists]
    lines.append({"userId": "stranger", "itemList": ["100", "101", "102"]})
    answers = ask(pc.batch.rank, films, lines)
    whole = films.recommend("4", k=20, exclude_seen=False)
    order = [str(film) for film in whole["film"]]
    scores = dict(zip(order, whole["score"], strict=True))
    for own, answer in zip(lists[:2], answers, strict=False):
        items = answer["output"]["recommendedItems"]
        assert items == sorted(set(map(str, own)), key=order.index)
        parts = np.exp([scores[item] for item in items])
        np.testing.assert_allclose(answer["output"]["scores"], parts / parts.sum(), rtol=1e-5)
    assert answers[2]["output"] == {"recommendedItems": ["103", "x", "y"], "scores": [1, 0, 0]}
    assert answers[3]["error"] == "none of the items in itemList is known to the model"
    assert sum(answers[4]["output"]["scores"]) == pytest.approx(1, rel=1e-5)
    popular = films.recommend(
        ["stranger"], k=3, unknown="popular", candidates=["100", "101", "102"]
    )
    assert answers[4]["output"]["recommendedItems"] == [str(one) for one in popular["film"]]


def test_rankings_of_ratings_do_not_end_at_the_scale(ask):
    """Scores that are shown as clipped would be equal."""
    rows = [(user, item, 5.0) for user in range(6) for item in range(4)]
    data = pc.Interactions.from_frame(
        pd.DataFrame(rows, columns=["u", "i", "v"]), user="u", item="i", value="v"
    )
    model = pc.SVD(factors=2, epochs=3).fit(data, progress=False)
    (answer,) = ask(pc.batch.rank, model, [{"userId": "1", "itemList": ["0", "1", "2", "3"]}])
    whole = model.recommend("1", k=4, exclude_seen=False, scores="softmax")
    assert answer["output"]["recommendedItems"] == [str(one) for one in whole["i"]]
    np.testing.assert_allclose(answer["output"]["scores"], whole["score"], rtol=1e-5)


def test_rankings_can_be_filtered(films, ask):
    line = {"userId": "4", "itemList": ["100", "101", "102", "103"]}
    (answer,) = ask(pc.batch.rank, films, [line], where='INCLUDE ItemID WHERE Items.GENRE = "War"')
    assert sorted(answer["output"]["recommendedItems"]) == ["101", "102"]


def test_related_items(films, ask):
    lines = [{"itemId": "103"}, {"itemId": 104, "numResults": 2}, {"itemId": "x"}]
    first, second, third = ask(pc.batch.related, films, lines, num_results=5)
    frame = films.similar_items(["103", "104"], k=5)
    wanted = [str(one) for one in frame["neighbor"]]
    assert first["output"] == {"recommendedItems": wanted[:5]}
    assert second["output"] == {"recommendedItems": wanted[5:7]}
    assert third == {
        "input": {"itemId": "x"},
        "output": None,
        "error": "the model does not know the item 'x'",
    }


def test_related_items_are_filtered_to_the_last(films, ask):
    lines = [{"itemId": "103", "numResults": 3}, {"itemId": "102", "numResults": 1}]
    answers = ask(pc.batch.related, films, lines, where="Items.YEAR < 1984".replace("Items.", ""))
    for item, answer, most in zip(("103", "102"), answers, (3, 1), strict=True):
        every = [str(one) for one in films.similar_items(item, k=12)["neighbor"]]
        old = [one for one in every if int(one) < 104]
        assert answer["output"]["recommendedItems"] == old[:most]


def test_segments(films, ask):
    lines = [{"itemId": "103"}, {"itemId": "105", "numResults": 4}, {"itemId": "103"}]
    answers = ask(pc.batch.segment, films, lines, num_results=7)
    for line, answer in zip(lines, answers, strict=True):
        k = line.get("numResults", 7)
        wanted = films.recommend_users(line["itemId"], k=k)["who"]
        assert answer["output"] == {"recommendedUsers": [str(one) for one in wanted]}
    where = "INCLUDE UserID WHERE Users.AGE >= $LEAST"
    line = {"itemId": "103", "filterValues": {"LEAST": "40"}}
    (grown,) = ask(pc.batch.segment, films, [line], where=where)
    assert grown["output"]["recommendedUsers"]
    assert all(int(user) > 30 for user in grown["output"]["recommendedUsers"])


def test_parts_do_not_show(films, ask, monkeypatch):
    rng = np.random.RandomState(3)
    lines = [
        {
            "userId": str(rng.randint(50)),
            "numResults": int(rng.randint(1, 9)),
            "filterValues": {"G": '"War"' if rng.rand() < 0.5 else '"Drama"', "Y": "1981"},
        }
        for _ in range(300)
    ]
    lines[100] = "bad"
    whole = ask(pc.batch.recommend, films, lines, where=FILTER)
    monkeypatch.setattr(sources, "BLOCK_BYTES", 500)
    monkeypatch.setattr(personalizing, "_PART_LINES", 7)
    monkeypatch.setattr(personalizing, "_PART_RECORDS", 20)
    assert ask(pc.batch.recommend, films, lines, where=FILTER) == whole


@pytest.mark.parametrize("job", ["recommend", "rank", "related", "segment"])
def test_a_file_of_another_kind(films, tmp_path, job):
    (tmp_path / "in.jsonl").write_text('{"user_id": 3}\n' * 5)
    with pytest.raises(DataError, match=f"is a request to {job}.*unknown field 'user_id'"):
        getattr(pc.batch, job)(films, tmp_path / "in.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_where_answers_go(films, tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"userId": 3}\n')
    for out, wanted in [(None, "in.jsonl.out"), ("x", "x"), ("new/", "new/in.jsonl.out")]:
        report = pc.batch.recommend(films, source, out and f"{tmp_path}/{out}")
        assert report.out == str(tmp_path / wanted)
        assert (tmp_path / wanted).is_file()
    with pytest.raises(ParameterError, match="same file"):
        pc.batch.recommend(films, source, source)
    (tmp_path / "empty.jsonl").write_text("\n")
    assert pc.batch.recommend(films, tmp_path / "empty.jsonl").requests == 0
    assert (tmp_path / "empty.jsonl.out").read_bytes() == b""


def test_long_and_broken_lines(films, ask, tmp_path):
    lines = [json.dumps({"userId": "3", "numResults": 1}), "x" * 10_000_000, '{"userId":"3"}']
    answers = ask(pc.batch.recommend, films, lines)
    assert answers[1]["error"] == "longer than 1048576 bytes"
    assert answers[1]["input"] == "x" * 1000
    (tmp_path / "b.jsonl").write_bytes(b'{"userId":"3\xff"}\n\xef\xbb\xbf{"userId":"3"}\r\n')
    report = pc.batch.recommend(films, tmp_path / "b.jsonl")
    bad, good = (json.loads(line) for line in open_lines(report.out))
    assert "not UTF-8" in bad["error"]
    assert good["output"]["recommendedItems"] == answers[2]["output"]["recommendedItems"]
