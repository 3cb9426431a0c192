"""Ids and names as callers give them: other spellings, UUIDs, and what is no name at all."""

from __future__ import annotations

import uuid

import pandas as pd
import pyarrow as pa
import pytest

import penchant as pc
from penchant.errors import ColumnError, DataError, ParameterError

PAIRS = pd.DataFrame([(1, 10), (1, 11), (2, 10), (3, 11), (3, 12)], columns=["u", "i"])


@pytest.fixture
def model():
    return pc.Popularity().fit(pc.Interactions.from_frame(PAIRS, user="u", item="i"))


@pytest.mark.parametrize("spelled", [["2.0"], ["2.0", "zz"], [2.0], [2]])
def test_lists_of_each_user_find_users_however_they_are_spelled(model, spelled):
    denied = pd.DataFrame({"u": spelled, "i": ["11.0"] * len(spelled)})
    for exclude in (denied, {spelled[0]: ["11"]}):
        for users in (spelled, [2], ["2"]):
            found = model.recommend(users, exclude=exclude, unknown="popular")
            mine = found[found["u"].isin([2, "2", "2.0"])]
            assert mine["i"].tolist() == [12]
    found = model.recommend("1.0", candidates={"1.0": ["12.0"]})
    assert found["i"].tolist() == [12]


def test_lists_of_strangers_go_by_their_own_names(model):
    strangers = pd.DataFrame({"u": ["2.0", "zz"], "i": [10, 10]})
    denied = pd.DataFrame({"u": ["2.0", "zz"], "i": [11, 12]})
    found = model.recommend(history=strangers, exclude=denied)
    assert found[["u", "i"]].to_numpy().tolist() == [["2.0", 12], ["zz", 11]]


@pytest.mark.parametrize("of", ["pandas", "pyarrow"])
def test_strangers_named_by_uuids(of):
    names = [uuid.UUID(int=n) for n in (7, 3)]
    users = pa.array([one.bytes for one in names] * 2, pa.uuid())
    table = pa.table({"u": users, "i": pa.array([10, 11, 12, 12])})
    model = pc.Popularity().fit(pc.Interactions.from_frame(table, user="u", item="i"))
    try:
        frame = table if of == "pyarrow" else table.to_pandas(types_mapper=pd.ArrowDtype)
    except NotImplementedError:
        pytest.skip("pandas 2.1 and later have UUIDs of pyarrow's")
    found = pc.Popularity().fit(pc.Interactions.from_frame(frame, user="u", item="i"))
    found = found.recommend(history=frame, k=1)
    if of == "pandas":
        found = pa.Table.from_pandas(found)
    asked = model.recommend(names, k=1)
    assert [str(one) for one in found["u"].to_pylist()] == [str(one) for one in names]
    assert found["i"].to_pylist() == asked["i"].to_pylist() == [11, 10]


def test_a_frame_of_one_stranger(model):
    with pytest.raises(ColumnError, match=r"'u' is missing.*history=frame\['i'\]"):
        model.recommend(history=PAIRS[["i"]])


def test_what_was_returned_argues_for_nothing(model):
    for history in ({10: -1}, [{10: 2}, {10: -0.5}]):
        with pytest.raises(DataError, match=r"item 10 is -.* not negative"):
            model.recommend(history=history)


@pytest.mark.parametrize("name", [3, None, ("a", "b")])
def test_a_name_that_is_no_text(model, name):
    features = pd.DataFrame({"i": [10, 11], "kind": ["a", "b"]})
    data = pc.Interactions.from_frame(PAIRS, user="u", item="i", item_features=features)
    known = pc.Popularity().fit(data)
    with pytest.raises(ColumnError, match=r"with_columns names .* has 'kind'"):
        known.recommend(1, with_columns=[name])
    if name == 3:
        history = PAIRS.assign(x="a").rename(columns={"x": 3})
        with pytest.raises(ColumnError, match="popular_within names 3; the item table has 'kind'"):
            known.recommend(history=history, unknown="popular", popular_within=3)


def test_a_pool_without_re_rankers_is_refused_however_there_are_none(model):
    for nothing in ((), [], None, iter([])):
        with pytest.raises(ParameterError, match="pool is what re-rankers choose from"):
            model.recommend(1, rerank=nothing, pool=50)
