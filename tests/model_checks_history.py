"""The part of the contract suite about strangers: `recommend(history=...)`."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import penchant as pc
from model_support import (
    BACKENDS,
    COLUMNS,
    N_ITEMS,
    STARS,
    ModelFactory,
    bits,
    convert,
    interactions,
    pandas_frame,
)
from penchant.errors import DataError, ParameterError, UnknownIdError

STRANGERS = pd.DataFrame(
    {
        "customer": [7, 9, 7, 9, 9, 8],
        "product": ["item 03", "item 10", "item 05", "item 00", "item 10", "item 21"],
    }
)


class HistoryChecks(ModelFactory):
    """Run through `model_checks.ModelChecks`."""

    @pytest.fixture
    def folding(self):
        return self.fitted()

    @property
    def strangers(self):
        stars = {"stars": STRANGERS["product"].map(STARS)} if self.rated else {}
        return STRANGERS.assign(**stars)

    def test_a_history_without_ratings(self, folding):
        if not self.rated:
            pytest.skip("goes by items alone")
        for history in (["item 03"], STRANGERS):
            with pytest.raises(DataError, match=r"goes by ratings.*\{item: rating\}.*'stars'"):
                folding.recommend(history=history)
        for bad in ({"item 03": "good"}, {"item 03": np.nan}, {"item 03": 3, "item 05": 90}):
            with pytest.raises(DataError, match="history"):
                folding.recommend(history=bad)

    def test_a_list_of_histories(self, folding):
        own = [self.history("item 03", "item 05"), self.history("item 21")]
        found = folding.recommend(history=own, k=3)
        assert found["customer"].tolist() == [0, 0, 0, 1, 1, 1]
        for place, history in enumerate(own):
            alone = folding.recommend(history=history, k=3)
            same = found[found["customer"] == place].drop(columns="customer")
            assert same.reset_index(drop=True).equals(alone)
        nobody = type(own[0])()
        none = folding.recommend(history=[nobody, own[0]], k=1)
        assert none["score"].tolist()[0] == folding.item_counts_.max()  # popular items
        for bad in (["item 03", ["item 05"]], [{"item 03": 3}, ["item 05"]]):
            with pytest.raises(DataError, match="history: place 0"):
                folding.recommend(history=bad)
        if "explain" in folding.capabilities_:
            with pytest.raises(ParameterError, match="one stranger, not of several"):
                folding.explain(history=own, item="item 00")

    @pytest.mark.parametrize("bad", [np.nan, None, np.inf, 1e39, "good", -1, 10**39, 10**400])
    def test_the_error_for_a_bad_value_names_its_item(self, folding, bad):
        message = "item 'item 05' is .*: give a finite number, .* or leave the item out"
        with pytest.raises(DataError, match=f"history: .*{message}"):
            folding.recommend(history={"item 03": 2, "item 05": bad})
        with pytest.raises(DataError, match=f"history: place 1: .*{message}"):
            folding.recommend(history=[{"item 03": 2}, {"item 03": 2, "item 05": bad}])
        if self.rated and isinstance(bad, float):
            row = pd.DataFrame({"customer": [7, 8], "product": ["item 03", "item 05"]})
            with pytest.raises(
                DataError, match=r"'stars' is .* in row 1, item 'item 05' of user 8"
            ):
                folding.recommend(history=row.assign(stars=[3.0, bad]))

    def test_a_mapping_of_strangers_is_none_of_items(self, folding):
        with pytest.raises(DataError, match="several strangers are a list of histories, or a fra"):
            folding.recommend(history={"item 03": ["item 05", "item 10"]})

    def test_values_of_any_kind_that_training_data_take(self, folding):
        own = {"item 03": 2, "item 05": 1}
        plain = folding.recommend(history=own, k=3)
        for values in ([Decimal("2.0"), Decimal(1)], [np.int8(2), np.float64(1)], [2, True]):
            given = dict(zip(own, values, strict=True))
            pd.testing.assert_frame_equal(folding.recommend(history=given, k=3), plain)
        frame = pd.DataFrame(
            {"customer": 7, "product": list(own), "stars": [Decimal(2), Decimal(1)]}
        )
        found = folding.recommend(history=frame, k=3).drop(columns="customer")
        if self.rated:
            pd.testing.assert_frame_equal(found, plain)

    def test_histories_in_a_column_of_lists(self, folding):
        if self.rated:
            pytest.skip("goes by items and their values")
        lists = [["item 03", "item 05"], ["item 21"]]
        plain = folding.recommend(history=lists, k=2)
        columns = [pa.array(lists), pd.Series(lists), iter(lists), dict(enumerate(lists)).values()]
        columns.append(pd.Series(lists, dtype=pd.ArrowDtype(pa.list_(pa.string()))))
        for column in (*columns, pytest.importorskip("polars").Series(lists)):
            pd.testing.assert_frame_equal(folding.recommend(history=column, k=2), plain)

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_history_of_one(self, folding, backend):
        model = self.fitted(interactions(backend=backend))
        frame = model.recommend(history=self.history("item 03", "item 05"), k=4)
        assert type(frame) is type(convert(STRANGERS, backend))
        table = pandas_frame(frame)
        assert list(table.columns) == COLUMNS[1:]
        assert table["rank"].tolist() == [1, 2, 3, 4]
        assert table["score"].is_monotonic_decreasing
        assert not {"item 03", "item 05"} & set(table["product"])
        everything = pandas_frame(
            model.recommend(history=self.history("item 03"), k=99, exclude_seen=False)
        )
        assert sorted(everything["product"]) == model.items_.to_list()

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_histories_of_many_give_the_bits_of_one(self, folding, backend):
        model = self.fitted(interactions(backend=backend))
        frame = pandas_frame(model.recommend(history=convert(self.strangers, backend), k=5))
        assert list(frame.columns) == COLUMNS
        assert frame["customer"].tolist() == [7] * 5 + [9] * 5 + [8] * 5
        for stranger, part in frame.groupby("customer"):
            own = STRANGERS[STRANGERS["customer"] == stranger]["product"].tolist()
            alone = pandas_frame(model.recommend(history=self.history(*own), k=5))
            assert part["product"].tolist() == alone["product"].tolist()
            assert bits(part["score"].to_numpy()) == bits(alone["score"].to_numpy())
            assert not set(own) & set(part["product"])

    def test_history_does_not_depend_on_the_threads(self, folding):
        for threads in (1, 2, 3, 8):
            frame = folding.recommend(history=self.strangers, k=N_ITEMS, num_threads=threads)
            expected = folding.recommend(history=self.strangers, k=N_ITEMS)
            pd.testing.assert_frame_equal(frame, expected, check_exact=True)

    def test_history_survives_saving(self, folding, tmp_path):
        folding.save(tmp_path)
        frame = pc.load(tmp_path).recommend(history=self.strangers, k=N_ITEMS)
        expected = folding.recommend(history=self.strangers, k=N_ITEMS)
        pd.testing.assert_frame_equal(frame, expected, check_exact=True)

    def test_history_with_unknown_items(self, folding):
        mixed = self.history("no item", "item 03", None)
        with pytest.raises(UnknownIdError, match=r"not among the items.*'no item'"):
            folding.recommend(history=mixed)
        expected = folding.recommend(history=self.history("item 03"), k=3)
        for policy in ("drop", "popular"):
            frame = folding.recommend(history=mixed, k=3, unknown=policy)
            pd.testing.assert_frame_equal(frame, expected, check_exact=True)

    def test_history_without_a_known_item(self, folding):
        popular = folding.recommend([1], k=3, unknown="popular")[["product", "score", "rank"]]
        for history in (self.history("no item"), self.history(), []):
            frame = folding.recommend(history=history, k=3, unknown="popular")
            pd.testing.assert_frame_equal(frame, popular)
            assert len(folding.recommend(history=history, k=3, unknown="drop")) == 0
        strangers = self.strangers.assign(
            product=["?" if u == 9 else "item 03" for u in STRANGERS.customer]
        )
        found = folding.recommend(history=strangers, k=2, unknown="drop")
        assert found["customer"].tolist() == [7, 7, 8, 8]
        found = folding.recommend(history=strangers, k=2, unknown="popular")
        assert found["customer"].tolist() == [7, 7, 9, 9, 8, 8]
        assert found["product"].tolist()[2:4] == popular["product"].tolist()[:2]

    def test_users_and_history(self, folding):
        with pytest.raises(ParameterError, match="users or history, not both"):
            folding.recommend([1000], history=self.history("item 03"))

    def test_history_without_its_columns(self, folding):
        with pytest.raises(pc.errors.ColumnError, match="'product' is missing"):
            folding.recommend(history=STRANGERS[["customer"]])
        broken = self.strangers.astype({"customer": float})
        broken.loc[2, "customer"] = np.nan
        with pytest.raises(DataError, match="'customer' is null in row 2"):
            folding.recommend(history=broken)

    def test_histories_in_codes_are_checked(self, folding):
        ones = np.ones(2, np.float32)
        for indptr, items in (([0, 3], [1, 2]), ([0, 2], [1, N_ITEMS]), ([0, 2, 1, 2], [1, 2])):
            histories = pc.models.Histories(
                np.array(indptr, np.int64), np.array(items, np.int32), ones
            )
            with pytest.raises(ParameterError, match="histories"):
                folding.recommend_histories(histories)
