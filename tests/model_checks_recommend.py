"""The part of the contract suite about `recommend`: ranks, filters, ids, unknown users."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import (
    BACKENDS,
    COLUMNS,
    N_ITEMS,
    ModelFactory,
    convert,
    events,
    interactions,
    pandas_frame,
    stars,
)
from penchant.errors import DataError, ParameterError, UnknownIdError


class RecommendChecks(ModelFactory):
    """Run through `model_checks.ModelChecks`."""

    # ---- recommend ------------------------------------------------------------------------------

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_frame_is_of_the_kind_given(self, backend):
        data = interactions(backend=backend)
        model = self.fitted(data)
        frame = model.recommend(k=4)
        assert type(frame) is type(convert(events(), backend))
        table = pandas_frame(frame)
        assert list(table.columns) == COLUMNS
        assert table["customer"].dtype == np.int64
        assert table["score"].dtype == np.float32
        assert table["rank"].dtype == np.int64
        assert np.isfinite(table["score"]).all()
        expected = self.fitted().recommend(k=4)
        for column in COLUMNS:
            assert table[column].tolist() == expected[column].tolist()

    def test_rows_are_ranked_by_user_in_the_order_asked(self):
        model = self.fitted()
        frame = model.recommend([1050, 1000, 1390], k=5)
        assert frame["customer"].tolist() == np.repeat([1050, 1000, 1390], 5).tolist()
        assert frame["rank"].tolist() == [1, 2, 3, 4, 5] * 3
        for _, part in frame.groupby("customer"):
            assert part["score"].is_monotonic_decreasing
            assert part["product"].is_unique

    def test_none_means_everyone(self):
        model = self.fitted()
        everyone = events()["customer"].unique()
        pd.testing.assert_frame_equal(model.recommend(k=3), model.recommend(everyone, k=3))

    def test_one_id_alone_gives_the_bits_of_the_batch(self):
        model = self.fitted()
        batch = model.recommend(k=6)
        for user in model.users_.to_list():
            expected = batch[batch["customer"] == user].reset_index(drop=True)
            pd.testing.assert_frame_equal(model.recommend(user, k=6), expected, check_exact=True)

    def test_repeated_users_get_repeated_answers(self):
        frame = self.fitted().recommend([1000, 1000], k=2)
        assert frame["product"].tolist()[:2] == frame["product"].tolist()[2:]

    def test_no_users(self):
        frame = self.fitted().recommend([], k=3)
        assert list(frame.columns) == COLUMNS
        assert len(frame) == 0
        assert frame["score"].dtype == np.float32

    def test_exclude_seen(self):
        model = self.fitted()
        seen = set(events().itertuples(index=False, name=None))
        without = model.recommend(k=N_ITEMS)
        assert not seen & set(zip(without["customer"], without["product"], strict=True))
        with_seen = model.recommend(k=N_ITEMS, exclude_seen=False)
        pairs = set(zip(with_seen["customer"], with_seen["product"], strict=True))
        assert seen <= pairs
        assert len(pairs) == len(model.users_) * len(model.items_)
        assert len(without) == len(pairs) - len(seen)

    def test_k_larger_than_the_catalogue_gives_a_shorter_answer(self):
        model = self.fitted()
        n_items = len(model.items_)
        frame = model.recommend(1000, k=10**9, exclude_seen=False)
        assert len(frame) == n_items
        assert frame["product"].nunique() == n_items

    @pytest.mark.parametrize("k", [0, -1, 2.5, "10", None, True])
    def test_bad_k(self, k):
        with pytest.raises(ParameterError, match="k must be"):
            self.fitted().recommend(1000, k=k)

    def test_bad_num_threads(self):
        for threads in (0, -1, 1.5, "2"):
            with pytest.raises(ParameterError, match="num_threads"):
                self.fitted().recommend(1000, num_threads=threads)

    def test_column_names_that_clash(self):
        frame = events().assign(stars=stars(events()))
        frame = frame.rename(columns={"customer": "rank", "product": "score"})
        data = pc.Interactions.from_frame(frame, user="rank", item="score", value="stars")
        result = self.fitted(data).recommend(1000, k=2)
        assert list(result.columns) == ["rank", "score", "score_", "rank_"]

    def test_a_frame_or_dict_is_no_list_of_ids(self):
        model = self.fitted()
        frame = events()
        ways = [frame[["customer"]], frame[["customer"]].to_dict("list"), frame]
        for users in [*ways, *(convert(frame, backend) for backend in ("polars", "pyarrow"))]:
            with pytest.raises(DataError, match=r"not a \w+: pass df\['customer'\]"):
                model.recommend(users, k=2)
        if self.has_neighbors:
            with pytest.raises(DataError, match=r"pass df\['product'\]"):
                model.similar_items(frame[["product"]])

    # ---- ids ------------------------------------------------------------------------------------

    @pytest.mark.parametrize("form", [str, float, np.int32, lambda u: f" {u}.0"])
    def test_number_ids_match_in_any_form(self, form):
        model = self.fitted()
        expected = model.recommend([1000, 1390], k=3)
        found = model.recommend([form(1000), form(1390)], k=3)
        pd.testing.assert_frame_equal(found, expected)

    def test_text_ids_match_numbers(self):
        frame = events().assign(customer=lambda f: f["customer"].astype(str))
        model = self.fitted(interactions(frame))
        pd.testing.assert_frame_equal(model.recommend(1000, k=3), model.recommend("1000", k=3))
        assert model.recommend(1000, k=1)["customer"].tolist() == ["1000"]

    @pytest.mark.parametrize(
        "dtype", ["int8", "int32", "int64", "uint16", "str", "category", "datetime64[us]", "bool"]
    )
    def test_ids_keep_their_dtype(self, dtype, tmp_path):
        frame = events(n_users=20)
        users = (frame["customer"] - 1000) // 10
        if dtype == "bool":
            users = users % 2
        frame["customer"] = users.astype(dtype)
        model = self.fitted(interactions(frame))
        model.save(tmp_path / "model")
        for answering in (model, pc.load(tmp_path / "model")):
            result = answering.recommend(frame["customer"].iloc[:1], exclude_seen=False, k=2)
            assert result["customer"].dtype == frame["customer"].dtype
            assert result["customer"].tolist() == frame["customer"].tolist()[:1] * 2

    def test_integers_that_nulls_made_floats_come_back_as_integers(self):
        frame = events()
        frame["customer"] = frame["customer"].astype(float)
        frame.loc[3, "customer"] = np.nan
        with pytest.warns(pc.errors.PenchantWarning, match="dropped 1 of 320"):
            data = interactions(frame)
        result = self.fitted(data).recommend("1000", k=1)
        assert result["customer"].dtype == np.int64
        assert result["customer"].tolist() == [1000]

    # ---- unknown users --------------------------------------------------------------------------

    def test_unknown_error_names_five(self):
        model = self.fitted()
        with pytest.raises(UnknownIdError) as caught:
            model.recommend([1000, 1, 2, 3, 4, 5, 6])
        text = str(caught.value)
        assert "6 ids" in text
        assert "1, 2, 3, 4, 5, ..." in text
        assert "unknown='drop'" in text
        assert isinstance(caught.value, KeyError)

    def test_unknown_drop(self):
        model = self.fitted()
        frame = model.recommend([1, 1390, "nobody", None, 1000], k=2, unknown="drop")
        pd.testing.assert_frame_equal(frame, model.recommend([1390, 1000], k=2))

    def test_unknown_popular(self):
        model = self.fitted()
        frame = model.recommend([1, 1000, 2], k=4, unknown="popular")
        assert frame["customer"].tolist() == [1] * 4 + [1000] * 4 + [2] * 4
        assert frame["customer"].dtype == np.int64
        known = frame[frame["customer"] == 1000].reset_index(drop=True)
        pd.testing.assert_frame_equal(known, model.recommend(1000, k=4), check_exact=True)
        users = events().drop_duplicates().groupby("product")["customer"].count()
        best = users.reset_index().sort_values(["customer", "product"], ascending=[False, True])
        for user in (1, 2):
            part = frame[frame["customer"] == user]
            assert part["product"].tolist() == best["product"].tolist()[:4]
            assert part["score"].tolist() == best["customer"].tolist()[:4]

    def test_unknown_popular_that_is_no_number_turns_the_column_into_text(self):
        frame = self.fitted().recommend(["nobody", 1000], k=1, unknown="popular")
        assert frame["customer"].tolist() == ["nobody", "1000"]

    def test_bad_policy(self):
        with pytest.raises(ParameterError, match="unknown='ignore'"):
            self.fitted().recommend([1000], unknown="ignore")
