"""The part of the contract suite about Personalize's statements on users and events.

The oracle: everything ranked without a filter, then filtered user by user in Python.
"""

from __future__ import annotations

import pandas as pd
import pytest

import penchant as pc
from model_checks_filters import item_table
from model_support import N_ITEMS, N_USERS, ModelFactory, convert, events, stars
from penchant.errors import ColumnError, ParameterError, UnsupportedError

ASKED = [1050, 1000, 1390, 1020, 1000, 1130]


def user_table():
    """A row for most users, and an age in most rows."""
    users = [1000 + 10 * u for u in range(N_USERS) if u % 5 != 3]
    ages = [None if u % 4 == 1 else u % 37 for u in users]
    return pd.DataFrame({"customer": users, "age": ages, "city": ["Paris"] * len(users)})


def with_tables(backend="pandas"):
    frame = events()
    frame["stars"] = stars(frame)
    return pc.Interactions.from_frame(
        convert(frame, backend),
        user="customer",
        item="product",
        value="stars",
        item_features=convert(item_table(), backend),
        user_features=convert(user_table(), backend),
    )


class StatementChecks(ModelFactory):
    """Run through `model_checks.ModelChecks`."""

    def filtered(self, model, users, keep, k=10, **options):
        """Rank everything and keep what ``keep(user, item)`` says."""
        whole = model.recommend(sorted(set(users)), k=N_ITEMS, exclude_seen=False, **options)
        frames = dict(list(whole.groupby("customer")))
        parts = []
        for user in users:
            frame = frames[user]
            kept = frame[[keep(user, item) for item in frame["product"]]].head(k)
            parts.append(kept.assign(rank=range(1, len(kept) + 1)))
        return pd.concat(parts, ignore_index=True)

    def check(self, model, where, keep, users=ASKED, values=None, **options):
        expected = self.filtered(model, users, keep, **options)
        found = model.recommend(
            users, where=where, where_values=values, exclude_seen=False, **options
        )
        kinds = {"check_exact": True, "check_index_type": False}
        pd.testing.assert_frame_equal(found, expected, **kinds)

    @pytest.mark.parametrize(
        ("where", "rule"),
        [
            (
                "EXCLUDE ItemID WHERE Items.PRICE > 4 IF CurrentUser.AGE < 18",
                "not young or not costly",
            ),
            ("INCLUDE ItemID WHERE Items.PRICE <= 4 IF CurrentUser.AGE < 18", "not young or cheap"),
            ("EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ('*')", "not taken"),
            ("INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ($ANY)", "taken"),
            (
                "EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ('*') IF CurrentUser.AGE < 18",
                "not young or not taken",
            ),
            (
                "INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ('*') IF CurrentUser.AGE < 18",
                "not young or taken",
            ),
            (
                "INCLUDE ItemID WHERE Items.PRICE <= 4 | "
                "INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ('*')",
                "cheap or taken",
            ),
            (
                "INCLUDE ItemID WHERE Items.PRICE <= 4 | INCLUDE ItemID WHERE Items.PRICE > 9 | "
                "EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ('*') IF CurrentUser.AGE < 18",
                "(cheap or dear) and (not young or not taken)",
            ),
            (
                "INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ('*') IF CurrentUser.AGE < 18 | "
                "INCLUDE ItemID WHERE Items.PRICE > 9 IF CurrentUser.AGE >= 18 | "
                "EXCLUDE ItemID WHERE Items.PRICE <= 4",
                "(taken if young else dear if old else True) and not cheap",
            ),
        ],
    )
    def test_statements_hold_user_by_user(self, where, rule):
        model = self.fitted(with_tables())
        ages = user_table().set_index("customer")["age"]
        prices = item_table().set_index("product")["price"]
        taken = set(map(tuple, events().to_numpy().tolist()))

        def keep(user, item):
            age = ages.get(user)
            facts = {
                "young": age is not None and age < 18,
                "old": age is not None and age >= 18,
                "cheap": prices[item] <= 4,
                "costly": prices[item] > 4,
                "dear": prices[item] > 9,
                "taken": (user, item) in taken,
            }
            return eval(rule, {}, facts)

        values = {"ANY": "*"} if "$ANY" in where else None
        self.check(model, where, keep, values=values)
        everyone = model.users_.to_list()
        self.check(model, where, keep, users=everyone, values=values, k=4)

    def test_statements_go_with_lists_and_seen_items(self):
        model = self.fitted(with_tables())
        where = (
            "EXCLUDE ItemID WHERE Items.PRICE > 4 IF CurrentUser.AGE < 18 | "
            "INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ('*')"
        )
        assert len(model.recommend(ASKED, where=where)) == 0  # only what is seen
        names = [f"item {i:02d}" for i in range(0, N_ITEMS, 2)]
        lists = pd.DataFrame(
            [(user, name) for user in ASKED for name in names], columns=["customer", "product"]
        ).drop_duplicates()
        both = model.recommend(ASKED, where=where, candidates=lists, exclude_seen=False, k=30)
        whole = model.recommend(ASKED, where=where, exclude_seen=False, k=30)
        kept = whole[whole["product"].isin(names)]
        assert both["product"].tolist() == kept["product"].tolist()
        assert both["score"].tolist() == kept["score"].tolist()
        without = model.recommend(ASKED, where=where, exclude=lists, exclude_seen=False, k=30)
        kept = whole[~whole["product"].isin(names)]
        assert without["product"].tolist() == kept["product"].tolist()

    def test_statements_do_not_hold_for_strangers(self):
        model = self.fitted(with_tables())
        where = "EXCLUDE ItemID WHERE Items.KIND NOT IN ('x') IF CurrentUser.CITY = 'Paris'"
        found = model.recommend([1000, "who?"], where=where, unknown="popular", k=3)
        assert found["customer"].tolist() == ["who?"] * 3
        absent = 1030  # has no row
        assert len(model.recommend([absent], where=where, k=3)) == 3
        nulls = "INCLUDE ItemID WHERE Items.PRICE < 0 IF CurrentUser.AGE IS NULL"
        assert len(model.recommend([absent], where=nulls, k=3)) == 3
        assert len(model.recommend(history=self.history("item 03"), where=where, k=3)) == 3
        mine = "INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ('*')"
        history = self.history("item 09", "item 03")
        own = model.recommend(history=history, where=mine, exclude_seen=False)
        assert sorted(own["product"]) == ["item 03", "item 09"]

    def test_statements_that_cannot_be_kept(self):
        model = self.fitted(with_tables())
        bought = "EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ('buy')"
        with pytest.raises(UnsupportedError, match=r"does not keep the types of events.*'buy'"):
            model.recommend([1000], where=bought)
        given = bought.replace("'buy'", "$EVENT")
        with pytest.raises(ParameterError, match=r"wants a value for \$EVENT"):
            model.recommend([1000], where=given)
        any_event = model.recommend([1000], where=given, where_values={"EVENT": ["buy", "*"]})
        pd.testing.assert_frame_equal(any_event, model.recommend([1000]), check_exact=True)
        with pytest.raises(UnsupportedError, match="users_where"):
            model.recommend([1000], where="INCLUDE UserID WHERE Users.AGE > 3")
        with pytest.raises(ColumnError, match="'AGEE', which the table does not have"):
            model.recommend(
                [1000], where="EXCLUDE ItemID WHERE Items.PRICE > 4 IF CurrentUser.AGEE < 18"
            )
