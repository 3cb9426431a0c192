"""`evaluate` against a plain Python oracle, and its bookkeeping of users and items."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import BACKENDS, convert, interactions, pandas_frame
from penchant.errors import DataError, ParameterError, UnknownIdError
from penchant.evaluation import metrics as metrics_module

METRICS = [
    f"{name}@{k}"
    for name in ("precision", "recall", "ndcg", "map", "mrr", "hit_rate", "coverage")
    for k in (1, 3, 10, 200)
]


def random_events(seed, n, users, items):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "customer": rng.integers(*users, n),
            "product": [f"p{item:03d}" for item in rng.zipf(1.3, n).clip(*items)],
        }
    )


@pytest.fixture(scope="module")
def train():
    return random_events(0, 600, (0, 60), (1, 80))


@pytest.fixture(scope="module")
def test():
    """Some users and items are not in the training data; pairs repeat, also across the two."""
    return random_events(1, 300, (20, 75), (1, 95))


@pytest.fixture(scope="module")
def model(train):
    return pc.BPR(factors=6, epochs=5).fit(interactions(train), progress=False)


def oracle(model, train, test, names, exclude_seen, unknown):
    """Return {name: value}, n_users, n_skipped by loops over Python sets."""
    known_items = set(train["product"])
    lists, truths, skipped = [], [], 0
    for user, part in test.groupby("customer"):
        seen = set(train.loc[train["customer"] == user, "product"])
        relevant = set(part["product"]) - (seen if exclude_seen else set())
        if not relevant or (unknown == "drop" and not seen):
            skipped += 1
            continue
        frame = model.recommend([user], k=200, exclude_seen=exclude_seen, unknown="popular")
        lists.append(frame["product"].tolist())
        truths.append(relevant)
    values = {}
    for name in names:
        metric, k = name.split("@")
        k = int(k)
        if metric == "coverage":
            values[name] = len({i for row in lists for i in row[:k]}) / len(known_items)
            continue
        each = [of_user(metric, k, row, good) for row, good in zip(lists, truths, strict=True)]
        values[name] = math.fsum(each) / len(each)
    return values, len(lists), skipped


def of_user(metric, k, row, relevant):
    hits = [item in relevant for item in row[:k]]
    best = min(k, len(relevant))
    if metric == "precision":
        return sum(hits) / k
    if metric == "recall":
        return sum(hits) / len(relevant)
    if metric == "hit_rate":
        return float(any(hits))
    if metric == "mrr":
        return 1 / (hits.index(True) + 1) if any(hits) else 0.0
    if metric == "map":
        return sum(sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits) if hit) / best
    gain = sum(1 / math.log2(i + 2) for i, hit in enumerate(hits) if hit)
    return gain / sum(1 / math.log2(i + 2) for i in range(best))


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("unknown", ["popular", "drop"])
@pytest.mark.parametrize("kind", ["BPR", "Popularity"])
def test_matches_the_oracle(model, train, test, exclude_seen, unknown, kind):
    if kind == "Popularity":
        model = pc.Popularity().fit(interactions(train))
    options = {"exclude_seen": exclude_seen, "unknown": unknown}
    frame = pc.evaluate(model, interactions(test), METRICS, **options)
    values, n_users, skipped = oracle(model, train, test, METRICS, **options)
    assert frame["metric"].tolist() == METRICS
    np.testing.assert_allclose(frame["value"], list(values.values()), rtol=1e-12)
    assert set(frame["n_users"]) == {n_users}
    assert set(frame["n_users_skipped"]) == {skipped}
    assert skipped > 0 or unknown == "popular"


def test_chunks_and_threads_do_not_matter(model, test, monkeypatch):
    expected = pc.evaluate(model, interactions(test), METRICS)
    for threads in (1, 2, 3, 8):
        again = pc.evaluate(model, interactions(test), METRICS, num_threads=threads)
        pd.testing.assert_frame_equal(again, expected, check_exact=True)
    for users_at_once in (1, 7, 64):
        monkeypatch.setattr(metrics_module, "_USERS_AT_ONCE", users_at_once)
        again = pc.evaluate(model, interactions(test), METRICS)
        pd.testing.assert_frame_equal(again, expected, check_exact=True)


def test_repeats_of_the_test_data_count_once(model, test):
    twice = pd.concat([test, test.sample(frac=0.5, random_state=0)])
    pd.testing.assert_frame_equal(
        pc.evaluate(model, interactions(twice), METRICS),
        pc.evaluate(model, interactions(test), METRICS),
        check_exact=True,
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_frame_is_of_the_test_datas_kind(model, test, backend):
    frame = pc.evaluate(model, interactions(test, backend))
    assert type(frame) is type(convert(test, backend))
    table = pandas_frame(frame)
    assert list(table.columns) == ["metric", "value", "n_users", "n_users_skipped"]
    assert table["metric"].tolist() == ["precision@10", "recall@10", "ndcg@10"]
    assert table["value"].dtype == np.float64


def test_ids_of_the_test_data_may_be_of_another_dtype(model, test):
    as_text = test.assign(customer=test["customer"].astype(str))
    as_float = test.assign(customer=test["customer"].astype(float))
    expected = pc.evaluate(model, interactions(test), METRICS)
    for other in (as_text, as_float):
        pd.testing.assert_frame_equal(
            pc.evaluate(model, interactions(other), METRICS), expected, check_exact=True
        )


def test_one_metric_may_be_named_alone_and_repeats_are_dropped(model, test):
    alone = pc.evaluate(model, interactions(test), "ndcg@3")
    assert alone["metric"].tolist() == ["ndcg@3"]
    again = pc.evaluate(model, interactions(test), ["ndcg@3", "NDCG@3", "ndcg@3"])
    pd.testing.assert_frame_equal(alone, again)


def test_only_coverage(model, test):
    frame = pc.evaluate(model, interactions(test), ["coverage@5"])
    assert 0 < frame["value"].iloc[0] <= 1


def test_unknown_users_can_be_an_error(model, test):
    with pytest.raises(UnknownIdError, match="not among the users"):
        pc.evaluate(model, interactions(test), unknown="error")
    with pytest.raises(ParameterError, match="unknown='skip'"):
        pc.evaluate(model, interactions(test), unknown="skip")


def test_nobody_to_measure(model, train):
    with pytest.raises(DataError, match="exclude_seen=False"):
        pc.evaluate(model, interactions(train))
    assert pc.evaluate(model, interactions(train), exclude_seen=False)["value"].iloc[0] > 0
    strangers = pd.DataFrame({"customer": [10**6], "product": ["p001"]})
    with pytest.raises(DataError, match="unknown to the model"):
        pc.evaluate(model, interactions(strangers), unknown="drop")


def test_only_items_the_model_does_not_know(model):
    frame = pd.DataFrame({"customer": [21, 22], "product": ["new one", "new two"]})
    result = pc.evaluate(model, interactions(frame), METRICS[:-4])
    assert (result["value"] == 0).all()
    assert (result["n_users"] == 2).all()


def test_test_data_must_be_interactions(model, test):
    with pytest.raises(DataError, match="test must be"):
        pc.evaluate(model, test)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ndgc@10", r"unknown metric 'ndgc@10', did you mean 'ndcg@10'\?"),
        ("precison@5", r"did you mean 'precision@5'\?"),
        ("precision", r"metric 'precision' has no k: add @k, as in precision@10$"),
        ("recall@", r"metric 'recall@' has no k: add @k, as in recall@10$"),
        ("Hit-Rate", r"metric 'Hit-Rate' has no k: add @k, as in hit_rate@10$"),
        ("precision@0", r"metric 'precision@0': k must be >= 1"),
        ("recal", r"did you mean 'recall@10'\?"),
        ("recall@-1", r"did you mean 'recall@10'\?"),
        ("recall@ten", r"did you mean 'recall@10'\?"),
        ("hit@20", r"unknown metric"),
        ("zzz", r"unknown metric 'zzz'. Metrics are precision, recall, ndcg"),
        (10, "unknown metric 10"),
        (None, "unknown metric None"),
    ],
)
def test_unknown_metrics_are_met_with_a_suggestion(model, test, name, message):
    with pytest.raises(ParameterError, match=message):
        pc.evaluate(model, interactions(test), [name])


def test_no_metrics(model, test):
    with pytest.raises(ParameterError, match="metrics is empty"):
        pc.evaluate(model, interactions(test), [])
