"""The part of the contract suite about approximate search."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import N_ITEMS, ModelFactory, bits, events, interactions
from penchant.errors import (
    ArtifactError,
    DataError,
    NotFittedError,
    ParameterError,
    UnsupportedError,
)
from penchant.retrieval import graph as graph_module
from penchant.retrieval.graph import HnswGraph

N = 600  # items of the larger shop: beyond what a search of the graph looks at


def large_shop():
    """Two halves of a catalogue, and users who stay in one."""
    rng = np.random.default_rng(3)
    users = np.repeat(np.arange(250), 12)
    items = (2 * rng.integers(0, N, len(users)) + users) % N
    frame = pd.DataFrame({"customer": users, "product": [f"item {i:03d}" for i in items]})
    return interactions(frame)


class AnnChecks(ModelFactory):
    """Run through `model_checks.ModelChecks`."""

    def indexed(self, data=None, **options):
        """Build with one thread: several make another graph, of another recall, each time."""
        pytest.importorskip("usearch")
        model = self.fitted(data)
        if "approximate_index" not in model.capabilities_:
            pytest.skip("has no approximate index")
        model.build_index(num_threads=1, **options)
        return model

    def always_graph(self, model):
        """Let the graph answer also where a scan of so few items is quicker, if it is any good."""
        graph = model._indexed()._derived["graph"]
        if graph.report.expansion_deep:
            graph.report = replace(graph.report, widest=10**9)
        return graph

    def test_models_without_vectors_say_so(self):
        model = self.fitted()
        if "approximate_index" in model.capabilities_:
            pytest.importorskip("usearch")
            assert model.build_index().recall > 0
            return
        with pytest.raises(UnsupportedError, match="no vectors to make an approximate index of"):
            model.build_index()
        assert model.build_index("exact") is None
        assert model.index_ is None
        found = model.recommend_codes(k=5, index="exact")
        assert bits(found[0]) == bits(model.recommend_codes(k=5)[0])

    def test_an_index_needs_a_fit(self):
        with pytest.raises(NotFittedError):
            self.make().build_index()
        with pytest.raises(NotFittedError):
            _ = self.make().index_

    def test_all_candidates_give_the_exact_answer(self):
        """With so wide a search nothing is missed: the bits of the scan, filters and all."""
        model = self.indexed(expansion_search=N_ITEMS)
        graph = model._indexed()._derived["graph"]
        graph.report = replace(graph.report, expansion_deep=N_ITEMS, widest=10**9)
        for options in ({"exclude_seen": False}, {"exclude_seen": True}):
            for k in (1, 7, N_ITEMS):
                found = model.recommend_codes(k=k, **options)
                exact = model.recommend_codes(k=k, index="exact", **options)
                assert [bits(part) for part in found] == [bits(part) for part in exact]
        asked = {"exclude": ["item 03", "item 08"], "k": 6}
        pd.testing.assert_frame_equal(
            model.recommend(**asked), model.recommend(**asked, index="exact"), check_exact=True
        )
        asked = {"history": events().assign(stars=4.0).head(24), "k": 5}
        pd.testing.assert_frame_equal(
            model.recommend(**asked), model.recommend(**asked, index="exact"), check_exact=True
        )

    @pytest.mark.parametrize("k", [3, 10, 70])
    def test_recall_and_bits_of_scores(self, k):
        model = self.indexed(large_shop())
        self.always_graph(model)
        assert model.index_.recall >= model.index_.target_recall
        for seen in (True, False):
            rows, scores = model.recommend_codes(k=k, exclude_seen=seen)
            best = model.recommend_codes(k=k, exclude_seen=seen, index="exact")[1]
            assert ((rows >= 0) == np.isfinite(best)).all()
            assert (scores >= best[:, -1:]).mean() > (0.85 if k == 3 else 0.9)
            frame = model.recommend([7, 3], k=k, exclude_seen=seen)
            assert bits(model.predict(frame)) == bits(frame["score"].to_numpy())
            for users in ([5], [9, 5]):
                alone = model.recommend_codes(users, k=k, exclude_seen=seen, num_threads=1)
                assert bits(alone[0][-1]) == bits(rows[5])
                assert bits(alone[1][-1]) == bits(scores[5])

    def test_filters_leave_nobody_short(self):
        model = self.indexed(large_shop())
        graph = self.always_graph(model)
        for share in (0.9, 0.5, 0.1, 0.01):
            allowed = np.random.default_rng(1).random(len(model.items_)) < share
            wanted = pc.models.item_filter.ItemFilter(allowed=allowed)
            rows, scores = model.recommend_codes(k=10, item_filter=wanted)
            exact = model.recommend_codes(k=10, item_filter=wanted, index="exact")
            assert allowed[rows[rows >= 0]].all()
            assert ((rows >= 0) == (exact[0] >= 0)).all()
            assert (scores >= exact[1][:, -1:]).mean() > 0.9
        graph.report = replace(graph.report, widest=0)
        found = model.recommend_codes(k=10, item_filter=wanted)
        assert [bits(part) for part in found] == [bits(part) for part in exact]

    def test_the_index_is_saved_and_dropped(self, tmp_path):
        model = self.indexed(large_shop())
        self.always_graph(model)
        model.save(tmp_path / "model")
        answer = model.recommend_codes(k=10)
        for again in (pc.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
            assert again.index_ == model.index_
            assert [bits(part) for part in again.recommend_codes(k=10)] == [
                bits(part) for part in answer
            ]
        if "num_threads" in model.get_params():
            model.set_params(num_threads=1)
            assert model.index_ is not None
        assert model.build_index("exact") is None
        assert model.index_ is None
        model.build_index()
        model.fit(interactions(), progress=False)
        assert model.index_ is None

    def test_an_artifact_keeps_the_order_in_memory(self, tmp_path, monkeypatch):
        model = self.indexed()
        answer = [bits(part) for part in model.recommend_codes(k=10)]
        model.save(tmp_path / "model")
        with monkeypatch.context() as patch:
            patch.setattr(graph_module, "locality_order", None)  # is slow
            again = pc.load(tmp_path / "model")
        assert [bits(part) for part in again.recommend_codes(k=10)] == answer
        model = model._indexed()
        answer = [bits(part) for part in model.recommend_codes(k=10)]
        meta, arrays = model._kept_index()
        del arrays["order"]  # as early versions saved it
        model._restore_index(meta, arrays)
        assert [bits(part) for part in model.recommend_codes(k=10)] == answer
        arrays["order"] = np.zeros((N_ITEMS, 1), np.int32)
        with pytest.raises(DataError, match="the graph's order"):
            model._restore_index(meta, arrays)

    def test_a_hostile_index_is_refused(self, tmp_path, monkeypatch):
        model = self.indexed()
        graph = model._indexed()._derived["graph"]
        links, report = graph.graph.links, graph.report
        bad = links.base.copy()
        bad[0, :2] = 1, N_ITEMS
        with monkeypatch.context() as patch:
            patch.setattr(HnswGraph, "links", links._replace(base=bad))
            model.save(tmp_path / "model")
        with pytest.raises(ArtifactError, match=r"index cannot be used: .*links to rows outside"):
            pc.load(tmp_path / "model")
        graph.report = replace(report, connectivity=15)
        model.save(tmp_path / "model")
        with pytest.raises(ArtifactError, match="level 0 has shape"):
            pc.load(tmp_path / "model")

    def test_options_out_of_range(self):
        model = self.fitted()
        for wrong in ({"connectivity": 1}, {"expansion_add": 0}, {"target_recall": 1.5}):
            with pytest.raises(ParameterError, match=next(iter(wrong))):
                model.build_index(**wrong)
        with pytest.raises(ParameterError, match="index='hsnw' is not one of 'hnsw'"):
            model.build_index("hsnw")
        with pytest.raises(ParameterError, match="index='hnsw' is not one of 'exact'"):
            model.recommend(index="hnsw")
