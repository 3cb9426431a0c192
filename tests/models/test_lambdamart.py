"""`Pipeline` with `LambdaMART`: examples, features, trees, and what cannot be learnt."""

from __future__ import annotations

import importlib
import os
import pickle
import signal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import penchant as pc
from model_support import N_ITEMS, assert_same_model, bits, events, interactions
from penchant.errors import (
    ArtifactError,
    ColumnError,
    DataError,
    MissingExtraError,
    ParameterError,
    PenchantWarning,
)
from penchant.models.lightgbm_text import plain_text, read_trees
from penchant.models.ranking_examples import held_out_pairs, hold_out
from penchant.models.ranking_features import choose_columns
from penchant.models.two_stages import Found, Retriever
from penchant.storage import read_artifact, write_artifact

pytest.importorskip("lightgbm")


def shop(n_users=300, seed=1, backend="pandas", lately=1):
    """Lately everybody buys red, which only the item table tells."""
    rng = np.random.default_rng(seed)
    names = np.array([f"item {i:02d}" for i in range(N_ITEMS)])
    colours = np.array(["red", "blue", "tan", "grey", "pink", None], dtype=object)
    colours = colours[rng.permutation(N_ITEMS) % 6]
    red = np.flatnonzero(colours == "red")
    popular = rng.permutation(1 / np.arange(1.0, N_ITEMS + 1))
    rows = []
    for user in range(n_users):
        before = rng.choice(N_ITEMS, 6, replace=False, p=popular / popular.sum())
        picks = [*before, *rng.choice(red, lately, replace=False)]
        rows += [(user, names[item]) for item in picks]
    frame = pd.DataFrame(rows, columns=["who", "what"])
    frame["when"] = np.arange(len(frame))
    items = pd.DataFrame({"what": names, "colour": colours, "price": np.arange(N_ITEMS) % 5})
    users = pd.DataFrame({"who": np.arange(n_users), "team": rng.choice(["r", "b"], n_users)})
    return pc.Interactions.from_frame(
        frame, user="who", item="what", order="when", item_features=items, user_features=users,
        backend=backend,
    )  # fmt: skip


def pipeline(k=20, **params):
    settings = {"n_estimators": 40, "min_child_samples": 20, "num_leaves": 7, **params}
    retrieve = pc.IALS(factors=4, epochs=3, regularization=2)
    return pc.Pipeline(retrieve=retrieve, k=k, rank=pc.LambdaMART(**settings))


@pytest.fixture(scope="module")
def model():
    return pipeline(models=[pc.ItemKNN(), pc.ItemKNN(neighbors=3)]).fit(shop(), progress=False)


def test_trees_learn_what_the_tables_say(model):
    train, test = pc.split.leave_last(shop(lately=2), n=1)
    model = pipeline().fit(train, progress=False)
    value, alone = (
        pc.evaluate(part, test, "ndcg@5")["value"][0] for part in (model, model.retrieve_)
    )
    assert value > 1.1 * alone
    assert model.validation_["ranked"] > model.validation_["retrieved"] > 0


def test_importances(model):
    frame = model.feature_importances_
    assert list(frame.columns) == ["feature", "gain", "splits"]
    assert set(frame["feature"]) == {
        "score", "rank", "item popularity", "user activity", "score of ItemKNN",
        "score of ItemKNN 2", "item: colour", "item: price", "user: team",
    }  # fmt: skip
    assert frame["gain"].is_monotonic_decreasing
    booster = model.rank_.booster
    by_name = frame.set_index("feature").loc[model.rank_.names]
    assert by_name["splits"].tolist() == booster.feature_importance("split").tolist()
    np.testing.assert_allclose(by_name["gain"], booster.feature_importance("gain"), rtol=1e-5)
    assert type(pipeline().fit(shop(backend="pyarrow"), progress=False).feature_importances_) is (
        pa.Table
    )


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_trees_do_not_depend_on_the_threads(threads, model):
    models = [pc.ItemKNN(num_threads=threads), pc.ItemKNN(neighbors=3)]
    other = pipeline(models=models, num_threads=threads).fit(shop(), progress=False)
    assert other.rank_.text == model.rank_.text
    expected = model.recommend_codes(k=20)
    for mine, theirs in zip(other.recommend_codes(k=20), expected, strict=True):
        assert bits(mine) == bits(theirs)


