"""Artifacts whose files are sound but whose content is not: refused, never a crash."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

import penchant as pc
from model_support import assert_same_answers, interactions
from penchant.errors import ArtifactError
from penchant.storage import read_artifact, write_artifact


@pytest.fixture
def model():
    return pc.BPR(factors=5, epochs=2).fit(interactions(), progress=False)


@pytest.fixture
def rewrite(model, tmp_path):
    """Save a model, change its content through `change(meta, arrays, tables)`, load it."""

    def run(change):
        path = tmp_path / "artifact"
        model.save(path)
        artifact = read_artifact(path)
        parts = dict(artifact.meta), dict(artifact.arrays), dict(artifact.tables)
        change(*parts)
        write_artifact(path, **dict(zip(("meta", "arrays", "tables"), parts, strict=True)))
        return pc.load(path)

    return run


def test_an_artifact_rewritten_without_change_loads(rewrite, model):
    assert_same_answers(model, rewrite(lambda meta, arrays, tables: None))


def test_unknown_class(rewrite):
    with pytest.raises(ArtifactError, match=r"class 'GPT'.*it knows BPR, .*Popularity"):
        rewrite(lambda meta, arrays, tables: meta.update({"class": "GPT"}))
    for name in (None, ["BPR"], "Recommender", "os.system"):
        with pytest.raises(ArtifactError, match="does not know"):
            rewrite(lambda meta, arrays, tables, name=name: meta.update({"class": name}))


def test_a_model_of_another_class(rewrite):
    def change(meta, arrays, tables):
        meta.update({"class": "Popularity", "parameters": {}})
        del arrays["item_counts"]

    with pytest.raises(ArtifactError, match="item_counts"):
        rewrite(change)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"factors": 0}, "factors must be"),
        ({"factors": "8"}, "factors must be"),
        ({"no_such_parameter": 1}, "newer penchant"),
        ({"self": 1}, "newer penchant"),
        ([], "parameters are missing"),
        (None, "parameters are missing"),
    ],
)
def test_bad_parameters(rewrite, parameters, message):
    with pytest.raises(ArtifactError, match=message):
        rewrite(lambda meta, arrays, tables: meta.update(parameters=parameters))


@pytest.mark.parametrize("name", ["columns", "backend", "users", "items"])
@pytest.mark.parametrize("value", [None, 7, "x", {}, {"user": "a"}, [1], {"type": "int64"}])
def test_bad_meta(rewrite, name, value):
    with pytest.raises(ArtifactError):
        rewrite(lambda meta, arrays, tables: meta.update({name: value}))


def test_columns_that_are_not_names(rewrite):
    for bad in ({"user": "u", "item": 3}, {"user": "u", "item": "i", "context": [4]}):
        with pytest.raises(ArtifactError):
            rewrite(lambda meta, arrays, tables, bad=bad: meta.update(columns=bad))


ARRAYS = (
    "seen_indptr",
    "seen_indices",
    "item_counts",
    "user_factors",
    "item_factors",
    "item_biases",
)


@pytest.mark.parametrize("name", ARRAYS)
def test_missing_array(rewrite, name, model):
    def drop(meta, arrays, tables):
        del arrays[name]

    if name == "item_biases":  # the model may do without
        assert rewrite(drop).item_biases_ is None
    else:
        with pytest.raises(ArtifactError, match=name):
            rewrite(drop)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda array: array[:-1],
        lambda array: np.concatenate([array, array]),
        lambda array: array.astype(np.float64),
        lambda array: array.astype(np.int16),
        lambda array: array[None],
        lambda array: array.ravel()[0],
        lambda array: array[:0],
    ],
    ids=["short", "long", "float64", "int16", "axis", "scalar", "empty"],
)
def test_array_of_another_shape_or_dtype(rewrite, name, spoil):
    with pytest.raises(ArtifactError, match=name.partition("_")[0]):
        rewrite(lambda meta, arrays, tables: arrays.update({name: spoil(arrays[name])}))


@pytest.mark.parametrize("name", ["user_factors", "item_factors", "item_biases"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_numbers(rewrite, name, bad):
    def change(meta, arrays, tables):
        array = arrays[name].copy()
        array.flat[3] = bad
        arrays[name] = array

    with pytest.raises(ArtifactError, match=f"{name}_ has NaN or infinite values"):
        rewrite(change)


def test_user_and_item_factors_of_different_length(rewrite):
    def change(meta, arrays, tables):
        arrays["item_factors"] = np.ascontiguousarray(arrays["item_factors"][:, :3])

    with pytest.raises(ArtifactError, match="item_factors_ has 3 factors, expected 5"):
        rewrite(change)


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("seen_indices", 0, -1),
        ("seen_indices", 0, 2**31 - 1),
        ("seen_indices", -1, 30),
        ("seen_indices", 1, 0),
        ("seen_indptr", 0, 1),
        ("seen_indptr", 0, -(2**62)),
        ("seen_indptr", 3, 2**62),
        ("seen_indptr", 3, -1),
        ("seen_indptr", 3, 0),
        ("seen_indptr", -1, 0),
        ("seen_indptr", -1, 2**62),
    ],
)
def test_seen_items_out_of_bounds(rewrite, name, place, value):
    def change(meta, arrays, tables):
        array = arrays[name].copy()
        array[place] = value
        arrays[name] = array

    with pytest.raises(ArtifactError, match="seen_"):
        rewrite(change)


@pytest.mark.parametrize("codes", [[-1], [30], [3, 3], [4, 3], list(range(30))])
def test_guessed_items_out_of_bounds(rewrite, codes):
    with pytest.raises(ArtifactError, match="guessed_items"):
        rewrite(lambda meta, arrays, tables: arrays.update(guessed_items=np.int32(codes)))


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("users", pa.table({"id": pa.array([1, 2, 3])})),
        ("users", pa.table({"id": pa.array([], pa.int64())})),
        ("users", pa.table({"other": pa.array([1])})),
        ("users", pa.table({"id": pa.array(["a"])})),
        ("users", pa.table({"id": pa.nulls(40, pa.int64())})),
        ("users", pa.table({"id": pa.array(np.arange(40)[::-1].copy())})),
        ("users", pa.table({"id": pa.array(np.zeros(40, np.int64))})),
        ("items", pa.table({"id": pa.array([["nested"]] * 30)})),
        ("history", pa.table({"epoch": pa.array(["not a number"])})),
        ("history", pa.table({"loss": pa.array([{"a": 1}])})),
    ],
)
def test_bad_tables(rewrite, name, table):
    with pytest.raises(ArtifactError):
        rewrite(lambda meta, arrays, tables: tables.update({name: table}))


def test_nothing_inside(rewrite):
    def change(meta, arrays, tables):
        for name in ("users", "items"):
            tables[name] = tables[name].slice(0, 0)
        arrays["seen_indptr"] = np.zeros(1, np.int64)
        for name in set(arrays) - {"seen_indptr"}:
            arrays[name] = arrays[name][:0]

    with pytest.raises(ArtifactError, match="no users or no items"):
        rewrite(change)


@pytest.mark.parametrize("name", ["users", "items", "history"])
def test_missing_tables(rewrite, name):
    with pytest.raises(ArtifactError, match=name):
        rewrite(lambda meta, arrays, tables: tables.pop(name))


def test_a_model_class_of_the_user(tmp_path):
    """It is saved under its full name and loads wherever its module was imported."""

    class Mine(pc.Popularity):
        pass

    Mine().fit(interactions()).save(tmp_path)
    assert type(pc.load(tmp_path)) is Mine
    code = f"import penchant as pc; pc.load({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Import the module that defines your own model" in done.stderr


def test_a_subclass_does_not_take_the_name_of_a_model(tmp_path):
    theirs = type("BPR", (pc.Popularity,), {"__module__": "somewhere"})
    pc.BPR(factors=2, epochs=1).fit(interactions(), progress=False).save(tmp_path)
    assert type(pc.load(tmp_path)) is pc.BPR
    assert theirs is not pc.BPR
