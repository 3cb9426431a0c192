"""LightGBM's own text format of trees: cut down to what predicts, and checked before it is read.

LightGBM believes what it reads: a child or a category outside a tree would make it read memory that
is not its own. So nothing reaches it that has not been looked at here.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from penchant.errors import ArtifactError

_TREE = re.compile(r"^Tree=\d+\n(.*?)\n\n", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"[0-9eE+.-]+")
_OF_SPLITS = ("split_feature", "split_gain", "threshold", "decision_type", "left_child",
              "right_child", "internal_value", "internal_weight", "internal_count")  # fmt: skip
_OF_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
_OF_CATEGORIES = ("cat_boundaries", "cat_threshold")
_SINGLE = ("num_leaves", "num_cat", "is_linear", "shrinkage")
_KEYS = (*_SINGLE, *_OF_SPLITS, *_OF_LEAVES, *_OF_CATEGORIES)
_MOST_LEAVES = 1 << 17

Tree = dict[str, NDArray[np.float64]]


def plain_text(text: str, n_features: int) -> str:
    """Return a model's trees under a header of our own.

    What else LightGBM writes, such as the number of threads it was trained with, is left out.

    Parameters
    ----------
    text : str
        What ``Booster.model_to_string()`` returns, or this function.
    n_features : int
        Columns of the matrix that the model reads.

    Raises
    ------
    ArtifactError
        It holds no trees.
    """
    trees = _TREE.findall(text)
    if not trees:
        raise ArtifactError("the ranking model holds no trees")
    header = (
        "tree", "version=v4", "num_class=1", "num_tree_per_iteration=1", "label_index=0",
        f"max_feature_idx={n_features - 1}", "objective=lambdarank",
        "feature_names=" + " ".join(f"Column_{i}" for i in range(n_features)),
        "feature_infos=" + " ".join(["none"] * n_features),
    )  # fmt: skip
    body = "".join(f"Tree={i}\n{tree.strip()}\n\n" for i, tree in enumerate(trees))
    return "\n".join(header) + f"\n\n{body}end of trees\n"


def read_trees(text: str, n_features: int) -> list[Tree]:
    """Return the trees of a `plain_text`, all of whose numbers are within bounds.

    Returns
    -------
    list of dict of str to float64 array
        LightGBM's names; of a leaf alone ``split_feature`` is empty.

    Raises
    ------
    ArtifactError
        It is no `plain_text` of as many features, or a tree would be read out of bounds.
    """
    if plain_text(text, n_features) != text:
        raise ArtifactError(f"the ranking model is not one of {n_features} features")
    return [_read_tree(block, n_features) for block in _TREE.findall(text)]


def _read_tree(block: str, n_features: int) -> Tree:
    tree: Tree = {}
    for line in block.split("\n"):
        name, equals, numbers = line.partition("=")
        if not equals or name not in _KEYS or name in tree or not _fits(name, numbers):
            raise ArtifactError(f"the ranking model has a tree with the line {line!r:.80}")
        tree[name] = np.array(numbers.split(), dtype=np.float64)
    try:
        problem = _problem(tree, n_features)
    except KeyError as error:
        problem = f"no {error}"
    if problem:
        raise ArtifactError(f"the ranking model has a tree with {problem}")
    return tree


def _fits(name: str, numbers: str) -> bool:
    parts = numbers.split()
    if name == "threshold":  # infinite where a split only asks whether the number is missing
        parts = [part for part in parts if part not in ("inf", "-inf")]
    try:
        return all(_NUMBER.fullmatch(part) and np.isfinite(float(part)) for part in parts)
    except ValueError:
        return False


def _problem(tree: Tree, n_features: int) -> str | None:
    """Say what would make LightGBM read outside a tree."""
    if any(len(tree[name]) != 1 for name in ("num_leaves", "num_cat")):
        return "other than one number of leaves"
    n_leaves, n_categorical = tree["num_leaves"][0], tree["num_cat"][0]
    if not 1 <= n_leaves <= _MOST_LEAVES or not 0 <= n_categorical < n_leaves or n_leaves % 1:
        return f"{n_leaves:g} leaves and {n_categorical:g} sets of categories"
    if tree.get("is_linear", np.zeros(1)).any():
        return "linear leaves, which are not known here"
    tree.setdefault("split_feature", np.empty(0))
    tree.setdefault("split_gain", np.empty(0))
    if n_leaves == 1:
        return None if len(tree["leaf_value"]) == 1 else "other than one value for its leaf"
    for names, size in ((_OF_SPLITS, n_leaves - 1), (_OF_LEAVES, n_leaves)):
        if any(len(tree[name]) != size for name in names):
            return "arrays of the wrong length"
    whole = ("split_feature", "decision_type", "left_child", "right_child")
    if any((tree[name] % 1).any() for name in whole):
        return "fractions for numbers of nodes"
    if not _within(tree["split_feature"], 0, n_features - 1):
        return "a split by a feature that there is not"
    kinds = tree["decision_type"]
    if not _within(kinds, 0, 11):
        return "a split of an unknown kind"
    nodes = np.arange(n_leaves - 1)
    for side in ("left_child", "right_child"):
        child = tree[side]
        inner = child >= 0
        # A node comes after its parent: there are no circles.
        if (child[inner] <= nodes[inner]).any() or not _within(child, -n_leaves, n_leaves - 2):
            return "a child that there is not"
    return _category_problem(tree, kinds.astype(int) & 1 == 1, int(n_categorical))


def _category_problem(tree: Tree, by_category: NDArray[np.bool_], n_sets: int) -> str | None:
    if n_sets == 0:
        return "categories that are not listed" if by_category.any() else None
    bounds, words = tree["cat_boundaries"], tree["cat_threshold"]
    rising = len(bounds) == n_sets + 1 and not (np.diff(bounds) < 0).any()
    if not rising or bounds[0] != 0 or bounds[-1] != len(words) or (bounds % 1).any():
        return "categories whose bounds do not rise"
    if not _within(words, 0, 2**32 - 1) or (words % 1).any():
        return "categories that are no bits"
    chosen = tree["threshold"][by_category]
    fits = _within(chosen, 0, n_sets - 1) and not (chosen % 1).any()
    return None if fits else "a set of categories that there is not"


def _within(numbers: NDArray[np.float64], low: float, high: float) -> bool:
    return bool(((numbers >= low) & (numbers <= high)).all())


def importances(
    trees: list[Tree], n_features: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the total gain of each feature's splits, and their number."""
    features = np.concatenate([tree["split_feature"] for tree in trees] or [np.empty(0)])
    gains = np.concatenate([tree["split_gain"] for tree in trees] or [np.empty(0)])
    places = features.astype(np.int64)
    total = np.bincount(places, weights=gains, minlength=n_features).astype(np.float64)
    return total, np.bincount(places, minlength=n_features).astype(np.int64)
