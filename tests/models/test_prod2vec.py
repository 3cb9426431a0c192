"""Prod2Vec itself: what it learns, its options, and its vocabulary."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import assert_same_model, bits
from penchant.errors import (
    DataError,
    ParameterError,
    PenchantWarning,
    UnknownIdError,
)

PLAIN = {"score_vectors": "input", "popularity_weight": 0}  # as gensim
QUICK = {"vector_size": 8, "epochs": 3, "min_count": 1, **PLAIN}


def baskets(n=400, seed=0):
    """Baskets of even or of odd items; low numbers are more frequent."""
    rng = np.random.default_rng(seed)
    numbers = 2 * (30 * rng.random((n, 6)) ** 2).astype(int) + np.arange(n)[:, None] % 2
    return [[f"item {number:02d}" for number in basket] for basket in numbers]


def fitted(sequences=None, **options):
    data = pc.Interactions.from_sequences(baskets() if sequences is None else sequences)
    return pc.Prod2Vec(**{**QUICK, **options}).fit(data, progress=False)


@pytest.mark.parametrize("sg", [1, 0])
@pytest.mark.parametrize("ns_exponent", [0.75, 0, -0.5])
def test_learns_what_is_bought_together(sg, ns_exponent):
    model = fitted(sg=sg, ns_exponent=ns_exponent, epochs=40)
    similar = model.similar_items(k=3)
    even = [similar[name].str[-2:].astype(int) % 2 for name in ("item", "neighbor")]
    assert (even[0] == even[1]).mean() > 0.9
    assert model.history_["loss"].iloc[-1] < 0.95 * model.history_["loss"].iloc[0]
    found = model.recommend(history=["item 00", "item 04"], k=5)["item"]
    assert (found.str[-2:].astype(int) % 2 == 0).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vector_size", 9),
        ("window", 2),
        ("min_count", 60),
        ("epochs", 4),
        ("ns_exponent", -1),
        ("negative", 4),
        ("sample", 0),
        ("sg", 0),
        ("alpha", 0.05),
        ("min_alpha", 0.01),
        ("shrink_windows", False),
        ("random_state", 1),
    ],
)
def test_every_option_matters(name, value):
    assert bits(fitted().item_vectors_) != bits(fitted(**{name: value}).item_vectors_)


def test_a_larger_window_brings_distant_items_together():
    """a and b are always five places apart, with other items between."""
    rng = np.random.default_rng(0)
    sequences = [["a", *map(str, rng.integers(0, 40, 4)), "b"] for _ in range(600)]

    def rank_of_b(window):
        options = {"window": window, "shrink_windows": False, "sample": 0}
        model = fitted(sequences, epochs=30, vector_size=16, alpha=0.05, **options)
        a, b = model.items_.codes(["a", "b"])
        predicted = model.output_vectors_ @ model.item_vectors_[a]
        return int((predicted > predicted[b]).sum())

    assert rank_of_b(6) == 0
    assert rank_of_b(2) > 5


def test_history_weighting():
    history = ["item 00", "item 02", "item 01"]
    data = pc.Interactions.from_sequences(baskets())
    codes = data.items.codes(history)

    def scores(**options):
        model = pc.Prod2Vec(**QUICK, **options).fit(data, progress=False)
        frame = model.recommend(history=history, k=60, exclude_seen=False)
        found = frame.set_index("item")["score"].sort_index().to_numpy()
        return model.item_vectors_.astype(np.float64), found

    for options, weights in (
        ({"history_weighting": "mean"}, [1, 1, 1]),
        ({"history_weighting": "recency", "recency_decay": 0.5}, [0.25, 0.5, 1]),
        ({"history_weighting": "last"}, [0, 0, 1]),
    ):
        vectors, found = scores(**options)
        query = np.asarray(weights) @ vectors[codes]
        norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
        np.testing.assert_allclose(found, vectors @ query / norms, atol=1e-5)


@pytest.mark.parametrize("score_vectors", ["input", "output", "both"])
def test_scores_are_cosines_plus_popularity(score_vectors):
    model = fitted(score_vectors=score_vectors, popularity_weight=0.1, history_weighting="last")

    def unit(vectors):
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    input_, output = (unit(v.astype(float)) for v in (model.item_vectors_, model.output_vectors_))
    vectors = {"input": input_, "output": output, "both": unit(input_ + output)}[score_vectors]
    cosine = vectors @ vectors[model.items_.code("item 00")]
    expected = cosine + 0.1 * np.log(model.vocabulary_counts_)
    frame = model.recommend(history=["item 00"], k=60, exclude_seen=False).set_index("item")
    np.testing.assert_allclose(frame["score"].sort_index(), expected, atol=2e-6)
    similar = model.similar_items("item 00", k=60).set_index("neighbor")["score"].sort_index()
    np.testing.assert_allclose(similar, cosine[np.arange(len(cosine)) != 0], atol=2e-6)


def test_user_vectors_are_the_fold_in_of_the_own_sequence():
    model = fitted(history_weighting="recency")
    for number, basket in enumerate(baskets()[:3]):
        own = model.recommend(number, k=60, exclude_seen=False)
        stranger = model.recommend(history=basket, k=60, exclude_seen=False)
        assert own["item"].tolist() == stranger["item"].tolist()
        assert bits(own["score"].to_numpy()) == bits(stranger["score"].to_numpy())


def test_sessions_are_the_sequences_and_users_have_all_of_theirs():
    frame = pd.DataFrame(
        {"who": [1, 1, 1, 1, 2, 2], "day": [1, 1, 2, 2, 1, 1], "what": list("abcdab")}
    )
    names = {"user": "who", "item": "what"}
    with_sessions = pc.Interactions.from_frame(frame, session="day", **names)
    apart, joined = (
        pc.Prod2Vec(**{**QUICK, "min_count": 1, "sample": 0}).fit(data, progress=False)
        for data in (with_sessions, pc.Interactions.from_frame(frame, **names))
    )
    assert bits(apart.item_vectors_) != bits(joined.item_vectors_)
    expected = apart.item_vectors_.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(apart.user_vectors_[0], expected, atol=1e-7)


class Losses(pc.Callback):
    def on_epoch_end(self, model, epoch, logs):
        self.answers = [*getattr(self, "answers", []), model.recommend(0, k=3)["score"].tolist()]


def test_callbacks_see_each_epoch_s_vectors():
    losses = Losses()
    data = pc.Interactions.from_sequences(baskets())
    model = pc.Prod2Vec(**QUICK).fit(data, progress=False, callbacks=[losses])
    assert losses.answers[0] != losses.answers[1]
    assert losses.answers[-1] == model.recommend(0, k=3)["score"].tolist()


def test_the_loss_does_not_depend_on_the_threads():
    one, two = (fitted(baskets(3000), num_threads=threads).history_["loss"] for threads in (1, 2))
    assert one.tolist() == two.tolist()


# ---- vocabulary ----------------------------------------------------------------------------------


RARE = [["a", "b"], ["b", "a"], ["a", "b", "c"], ["c"], ["d"]]


def test_items_under_min_count_are_no_part_of_the_model():
    model = fitted(RARE, min_count=3)
    assert model.items_.to_list() == ["a", "b"]
    assert model.vocabulary_counts_.tolist() == [3, 3]
    assert model.users_.to_list() == [0, 1, 2]
    assert model.item_vectors().index.tolist() == ["a", "b"]
    assert set(model.recommend(exclude_seen=False, k=9)["item"]) == {"a", "b"}
    assert set(model.similar_items(k=9)["neighbor"]) == {"a", "b"}
    assert len(model.recommend(2, k=9)) == 0  # has taken both


def test_asking_about_items_under_min_count():
    model = fitted(RARE, min_count=3)
    with pytest.raises(UnknownIdError, match="'c'"):
        model.similar_items("c")
    with pytest.raises(UnknownIdError, match="'c'"):
        model.recommend(history=["a", "c"])
    assert len(model.recommend(history=["a", "c"], unknown="drop")) == 1
    popular = model.recommend(history=["c", "d"], unknown="popular", k=9)
    assert popular["score"].tolist() == [3, 3]
    with pytest.raises(UnknownIdError, match="3"):
        model.recommend([3])
    assert len(model.recommend([3], unknown="popular", k=9)) == 2


def test_no_result_comes_from_a_zero_vector():
    model = fitted(RARE, min_count=2)
    assert (np.linalg.norm(model.item_vectors_, axis=1) > 0).all()
    assert (np.linalg.norm(model.user_vectors_, axis=1) > 0).all()
    assert len(model.user_vectors_) == len(model.users_) == 4


def test_save_and_load_of_a_reduced_vocabulary(tmp_path):
    model = fitted(RARE, min_count=3)
    model.save(tmp_path)
    assert_same_model(model, pc.load(tmp_path))


def test_an_empty_vocabulary_says_what_to_set():
    message = r"none of the 4 items occurs min_count=5 times; the most frequent occurs 3 times"
    with pytest.raises(DataError, match=message):
        fitted(RARE, min_count=5)


def test_sequences_of_one_item_teach_nothing_and_say_so():
    with pytest.warns(PenchantWarning, match="no sequence holds two items"):
        model = fitted([["a"], ["b"], ["a"]])
    assert model.history_["loss"].tolist() == pytest.approx(3 * [6 * np.log(2)])
    assert len(model.recommend(0, k=5)) == 1


def test_more_dimensions_than_items():
    assert fitted(RARE, vector_size=97).item_vectors_.shape == (4, 97)


# ---- bad values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("vector_size", 0, "an integer from 1 to 2048"),
        ("window", 0, "an integer from 1"),
        ("min_count", 0, "an integer from 1"),
        ("epochs", 0, "an integer from 1"),
        ("ns_exponent", float("nan"), "a number >= -100"),
        ("negative", 0, "an integer from 1 to 256"),
        ("sample", -0.1, "a number >= 0 and <= 1"),
        ("sg", 2, "an integer from 0 to 1"),
        ("alpha", 0, "a number > 0"),
        ("min_alpha", -1, "a number >= 0"),
        ("shrink_windows", 1, "True or False"),
        ("history_weighting", "median", "one of 'mean', 'recency', 'last'"),
        ("recency_decay", 0, "a number > 0 and <= 1"),
        ("score_vectors", "sum", "one of 'input', 'output', 'both'"),
        ("popularity_weight", -1, "a number >= 0"),
        ("random_state", -1, "an integer from 0"),
    ],
)
def test_values_out_of_range_are_named(name, value, allowed):
    with pytest.raises(ParameterError, match=rf"Prod2Vec: {name} must be {allowed}.*, got"):
        pc.Prod2Vec(**{name: value})


def test_divergence_is_reported_from_the_first_epoch_on():
    with pytest.raises(pc.errors.DivergenceError, match=r"diverged in epoch 1 .*smaller alpha"):
        fitted(epochs=200, alpha=10, min_alpha=10)


def test_parameters_of_answers_take_effect_at_once_and_are_saved(tmp_path):
    model = fitted(score_vectors="both", popularity_weight=0.5)
    before = model.recommend(0, k=3)["score"].tolist()
    model.set_params(popularity_weight=0)
    after = model.recommend(0, k=3)["score"].tolist()
    assert after != before
    model.save(tmp_path / "model")
    assert pc.load(tmp_path / "model").recommend(0, k=3)["score"].tolist() == after
