"""The vectors that Prod2Vec's `partial_fit` gives to users."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import bits
from penchant.errors import ArtifactError, UnsupportedError
from penchant.models import state

QUICK = {"vector_size": 8, "epochs": 3, "min_count": 1, "score_vectors": "input"}
OLD = {"ann": "zaabz", "bob": 30 * "c" + "b", "eve": "abcdz"}
# In time order: neither sorted by item, nor without repeats.
NEW = {"ann": "cadc", "bob": "d", "joe": "dzbbba"}


def read(sequences):
    return pc.Interactions.from_sequences(
        [list(items) for items in sequences.values()], users=list(sequences)
    )


def fitted(**options):
    return pc.Prod2Vec(**QUICK, **options).fit(read(OLD), progress=False)


def whole(user):
    return list(OLD.get(user, "") + NEW[user])


@pytest.mark.parametrize(
    ("options", "decay"),
    [
        ({"history_weighting": "mean"}, 1),
        ({"history_weighting": "recency", "recency_decay": 0.7}, 0.7),
        ({"history_weighting": "recency", "recency_decay": 1.0}, 1),
        ({"history_weighting": "last"}, 0),
    ],
)
def test_users_get_the_mean_of_all_their_events_the_new_ones_last(options, decay, tmp_path):
    model = fitted(**options)
    model.save(tmp_path)
    model = pc.load(tmp_path).partial_fit(read(NEW))
    for user in NEW:
        codes = model.items_.codes(whole(user))
        weights = float(decay) ** np.arange(len(codes))[::-1]
        expected = np.average(model.item_vectors_[codes], axis=0, weights=weights)
        found = model.user_vectors_[model.users_.code(user)]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
        stranger = model.recommend(history=whole(user), k=9, exclude_seen=False)
        scores = model.recommend(user, k=9, exclude_seen=False)["score"]
        np.testing.assert_allclose(scores, stranger["score"], rtol=1e-5, atol=1e-6)
    # One by one comes to the same.
    again = fitted(**options)
    for places in (slice(0, 1), slice(1, None)):
        again.partial_fit(read({user: NEW[user][places] for user in ("ann", "joe")}))
    rows = [again.users_.codes(["ann", "joe"]), model.users_.codes(["ann", "joe"])]
    np.testing.assert_allclose(
        again.user_vectors_[rows[0]], model.user_vectors_[rows[1]], rtol=1e-5, atol=1e-7
    )


def test_explanations_count_what_was_taken_often():
    model = fitted(popularity_weight=0).partial_fit(read(NEW))
    found = model.explain("bob", "z", k=None).set_index("item")["contribution"]
    score = model.recommend("bob", k=9, exclude_seen=False).set_index("item").loc["z", "score"]
    assert found.sum() == pytest.approx(score, abs=1e-6)
    assert abs(found["c"] / found["d"]) == pytest.approx(
        30 * abs(cosine(model, "c", "z") / cosine(model, "d", "z")), rel=1e-4
    )


def cosine(model, one, other):
    """The part of the cosine that depends on `one`: its length counts."""
    a, b = model.item_vectors_[model.items_.codes([one, other])].astype(float)
    return a @ b


def test_a_model_without_counts_says_so_where_they_matter():
    """As one that was saved by a version that did not keep them."""
    model = fitted()
    model.history_values_ = None
    before = dict(vars(model))
    with pytest.raises(UnsupportedError, match="did not keep how often its users took"):
        model.partial_fit(read(NEW))
    assert vars(model) == before
    model.partial_fit(read({"joe": NEW["joe"]}))
    other = fitted().partial_fit(read({"joe": NEW["joe"]}))
    assert bits(model.user_vectors_) == bits(other.user_vectors_)
    last = fitted(history_weighting="last")
    last.history_values_ = None
    assert "joe" in last.partial_fit(read(NEW)).users_


@pytest.mark.parametrize("bad", [0.0, -3.0, 1.5])
def test_counts_that_are_none_are_refused(bad):
    captured = state.capture(fitted())
    values = captured.arrays["history_values"].copy()
    values[1] = bad
    arrays = {**captured.arrays, "history_values": values}
    with pytest.raises(ArtifactError, match="history_values_ has other values than counts"):
        state.restore(pc.Prod2Vec(**QUICK), captured._replace(arrays=arrays))


def test_vectors_from_elsewhere_count_from_the_first_event(tmp_path):
    fitted().save_word2vec(tmp_path / "vectors.txt")
    model = pc.models.load_word2vec(tmp_path / "vectors.txt")
    for sequences in (OLD, NEW):
        data = pc.Interactions.from_sequences(map(list, sequences.values()))
        model.partial_fit(data)
    for code, (old, new) in enumerate(zip(OLD.values(), NEW.values(), strict=True)):
        expected = model.item_vectors_[model.items_.codes(list(old + new))].mean(axis=0)
        found = model.user_vectors_[code]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_numbered_users_keep_their_vectors_when_they_come_as_text():
    """As text 10 stands before 9."""
    old = pd.DataFrame({"who": [9, 9, 10, 10], "what": list("abcd")})
    model = pc.Prod2Vec(**QUICK).fit(
        pc.Interactions.from_frame(old, user="who", item="what"), progress=False
    )
    new = pd.DataFrame({"who": ["9", "10", "11"], "what": list("cab")})
    model.partial_fit(pc.Interactions.from_frame(new, user="who", item="what"))
    for user, items in ((9, "abc"), (10, "cda"), (11, "b")):
        expected = model.item_vectors_[model.items_.codes(list(items))].mean(axis=0)
        found = model.user_vectors_[model.users_.code(user)]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def items_of(model, user):
    """Both vectors of all items a user has, repeats counted."""
    codes = model.items_.codes([*OLD.get(user, "")])
    return model.item_vectors_[codes], model.output_vectors_[codes]


@pytest.mark.parametrize("options", [{}, {"history_weighting": "last"}, {"score_vectors": "both"}])
@pytest.mark.parametrize("sessions", [False, True])
def test_new_items_go_by_what_is_near_and_else_by_what_their_users_have(options, sessions):
    """ann has b at hand; of bob and eve all that they have counts, as often as the window holds."""
    model = pc.Prod2Vec(**(QUICK | options), window=3).fit(read(OLD), progress=False)
    new = pd.DataFrame({
        "who": ["ann", "ann", "bob", "eve", "joe"],
        "what": ["b", "new", "new", "new", "new"],
        "visit": [1, 1, 2, 3, 4],
        "day": range(5),
    })  # fmt: skip
    names = {"user": "who", "item": "what", "order": "day"}
    names |= {"session": "visit"} if sessions else {}
    code = model.items_.code("b")
    near = [model.item_vectors_[code].copy(), model.output_vectors_[code].copy()]
    own = [items_of(model, user) for user in ("bob", "eve")]
    model.partial_fit(pc.Interactions.from_frame(new, **names))
    assert len(model.guessed_items_) == 0
    code = model.items_.code("new")
    for place, name in enumerate(("item_vectors_", "output_vectors_")):
        means = [vectors[place].mean(axis=0) for vectors in own]
        expected = np.average([near[place], *means], axis=0, weights=[1, 3, 3])
        np.testing.assert_allclose(getattr(model, name)[code], expected, rtol=1e-5, atol=1e-7)


def test_items_of_another_visit_are_not_near():
    """In sessions of its own a new item goes by the whole history, that of the call included."""
    model = fitted()
    new = pd.DataFrame({"who": "joe", "what": ["a", "new", "c"], "visit": [1, 2, 3]})
    model.partial_fit(pc.Interactions.from_frame(new, user="who", item="what", session="visit"))
    expected = model.item_vectors_[model.items_.codes(["a", "c"])].mean(axis=0)
    found = model.item_vectors_[model.items_.code("new")]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("weighting", ["mean", "recency", "last"])
def test_who_took_what_was_a_guess_has_news_with_it(weighting):
    """A stranger's item is guessed until the stranger takes a known one, or somebody else does."""
    model = fitted(history_weighting=weighting).partial_fit(read({"joe": ["new"]}))
    assert model.guessed_items_.tolist() == [model.items_.code("new")]
    model.partial_fit(read({"ann": ["new"]}))
    assert len(model.guessed_items_) == 0
    joe, new = model.users_.code("joe"), model.items_.code("new")
    np.testing.assert_allclose(model.user_vectors_[joe], model.item_vectors_[new], rtol=1e-6)
    expected = np.mean(items_of(model, "ann")[0], axis=0)
    np.testing.assert_allclose(model.item_vectors_[new], expected, rtol=1e-5, atol=1e-7)
    own = fitted(history_weighting=weighting).partial_fit(read({"joe": ["new"]}))
    own.partial_fit(read({"joe": ["a"]}))
    assert len(own.guessed_items_) == 0
    codes = own.items_.codes(["new", "a"])
    np.testing.assert_allclose(*own.item_vectors_[codes], rtol=1e-6)
