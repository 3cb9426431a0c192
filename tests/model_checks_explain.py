"""The part of the contract suite about explanations and what a model says it can do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import N_ITEMS, ModelFactory, bits, interactions, leaves, pandas_frame
from penchant.errors import ParameterError, UnknownIdError, UnsupportedError

HISTORY = ("item 03", "item 10", "item 05", "item 00")


class ExplainChecks(ModelFactory):
    """Run through `model_checks.ModelChecks`."""

    def test_capabilities_are_what_the_model_can_do(self):
        model = self.fitted()
        asked = {
            "history": lambda: model.recommend(history=self.history("item 03")),
            "explain": lambda: model.explain(history=self.history("item 03"), item="item 05"),
            "partial_fit": lambda: model.partial_fit(interactions()).recommend(),
            "softmax": lambda: model.recommend(scores="softmax"),
            "similar_items": lambda: model.similar_items("item 03"),
            "similar_users": lambda: model.similar_users(1000),
            "user_vectors": model.user_vectors,
            "item_vectors": model.item_vectors,
        }
        assert model.capabilities_ <= {*asked, "new_items", "approximate_index"}
        for name, call in asked.items():
            if name in model.capabilities_:
                assert len(call()) > 0
            else:
                with pytest.raises(UnsupportedError):
                    call()

    @pytest.fixture
    def explaining(self):
        model = self.fitted()
        if "explain" not in model.capabilities_:
            pytest.skip("explains nothing")
        return model

    def score(self, model, history, item):
        """Return the score of a history before it is clipped to a scale of ratings."""
        codes = model.items_.codes(list(history)).astype(np.int32)
        values = history.values() if self.rated else np.ones(len(history))
        stranger = pc.models.Histories(
            np.array([0, len(codes)]), codes, np.array(list(values), np.float32), self.rated
        )
        found = model._index().score_pairs(
            model._fold_in(stranger),
            np.zeros(1, np.int64),
            model.items_.codes([item]).astype(int),
            num_threads=1,
        )
        return float(found[0])

    @pytest.mark.parametrize("again", [(), ("item 10", "item 03", "item 10")])
    def test_contributions_are_what_the_score_owes_to_an_item(self, explaining, again):
        taken = (*HISTORY, *again)
        history = self.history(*taken)
        found = explaining.explain(history=history, item="item 08", k=None)
        assert list(found.columns) == ["product", "contribution", "share", "rank"]
        assert sorted(found["product"]) == sorted(HISTORY)
        assert found["rank"].tolist() == [1, 2, 3, 4]
        assert found["contribution"].is_monotonic_decreasing
        owed = found.set_index("product")["contribution"]
        whole = self.score(explaining, history, "item 08")
        if self.exact_explanations:
            rest = self.unexplained(explaining, "item 08")
            assert owed.sum() + rest == pytest.approx(whole, rel=1e-5, abs=1e-6)
        else:
            for left_out in HISTORY:
                others = self.history(*(item for item in taken if item != left_out))
                without = self.score(explaining, others, "item 08")
                assert owed[left_out] == pytest.approx(whole - without, rel=1e-4, abs=1e-6)
        total = np.abs(owed).sum()
        np.testing.assert_allclose(found["share"], found["contribution"] / (total or 1), rtol=1e-6)

    def unexplained(self, model, item):
        """What the score has that is not owed to the history."""
        biases = model._factors().biases if hasattr(model, "_factors") else None
        return 0.0 if biases is None else float(biases[model.items_.codes([item])[0]])

    @pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
    def test_a_user_of_the_training_is_explained_by_what_they_took(self, explaining, backend):
        model = self.fitted(interactions(backend=backend))
        known = model.users_.to_list()[3]
        indptr, indices = model.seen_
        taken = [model.items_.to_list()[i] for i in indices[indptr[3] : indptr[4]]]
        if model.get_params().get("history_weighting", "mean") != "mean":
            with pytest.raises(UnsupportedError, match="not in which order"):
                model.explain(known, "item 08", k=None)
            return
        found = pandas_frame(model.explain(known, "item 08", k=None))
        assert sorted(found["product"]) == sorted(taken)
        history = taken
        scorer = leaves(model)[-1]
        if scorer.history_values_ is not None:
            values = scorer.history_values_[indptr[3] : indptr[4]]
            history = dict(zip(taken, values.tolist(), strict=True))
            if scorer._value_reduction() == "count":  # a mapping has one event of each item
                history = np.repeat(taken, values.astype(int)).tolist()
        same = pandas_frame(model.explain(history=history, item="item 08", k=None))
        pd.testing.assert_frame_equal(found, same, check_exact=True)
        assert len(model.explain(known, "item 08")) == min(3, len(taken))

    def test_explanations_survive_saving(self, explaining, tmp_path):
        asked = {"history": self.history(*HISTORY), "item": "item 08", "k": None}
        explaining.save(tmp_path)
        found = pc.load(tmp_path).explain(**asked)
        expected = explaining.explain(**asked)
        assert bits(found["contribution"]) == bits(expected["contribution"])

    def test_a_history_of_one_and_of_everything(self, explaining):
        alone = explaining.explain(history=self.history("item 03"), item="item 03")
        assert alone["product"].tolist() == ["item 03"]
        every = self.history(*explaining.items_.to_list())
        assert len(explaining.explain(history=every, item="item 00", k=99)) == N_ITEMS

    def test_bad_questions(self, explaining):
        history = self.history("item 03")
        with pytest.raises(UnknownIdError, match="no such"):
            explaining.explain(history=history, item="no such")
        with pytest.raises(UnknownIdError, match=r"'no such'$"):  # no advice on other methods
            explaining.explain(history=self.history("no such"), item="item 03")
        with pytest.raises(UnknownIdError, match="77"):
            explaining.explain(77, "item 03")
        with pytest.raises(ParameterError, match="a user or a history"):
            explaining.explain(item="item 03")
        with pytest.raises(ParameterError, match="a user or a history"):
            explaining.explain(1000, "item 03", history=history)
        with pytest.raises(ParameterError, match="wants the item"):
            explaining.explain(1000)
        with pytest.raises(ParameterError, match="one item, got 2"):
            explaining.explain(history=history, item=["item 03", "item 05"])
        with pytest.raises(ParameterError, match="k must be"):
            explaining.explain(history=history, item="item 05", k=0)
        frame = pd.DataFrame({"customer": [1], "product": ["item 03"], "stars": [3]})
        with pytest.raises(ParameterError, match="of one stranger"):
            explaining.explain(history=frame, item="item 05")
