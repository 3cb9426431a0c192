"""Re-rankers: their settings, what they refuse, and what the contract suite does not see."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from penchant import _core, rerank
from penchant.errors import (
    ArtifactError,
    ColumnError,
    DataError,
    ParameterError,
    PenchantWarning,
    UnsupportedError,
)

ALL = [
    rerank.MMR(by=["kind"], relevance_weight=0.5),
    rerank.DPP(similarity="cosine"),
    rerank.PopularityDiscount(weight=1),
    rerank.AttributeCap("kind", at_most=3),
    rerank.Exploration(max_age_days=2.5, age_column="born", random_state=7),
    rerank.Promotions(["a", "b"], slots=[2, 5]),
]


def shop(n_items=60, timestamp="day", **columns):
    """Item i has n_items - i users; user 0 has none of them."""
    pairs = [(user, f"i{i:03d}") for i in range(n_items) for user in range(1, n_items - i + 1)]
    frame = pd.DataFrame([*pairs, (0, "other")], columns=["who", "what"])
    frame["day"] = np.datetime64("2026-01-01") + pd.to_timedelta(np.arange(len(frame)), unit="h")
    table = pd.DataFrame({"what": [f"i{i:03d}" for i in range(n_items)], **columns})
    data = pc.Interactions.from_frame(
        frame, user="who", item="what", timestamp=timestamp, item_features=table
    )
    return pc.Popularity().fit(data)


@pytest.mark.parametrize("one", ALL)
def test_a_reranker_is_a_value(one):
    names = {name: getattr(rerank, name) for name in rerank.__all__}
    assert eval(repr(one), names) == one
    assert hash(one) == hash(pickle.loads(pickle.dumps(one)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.weight = 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rerank.MMR(relevance_weight=1.1), "relevance_weight must be a number from 0 to 1"),
        (lambda: rerank.MMR(relevance_weight=True), "relevance_weight must be a number"),
        (lambda: rerank.DPP(relevance_weight=float("nan")), "DPP: relevance_weight must be"),
        (lambda: rerank.MMR(by="kind"), r"by must be 'vectors' or a list of columns .* got 'kind'"),
        (lambda: rerank.MMR(by=np.array(["a", "b"])), "by must be 'vectors' or a list"),
        (lambda: rerank.MMR(by=[]), "by must be 'vectors' or a list"),
        (lambda: rerank.DPP(by=["kind", 3]), "by must be 'vectors' or a list"),
        (lambda: rerank.MMR(similarity="dice"), "similarity='dice'"),
        (lambda: rerank.PopularityDiscount(weight="much"), "weight must be a number from 0 to 1"),
        (lambda: rerank.AttributeCap(["a", "b"]), "the name of one column"),
        (lambda: rerank.AttributeCap("a", at_most=0), "at_most must be an integer from 1"),
        (lambda: rerank.AttributeCap("a", at_most=1.5), "at_most must be an integer from 1"),
        (lambda: rerank.Exploration(weight=-0.1), "weight must be a number from 0 to 1"),
        (lambda: rerank.Exploration(max_age_days=-1), "max_age_days must be a number from 0"),
        (lambda: rerank.Exploration(random_state=-1), "random_state must be an integer from 0"),
        (lambda: rerank.Exploration(n_candidates=0), "n_candidates must be an integer from 1"),
        (lambda: rerank.Exploration(age_column=3), "age_column is the name of a column"),
        (lambda: rerank.Exploration(age_column="a", timestamp_unit="h"), "timestamp_unit='h'"),
        (lambda: rerank.Exploration(timestamp_unit="s"), "timestamp_unit goes with age_column"),
        (lambda: rerank.Promotions([]), "items must be ids, at least one"),
        (lambda: rerank.Promotions(None), "items must be ids, at least one"),
        (lambda: rerank.Promotions([["a"]]), "items must be ids, at least one"),
        (lambda: rerank.Promotions(["a", None]), "none null"),
        (lambda: rerank.Promotions(["a"], slots=[0]), "each of slots must be an integer from 1"),
        (lambda: rerank.Promotions(["a"], slots=[1, 1]), "slots must be distinct places"),
        (lambda: rerank.Promotions(["a"], slots=[]), "slots must be distinct places"),
        (lambda: rerank.Promotions(["a"], slots="12"), "each of slots must be an integer"),
    ],
)
def test_settings_are_checked(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_promotions_take_a_column_but_no_frame():
    frame = pd.DataFrame({"what": ["b", "a", "b"]})
    assert rerank.Promotions(frame["what"], slots=(3,)).items == ("b", "a")
    with pytest.raises(DataError, match="not a DataFrame"):
        rerank.Promotions(frame)
    assert rerank.Promotions("abc", slots=2) == rerank.Promotions(["abc"], slots=[2])


def test_what_the_catalogue_lacks_is_named_even_where_nobody_asks():
    model = shop(timestamp=None, kind=["x"] * 60, when=["soon"] * 60, number=range(60))
    for chain, error, message in [
        ([rerank.AttributeCap("knd")], ColumnError, "names 'knd', did you mean 'kind'"),
        ([rerank.MMR(by=["kind", "no"])], ColumnError, "MMR names 'no'; the item table has"),
        ([rerank.DPP()], UnsupportedError, r"such as DPP\(by=\['genre'\]\)"),
        ([rerank.Exploration()], UnsupportedError, "no timestamps .*age_column"),
        ([rerank.Exploration(age_column="born")], ColumnError, "Exploration names 'born'"),
        ([rerank.Exploration(age_column="when")], DataError, "when"),
        ([rerank.Exploration(age_column="number")], ParameterError, "timestamp_unit"),
        (["mmr"], ParameterError, "re-rankers such as"),
        ("mmr", ParameterError, "got 'mmr'"),
        (7, ParameterError, "got 7"),
    ]:
        for users in ([0], []):
            with pytest.raises(error, match=message):
                model.recommend(users, rerank=chain)
    with pytest.warns(PenchantWarning, match="2 of 3 are not items of the training data"):
        found = model.recommend(0, k=2, rerank=rerank.Promotions(["?", "i040", "??"]))
    assert found["what"].tolist() == ["i040", "i000"]


def test_caps_widen_the_pool_as_far_as_they_must():
    """The first 50 of 60 items are by one maker, so that a pool of 5 holds one answer."""
    model = shop(maker=["big" if i < 50 else f"small {i}" for i in range(60)])
    cap = rerank.AttributeCap("maker", at_most=1)
    found = model.recommend(0, k=4, pool=5, rerank=[cap])["what"].tolist()
    assert found == ["i000", "i050", "i051", "i052"]
    assert len(model.recommend(0, k=30, pool=30, rerank=[cap])) == 11
    rows, _ = model.recommend_codes([0, 1, 59], 4, exclude_seen=False, rerank=[cap], pool=5)
    assert (rows >= 0).all()


def test_a_pool_bounds_what_rerankers_see():
    model = shop()
    tail = rerank.PopularityDiscount(weight=1)
    for pool, expected in [(3, "i002"), (20, "i019"), (None, "i029")]:
        found = model.recommend(0, k=3, pool=pool, rerank=[tail])["what"].tolist()
        assert found[0] == expected


def test_promoted_items_respect_filters_and_what_was_seen():
    model = shop(price=range(60))
    offer = rerank.Promotions(["i059", "i020", "i010", "i000"], slots=[1, 3])
    assert model.recommend(0, k=4, rerank=[offer])["what"].tolist() == [
        "i059", "i000", "i020", "i001",
    ]  # fmt: skip
    found = model.recommend(0, k=4, where="price < 15", exclude=["i001"], rerank=[offer])
    assert found["what"].tolist() == ["i010", "i002", "i000", "i003"]
    assert model.recommend(59, k=3, rerank=[offer])["what"].tolist() == ["i059", "i002", "i020"]


def test_exploration_gives_new_items_their_share():
    """Items i000..i039 are a hundred days older than the others."""
    born = [f"2026-{'01' if i < 40 else '05'}-01" for i in range(60)]
    model = shop(born=born, timestamp=None, old=[None] * 60)
    explore = rerank.Exploration(weight=0.3, age_column="born")
    names = model.items_.to_list()
    rows, _ = model.recommend_codes(k=10, exclude_seen=False, rerank=[explore])
    new = np.array([name > "i039" and name != "other" for name in names])[rows]
    assert abs(new.mean() - 0.3) < 0.06  # 610 draws: standard error .019
    assert len(np.unique(rows[new])) > 15
    again = rerank.Exploration(weight=0.3, age_column="born", random_state=1)
    other, _ = model.recommend_codes(k=10, exclude_seen=False, rerank=[again])
    assert (rows != other).mean() > 0.2
    plain = model.recommend(k=10)
    for idle in (
        rerank.Exploration(weight=0, age_column="born"),
        rerank.Exploration(weight=1, age_column="old"),
    ):
        pd.testing.assert_frame_equal(model.recommend(k=10, rerank=[idle]), plain)


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_ages_may_be_numbers_or_the_first_event(unit):
    model = shop()
    first = model.item_first_seen_
    codes = np.argsort(first)
    assert model.items_.take(codes[-1:].astype(np.int32)).to_pylist() == ["other"]
    assert first.dtype == np.int64
    assert model.last_event_ == first.max()
    numbers = first[model.items_.codes([f"i{i:03d}" for i in range(60)])]
    per = {"s": 10**6, "ms": 1000}[unit]
    aged = shop(born=numbers // per)
    by_events = rerank.Exploration(weight=0.5, max_age_days=10)
    by_column = rerank.Exploration(
        weight=0.5, max_age_days=10, age_column="born", timestamp_unit=unit
    )
    users = list(range(1, 61))  # not the one of the item without a birth
    pd.testing.assert_frame_equal(
        aged.recommend(users, rerank=[by_column], exclude=["other"]),
        model.recommend(users, rerank=[by_events], exclude=["other"]),
    )


def test_own_rerankers_are_welcome():
    class Reverse(rerank.Reranker):
        def apply(self, lists, request):
            there = lists.items >= 0
            places = there.sum(axis=1, keepdims=True) - 1 - np.arange(there.shape[1])
            return lists.reorder(np.where(places >= 0, places, -1))

    model = shop()
    assert model.recommend(0, k=2, pool=4, rerank=Reverse())["what"].tolist() == ["i003", "i002"]


def test_blocks_do_not_show(monkeypatch):
    model = shop(kind=[f"{i % 3}|{i % 5}" for i in range(60)])
    chain = [rerank.MMR(by=["kind"]), rerank.AttributeCap("kind"), rerank.Exploration()]
    whole = model.recommend(rerank=chain)
    monkeypatch.setattr("penchant.retrieval.rerank.chain._ENTRIES_AT_ONCE", 250)
    pd.testing.assert_frame_equal(model.recommend(rerank=chain), whole)


def test_structs_are_no_attributes():
    model = shop(kind=[{"a": 1}] * 60)
    with pytest.raises(ParameterError, match="values of column 'kind' are struct"):
        model.recommend(0, rerank=[rerank.AttributeCap("kind")])


def test_a_damaged_artifact_with_times_is_refused(tmp_path):
    from penchant.models import state

    model = shop()
    captured = state.capture(model)
    for array in (model.item_first_seen_[:-1], model.item_first_seen_.astype(np.float64)):
        damaged = captured._replace(arrays={**captured.arrays, "item_first_seen": array})
        with pytest.raises(ArtifactError, match="item_first_seen is"):
            state.restore(pc.Popularity(), damaged)
    for last in (None, "late", True, 1.5):
        damaged = captured._replace(meta={**captured.meta, "last_event": last})
        with pytest.raises(ArtifactError, match="last_event"):
            state.restore(pc.Popularity(), damaged)
    untimed = shop(timestamp=None)
    model.fit(pc.Interactions.from_sequences([["a"], ["b"]]))
    assert untimed.item_first_seen_ is model.item_first_seen_ is None


ITEMS = np.array([[0, 2, -1], [1, -1, -1]])
RELEVANCE = np.zeros((2, 3))
SETS = (np.array([0, 1, 1, 3]), np.array([0, 0, 1], np.int32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"items": np.array([[0, 3, -1]])}, r"items row 0 holds 3, outside \[-1, 3\)"),
        ({"items": np.array([[-2, -1, -1]])}, "items row 0 holds -2"),
        ({"items": np.array([[0, -1, 1]])}, "items row 0 goes on after -1"),
        ({"items": ITEMS[0]}, "items has 1 dimensions"),
        ({"relevance": RELEVANCE[:1]}, "items and relevance differ in shape"),
        ({"relevance": np.full((2, 3), np.nan)}, "relevance row 0 is not finite"),
        ({"relevance_weight": float("nan")}, "relevance_weight must be between 0 and 1"),
        ({"of": np.full((3, 2), np.inf, np.float32)}, "vectors holds infinity"),
        ({"of": (SETS[0][:0], SETS[1])}, "indptr is empty"),
        ({"of": (SETS[0], SETS[1] + np.int32(1))}, "outside"),
    ],
)
def test_the_kernels_refuse(arguments, message):
    for kernel in (_core.rerank_mmr, _core.rerank_dpp):
        given = {
            **{"items": ITEMS, "relevance": RELEVANCE, "of": SETS},
            **{"relevance_weight": 0.5, "depth": 3, **arguments},
        }
        own = given.pop("of")
        sets = {"n_values": 2, "jaccard": True} if isinstance(own, tuple) else {}
        lists = given.pop("items"), given.pop("relevance")
        with pytest.raises(ValueError, match=message):
            kernel(*lists, own, **sets, **given)
    with pytest.raises(TypeError):
        _core.rerank_mmr(ITEMS.astype(np.int32), RELEVANCE, np.ones((3, 2), np.float32),
                         relevance_weight=0.5, depth=1)  # fmt: skip


def test_the_cap_kernel_refuses():
    for options, message in [
        ({"n_values": 2, "at_most": 0}, "at_most must be at least 1"),
        ({"n_values": 1, "at_most": 1}, "outside"),
        ({"n_values": -1, "at_most": 1}, "outside|negative"),
    ]:
        with pytest.raises(ValueError, match=message):
            _core.cap_attributes(ITEMS, SETS, **options)
    with pytest.raises(ValueError, match="negative"):
        _core.cap_attributes(ITEMS, (np.zeros(4, np.int64), SETS[1][:0]), n_values=-1, at_most=1)


def test_evaluation_measures_what_is_shown():
    model = shop(maker=[f"m{i // 20}" for i in range(60)])
    test = pc.Interactions.from_frame(
        pd.DataFrame({"who": [0, 0], "what": ["i020", "i040"]}), user="who", item="what"
    )
    cap = rerank.AttributeCap("maker", at_most=1)

    def hits(**options):
        return pc.evaluate(model, test, ["recall@3", "coverage@3"], **options)["value"].tolist()

    assert hits()[0] == 0.0
    assert hits(rerank=[cap])[0] == 1.0
    assert hits(rerank=[cap])[1] == 3 / 61
    assert hits(rerank=[rerank.PopularityDiscount(weight=1)], pool=3)[0] == 0.0
