"""`partial_fit` beyond the contract: known pairs, times, tables, and weights that fail."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import bits
from penchant.errors import ColumnError, DataError, DivergenceError

DAY = 86_400_000_000
OLD = pd.DataFrame(
    {
        "who": ["ann", "ann", "ann", "bob", "bob", "eve", "eve"],
        "what": ["tea", "tea", "jam", "tea", "pen", "jam", "pen"],
        "much": [2.0, 5.0, 3.0, 4.0, 1.0, 6.0, 2.0],
    }
)
# Of bob's tea the later value is the smaller one, and ann's jam is known.
NEW = pd.DataFrame(
    {
        "who": ["ann", "bob", "bob", "joe", "joe", "ann"],
        "what": ["jam", "tea", "tea", "tea", "cap", "cap"],
        "much": [7.0, 9.0, 8.0, 3.0, 4.0, 1.0],
    }
)


def read(frame, **columns):
    return pc.Interactions.from_frame(frame, user="who", item="what", value="much", **columns)


def history(model):
    """The value of each pair that a model keeps."""
    indptr, indices = model.seen_
    users, items = model.users_.to_list(), model.items_.to_list()
    owners = np.repeat(np.arange(len(users)), np.diff(indptr))
    values = model.history_values_.tolist()
    return {
        (users[u], items[i]): value for u, i, value in zip(owners, indices, values, strict=True)
    }


def numbered(frame, start=0):
    return frame.assign(place=np.arange(start, start + len(frame)))


MODELS = {
    "count": (pc.ItemKNN(values="count"), {("ann", "jam"): 2, ("bob", "tea"): 3}),
    "sum": (pc.ItemKNN(values="sum"), {("ann", "jam"): 10, ("bob", "tea"): 21}),
    "last": (pc.ItemKNN(values="last"), {("ann", "jam"): 7, ("bob", "tea"): 8}),
    "ials": (pc.IALS(alpha=1, factors=2), {("ann", "jam"): 10, ("bob", "tea"): 21}),
}


@pytest.mark.parametrize("name", list(MODELS))
def test_known_pairs_add_up_or_are_replaced(name):
    model, expected = MODELS[name]
    both = pd.concat([numbered(OLD), numbered(NEW, 100)])
    whole = history(model.fit(read(both, order="place"), progress=False))
    assert expected.items() <= whole.items()
    grown = model.fit(read(numbered(OLD), order="place"), progress=False)
    assert history(grown.partial_fit(read(numbered(NEW, 100), order="place"))) == whole


def test_the_order_column_says_which_value_is_the_last():
    orders = list(itertools.permutations([3.0, 9.0, 6.0]))
    for values, places in itertools.product(orders, [[1, 2, 3], [3, 1, 2], [2, 3, 1]]):
        frame = pd.DataFrame({"who": "bob", "what": "tea", "much": values, "place": places})
        model = pc.ItemKNN(values="last").fit(read(numbered(OLD), order="place"), progress=False)
        model.partial_fit(read(frame, order="place"))
        assert history(model)["bob", "tea"] == values[places.index(3)]
        model = pc.ItemKNN(values="last").fit(read(OLD), progress=False)
        model.partial_fit(read(frame.drop(columns="place")))
        assert history(model)["bob", "tea"] == 9  # nothing but the value tells them apart


def test_the_time_comes_before_the_order_column():
    days = ["2026-01-02", "2026-01-01", "2026-01-02"]
    frame = pd.DataFrame({"who": "bob", "what": "tea", "much": [3.0, 9.0, 6.0], "place": [2, 3, 1]})
    model = pc.ItemKNN(values="last").fit(read(OLD), progress=False)
    model.partial_fit(read(frame.assign(day=days), timestamp="day", order="place"))
    assert history(model)["bob", "tea"] == 3


def dated(days=20):
    """The old events, one a day from the second day of 1970, of which the last is on day `days`."""
    at = [*range(1, len(OLD)), days]
    return read(OLD.assign(day=pd.to_datetime(at, unit="D")), timestamp="day")


def first_days(model):
    days = (model.item_first_seen_ / DAY).tolist()
    return dict(zip(model.items_.to_list(), days, strict=True))


def test_what_comes_without_a_time_comes_last():
    model = pc.ItemKNN().fit(dated(), progress=False)
    before = first_days(model)
    model.partial_fit(read(NEW))
    assert first_days(model) == {**before, "cap": 20}
    assert model.last_event_ == 20 * DAY


@pytest.mark.parametrize(("day", "last"), [(9, 20), (33, 33)])
def test_the_last_event_never_goes_back(day, last):
    model = pc.ItemKNN().fit(dated(), progress=False)
    before = first_days(model)
    days = pd.to_datetime([0, 0, 0, 0, day, day - 1], unit="D")
    model.partial_fit(read(NEW.assign(day=days), timestamp="day"))
    assert first_days(model) == {**before, "cap": day - 1}  # known items stay as they are
    assert model.last_event_ == last * DAY


def test_a_new_value_replaces_the_known_one_whatever_its_time():
    """As documented; the time of the known one is not kept."""
    model = pc.ItemKNN(values="last").fit(dated(), progress=False)
    late = pd.DataFrame({"who": ["bob"], "what": ["tea"], "much": [9.0], "day": ["1969-01-01"]})
    model.partial_fit(read(late, timestamp="day"))
    assert history(model)["bob", "tea"] == 9


@pytest.mark.parametrize(
    "model", [pc.IALS(alpha=1, factors=2), pc.ItemKNN(values="sum"), pc.EASE(values="last")]
)
def test_values_are_not_mixed_with_counts(model):
    names = {"user": "who", "item": "what"}
    model = model.fit(pc.Interactions.from_frame(OLD, **names), progress=False)
    before = dict(vars(model))
    with pytest.raises(DataError, match=r"new has the value column 'much', and this .*value="):
        model.partial_fit(read(NEW))
    assert vars(model) == before
    model.partial_fit(pc.Interactions.from_frame(NEW, **names))
    assert history(model)["ann", "cap"] == 1


def small_ids(dtype, category=False):
    frame = pd.DataFrame({"who": [1, 2, 3, 1], "what": [1, 2, 2, 2]}, dtype=dtype)
    return frame.astype("category") if category else frame


@pytest.mark.parametrize("category", [False, True])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_ids_beyond_a_narrow_dtype_make_it_wider(dtype, category, tmp_path):
    def numbered_ids(frame):
        return pc.Interactions.from_frame(frame, user="who", item="what")

    old = numbered_ids(small_ids(dtype, category))
    model = pc.IALS(factors=2).fit(old, progress=False)
    model.partial_fit(numbered_ids(pd.DataFrame({"who": [100, 100], "what": [1, 101]})))
    narrow = "category" if category else dtype
    assert (model.users_.dtype, model.items_.dtype) == (narrow, narrow)
    model.partial_fit(numbered_ids(pd.DataFrame({"who": [70_000, -70_000], "what": [1, 10**10]})))
    model.save(tmp_path)
    for grown in (model, pc.load(tmp_path)):
        assert grown.users_.to_list() == [-70_000, 1, 2, 3, 100, 70_000]
        assert grown.items_.to_list() == [1, 2, 101, 10**10]
        assert grown.recommend(70_000, k=9)["what"].isin([2, 101, 10**10]).all()
        assert len(grown.recommend(exclude_seen=False, k=9)) == 24


def test_tables_come_under_other_column_names():
    """Those of the training data may be names of attributes in the new tables."""
    lands = pd.DataFrame({"who": ["ann", "bob"], "land": ["PL", "FR"]})
    kinds = pd.DataFrame({"what": ["tea", "jam", "pen"], "kind": ["food", "food", "tool"]})
    data = read(OLD, user_features=lands, item_features=kinds)
    new = NEW.rename(columns={"who": "client", "what": "sku", "much": "price"})
    names = {"user": "client", "item": "sku", "value": "price"}
    more = pd.DataFrame({"client": ["joe", "bob"], "land": ["DE", "NO"]})
    caps = pd.DataFrame({"sku": ["cap"], "kind": ["wear"]})
    model = pc.ItemKNN().fit(data, progress=False)
    model.partial_fit(
        pc.Interactions.from_frame(new, **names, user_features=more, item_features=caps)
    )
    lands = dict(zip(model.users_.to_list(), model.user_features_["land"].to_pylist(), strict=True))
    assert lands == {"ann": "PL", "bob": "NO", "eve": None, "joe": "DE"}
    kinds = dict(zip(model.items_.to_list(), model.item_features_["kind"].to_pylist(), strict=True))
    assert kinds == {"cap": "wear", "jam": "food", "pen": "tool", "tea": "food"}
    model = pc.ItemKNN().fit(data, progress=False)
    odd = caps.assign(what="an attribute of this name")
    with pytest.raises(ColumnError, match="no column 'what'"):
        model.partial_fit(pc.Interactions.from_frame(new, **names, item_features=odd))


def test_one_item_written_in_two_ways_is_there_twice():
    kinds = pd.DataFrame({"what": [1, 2, 3], "kind": ["food", "food", "tool"]})
    old = OLD.assign(what=OLD["what"].map({"tea": 1, "jam": 2, "pen": 3}))
    model = pc.IALS(factors=2).fit(read(old, item_features=kinds), progress=False)
    before = dict(vars(model))
    for ids in (["77", "78", "77.0"], ["77", "77"]):
        items = pd.DataFrame({"what": ids, "kind": ["food", "wear", "tool"][: len(ids)]})
        with pytest.raises(DataError, match=r"more than one row for what 77$"):
            model.partial_fit(items=items)
        assert vars(model) == before
    model.partial_fit(items=pd.DataFrame({"what": ["77.0", "3"], "kind": ["food", None]}))
    assert model.items_.to_list() == [1, 2, 3, 77]


def test_new_users_and_items_bring_their_rows():
    lands = pd.DataFrame({"who": ["ann", "bob"], "land": ["PL", "FR"], "age": [30, 40]})
    kinds = pd.DataFrame({"what": ["tea", "jam", "pen"], "kind": ["food", "food", "tool"]})
    data = read(OLD, user_features=lands, item_features=kinds)
    model = pc.ItemKNN().fit(data, progress=False)
    more = pd.DataFrame({"who": ["joe", "bob"], "land": ["DE", "NO"]})
    caps = pd.DataFrame({"what": ["cap"], "kind": ["wear"]})
    model.partial_fit(read(NEW, user_features=more, item_features=caps))
    table = model.user_features_.to_pandas()
    lands = dict(zip(model.users_.to_list(), table["land"], strict=True))
    # The new table says nothing of ann and eve, and nothing of anybody's age.
    assert pd.isna(lands.pop("eve"))
    assert lands == {"ann": "PL", "bob": "NO", "joe": "DE"}
    assert list(table.columns) == ["land", "age"]
    assert table["age"].tolist()[:2] == [30, 40]
    items = model.item_features_.to_pandas()["kind"]
    assert dict(zip(model.items_.to_list(), items, strict=True))["cap"] == "wear"
    asked = pd.DataFrame({"who": ["unknown"], "land": ["DE"]})
    found = model.recommend(asked, unknown="popular", popular_within="land", k=2)
    assert sorted(found["what"]) == ["cap", "tea"]  # what joe took


def test_rows_of_another_dtype_are_refused():
    ages = pd.DataFrame({"who": ["ann"], "age": [30]})
    model = pc.ItemKNN().fit(read(OLD, user_features=ages), progress=False)
    before = dict(vars(model))
    words = pd.DataFrame({"who": ["joe"], "age": ["old"]})
    with pytest.raises(DataError, match=r"the table of the training data holds .* in column 'age'"):
        model.partial_fit(read(NEW, user_features=words))
    assert vars(model) == before


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_leave_the_model_as_it_was(bad, monkeypatch):
    model = pc.IALS(factors=2, alpha=1).fit(dated(), progress=False)
    before, shown = dict(vars(model)), model.recommend(k=3)
    factors, values = model.user_factors_.copy(), model.history_values_.copy()
    grow = pc.IALS._grow

    def spoilt(self, growth):
        grow(self, growth)
        self.user_factors_[0, 1] = bad

    monkeypatch.setattr(pc.IALS, "_grow", spoilt)
    with pytest.raises(DivergenceError, match="IALS: partial_fit failed: user_factors_ has NaN"):
        model.partial_fit(read(NEW))
    assert vars(model) == before
    assert bits(model.user_factors_) == bits(factors)
    assert bits(model.history_values_) == bits(values)
    pd.testing.assert_frame_equal(model.recommend(k=3), shown, check_exact=True)
    monkeypatch.undo()
    assert "joe" in model.partial_fit(read(NEW)).users_
