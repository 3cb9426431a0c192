"""What ``$NAME`` of a filter expression may be given, and how it is read."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import penchant as pc
from penchant.errors import ColumnError, ParameterError
from penchant.models.expression_filters import Asker, item_filter
from penchant.retrieval.expression_parser import parse_where
from penchant.retrieval.filters import RowLists, take_lists
from penchant.retrieval.given import plain_values
from penchant.retrieval.matching import matching_rows

DAYS = [datetime.date(2020, 1, day) for day in (1, 2, 3)]
TABLE = pa.table(
    {
        "day": DAYS,
        "time": pa.array([datetime.datetime(2020, 1, day, 12) for day in (1, 2, 3)]),
        "zone": pa.array([1577880000 + 86400 * i for i in range(3)], pa.timestamp("s", "UTC")),
        "price": pa.array([Decimal("4.50"), Decimal("5.25"), None], pa.decimal128(10, 2)),
        "weight": [0.5, 1.5, 2.5],
        "year": [1990, 1991, 1992],
        "name": ["2020-01-01", "b", "c"],
    }
)
NOON = "2020-01-02T12:00:00"


def rows(text, value):
    return np.flatnonzero(matching_rows(parse_where(text), TABLE, {"V": value})).tolist()


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("day > $V", DAYS[1], [2]),
        ("day = $V", datetime.datetime(2020, 1, 2), [1]),
        ("day >= $V", pd.Timestamp("2020-01-02"), [1, 2]),
        ("day >= $V", np.datetime64("2020-01"), [0, 1, 2]),
        ("day in $V", pd.Series(pd.to_datetime(["2020-01-01", "2020-01-03"])), [0, 2]),
        ("day in $V", [DAYS[0], "2020-01-02"], [0, 1]),
        ("time > $V", DAYS[1], [1, 2]),
        ("time = $V", pd.Timestamp(NOON), [1]),
        ("time = $V", np.datetime64(NOON, "ns"), [1]),
        ("time = $V", np.datetime64("2020-01-02T12", "h"), [1]),
        ("time < $V", datetime.datetime(2020, 1, 2, 12, 0, 0, 500), [0, 1]),
        ("time in $V", np.array([NOON], "M8[ns]"), [1]),
        ("zone = $V", pd.Timestamp(NOON, tz="UTC"), [1]),
        ("zone = $V", pd.Timestamp("2020-01-02T14:00:00", tz="Europe/Kyiv"), [1]),
        ("price < $V", Decimal("4.505"), [0]),
        ("price in $V", [Decimal("4.505"), Decimal("5.250")], [1]),
        ("price = $V", Decimal("4.5"), [0]),
        ("weight > $V", Decimal("1.5"), [2]),
        ("year in $V", [Decimal("1990"), Decimal("1991.5")], [0]),
        ("year < $V", Decimal("1E+400"), [0, 1, 2]),
        ("year = $V", np.array(1991), [1]),
        ("year = $V", np.int16(1991), [1]),
        ("weight = $V", np.float32(1.5), [1]),
        ("name = $V", np.str_("b"), [1]),
        ("year = $V", pa.scalar(1992), [2]),
        ("name in $V", iter(["b", "c"]), [1, 2]),
        ("year in $V or not year not in $V", iter([1990]), [0]),
        ("year in $V", {1990, 1992}, [0, 2]),
        ("year in $V", pa.array([1990, 1992]), [0, 2]),
        ("year in $V", range(1991, 2000), [1, 2]),
        ("year in $V", [], []),
    ],
)
def test_what_values_mean(text, value, expected):
    assert rows(text, value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"where_values\['V'\]: a missing value \(NoneType\)"),
        ([1990, None], r"where_values\['V'\]: a missing value"),
        (float("nan"), r"where_values\['V'\]: a missing value \(float\)"),
        ([1.5, np.float32("nan")], r"where_values\['V'\]: a missing value"),
        (pd.NaT, r"where_values\['V'\]: a missing value"),
        (np.datetime64("NaT"), r"where_values\['V'\]: a missing value"),
        (pd.DataFrame({"a": [1]}), r"where_values\['V'\]: .*DataFrame"),
        ({"a": 1}, r"where_values\['V'\]: .*dict"),
        (b"x", r"where_values\['V'\]: .*bytes"),
        (object(), r"where_values\['V'\]: .*object"),
        ([[1, 2]], r"where_values\['V'\]: .*list"),
        (np.ones((2, 2)), r"where_values\['V'\] is a 2-d array"),
        (1j, r"where_values\['V'\]: .*complex"),
        (Decimal("NaN"), r"where_values\['V'\]: .*Decimal"),
        ("\ud800", r"where_values\['V'\]: '\\ud800' is not valid Unicode"),
        (["b", "c\udfff"], r"where_values\['V'\]: 'c\\udfff' is not valid Unicode"),
        (np.array(["\ud800"]), r"where_values\['V'\]: .* is not valid Unicode"),
        (np.timedelta64(1, "D"), r"where_values\['V'\]: .*timedelta"),
        (DAYS[0], "column 'year' is int64 and cannot be compared with datetime"),
    ],
)
def test_what_values_are_refused(value, message):
    with pytest.raises(ParameterError, match=message):
        rows("year in $V", value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("name = $V", DAYS[0]),
        ("weight > $V", DAYS[0]),
        ("name = $V", Decimal(1)),
        ("day = $V", pd.Timestamp(NOON)),
        ("zone = $V", pd.Timestamp(NOON)),
    ],
)
def test_dates_and_decimals_that_do_not_fit(text, value):
    with pytest.raises(ParameterError, match="cannot be compared with"):
        rows(text, value)


def test_names_with_a_dollar_are_those_without():
    assert plain_values({"$D": np.int8(3), "E": (1, "a")}) == {"D": 3, "E": (1, "a")}
    assert plain_values({"D": None, "E": 1}, {"E"}) == {"E": 1}
    for values, message in [
        ([("D", 1)], "is a mapping such as .* got list"),
        ({3: 1}, "names are text, got 3"),
        ({"D": 1, "$D": 1}, "names 'D' twice"),
    ]:
        with pytest.raises(ParameterError, match=message):
            plain_values(values)


def fitted(**tables):
    frame = pd.DataFrame({"user": list("aabbcd"), "item": list("xyyzwx")})
    data = pc.Interactions.from_frame(frame, user="user", item="item", **tables)
    return pc.Popularity().fit(data, progress=False)


def test_iterators_are_read_once():
    model = fitted()
    for _ in range(2):  # the second answer comes from what is kept
        for make in (iter, list, np.array, lambda names: (name for name in names)):
            values = {"$ITEMS": make(["x", "w"])}
            found = model.recommend("b", where="item in $ITEMS", where_values=values)
            assert sorted(found["item"]) == ["w", "x"]
            values = {"USERS": make(["a", "d"])}
            found = model.recommend_users("z", users_where="user in $USERS", where_values=values)
            assert sorted(found["user"]) == ["a", "d"]
    both = {"where": "item in $V", "users_where": "user in $V"}
    assert len(model.recommend_users(**both, where_values={"V": ["x", "c"]})) == 1
    with pytest.raises(ParameterError, match=r"where_values\['V'\] is an iterator.*give a list"):
        model.recommend_users(**both, where_values={"V": iter(["x", "c"])})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ITEM": ["x"]}, r"where_values has 'ITEM', but the expression uses \$ITEMS"),
        ({"ITEMS": ["x"], "$MORE": 1}, r"has '\$MORE', but the expression uses \$ITEMS"),
        ({}, r"wants a value for \$ITEMS"),
        (["x"], "is a mapping"),
        ({1: "x"}, "names are text"),
    ],
)
def test_names_must_be_those_of_the_expression(values, message):
    with pytest.raises(ParameterError, match=message):
        fitted().recommend("a", where="item in $ITEMS", where_values=values)


def test_models_without_tables_say_how_to_give_them():
    model = fitted()
    with pytest.raises(ColumnError, match="no table of users: give user_features= when"):
        model.recommend_users("x", users_where="age > 3")
    with pytest.raises(ColumnError, match="no table of items: give item_features= when"):
        model.recommend("a", where="price > 3")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("(year > 1) & (year < 3)", "write and / or"),
        ("(year > 1) | (year < 3)", "write and / or"),
        ("(year > 1 | year < 3)", "write and / or"),
        ("~(year > 1)", "write not"),
    ],
)
def test_signs_of_python_get_a_hint(text, hint):
    with pytest.raises(ParameterError, match=hint):
        parse_where(text)


@pytest.mark.parametrize("share", [0.02, 0.4, 0.98])
def test_statements_joined_with_events_take_short_lists(share, monkeypatch):
    rng = np.random.default_rng(5)
    n_users, n_items = 60, 200
    pairs = rng.integers(0, [n_users, n_items], (600, 2))
    every = np.stack([np.zeros(n_items, int), np.arange(n_items)], axis=1)  # one has all items
    pairs = np.unique(np.vstack([pairs, every, [[u, 0] for u in range(n_users)]]), axis=0)
    frame = pd.DataFrame(pairs, columns=["user", "item"])
    items = pd.DataFrame({"item": range(n_items), "price": np.linspace(0, 1, n_items)})
    users = pd.DataFrame({"user": range(n_users), "age": rng.integers(0, 40, n_users)})
    data = pc.Interactions.from_frame(
        frame, user="user", item="item", item_features=items, user_features=users
    )
    model = pc.Popularity().fit(data, progress=False)
    where = (
        f"INCLUDE ItemID WHERE Items.PRICE < {share} IF CurrentUser.AGE < 20 | "
        "INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ('*') | "
        "EXCLUDE ItemID WHERE Items.PRICE > 0.99"
    )
    monkeypatch.setattr("penchant.models.expression_filters._FLAGS_AT_ONCE", 1000)
    codes = rng.permutation(n_users)
    asker = Asker(codes, lambda: take_lists(RowLists(*model.seen_[:2]), codes))
    found = item_filter(model, where, None, asker)
    prices = items.set_index("item")["price"].loc[model.items_.to_list()].to_numpy()
    ages = users.set_index("user")["age"].loc[model.users_.to_list()].to_numpy()
    listed = 0
    for place, code in enumerate(codes):
        own = model.seen_.indices[model.seen_.indptr[code] : model.seen_.indptr[code + 1]]
        expected = (prices < share) & (ages[code] < 20)
        expected[own] = True
        expected &= prices <= 0.99
        one = found.take(np.array([place]))
        allowed = one.allowed if one.allowed_rows is None else one.allowed[one.allowed_rows[0]]
        allowed = allowed.copy()
        if one.candidates is not None:
            allowed &= np.isin(np.arange(n_items), one.candidates.indices)
            listed += len(one.candidates.indices)
        if one.exclude is not None:
            allowed[one.exclude.indices] = False
            listed += len(one.exclude.indices)
        assert allowed.tolist() == expected.tolist()
    assert listed <= n_users * n_items / 2 + len(frame)
