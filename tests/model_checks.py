"""The contract of every model: subclass `ModelChecks` as ``TestX`` and say how to make one.

Bits are compared, not rounded numbers: "the same" means the same.
"""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn.base

import penchant as pc
from model_checks_ann import AnnChecks
from model_checks_audience import AudienceChecks
from model_checks_explain import ExplainChecks
from model_checks_fallback import FallbackChecks
from model_checks_filters import FilterChecks
from model_checks_history import HistoryChecks
from model_checks_partial import PartialFitChecks
from model_checks_recommend import RecommendChecks
from model_checks_rerank import RerankChecks
from model_checks_scores import ScoreChecks
from model_checks_statements import StatementChecks
from model_checks_training import TrainingChecks
from model_support import (
    BACKENDS,
    COLUMNS,
    N_ITEMS,
    assert_same_answers,
    assert_same_model,
    bits,
    convert,
    events,
    interactions,
    pandas_frame,
    parameters,
)
from penchant.errors import (
    DataError,
    NotFittedError,
    ParameterError,
    PenchantError,
    UnknownIdError,
)


class ModelChecks(
    RecommendChecks,
    FilterChecks,
    AudienceChecks,
    HistoryChecks,
    FallbackChecks,
    ExplainChecks,
    PartialFitChecks,
    RerankChecks,
    ScoreChecks,
    StatementChecks,
    TrainingChecks,
    AnnChecks,
):
    """Subclass as ``TestX`` in ``tests/models``."""

    # ---- hyperparameters ------------------------------------------------------------------------

    def test_parameters_are_stored_unchanged(self):
        model = self.model(**self.other_params)
        for name, value in self.other_params.items():
            assert getattr(model, name) is value
            assert model.get_params()[name] is value

    def test_set_params_returns_self_and_changes_all_or_nothing(self):
        model = self.model()
        assert model.set_params(**self.other_params) is model
        expected = {**self.model().get_params(deep=False), **self.other_params}
        assert model.get_params(deep=False) == expected
        before = model.get_params()
        with pytest.raises(ParameterError, match="no parameter 'nonsense'"):
            model.set_params(**self.params, nonsense=1)
        assert model.get_params() == before

    def test_sklearn_clone(self):
        model = self.fitted()
        clone = sklearn.base.clone(model)
        assert clone is not model
        assert parameters(clone) == parameters(model)
        with pytest.raises(NotFittedError):
            clone.recommend()

    def test_repr_evaluates_to_the_same_model(self):
        model = self.model(**self.other_params)
        again = eval(repr(model), {self.model.__name__: self.model, **vars(pc.models)})
        assert parameters(again) == parameters(model)
        assert repr(self.model()) == f"{self.model.__name__}()"

    def test_every_parameter_has_a_rule(self):
        assert list(self.model._rules) == list(self.model().get_params(deep=False))

    # ---- fit ------------------------------------------------------------------------------------

    def test_fit_returns_self_and_leaves_its_input_alone(self):
        data = interactions()
        frame = data.to_frame()
        before = {name: bits(part) for name, part in data.csr()._asdict().items()}
        model = self.make()
        assert model.fit(data, progress=False) is model
        pd.testing.assert_frame_equal(data.to_frame(), frame)
        assert {name: bits(part) for name, part in data.csr()._asdict().items()} == before

    def test_fit_wants_interactions(self):
        with pytest.raises(DataError, match="from_frame"):
            self.make().fit(events())

    def test_same_bits_for_any_number_of_threads(self):
        model = self.fitted()
        assert_same_answers(model, self.fitted())
        data = interactions()
        for threads in (1, 2, 3, 8):
            if "num_threads" in model.get_params():
                other = self.fitted(num_threads=threads)
                other.set_params(num_threads=None)
                assert_same_model(model, other)
            rows, scores = model.recommend_codes(k=9, num_threads=threads)
            expected = model.recommend_codes(k=9)
            assert bits(rows) == bits(expected[0])
            assert bits(scores) == bits(expected[1])
            pairs = data.to_frame()
            assert bits(model.predict(pairs, num_threads=threads)) == bits(model.predict(pairs))

    def test_refit_is_a_fresh_fit(self):
        model = self.fitted(interactions(events(seed=5)))
        assert_same_model(model.fit(interactions(), progress=False), self.fitted())

    def test_one_user(self):
        model = self.fitted(interactions(events(n_users=1)))
        seen = set(events(n_users=1)["product"])
        assert len(model.recommend(k=N_ITEMS)) == len(model.items_) - len(seen)
        assert len(model.recommend(k=3, exclude_seen=False)) == 3

    def test_one_item(self):
        frame = pd.DataFrame({"customer": [1, 2, 2], "product": ["only"] * 3})
        model = self.fitted(interactions(frame))
        assert len(model.recommend()) == 0
        assert list(model.recommend(exclude_seen=False)["product"]) == ["only", "only"]
        assert list(model.recommend().columns) == COLUMNS

    def test_one_event(self):
        model = self.fitted(interactions(pd.DataFrame({"customer": [7], "product": ["only"]})))
        assert np.isfinite(model.recommend(7, exclude_seen=False)["score"]).all()

    def test_everything_seen(self):
        pairs = [(u, i) for u in range(4) for i in "abc"]
        model = self.fitted(interactions(pd.DataFrame(pairs, columns=COLUMNS[:2])))
        assert len(model.recommend()) == 0
        assert len(model.recommend(exclude_seen=False)) == 12

    def test_not_fitted(self):
        model = self.make()
        assert not model.__sklearn_is_fitted__()
        calls = [
            lambda: model.recommend([1]),
            lambda: model.recommend_codes([0]),
            lambda: model.predict(events()),
            lambda: model.similar_items(["item 00"]),
            lambda: model.item_vectors(),
            lambda: model.user_vectors(),
            lambda: model.save("never"),
            lambda: model.history_,
            lambda: model.plot_history(),
            lambda: model.snapshot(),
            lambda: pc.evaluate(model, interactions()),
        ]
        for call in calls:
            with pytest.raises(NotFittedError, match=r"call fit\(train\) first"):
                call()

    def test_a_fit_refused_leaves_the_old_fit(self):
        model = self.fitted()
        expected = model.recommend()
        with pytest.raises(PenchantError):
            model.fit(events(), progress=False)
        with pytest.raises(PenchantError):
            model.fit(interactions(), validation=interactions(), progress=False)
        pd.testing.assert_frame_equal(model.recommend(), expected)

    # ---- predict --------------------------------------------------------------------------------

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_predict_gives_the_bits_of_recommend_in_order(self, backend):
        model = self.fitted(interactions(backend=backend))
        frame = pandas_frame(model.recommend(k=N_ITEMS, exclude_seen=False))
        frame = frame.sample(frac=1, random_state=1)
        scores = model.predict(convert(frame[["product", "customer"]], backend))
        assert scores.dtype == np.float32
        assert bits(scores) == bits(frame["score"].to_numpy())

    def test_predict_unknown(self):
        model = self.fitted()
        pairs = pd.DataFrame(
            {"customer": [1000, 1, 1000], "product": ["item 01", "item 01", "no item"]}
        )
        with pytest.raises(UnknownIdError, match="not among the users"):
            model.predict(pairs)
        with pytest.raises(UnknownIdError, match="not among the items"):
            model.predict(pairs.iloc[[2]])
        assert np.isnan(model.predict(pairs, unknown="nan")).tolist() == [False, True, True]

    def test_predict_missing_column(self):
        with pytest.raises(pc.errors.ColumnError, match="'product' is missing"):
            self.fitted().predict(events().rename(columns={"product": "Product"}))

    def test_predict_no_rows(self):
        assert self.fitted().predict(events().iloc[:0]).shape == (0,)

    # ---- vectors --------------------------------------------------------------------------------

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_vectors(self, backend):
        model = self.fitted(interactions(backend=backend))
        if not self.has_vectors:
            for call in (model.item_vectors, model.user_vectors):
                with pytest.raises(NotImplementedError, match="no vectors"):
                    call()
            return
        for frame, ids, name in (
            (model.item_vectors(), model.items_, "product"),
            (model.user_vectors(), model.users_, "customer"),
        ):
            if backend == "pandas":
                assert frame.index.name == name
                assert frame.index.tolist() == ids.to_list()
                frame = frame.reset_index()
            table = pandas_frame(frame)
            assert table[name].tolist() == ids.to_list()
            width = model._vectors("item").shape[1]
            assert list(table.columns) == [name, *(f"factor_{j}" for j in range(width))]
            assert (table.dtypes.iloc[1:] == np.float32).all()

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_similar_items(self, backend):
        model = self.fitted(interactions(backend=backend))
        if not self.has_neighbors:
            with pytest.raises(NotImplementedError, match="no vectors"):
                model.similar_items()
            return
        table = pandas_frame(model.similar_items(["item 03", "item 00"], k=3))
        assert list(table.columns) == ["product", "neighbor", "score", "rank"]
        assert table["product"].tolist() == ["item 03"] * 3 + ["item 00"] * 3
        assert table["rank"].tolist() == [1, 2, 3] * 2
        assert (table["product"] != table["neighbor"]).all()
        similarity = self.similarity(model)
        np.fill_diagonal(similarity, -np.inf)
        for item, part in table.groupby("product"):
            similar = similarity[model.items_.code(item)]
            best = -np.sort(-similar)[:3]
            found = similar[model.items_.codes(part["neighbor"].tolist())]
            np.testing.assert_allclose(found, best, rtol=1e-5)
            np.testing.assert_allclose(part["score"], best, rtol=1e-5)
            assert part["neighbor"].is_unique
        everything = model.similar_items(k=10**6)
        assert len(everything) == np.isfinite(similarity).sum()
        with pytest.raises(UnknownIdError, match="not among the items"):
            model.similar_items("no item")
        assert len(model.similar_items("no item", unknown="drop")) == 0

    def similarity(self, model):
        """Items x items in float64; -inf for what `similar_items` may not return."""
        vectors = model._vectors("item").astype(np.float64)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors @ vectors.T

    # ---- state ----------------------------------------------------------------------------------

    def test_pickle_and_joblib(self, tmp_path):
        model = self.fitted()
        for protocol in (2, pickle.HIGHEST_PROTOCOL):
            assert_same_model(model, pickle.loads(pickle.dumps(model, protocol)))
        joblib.dump(model, tmp_path / "model.joblib")
        assert_same_model(model, joblib.load(tmp_path / "model.joblib"))
        unfitted = pickle.loads(pickle.dumps(self.model(**self.other_params)))
        assert parameters(unfitted) == parameters(self.model(**self.other_params))
        assert not unfitted.__sklearn_is_fitted__()

    @pytest.mark.parametrize("backend", BACKENDS)
    @pytest.mark.parametrize("verify", ["full", "size"])
    def test_save_and_load(self, backend, verify, tmp_path):
        model = self.fitted(interactions(backend=backend))
        model.save(tmp_path / "artifact")
        loaded = pc.load(tmp_path / "artifact", verify=verify)
        assert_same_model(model, loaded)
        assert type(loaded.recommend()) is type(model.recommend())
        pd.testing.assert_frame_equal(
            pandas_frame(loaded.history_), pandas_frame(model.history_), check_exact=True
        )
        loaded.save(tmp_path / "again")
        assert_same_model(model, pc.load(tmp_path / "again"))
        assert_same_model(model, pickle.loads(pickle.dumps(loaded)))

    def test_a_loaded_model_can_be_fitted_again(self, tmp_path):
        self.fitted(interactions(events(seed=3))).save(tmp_path)
        assert_same_model(pc.load(tmp_path).fit(interactions(), progress=False), self.fitted())

    def test_an_empty_path_is_not_the_current_directory(self, tmp_path, monkeypatch):
        model = self.fitted()
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ParameterError, match="path is empty: name a directory"):
            model.save("")
        assert not list(tmp_path.iterdir())
        model.save(".")
        with pytest.raises(ParameterError, match="path is empty: name a directory"):
            pc.load("")
        with pytest.raises(ParameterError, match=r"path must be .*, got None"):
            pc.load(None)
        assert_same_model(model, pc.load("."))

    def test_save_replaces(self, tmp_path):
        self.fitted(interactions(events(seed=3))).save(tmp_path)
        model = self.fitted()
        model.save(tmp_path)
        assert_same_model(model, pc.load(tmp_path))

    def test_snapshot_and_restore(self):
        model, other = self.fitted(), self.fitted()
        before = model.snapshot()
        for name in before:
            getattr(model, name)[...] = 1.0
        model.restore(before)
        assert_same_model(model, other)
