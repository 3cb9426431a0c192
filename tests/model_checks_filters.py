"""The part of the contract suite about which items an answer may hold.

The oracle: everything ranked without a filter, then filtered in pandas. Bits must be the same.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import (
    BACKENDS,
    N_ITEMS,
    ModelFactory,
    convert,
    events,
    interactions,
    pandas_frame,
    stars,
)
from penchant.errors import ColumnError, DataError, ParameterError, PenchantWarning
from penchant.models.expression_filters import feature_table

USERS = [1050, 1000, 1390, 1000]


def item_table():
    names = [f"item {i:02d}" for i in range(N_ITEMS)]
    return pd.DataFrame(
        {
            "product": names,
            "price": [None if i == 3 else i / 2 for i in range(N_ITEMS)],
            "kind": ["Comedy|Drama" if i % 3 == 0 else "Horror" for i in range(N_ITEMS)],
        }
    )


def with_items(backend="pandas"):
    frame = events()
    frame["stars"] = stars(frame)
    return pc.Interactions.from_frame(
        convert(frame, backend),
        user="customer",
        item="product",
        value="stars",
        item_features=convert(item_table(), backend),
    )


class FilterChecks(ModelFactory):
    """Run through `model_checks.ModelChecks`."""

    @pytest.fixture
    def shop(self):
        return self.fitted(with_items())

    def whole(self, model, users, keep, k, **options):
        """Rank everything, keep what ``keep(frame, number)`` says, take the first k of each."""
        parts = []
        for number, user in enumerate(users):
            frame = model.recommend([user], k=N_ITEMS, **options)
            frame = frame[keep(frame, number)].head(k)
            parts.append(frame.assign(rank=np.arange(1, len(frame) + 1)))
        return pd.concat(parts, ignore_index=True)

    def assert_like(self, found, expected):
        pd.testing.assert_frame_equal(found, expected, check_exact=True, check_index_type=False)

    @pytest.mark.parametrize("seen", [True, False])
    @pytest.mark.parametrize("k", [1, 4, N_ITEMS])
    def test_where_ranks_what_it_chooses(self, shop, k, seen):
        table = item_table().set_index("product")
        chosen = table.index[(table["kind"] == "Horror") & (table["price"] < 12)]
        found = shop.recommend(
            USERS, k=k, where="'Horror' in kind and price < $most", where_values={"most": 12},
            exclude_seen=seen,
        )  # fmt: skip
        self.assert_like(
            found,
            self.whole(shop, USERS, lambda f, _: f["product"].isin(chosen), k, exclude_seen=seen),
        )

    def test_a_selective_expression_ranks_its_few(self, shop):
        found = shop.recommend(USERS, where="product = 'item 07'", exclude_seen=False)
        self.assert_like(
            found,
            self.whole(shop, USERS, lambda f, _: f["product"] == "item 07", 9, exclude_seen=False),
        )

    def test_personalize_says_the_same(self, shop):
        mine = shop.recommend(USERS, where="'Comedy' not in kind and (price >= 3 or price is null)")
        theirs = shop.recommend(
            USERS,
            where='EXCLUDE ItemID WHERE Items.KIND IN ("Comedy") '
            "| EXCLUDE ItemID WHERE Items.PRICE < 3",
        )
        self.assert_like(mine, theirs)

    def test_one_list_for_everybody(self, shop):
        names = ["item 02", "item 11", "item 05", "item 20", "item 02"]
        self.assert_like(
            shop.recommend(USERS, candidates=names, exclude_seen=False),
            self.whole(shop, USERS, lambda f, _: f["product"].isin(names), 10, exclude_seen=False),
        )
        self.assert_like(
            shop.recommend(USERS, exclude=[*names, "unheard of"], k=6),
            self.whole(shop, USERS, lambda f, _: ~f["product"].isin(names), 6),
        )

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_lists_of_each_user(self, backend):
        model = self.fitted(with_items(backend))
        lists = {1050: ["item 01", "item 04", "item 09"], 1000: ["item 04"], 7: ["item 01"]}
        pairs = [(user, name) for user, names in lists.items() for name in names]
        frame = convert(pd.DataFrame(pairs, columns=["customer", "product"]), backend)
        plain = self.fitted(with_items())

        def own(part, number):
            return part["product"].isin(lists.get(USERS[number], []))

        self.assert_like(
            pandas_frame(model.recommend(USERS, candidates=frame, exclude_seen=False)),
            self.whole(plain, USERS, own, 10, exclude_seen=False),
        )
        self.assert_like(
            pandas_frame(model.recommend(USERS, exclude=frame, k=5)),
            self.whole(plain, USERS, lambda f, n: ~own(f, n), 5),
        )
        for name in ("candidates", "exclude"):
            same = model.recommend(USERS, **{name: lists, "k": 5})
            assert pandas_frame(same).equals(
                pandas_frame(model.recommend(USERS, **{name: frame, "k": 5}))
            )

    def test_a_mapping_of_lists(self, shop):
        several = {"1050": np.array(["item 04", "item 09"]), "1000": "item 04"}
        found = shop.recommend([1050, 1000], candidates=several, exclude_seen=False)
        assert found["customer"].tolist() == [1050, 1050, 1000]
        assert len(shop.recommend([1050], candidates={})) == 0
        assert len(shop.recommend([1050], exclude={}, k=3)) == 3
        with pytest.raises(DataError, match="has nulls"):
            shop.recommend([1050], exclude={None: ["item 04"]})
        with pytest.raises(ParameterError, match="only one history"):
            shop.recommend(history=["item 04"], exclude={1050: ["item 05"]})

    def test_filters_hold_for_the_unknown_as_well(self, shop):
        found = shop.recommend(
            ["who?", 1000], where="price > 5", exclude=["item 12"], unknown="popular", k=4
        )
        assert found["customer"].tolist() == ["who?"] * 4 + ["1000"] * 4
        prices = item_table().set_index("product")["price"]
        assert (prices[found["product"]] > 5).all()
        assert "item 12" not in set(found["product"])
        counts = dict(zip(shop.items_.to_list(), shop.item_counts_.tolist(), strict=True))
        fit = sorted(
            (n for n in counts if prices[n] > 5 and n != "item 12"), key=lambda n: (-counts[n], n)
        )
        assert found["product"].tolist()[:4] == fit[:4]

    def test_a_filter_that_leaves_nothing_leaves_the_others_alone(self, shop):
        assert len(shop.recommend(USERS, where="price > 1000")) == 0
        only = pd.DataFrame({"customer": [1000], "product": ["item 08"]})
        found = shop.recommend([1050, 1000], candidates=only, exclude_seen=False)
        assert found["customer"].tolist() == [1000]

    def test_long_arrays_of_values_are_told_apart(self, shop):
        for name in ("item 07", "item 11"):  # where the repr of an array leaves its middle out
            names = np.array([f"nothing {i}" for i in range(3000)], dtype=object)
            names[1500] = name
            found = shop.recommend(
                [1000], where="product in $names", where_values={"names": names}, exclude_seen=False
            )
            assert found["product"].tolist() == [name]

    def test_columns_of_the_item_table_come_along(self, shop, tmp_path):
        found = shop.recommend(USERS, k=3, with_columns=["kind", "price"])
        assert list(found.columns) == ["customer", "product", "score", "rank", "kind", "price"]
        table = item_table().set_index("product")
        assert found["kind"].tolist() == table["kind"][found["product"]].tolist()
        same = shop.recommend(USERS, k=3, with_columns=(name for name in ("kind", "price")))
        pd.testing.assert_frame_equal(same, found)
        shop.save(tmp_path / "model")
        again = pc.load(tmp_path / "model")
        pd.testing.assert_frame_equal(
            again.recommend(USERS, k=3, with_columns=["kind", "price"], where="price < 9"),
            shop.recommend(USERS, k=3, with_columns=["kind", "price"], where="price < 9"),
        )

    def test_statements_that_include_are_joined(self, shop):
        where = (
            "INCLUDE ItemID WHERE Items.PRICE < 3 | INCLUDE ItemID WHERE Items.PRICE > 9 | "
            "EXCLUDE ItemID WHERE Items.KIND IN ('Comedy')"
        )
        mine = shop.recommend(USERS, where="(price < 3 or price > 9) and 'Comedy' not in kind")
        self.assert_like(shop.recommend(USERS, where=where), mine)
        assert len(mine) > 0

    def test_the_item_table_is_made_once(self, shop):
        shop.recommend(USERS, where="price < 3")
        assert feature_table(shop, "item") is feature_table(shop, "item")
        assert feature_table(shop, "item").num_columns == 3
        assert feature_table(shop.fit(interactions(), progress=False), "item").num_columns == 1

    def test_what_cannot_be_filtered_says_why(self, shop):
        with pytest.raises(ColumnError, match=r"names the column 'prise', .*did you mean 'price'"):
            shop.recommend(USERS, where="prise < 3")
        with pytest.raises(ParameterError, match="column 'price' is double and cannot be compared"):
            shop.recommend(USERS, where="price = 'cheap'")
        with pytest.raises(ParameterError, match=r"wants a value for \$most"):
            shop.recommend(USERS, where="price < $most")
        with pytest.raises(ColumnError, match="with_columns names 'knd', did you mean 'kind'"):
            shop.recommend(USERS, with_columns=["knd"])
        with pytest.raises(ParameterError, match=r"with_columns is a sequence of names: \[5\]"):
            shop.recommend(USERS, with_columns=5)
        with pytest.raises(DataError, match="nulls"):
            shop.recommend(
                USERS, exclude=pd.DataFrame({"customer": [None], "product": ["item 01"]})
            )
        with pytest.warns(PenchantWarning, match="1 of 2 are not items of the training data"):
            shop.recommend(USERS, candidates=["item 01", "nothing"])
