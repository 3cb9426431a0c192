"""The part of the contract suite about users as answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from model_checks_filters import item_table
from model_checks_statements import user_table, with_tables
from model_support import N_USERS, ModelFactory, bits, events
from penchant.errors import ColumnError, ParameterError, UnknownIdError, UnsupportedError
from penchant.models import audience


class AudienceChecks(ModelFactory):
    """Run through `model_checks.ModelChecks`."""

    @pytest.mark.parametrize("seen", [True, False])
    @pytest.mark.parametrize("k", [1, 7, 500])
    def test_an_audience_has_the_scores_of_predict(self, k, seen):
        model = self.fitted()
        names = ["item 07", "item 12", "item 07"]
        found = model.recommend_users(names, k=k, exclude_seen=seen)
        assert list(found.columns) == ["product", "customer", "score", "rank"]
        users = model.users_.to_list()
        taken = {
            (users[u], model.items_.to_list()[i])
            for u in range(len(users))
            for i in model.seen_.indices[model.seen_.indptr[u] : model.seen_.indptr[u + 1]]
        }
        expected = []
        for name in names:
            pairs = pd.DataFrame({"customer": users, "product": name})
            pairs["score"] = model.predict(pairs)
            if seen:
                pairs = pairs[[(user, name) not in taken for user in users]]
            expected.append(self.ranked(model, pairs, k))
        expected = pd.concat(expected)
        assert found["product"].tolist() == expected["product"].tolist()
        assert found["customer"].tolist() == expected["customer"].tolist()
        assert bits(found["score"]) == bits(expected["score"])

    def ranked(self, model, pairs, k):
        """Sort by the score before it is clipped to a scale of ratings."""
        rows = model.users_.codes(pairs["customer"]).astype(np.int64)
        items = model.items_.codes(pairs["product"]).astype(np.int64)
        raw = model._index().score_pairs(
            model._queries(rows), np.arange(len(rows)), items, num_threads=1
        )
        return pairs.iloc[np.argsort(-raw, kind="stable")[:k]]

    def test_an_audience_is_cut_at_a_score(self):
        model = self.fitted()
        whole = model.recommend_users(["item 03"], k=N_USERS)
        middle = float(whole["score"].median())
        cut = model.recommend_users(["item 03"], k=N_USERS, min_score=middle)
        pd.testing.assert_frame_equal(cut, whole[whole["score"] >= middle])
        few = model.recommend_users(["item 03"], k=3, min_score=middle)
        pd.testing.assert_frame_equal(few, cut.head(3))
        with pytest.raises(ParameterError, match="min_score must be a finite number"):
            model.recommend_users(["item 03"], min_score=np.nan)
        with pytest.raises(ParameterError, match="min_score must be a finite number, got 'high'"):
            model.recommend_users(["item 03"], min_score="high")
        with pytest.raises(UnknownIdError, match="no such thing"):
            model.recommend_users(["no such thing"])
        assert len(model.recommend_users(["no such thing"], unknown="drop")) == 0

    def test_a_least_score_alone_takes_all_who_reach_it(self, monkeypatch):
        model = self.fitted(with_tables())
        monkeypatch.setattr(audience, "_DEFAULT_K", 4)
        asked = [{"items": ["item 03", "item 07", "item 04"]}, {"where": "price < 4"}]
        for options in asked:
            whole = model.recommend_users(**options, k=N_USERS)
            assert len(whole) > 4 * whole.get("product", pd.Series([0])).nunique()
            pd.testing.assert_frame_equal(
                model.recommend_users(**options), whole[whole["rank"] <= 4].reset_index(drop=True)
            )
            least = float(whole["score"].quantile(0.3))
            expected = whole[whole["score"] >= least].reset_index(drop=True)
            assert len(expected) > 4
            for at_once in (1 << 22, 2 * N_USERS, 1):
                monkeypatch.setattr(audience, "_PAIRS_AT_ONCE", at_once)
                found = model.recommend_users(**options, min_score=least)
                pd.testing.assert_frame_equal(found, expected, check_exact=True)
            assert len(model.recommend_users(**options, min_score=1e39)) == 0

    def test_ranks_are_those_before_clipping_and_the_cut_that_of_what_is_shown(self, monkeypatch):
        model = self.fitted(with_tables())
        rating = getattr(model, "rank_", model)
        if not hasattr(rating, "scale_"):
            pytest.skip("shows scores as they are")
        monkeypatch.setattr(rating, "scale_", np.array([-100, 100], np.float32))
        asked = [{"items": ["item 03"]}, {"where": "price < 4"}]
        wide = [model.recommend_users(**options, k=N_USERS) for options in asked]
        wide.append(model.recommend(model.users_[0], k=9))
        high = np.float32(np.median(np.concatenate([frame["score"] for frame in wide[:2]])))
        ends = np.array([high - 1, high], np.float32)
        monkeypatch.setattr(rating, "scale_", ends)
        narrow = [model.recommend_users(**options, k=N_USERS) for options in asked]
        narrow.append(model.recommend(model.users_[0], k=9))
        for found, before in zip(narrow, wide, strict=True):
            shown = before.assign(score=before["score"].clip(*ends))
            pd.testing.assert_frame_equal(found, shown, check_exact=True)
        # A least score is what one reads in the frame, which prints float32.
        least = np.float64(str(high))
        for options, found in zip(asked, narrow, strict=False):
            best = model.recommend_users(**options, min_score=least)
            assert len(best) == np.count_nonzero(found["score"] == high) > 1
            pd.testing.assert_frame_equal(best, found.head(len(best)), check_exact=True)

    @pytest.mark.parametrize("bad", [np.inf, True, pytest.param(10**400, id="huge"), 1j, "3"])
    def test_a_least_score_that_is_no_number(self, bad):
        with pytest.raises(ParameterError, match="min_score must be a finite number, got"):
            self.fitted().recommend_users(["item 03"], min_score=bad)

    def raw_scores(self, model):
        """Users x items, before they are clipped to a scale of ratings."""
        n, m = len(model.users_), len(model.items_)
        users, items = np.repeat(np.arange(n), m), np.tile(np.arange(m), n)
        raw = model._index().score_pairs(model._queries(None), users, items, num_threads=1)
        return raw.reshape(n, m)

    @pytest.mark.parametrize("seen", [True, False])
    @pytest.mark.parametrize("reduce", ["max", "mean"])
    @pytest.mark.parametrize("where", ["price < 4", "product = 'item 05'", "price > 100"])
    def test_an_audience_of_an_expression(self, where, reduce, seen):
        model = self.fitted(with_tables())
        found = model.recommend_users(where=where, reduce=reduce, k=12, exclude_seen=seen)
        assert list(found.columns) == ["customer", "score", "rank"]
        table = item_table().set_index("product").loc[model.items_.to_list()].reset_index()
        chosen = table.index.isin(table.query(where.replace(" = ", " == ")).index)
        raw = self.raw_scores(model)
        raw = model._finish(raw) if reduce == "mean" else raw  # a mean is of what is shown
        scores = np.where(chosen, raw.astype(np.float64), np.nan)
        if seen:
            users = np.repeat(np.arange(len(model.users_)), np.diff(model.seen_.indptr))
            scores[users, model.seen_.indices] = np.nan
        some = ~np.isnan(scores).all(axis=1)
        expected = np.full(len(scores), -np.inf)
        expected[some] = getattr(np, f"nan{reduce}")(scores[some], axis=1)
        order = np.argsort(-expected, kind="stable")[:12]
        order = order[np.isfinite(expected[order])]
        assert found["rank"].tolist() == list(range(1, len(order) + 1))
        names = model.users_.codes(found["customer"].tolist())
        if reduce == "max":
            assert names.tolist() == order.tolist()
            first = model.recommend(found["customer"].tolist(), where=where, exclude_seen=seen, k=1)
            assert bits(found["score"]) == bits(first["score"])
        shown = model._finish(expected[order].astype(np.float32))
        np.testing.assert_allclose(found["score"], shown, rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(expected[names], expected[order], rtol=2e-5, atol=2e-6)

    @pytest.mark.parametrize("seen", [True, False])
    def test_a_mean_is_that_of_the_scores_of_predict(self, seen, monkeypatch):
        model = self.fitted(with_tables())
        if hasattr(model, "scale_"):
            monkeypatch.setattr(model, "scale_", np.array([2.5, 3], np.float32))  # clips many
        found = model.recommend_users(
            where="price < 6", reduce="mean", k=N_USERS, exclude_seen=seen
        )
        items = item_table().query("price < 6")["product"]
        pairs = pd.DataFrame({"customer": model.users_.to_list()}).merge(items, how="cross")
        pairs["score"] = model.predict(pairs)
        if seen:
            taken = set(events()[["customer", "product"]].itertuples(index=False, name=None))
            own = pairs[["customer", "product"]].itertuples(index=False, name=None)
            pairs = pairs[[pair not in taken for pair in own]]
        expected = pairs.groupby("customer")["score"].mean()[found["customer"]]
        assert len(found) == N_USERS
        np.testing.assert_allclose(found["score"], expected, rtol=2e-5, atol=2e-6)

    @pytest.mark.parametrize("threads", [1, 3])
    def test_an_audience_does_not_depend_on_threads(self, threads):
        model = self.fitted(with_tables())
        for options in ({"where": "price < 9"}, {"where": "price < 9", "reduce": "mean"}, {}):
            pd.testing.assert_frame_equal(
                model.recommend_users(**options, k=9, num_threads=threads),
                model.recommend_users(**options, k=9, num_threads=2),
                check_exact=True,
            )

    def test_user_attributes_restrict_an_audience(self):
        model = self.fitted(with_tables())
        ages = user_table().set_index("customer")["age"]
        grown = set(ages.index[ages >= 18])
        statement = "INCLUDE UserID WHERE Users.AGE >= $AGE"
        for options in ({"items": ["item 07", "item 12"]}, {"where": "price < 4"}):
            whole = model.recommend_users(**options, k=N_USERS)
            kept = whole[whole["customer"].isin(grown)]
            group = ["product"] if "items" in options else (lambda _: 0)
            kept = kept.groupby(group, sort=False).head(3).reset_index(drop=True)
            kept["rank"] = kept.groupby(group).cumcount() + 1
            for who, values in (("age >= 18", None), (statement, {"AGE": 18})):
                found = model.recommend_users(**options, users_where=who, where_values=values, k=3)
                pd.testing.assert_frame_equal(found, kept, check_exact=True)
        nobody = model.recommend_users(["item 07"], users_where="age > 500")
        assert len(nobody) == 0

    def test_audiences_that_cannot_be_found_say_why(self):
        model = self.fitted(with_tables())
        with pytest.raises(ParameterError, match="items or where, not both"):
            model.recommend_users(["item 07"], where="price < 4")
        with pytest.raises(ParameterError, match="reduce"):
            model.recommend_users(where="price < 4", reduce="sum")
        with pytest.raises(ParameterError, match=r"where_values are for \$NAMES"):
            model.recommend_users(["item 07"], where_values={"a": 1})
        with pytest.raises(UnsupportedError, match="users_where"):
            model.recommend_users(
                where="EXCLUDE ItemID WHERE Items.PRICE > 3 IF CurrentUser.AGE > 3"
            )
        with pytest.raises(UnsupportedError, match=r"UserID \.\.\. into users_where"):
            model.recommend_users(where="INCLUDE UserID WHERE Users.AGE > 3")
        with pytest.raises(UnsupportedError, match=r"ItemID \.\.\. goes into where"):
            model.recommend_users(users_where="INCLUDE ItemID WHERE Items.PRICE > 3")

    def test_columns_stand_beside_users_and_neighbors(self):
        model = self.fitted(with_tables())
        users = user_table().set_index("customer")
        items = item_table().set_index("product")
        questions = [
            (model.recommend_users, {"items": ["item 07"], "k": 9}, users, "customer"),
            (model.recommend_users, {"where": "price < 4", "k": 9}, users, "customer"),
        ]
        if "similar_users" in model.capabilities_:
            questions.append((model.similar_users, {"users": [1050, 1000]}, users, "neighbor"))
        if "similar_items" in model.capabilities_:
            questions.append((model.similar_items, {"items": ["item 03"]}, items, "neighbor"))
        for call, asked, table, answer in questions:
            plain = call(**asked)
            names = ["age", "city"] if table is users else ["kind", "price"]
            for given in (names, iter(names)):
                found = call(**asked, with_columns=given)
                assert list(found.columns) == [*plain.columns, *names]
                pd.testing.assert_frame_equal(found[plain.columns], plain, check_exact=True)
                expected = table.reindex(found[answer])[names]
                for name in names:
                    theirs = expected[name].to_numpy(object)
                    same = found[name].to_numpy(object) == theirs
                    assert (same | (found[name].isna() & pd.isna(theirs))).all()
            side = "user" if table is users else "item"
            with pytest.raises(ColumnError, match=rf"names 'shape'.*the {side} table has '"):
                call(**asked, with_columns=["shape"])
            with pytest.raises(ParameterError, match=r"a sequence of names: \['age'\]"):
                call(**asked, with_columns="age")

    def test_similar_users_are_alike(self):
        model = self.fitted()
        try:
            vectors = model.user_vectors().to_numpy().astype(np.float64)
        except UnsupportedError:
            with pytest.raises(UnsupportedError):
                model.similar_users()
            return
        found = model.similar_users([1050, 1000], k=5)
        assert list(found.columns) == ["customer", "neighbor", "score", "rank"]
        users = model.users_.to_list()
        lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-30)
        unit = vectors / lengths[:, None]
        for user, part in found.groupby("customer"):
            own = users.index(user)
            cosines = unit @ unit[own]
            cosines[own] = -np.inf
            assert user not in set(part["neighbor"])
            chosen = [users.index(other) for other in part["neighbor"]]
            np.testing.assert_allclose(cosines[chosen], np.sort(cosines)[::-1][:5], atol=1e-6)
            np.testing.assert_allclose(part["score"], cosines[chosen], atol=1e-6)
