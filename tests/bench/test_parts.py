"""What the benchmark tasks are made of."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from bench.bpr import ours, traffic
from bench.report import Report
from bench.timing import Measured, Side, interleave, ratio

import penchant as pc
from bench import data, lists, models
from penchant.errors import ParameterError


def split(rows: int = 4000) -> data.Split:
    return data.synthetic(rows)


def test_sides_take_turns_and_rounds_start_one_further_on():
    calls: list[str] = []
    sides = [
        Side(name, prepare=lambda name=name: name, run=lambda got: calls.append(got) or got)
        for name in "abc"
    ]
    measured = interleave(sides, 3)
    assert "".join(calls) == "abc" + "bca" + "cab"
    assert [len(side.seconds) for side in measured.values()] == [3, 3, 3]
    assert measured["b"].output == "b"


def test_ratio_is_of_medians_and_spreads_over_rounds():
    found = ratio(Measured("ours", [1.0, 2.0, 4.0]), Measured("rival", [8.0, 8.0, 12.0]))
    assert (found.median, found.low, found.high) == (4.0, 3.0, 8.0)
    assert str(found) == "4.00x (3.00 - 8.00)"


def test_median_and_quartiles():
    found = Measured("x", [5.0, 1.0, 2.0, 4.0, 3.0]).as_dict()
    assert (found["median"], found["min"], found["max"], found["iqr"]) == (3.0, 1.0, 5.0, 2.0)


def score_of(table: np.ndarray):
    return lambda users, items: table[users, items]


def test_lists_may_differ_where_scores_agree():
    table = np.array([[3.0, 2.0, 2.0 + 1e-7, 1.0]])
    ours_, theirs = np.array([[0, 2, 1]]), np.array([[0, 1, 2]])
    found = lists.compare(ours_, theirs, np.array([0]), score_of(table))
    assert found.agrees
    assert (found.identical_lists, found.places_that_differ) == (0, 2)
    assert found.largest_gap == pytest.approx(5e-8, rel=1e-3)


@pytest.mark.parametrize("theirs", [[0, 1, 3], [0, 2, -1]])
def test_lists_that_differ_elsewhere_do_not_agree(theirs):
    table = np.array([[3.0, 2.0, 2.0, 1.0]])
    found = lists.compare(np.array([[0, 1, 2]]), np.array([theirs]), np.array([0]), score_of(table))
    assert not found.agrees


def test_equal_lists_with_padding_agree():
    rows = np.array([[1, -1], [0, 1]])
    found = lists.compare(rows, rows.copy(), np.array([0, 1]), score_of(np.ones((2, 2))))
    assert found.agrees
    assert found.identical_lists == 2


def test_synthetic_set_is_the_same_each_time_and_as_large_as_asked():
    one, other = split(), split()
    for mine, theirs in zip(one.train.csr(), other.train.csr(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert one.n_pairs == len(one.train) == 4000
    assert len(one.test) == 200
    train = set(map(tuple, one.train.to_frame().to_numpy().tolist()))
    assert not train & set(map(tuple, one.test.to_frame().to_numpy().tolist()))


def test_synthetic_items_follow_a_power_law():
    counts = np.sort(np.bincount(split(50_000).train.csr().indices))[::-1]
    tenth = len(counts) // 10
    assert counts[:tenth].sum() > 4 * counts[-tenth:].sum()


def test_synthetic_set_has_a_taste_to_learn():
    parts = split(20_000)
    metrics = ("ndcg@20",)
    model = pc.BPR(factors=16, epochs=30).fit(parts.train, progress=False)
    popular = pc.Popularity().fit(parts.train, progress=False)
    better, worse = (models.quality(m, parts.test, metrics)["ndcg@20"] for m in (model, popular))
    assert better > 1.2 * worse


def test_rows_are_for_the_synthetic_set():
    with pytest.raises(ParameterError, match="synthetic"):
        data.load("gowalla", rows=1000)
    with pytest.raises(ParameterError, match="1,000"):
        data.load("synthetic", rows=10)


def test_kernel_and_fit_do_the_same_work():
    parts = split()
    params = ours.same_work(12, 3, 0.05, 0.01, threads=1)
    start = ours.start(parts.train, params)
    learnt = ours.fit_kernel(parts.train, params, start)
    assert learnt.bits() == ours.arrays_of(ours.fit(parts.train, params)).bits()


def test_parameters_of_the_same_work_leave_no_default():
    given = ours.same_work(8, 1, 0.05, 0.01, threads=1)
    unused = {"regularization", "popularity_exponent", "n_candidates"}
    assert set(given) | unused == set(pc.BPR().get_params())


def test_tuned_settings_are_parameters_of_the_model():
    path = Path(traffic.__file__).with_name("tuned.json")
    for params in json.loads(path.read_text()).values():
        pc.BPR(**params)
        assert params["factors"] <= 128


def test_quality_of_given_factors_is_what_a_plain_ranking_gives():
    parts = split()
    random = np.random.RandomState(0)
    users = random.normal(size=(parts.train.n_users, 5)).astype(np.float32)
    items = random.normal(size=(parts.train.n_items, 5)).astype(np.float32)
    model = models.GivenFactors(users, items).fit(parts.train, progress=False)
    scores = users.astype(float) @ items.T.astype(float)
    seen = parts.train.csr()
    for user in range(len(users)):
        scores[user, seen.indices[seen.indptr[user] : seen.indptr[user + 1]]] = -np.inf
    truth = parts.test.to_frame()
    recalls = []
    for name, wanted in truth.groupby("user")["item"]:
        user = parts.train.users.codes([name])[0]
        if user >= 0:
            top = parts.train.items.take(np.argsort(-scores[user])[:20].astype(np.int32))
            recalls.append(len(set(top.to_pylist()) & set(wanted)) / len(wanted))
    found = models.quality(model, parts.test, ["recall@20"])
    assert found["users"] == len(recalls)
    assert found["recall@20"] == pytest.approx(np.mean(recalls))


def test_bytes_of_an_update():
    assert traffic.bytes_per_update(64) == 6 * 64 * 4 + 16
    assert traffic.bytes_per_update(64, n_candidates=16) == 1552 + 16 * 65 * 4


def test_a_missing_rival_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "implicit", None)
    assert "pip install implicit" in models.implicit_missing()


def test_report_keeps_paths_and_failures_apart(tmp_path, capsys):
    options = argparse.Namespace(task="x", json=tmp_path / "x.json", wheel=tmp_path / "p.whl")
    report = Report(options)
    report.check(True, "fine")
    assert report.exit_code() == 0
    report.check(False, "broken")
    report.table("title", ["side", "s"], [["ours", 1.23456], ["rival", None]])
    report.write(options.json)
    assert report.exit_code() == 1
    printed = capsys.readouterr().out
    assert "1.235" in printed
    assert "check: FAILED: broken" in printed
    content = json.loads(options.json.read_text())
    assert content["settings"] == {"wheel": "p.whl"}
    assert [check["passed"] for check in content["results"]["checks"]] == [True, False]


def test_implicit_ranks_its_factors_as_our_evaluation_does():
    pytest.importorskip("implicit")
    from bench.bpr import implicit_

    parts = split()
    matrix = data.user_items(parts.train)
    rival = implicit_.fit_bpr(matrix, 1, {"factors": 8, "iterations": 2})
    wrapped = implicit_.as_ours(rival, parts.train)
    users = np.arange(parts.train.n_users)
    mine, _ = wrapped.recommend_codes(users, k=10)
    theirs = implicit_.recommend(rival, matrix, users, 10)
    score = lambda rows, items: models.score_pairs64(wrapped, rows, items)  # noqa: E731
    assert lists.compare(mine, theirs, users, score).agrees
