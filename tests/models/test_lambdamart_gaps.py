"""`LambdaMART` with tables that do not say everything of everybody."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import penchant as pc
from model_support import assert_same_model, events
from penchant.errors import ArtifactError, UnsupportedError
from penchant.models.lightgbm_text import read_trees

pytest.importorskip("lightgbm")
TREES = pc.LambdaMART(
    models=[pc.ItemKNN()], n_estimators=30, min_child_samples=2, learning_rate=0.3, validation=0
)


def fitted(**user_columns):
    frame = events(n_users=120)
    people = frame["customer"].unique()
    table = pd.DataFrame({"customer": people, **user_columns})
    data = pc.Interactions.from_frame(
        frame, user="customer", item="product", user_features=table.dropna()
    )
    return pc.Pipeline(retrieve=pc.IALS(factors=4), k=20, rank=TREES).fit(data, progress=False)


@pytest.mark.parametrize("column", ["flag", "constant", "age"])
def test_what_is_said_of_some_only(column, tmp_path):
    """A split that asks only whether a number is there has an infinite threshold."""
    n = np.arange(120)
    values = {"flag": (n % 4 == 0) * 1.0, "constant": np.ones(120), "age": 20.0 + n % 7}[column]
    model = fitted(**{column: np.where(n % 2 == 0, values, np.nan)})
    text = model.rank_.text
    if column == "constant":  # all that can be asked of it
        assert "inf" in text
    model.save(tmp_path)
    assert_same_model(pc.load(tmp_path), model)


def test_only_thresholds_may_be_infinite():
    text = fitted(constant=np.where(np.arange(120) % 2 == 0, 1.0, np.nan)).rank_.text
    n_features = text.partition("max_feature_idx=")[2].partition("\n")[0]
    size = int(n_features) + 1
    assert read_trees(text, size)
    for name in ("leaf_value", "split_gain", "internal_value"):
        line = next(one for one in text.split("\n") if one.startswith(name + "=") and " " in one)
        first, _, rest = line.partition(" ")
        broken = f"{first.partition('=')[0]}=inf {rest}"
        with pytest.raises(ArtifactError, match=f"a tree with the line '{name}=inf"):
            read_trees(text.replace(line, broken, 1), size)


@pytest.mark.parametrize("several", [True, False])
def test_bytes_that_are_no_text_are_left_out(several):
    codes = [bytes([n % 3, 255]) for n in range(120)]
    values = [[one] for one in codes] if several else pd.Categorical(codes)
    with pytest.warns(pc.errors.PenchantWarning, match="'code' .* left out"):
        model = fitted(code=values)
    assert not any("code" in name for name in model.feature_importances_["feature"])


def test_more_candidates_than_any_catalogue_has():
    most = pc.Pipeline(retrieve=pc.IALS(factors=4), k=2**31 - 1, rank=TREES)
    data = pc.Interactions.from_frame(events(n_users=120), user="customer", item="product")
    assert len(most.fit(data, progress=False).recommend(1000, k=5)) == 5


def test_it_is_not_fitted_alone():
    with pytest.raises(UnsupportedError, match=r"pc\.Pipeline\(retrieve=.*rank=pc\.LambdaMART"):
        pc.LambdaMART().fit(None)