def test_a_score_does_not_depend_on_what_else_is_asked_for(model):
    pairs = model.recommend(k=20, exclude_seen=False)
    assert bits(model.predict(pairs)) == bits(pairs["score"])
    few = model.recommend(k=20, candidates=["item 03", "item 04", "item 11"], exclude_seen=False)
    assert bits(model.predict(few)) == bits(few["score"])
    asked = model._queries(None)
    filters = {"exclude": model.seen_, "candidates": None, "allowed": None}
    items, scores = Retriever(model.retrieve_).search(asked, 20, filters, 1)
    query, place = np.nonzero(items >= 0)
    found = Found(asked, query, items[query, place], scores[query, place])
    ranks = model._index()._second._features._ranks(found, num_threads=1)
    assert ranks.tolist() == (place + 1).tolist()


def test_more_can_be_retrieved_than_in_training(tmp_path):
    model = pipeline(k=20).fit(shop(), progress=False)
    model.set_params(k=30)
    found = model.recommend(k=30)
    assert found.groupby("who").size().max() > 20
    assert bits(model.predict(found)) == bits(found["score"])
    model.save(tmp_path)
    pd.testing.assert_frame_equal(pc.load(tmp_path).recommend(k=30), found)


def test_saved_and_pickled(model, tmp_path):
    model.save(tmp_path)
    for again in (pc.load(tmp_path), pickle.loads(pickle.dumps(model))):
        assert_same_model(model, again)
        assert again.rank_.text == model.rank_.text
        assert again.rank_.columns == model.rank_.columns
        assert again.validation_ == model.validation_
        assert again.feature_importances_.equals(model.feature_importances_)
        history = ["item 03", "item 06"]
        assert again.recommend(history=history).equals(model.recommend(history=history))


def test_strangers_are_described_by_their_history(model):
    found = model.recommend(history=["item 03", "item 06", "item 09"], k=5)
    assert len(found) == 5
    assert found["score"].is_monotonic_decreasing


