"""A `LambdaMART` after training: its trees, what they go by, and how they are saved."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from penchant import _core
from penchant.errors import ArtifactError, notice, require
from penchant.models.lambdamart import Grown, LambdaMART, grow_trees, start_scores
from penchant.models.lightgbm_text import importances, read_trees
from penchant.models.parts import add_part, take_part, unfitted
from penchant.models.ranking_examples import held_out_pairs, hold_out, make_examples
from penchant.models.ranking_features import (
    Column,
    Features,
    categorical_places,
    choose_columns,
    feature_names,
)
from penchant.models.state import State
from penchant.models.two_stages import Found, Retriever, Stage
from penchant.retrieval.exact import thread_count

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models.base import Recommender
    from penchant.models.ranker import Scores

Columns = dict[Literal["item", "user"], tuple[Column, ...]]

_forked: list[bool] = []
# gcc's OpenMP, which LightGBM uses, hangs in a child forked after a parallel region.
os.register_at_fork(after_in_child=lambda: _forked.append(True))


class LearntRanking:
    """Trees that rank, and the models whose scores they go by.

    Parameters
    ----------
    depth : int
        Items retrieved for each user while the examples were made.
    columns : dict
        Those of the "item" and the "user" table that are features.
    models : dict of str to Recommender
        Fitted.
    grown : Grown
    num_threads : int or None
    """

    def __init__(
        self,
        depth: int,
        columns: Columns,
        models: dict[str, Recommender],
        grown: Grown,
        num_threads: int | None,
    ) -> None:
        self.depth = depth
        self.columns = columns
        self.models = models
        self.text = grown.text
        self.validation = grown.validation
        self.num_threads = num_threads
        self.names = feature_names(models, columns)
        self.booster: Any = None
        if self.text is not None:
            self.trees = read_trees(self.text, len(self.names))
            lightgbm: Any = require("lightgbm", "lightgbm")
            self.booster = lightgbm.Booster(model_str=self.text)

    @classmethod
    def untrained(cls, settings: LambdaMART, depth: int) -> LearntRanking:
        """Return one that keeps the order in which items are retrieved."""
        nothing: Columns = {"item": (), "user": ()}
        return cls(depth, nothing, {}, Grown(None, {}), settings.num_threads)

    def with_models(self, models: dict[str, Recommender]) -> LearntRanking:
        """Return one of the same trees that goes by the scores of other models."""
        other = copy.copy(self)
        other.models = models
        return other

    def importances(self) -> pa.Table:
        """Return the feature, gain and splits of each feature, most gain first."""
        if self.text is None:
            gains, splits = np.zeros(len(self.names)), np.zeros(len(self.names), np.int64)
        else:
            gains, splits = importances(self.trees, len(self.names))
        table = pa.table({"feature": self.names, "gain": gains, "splits": splits})
        return table.take(pa.array(np.argsort(-gains, kind="stable")))

    def bind(self, retriever: Retriever) -> TreeRanks:
        """Return what scores the pairs that this retriever finds."""
        model = retriever.model
        stages = {n: Stage(part, model.users_, model.items_) for n, part in self.models.items()}
        features = Features(retriever, self.depth, stages, self.columns) if self.text else None
        return TreeRanks(self, features)

    # ---- state ----------------------------------------------------------------------------------

    def add_to(self, whole: State) -> State:
        """Put it into the state of a pipeline."""
        sides: tuple[Literal["item", "user"], ...] = ("item", "user")
        rows = [
            (side, column.name, text)
            for side in sides
            for column in self.columns[side]
            for text in column.categories or ()
        ]
        kinds = {side: [column.saved() for column in self.columns[side]] for side in sides}
        meta = {
            "depth": int(self.depth),
            "columns": kinds,
            "models": list(self.models),
            "validation": self.validation,
            "learnt": self.text is not None,
        }
        texts = [pa.array([row[i] for row in rows], pa.large_string()) for i in range(3)]
        whole.tables["categories"] = pa.Table.from_arrays(texts, ["side", "column", "value"])
        if self.text is not None:
            whole.arrays["trees"] = np.frombuffer(self.text.encode("ascii"), dtype=np.uint8)
        whole.meta["ranking"] = meta
        for place, model in enumerate(self.models.values()):
            whole = add_part(whole, f"model{place}", model)
        return whole

    @classmethod
    def take_from(cls, whole: State, settings: LambdaMART) -> LearntRanking:
        """Read what `add_to` has put into a state.

        Raises
        ------
        ArtifactError
            It is damaged.
        """
        meta = whole.meta["ranking"]
        texts: dict[tuple[str, str], list[str]] = {}
        for row in whole.tables["categories"].to_pylist():
            texts.setdefault((row["side"], row["column"]), []).append(row["value"])
        kinds = meta["columns"]
        columns: Columns = {"item": (), "user": ()}
        for side in columns:
            columns[side] = tuple(
                Column.restored(column, texts.get((side, column[0]), ())) for column in kinds[side]
            )
        names, depth = meta["models"], meta["depth"]
        if not isinstance(depth, int) or depth < 1:
            raise ArtifactError(f"{depth!r:.80} items are retrieved for the ranking")
        models = {name: take_part(whole, f"model{place}") for place, name in enumerate(names)}
        text = None
        if meta["learnt"]:
            trees = whole.arrays["trees"]
            if trees.dtype != np.uint8 or trees.ndim != 1:
                raise ArtifactError("the ranking model is no text")
            text = trees.tobytes().decode("ascii")
        grown = Grown(text, dict(meta["validation"]))
        return cls(depth, columns, models, grown, settings.num_threads)


class TreeRanks:
    """Ranks by trees; without any, by the score of the retriever."""

    def __init__(self, learnt: LearntRanking, features: Features | None) -> None:
        self._learnt = learnt
        self._features = features

    def score(self, found: Found, num_threads: int) -> Scores:
        """Return a score for each pair."""
        if self._features is None or len(found.rows) == 0:
            return found.scores
        matrix = self._features.matrix(found, num_threads)
        threads = _threads(num_threads or thread_count(self._learnt.num_threads))
        trees = self._learnt.booster.predict(matrix, num_threads=threads)
        return np.asarray(start_scores(matrix) + trees, dtype=np.float32)


def _threads(num_threads: int) -> int:
    if _forked:
        return 1
    return num_threads or _core.default_num_threads()


def fit_ranking(
    settings: LambdaMART, retrieve: Recommender, train: Interactions, depth: int, progress: bool
) -> LearntRanking:
    """Learn to rank what a model retrieves; see `LambdaMART`.

    Parameters
    ----------
    settings : LambdaMART
    retrieve : Recommender
        Unfitted; it stays so.
    train : Interactions
    depth : int
        Items retrieved for each user.
    progress : bool
    """
    columns: Columns = {
        "item": choose_columns(
            train.item_features, settings.item_columns, train.columns.item, "item"
        ),
        "user": choose_columns(
            train.user_features, settings.user_columns, train.columns.user, "user"
        ),
    }
    named = dict(zip(_names(settings.models), settings.models, strict=True))
    chosen = hold_out(
        train, float(settings.holdout), int(settings.random_state), settings.holdout_by
    )
    grown = Grown(None, {})
    if chosen.any():
        rest, held_out = train.select(~chosen), train.select(chosen)
        retriever = Retriever(unfitted(retrieve).fit(rest, progress=progress))
        own = retriever.model.users_, retriever.model.items_
        stages = {
            name: Stage(unfitted(model).fit(rest, progress=progress), *own)
            for name, model in named.items()
        }
        examples = make_examples(
            retriever,
            Features(retriever, depth, stages, columns),
            held_out_pairs(retriever, held_out),
            depth=depth,
            max_users=int(settings.max_users),
            seed=int(settings.random_state),
            num_threads=thread_count(settings.num_threads),
        )
        grown = grow_trees(
            settings,
            examples,
            categorical_places(len(named), columns),
            num_threads=_threads(thread_count(settings.num_threads)),
            progress=progress,
        )
    if grown.text is None:
        why = "(too few users have a hit among what is held out)"
        if grown.validation:
            why = "(ndcg@10 {ranked:.4f}, not {retrieved:.4f})".format(**grown.validation)
        notice(
            f"LambdaMART: the trees do not better the order in which items are retrieved {why}, "
            "so that items keep it"
        )
    models = {
        name: unfitted(model).fit(train, progress=progress)
        for name, model in (named.items() if grown.text else ())
    }
    if grown.text is None:
        columns = {"item": (), "user": ()}
    return LearntRanking(depth, columns, models, grown, settings.num_threads)


def _names(models: Iterable[Recommender]) -> list[str]:
    """Name models by their class, and number those of one class."""
    names: list[str] = []
    for model in models:
        own, number = type(model).__name__, 1
        while (name := own if number == 1 else f"{own} {number}") in names:
            number += 1
        names.append(name)
    return names
