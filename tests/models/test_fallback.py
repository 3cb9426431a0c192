"""`popular_within` beyond the contract: several values a row, exact ties, what is kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pytest

import penchant as pc
from penchant.errors import ParameterError
from penchant.models import fallback

USERS = pd.DataFrame(
    {
        "user": ["ann", "bob", "eve", "joe", "sue"],
        "speaks": ["fr|pl", "pl", "fr", "de|pl|de", None],
    }
)
ITEMS = pd.DataFrame(
    {
        "item": ["ink", "jam", "milk", "pen", "tea"],
        "kind": ["office", "food|sweet", "food|drink", "office|gift", "drink|gift"],
    }
)
BASKETS = {
    "ann": ["tea", "jam"],
    "bob": ["tea", "pen"],
    "eve": ["jam", "milk"],
    "joe": ["ink", "pen", "tea"],
    "sue": ["milk", "milk", "ink"],
}
EVENTS = pd.DataFrame(
    [(user, item) for user, items in BASKETS.items() for item in items], columns=["user", "item"]
)
ASK = {"unknown": "popular", "popular_within": "speaks"}


def fitted(form="text", model=None):
    users, items = USERS.copy(), ITEMS.copy()
    for frame, name in ((users, "speaks"), (items, "kind")):
        if form == "list":
            frame[name] = [None if pd.isna(v) else v.split("|") for v in frame[name]]
        elif form == "category":
            frame[name] = frame[name].astype("category")
    data = pc.Interactions.from_frame(
        EVENTS, user="user", item="item", user_features=users, item_features=items
    )
    return (pc.ItemKNN() if model is None else model).fit(data, progress=False)


def popular_among(languages):
    """The items by the number of their users who speak any of the languages, then of all users."""
    speaks = USERS.set_index("user")["speaks"].fillna("").str.split("|")
    own = EVENTS.drop_duplicates()
    some = own[[bool(languages & set(speaks[user])) for user in own["user"]]]
    counts, overall = some["item"].value_counts(), own["item"].value_counts()
    order = sorted(ITEMS["item"], key=lambda item: (-counts.get(item, 0), -overall[item], item))
    return [(item, counts.get(item, 0)) for item in order]


@pytest.mark.parametrize("form", ["text", "list", "category"])
def test_who_shares_any_of_several_values_is_alike(form):
    model = fitted(form)
    spoken = ["fr|pl", "pl|fr", "pl", "de", "fr|de", "fr|nowhere", "pl|pl|fr"]
    asked = pd.DataFrame({"user": [f"new {i}" for i in range(len(spoken))], "speaks": spoken})
    found = model.recommend(asked, k=5, **ASK)
    for user, languages in asked.to_numpy().tolist():
        answer = found[found["user"] == user][["item", "score"]]
        expected = popular_among(set(languages.split("|")))
        assert list(answer.itertuples(index=False, name=None)) == expected
    unlike = [popular_among(set(one.split("|"))) for one in spoken[:5]]
    assert unlike[0] == unlike[1] != unlike[2]
    alone = model.recommend(asked.iloc[[4]], k=5, **ASK)
    pd.testing.assert_frame_equal(alone, found[found["user"] == "new 4"].reset_index(drop=True))


@pytest.mark.parametrize("nothing", ["nowhere", None, ""])
def test_who_shares_nothing_with_anybody_gets_what_all_like(nothing):
    asked = pd.DataFrame({"user": ["new"], "speaks": [nothing]})
    found = fitted().recommend(asked, k=5, **ASK)
    everybody = EVENTS.drop_duplicates()["item"].value_counts()
    order = sorted(everybody.index, key=lambda item: (-everybody[item], item))
    assert found["item"].tolist() == order
    assert found["score"].tolist() == everybody[order].tolist()


@pytest.mark.parametrize("form", ["text", "list", "category"])
def test_items_that_share_any_of_several_values_stand_in(form, monkeypatch):
    monkeypatch.setattr(fallback, "_STAND_INS", 2)
    model = fitted(form)
    # Three took tea, two each other item: the first ones of those stand in.
    best = {"gift|food": ["tea", "jam"], "food": ["jam", "milk"], "sweet|office": ["ink", "jam"]}
    for kinds, items in best.items():
        for given in (kinds, "|".join(kinds.split("|")[::-1])):
            history = pd.DataFrame({"user": [1], "item": ["new"], "kind": [given]})
            found = model.recommend(
                history=history, unknown="popular", popular_within="kind", k=5, exclude_seen=False
            )
            spelt_out = pd.DataFrame({"user": 1, "item": items})
            expected = model.recommend(history=spelt_out, k=5, exclude_seen=False)
            pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_ties_are_ordered_exactly_by_all_users():
    counts, everybody = np.full(2, 5000), np.array([100_000, 100_001])
    rows, shown = fallback.Favourites.by(counts, everybody).search(1, 2)
    assert rows.tolist() == [[1, 0]]
    assert shown.tolist() == [[5000, 5000]]
    rng = np.random.default_rng(0)
    counts, everybody = rng.integers(0, 5, 300), rng.integers(10**6, 10**6 + 9, 300)
    rows, shown = fallback.Favourites.by(counts, everybody).search(2, 301)
    assert rows[1, :300].tolist() == np.lexsort((-everybody, -counts)).tolist()
    assert rows[0, 300] == -1
    assert np.isneginf(shown[0, 300])


def test_what_depends_on_the_data_alone_is_made_once(monkeypatch):
    model = fitted(model=pc.IALS(factors=2, epochs=2))
    made = []
    by, read = fallback.Favourites.by, fallback._read
    monkeypatch.setattr(fallback.Favourites, "by", lambda *a: made.append("favourites") or by(*a))
    monkeypatch.setattr(fallback, "_read", lambda *a: made.append("column") or read(*a))
    asked = pd.DataFrame({"user": ["x", "y", "z"], "speaks": ["pl|fr", "de", "fr|pl"]})
    history = pd.DataFrame({"user": [1], "item": ["new"], "kind": ["gift|food"]})

    def answers():
        within = {"unknown": "popular", "popular_within": "kind"}
        return (
            model.recommend(asked, k=5, scores="softmax", **ASK),
            model.recommend(history=history, k=5, **within),
        )

    first = answers()
    assert made == ["column", "favourites", "favourites", "column"]
    for mine, theirs in zip(answers(), first, strict=True):
        pd.testing.assert_frame_equal(mine, theirs, check_exact=True)
    assert len(made) == 4
    shelf = model._derived["favourites by speaks"]
    assert len(shelf) == 2
    more = pd.DataFrame({"user": ["ann", "bob"], "item": ["pie", "pie"]})
    model.partial_fit(pc.Interactions.from_frame(more, user="user", item="item"))
    found = model.recommend(asked, k=6, **ASK)
    assert found["item"].tolist()[:2] == ["tea", "jam"]
    assert found.set_index(["user", "item"])["score"]["x", "pie"] == 2
    assert model._derived["favourites by speaks"] is not shelf


def test_favourites_beyond_the_room_for_them_are_made_again(monkeypatch):
    model = fitted()
    made, by = [], fallback.Favourites.by
    monkeypatch.setattr(fallback.Favourites, "by", lambda *a: made.append(1) or by(*a))

    def favourites(*languages):
        asked = pd.DataFrame({"user": range(len(languages)), "speaks": languages})
        return model.recommend(asked, k=5, **ASK)

    first = favourites("fr", "pl", "de")
    shelf = model._derived["favourites by speaks"]
    assert (len(made), len(shelf)) == (3, 3)
    monkeypatch.setattr(fallback, "_ENTRIES_KEPT", 2 * len(ITEMS))  # room for two groups
    favourites("fr|pl")
    assert (len(made), len(shelf)) == (4, 2)
    favourites("de")  # the newest stay
    assert (len(made), len(shelf)) == (4, 2)
    again = favourites("fr", "pl", "de")
    assert len(made) > 4
    assert len(shelf) == 2
    pd.testing.assert_frame_equal(again, first, check_exact=True)


@pytest.mark.parametrize("kind", ["text", "int64", "uint64"])
def test_a_query_does_not_hash_all_values_anew(monkeypatch, kind):
    n = 1000
    values = [f"town {i}" for i in range(n)] if kind == "text" else np.arange(n, dtype=kind)
    if kind == "uint64":
        values += np.uint64(2**64 - n)
    users = pd.DataFrame({"user": range(n), "town": values})
    events = pd.DataFrame({"user": range(n), "item": [f"item {i % 7}" for i in range(n)]})
    model = pc.Popularity().fit(
        pc.Interactions.from_frame(events, user="user", item="item", user_features=users)
    )
    asked = pd.DataFrame({"user": [-1, -2, -3], "town": [values[3], values[-1], values[10]]})
    within = {"unknown": "popular", "popular_within": "town", "k": 1}
    first = model.recommend(asked, **within)
    assert first["item"].tolist() == ["item 3", f"item {(n - 1) % 7}", "item 3"]
    hashed, index_in = [], pa.compute.index_in

    def watched(some, value_set, **options):
        hashed.append(len(value_set))
        return index_in(some, value_set, **options)

    monkeypatch.setattr(pa.compute, "index_in", watched)
    pd.testing.assert_frame_equal(model.recommend(asked, **within), first, check_exact=True)
    assert n not in hashed


def test_values_of_another_kind_say_so():
    users = USERS.assign(age=[20, 30, 20, 40, 30])
    data = pc.Interactions.from_frame(EVENTS, user="user", item="item", user_features=users)
    model = pc.Popularity().fit(data)
    asked = {"unknown": "popular", "popular_within": "age", "k": 1}
    with pytest.raises(ParameterError, match=r"'age': .* holds int64, and what was passed .*old"):
        model.recommend(pd.DataFrame({"user": ["x"], "age": ["old"]}), **asked)
    found = model.recommend(pd.DataFrame({"user": ["x"], "age": ["20"]}), **asked)
    assert found["item"].tolist() == ["jam"]