def test_what_is_held_out():
    data = shop()
    chosen = hold_out(data, 0.3, seed=0)
    users, order = data.array("user"), data.array("order")
    for user in range(0, data.n_users, 7):
        own = users == user
        assert chosen[own].sum() == 2  # 30 % of 7, rounded down
        assert order[own & chosen].min() > order[own & ~chosen].max()
    anywhere = hold_out(data, 0.3, seed=0, by="random")
    assert anywhere.sum() == chosen.sum()
    assert (anywhere & chosen).sum() < 0.5 * chosen.sum()
    assert hold_out(data, 0.3, seed=0, by="time").tolist() == chosen.tolist()
    untimed = interactions()
    with pytest.raises(DataError, match="neither timestamps nor an order"):
        pipeline(holdout_by="time").fit(untimed, progress=False)
    first, again, other = (hold_out(untimed, 0.3, seed=seed) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()
    assert (np.bincount(untimed.array("user")[first]) == 2).all()


def test_the_examples_are_not_known_to_their_retriever(monkeypatch):
    """Whatever was held out is in no training data of the models that make the features."""
    fits = []
    plain = pc.IALS.fit

    def fit(self, train, **options):
        fits.append(train)
        return plain(self, train, **options)

    monkeypatch.setattr(pc.IALS, "fit", fit)
    data = shop()
    pipeline(models=[pc.IALS(factors=2)]).fit(data, progress=False)
    chosen = hold_out(data, 0.2, seed=0)
    sizes = [len(train) for train in fits]
    rest = len(data) - int(chosen.sum())
    assert sorted(sizes) == [rest, rest, len(data), len(data)]
    for train in fits[:2]:
        assert train.to_frame().equals(data.select(~chosen).to_frame())


def test_held_out_pairs_are_in_the_codes_of_the_retriever():
    train, test = pc.split.random(interactions(), test_size=0.4, random_state=3)
    model = pc.Popularity().fit(train)
    pairs = held_out_pairs(Retriever(model), test)
    users, items = model.users_.to_list(), model.items_.to_list()
    found = {(users[key // len(items)], items[key % len(items)]) for key in pairs.tolist()}
    frame = test.to_frame()[["customer", "product"]]
    expected = set(frame.itertuples(index=False, name=None))
    assert found == {(u, i) for u, i in expected if u in users and i in items}


# ---- features -----------------------------------------------------------------------------------


def test_columns_can_be_chosen():
    model = pipeline(item_columns=["price"], user_columns=()).fit(shop(), progress=False)
    assert model.rank_.names[4:] == ["item: price"]
    with pytest.raises(ColumnError, match="item_columns names 'prise', did you mean 'price'"):
        pipeline(item_columns=["prise"]).fit(shop(), progress=False)
    with pytest.raises(ColumnError, match="the user table has no columns"):
        pipeline(user_columns=["age"]).fit(interactions(), progress=False)


def test_texts_that_hardly_any_rows_share_are_no_categories_unless_named():
    table = pa.table({"title": [f"film {i // 2 * 2}" for i in range(50)],
                      "name": [f"film {i}" if i < 26 else "film" for i in range(50)]})  # fmt: skip
    with pytest.warns(PenchantWarning, match=r"'name' \(27 texts in 50 rows\).*item_columns="):
        columns = choose_columns(table, None, "what", "item")
    assert [column.name for column in columns] == ["title"]  # each stands twice
    named = choose_columns(table, ["name"], "what", "item")
    assert [column.name for column in named] == ["name"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("models", pc.IALS()), ("models", ["IALS"]), ("item_columns", "price"), ("holdout", 0),
     ("validation", 1.0), ("num_leaves", 1), ("early_stopping_rounds", 0)],
)  # fmt: skip
def test_bad_parameters(name, value):
    with pytest.raises(ParameterError, match=f"LambdaMART: {name} must be"):
        pc.LambdaMART(**{name: value})


# ---- training -----------------------------------------------------------------------------------


def test_early_stopping_keeps_the_best_trees():
    stopped = pipeline(n_estimators=400, learning_rate=0.5, early_stopping_rounds=3)
    stopped.fit(shop(), progress=False)
    assert len(stopped.rank_.trees) < 100
    whole = pipeline(n_estimators=9, early_stopping_rounds=None, validation=0)
    assert len(whole.fit(shop(), progress=False).rank_.trees) == 9
    assert whole.validation_ == {}


def test_fewer_users_can_be_looked_at():
    model = pipeline(max_users=40, min_child_samples=5).fit(shop(), progress=False)
    assert len(model.rank_.trees) > 0
    assert model.rank_.text != pipeline(min_child_samples=5).fit(shop(), progress=False).rank_.text


@pytest.mark.parametrize("progress", [True, False])
def test_progress(progress, capsys):
    pipeline().fit(shop(), progress=progress)
    text = capsys.readouterr().err
    assert ("LambdaMART" in text and "ndcg@10=" in text and "IALS" in text) == progress


def test_nothing_to_learn_keeps_the_order_retrieved(tmp_path):
    data = pc.Interactions.from_sequences([["a"], ["b"], ["c"]])
    with pytest.warns(PenchantWarning, match="do not better the order .*too few users"):
        model = pipeline(models=[pc.ItemKNN()]).fit(data, progress=False)
    pd.testing.assert_frame_equal(model.recommend(), model.retrieve_.recommend())
    assert model.feature_importances_["gain"].sum() == 0
    model.save(tmp_path)
    pd.testing.assert_frame_equal(pc.load(tmp_path).recommend(), model.recommend())


def test_ctrl_c_between_trees_leaves_the_pipeline_as_it_was(monkeypatch):
    model = pipeline().fit(shop(), progress=False)
    before, expected = dict(vars(model)), model.recommend()
    lightgbm = importlib.import_module("lightgbm")
    plain = lightgbm.early_stopping

    def interrupting(*arguments, **options):
        inner = plain(*arguments, **options)

        def callback(env):
            inner(env)
            if env.iteration == 3:
                signal.raise_signal(signal.SIGINT)

        return callback

    monkeypatch.setattr(lightgbm, "early_stopping", interrupting)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit(shop(seed=2), progress=False)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert vars(model) == before
    pd.testing.assert_frame_equal(model.recommend(), expected)


def test_without_lightgbm(model, monkeypatch, tmp_path):
    model.save(tmp_path)
    real = importlib.import_module

    def missing(name, *arguments):
        if name == "lightgbm":
            raise ModuleNotFoundError("no", name="lightgbm")
        return real(name, *arguments)

    monkeypatch.setattr(importlib, "import_module", missing)
    for call in (lambda: pipeline().fit(shop(), progress=False), lambda: pc.load(tmp_path)):
        with pytest.raises(MissingExtraError, match=r"pip install 'penchant\[lightgbm\]'"):
            call()


def test_a_forked_child_answers(model):
    expected = bits(model.recommend_codes(k=5)[1])
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        signal.alarm(20)
        os.write(writer, b"same" if bits(model.recommend_codes(k=5)[1]) == expected else b"else")
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"same"
    os.waitpid(child, 0)


# ---- trees that are not to be trusted -----------------------------------------------------------


def test_the_text_has_only_trees(model):
    text = model.rank_.text
    assert "num_threads" not in text
    assert plain_text(text, 9) == text
    assert "num_cat=1" in text  # the colour
    assert len(read_trees(text, 9)) == text.count("Tree=") > 3


BROKEN = [
    ("left_child=", "left_child=999 "), ("right_child=", "right_child=0 "),
    ("num_leaves=", "num_leaves=9"),
    ("split_feature=", "split_feature=77 "), ("threshold=", "threshold=nan "),
    ("decision_type=", "decision_type=1 "), ("cat_boundaries=0", "cat_boundaries=5"),
    ("cat_threshold=", "cat_threshold=7 7 7 7 7 7 "), ("is_linear=0", "is_linear=1"),
    ("leaf_value=", "leaf_value=1e999 "), ("shrinkage", "surprise"), ("num_cat=", "num_cat=8"),
    ("max_feature_idx=8", "max_feature_idx=80"), ("Tree=0", "Tree=5"), ("end of trees", "end"),
    ("Tree=0", "Tree"), ("leaf_count=", "leaf_count=1 "), ("split_gain=", "split_gain=x"),
    ("version=v4", "version=v4\nlinear_tree=1"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), BROKEN)
def test_a_damaged_tree_is_refused(old, new, model, tmp_path):
    assert old in model.rank_.text
    model.save(tmp_path)
    artifact = read_artifact(tmp_path)
    text = model.rank_.text.replace(old, new)
    arrays = {**artifact.arrays, "trees": np.frombuffer(text.encode(), np.uint8)}
    write_artifact(tmp_path, meta=artifact.meta, arrays=arrays, tables=artifact.tables)
    with pytest.raises(ArtifactError, match="ranking model"):
        pc.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta.pop("columns"),
        lambda meta: meta.update(depth=0),
        lambda meta: meta.update(models=["a"] * 3),
        lambda meta: meta["columns"]["item"].append(["more", False]),
        lambda meta: meta["columns"].update(item=[["colour"]]),
        lambda meta: meta["columns"].update(item=[["colour", "many"], ["price", False]]),
        lambda meta: meta.update(validation=[1]),
    ],
)
def test_a_damaged_description_is_refused(change, model, tmp_path):
    model.save(tmp_path)
    artifact = read_artifact(tmp_path)
    change(artifact.meta["ranking"])
    write_artifact(tmp_path, meta=artifact.meta, arrays=artifact.arrays, tables=artifact.tables)
    with pytest.raises(ArtifactError):
        pc.load(tmp_path)


def test_repeats_of_the_contract_data_are_no_labels():
    """Repeated pairs stay in the training part, so they are neither candidates nor hits."""
    model = pipeline(k=30, min_child_samples=3).fit(interactions(events()), progress=False)
    assert 0 <= model.validation_.get("ranked", 0) <= 1
