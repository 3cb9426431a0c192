"""LambdaMART: trees that learn to order what a retriever has found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from penchant.errors import UnsupportedError, require
from penchant.models import state
from penchant.models.lightgbm_text import plain_text
from penchant.models.params import Choice, Integer, Parameterized, Real, Rule
from penchant.models.progress import Progress
from penchant.models.ranker import NUM_THREADS
from penchant.models.ranking_examples import Examples
from penchant.models.ranking_features import RANK
from penchant.models.stage_rules import Models, Names

METRIC = "ndcg@10"
_AT = 10


class LambdaMART(Parameterized):
    """Learns the order of retrieved items from models' scores and features: see `Pipeline`.

    LambdaMART [1]_ boosts regression trees whose steps are weighed by how much they change ndcg;
    LightGBM [2]_ trains them (``pip install 'penchant[lightgbm]'``). A pair of a user and an item
    is described by

    - the score of the retriever, and the rank of the item among the new items that it finds for
      the user (`k` of the pipeline + 1 for those beyond);
    - the scores of `models`;
    - the item's share of all interactions, and how many items the user has taken;
    - the columns of the item and the user table: numbers, dates and flags as they are, texts as
      categories. Lists, and columns of texts that join several by ``|``, become a feature of 0
      and 1 for each of their elements, of the 32 that most rows have. Null, and a category that
      training did not see, count as missing.

    The trees start from the order of retrieval, as ``-log(rank)``, and correct it. Where they do
    not better it on the validation users they are dropped, with a notice, and items keep it.

    The retriever that makes the examples has not seen their labels: a part of each user's events
    is held out, the retriever and `models` are fitted on the rest, what was held out is labelled
    among the items retrieved, and all are then fitted again on everything. The trees learn to
    find events *like those held out*: the next ones by default. To be measured on a random split
    of old events (``pc.split.random``), hold out random ones, or they learn something else.

    Parameters
    ----------
    models : sequence of models, default ()
        Further models whose scores are features, such as ``[pc.ItemKNN()]``.
    n_estimators : int, default 300
        Trees at most.
    learning_rate : float, default 0.05
        Share of each tree's step that is taken.
    num_leaves : int, default 15
        Leaves of a tree at most.
    min_child_samples : int, default 50
        Pairs in a leaf at least.
    colsample_bytree : float, default 1.0
        Share of the features that a tree may use.
    reg_lambda : float, default 1.0
        L2 penalty of leaf values.
    early_stopping_rounds : int or None, default 30
        Stop after so many trees without a better ndcg@10 on the validation users, and keep the
        trees up to the best. None grows all.
    holdout : float, default 0.2
        Share of each user's events held out.
    holdout_by : {"auto", "time", "random"}, default "auto"
        Which: a user's last events, or random ones. "auto" is "time" where the data have
        timestamps or an order.
    validation : float, default 0.2
        Share of the users whose examples are for early stopping.
    max_users : int, default 20000
        Examples are made of this many users at most, chosen at random: memory and time are
        ``max_users * k`` pairs.
    item_columns, user_columns : sequence of str, optional
        Columns of the item and the user table to use. None: all that are numbers, or texts that
        many rows share.
    random_state : int, default 0
    num_threads : int, optional
        Default: what `penchant.show_config()` prints. The trees do not depend on it.

    Attributes
    ----------
    validation_ : dict
        ndcg@10 on the validation users: ``"retrieved"`` in the order of the retriever, ``"ranked"``
        in that of the trees. Empty where there were none.

    References
    ----------
    .. [1] Burges: "From RankNet to LambdaRank to LambdaMART: an overview", MSR-TR-2010-82.
    .. [2] Ke et al.: "LightGBM: a highly efficient gradient boosting decision tree", NIPS 2017.

    Examples
    --------
    >>> import penchant as pc
    >>> pc.LambdaMART(models=[pc.ItemKNN(neighbors=20)], learning_rate=0.1)
    LambdaMART(models=[ItemKNN(neighbors=20)], learning_rate=0.1)
    """

    _rules: ClassVar[Mapping[str, Rule]] = {
        "models": Models(),
        "n_estimators": Integer(1, 100_000),
        "learning_rate": Real(0, 10, open_low=True),
        "num_leaves": Integer(2, 4096),
        "min_child_samples": Integer(1, 2**31 - 1),
        "colsample_bytree": Real(0, 1, open_low=True),
        "reg_lambda": Real(0),
        "early_stopping_rounds": Integer(1, 100_000, optional=True),
        "holdout": Real(0, 0.9, open_low=True),
        "holdout_by": Choice(("auto", "time", "random")),
        "validation": Real(0, 0.9),
        "max_users": Integer(1, 2**31 - 1),
        "item_columns": Names(),
        "user_columns": Names(),
        "random_state": Integer(0, 2**31 - 1),
        "num_threads": NUM_THREADS,
    }

    def __init__(
        self,
        *,
        models: Sequence[Any] = (),
        n_estimators: int = 300,
        learning_rate: float = 0.05,
        num_leaves: int = 15,
        min_child_samples: int = 50,
        colsample_bytree: float = 1.0,
        reg_lambda: float = 1.0,
        early_stopping_rounds: int | None = 30,
        holdout: float = 0.2,
        holdout_by: Literal["auto", "time", "random"] = "auto",
        validation: float = 0.2,
        max_users: int = 20_000,
        item_columns: Sequence[str] | None = None,
        user_columns: Sequence[str] | None = None,
        random_state: int = 0,
        num_threads: int | None = None,
    ) -> None:
        self.models = models
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.colsample_bytree = colsample_bytree
        self.reg_lambda = reg_lambda
        self.early_stopping_rounds = early_stopping_rounds
        self.holdout = holdout
        self.holdout_by = holdout_by
        self.validation = validation
        self.max_users = max_users
        self.item_columns = item_columns
        self.user_columns = user_columns
        self.random_state = random_state
        self.num_threads = num_threads
        self._check_params()

    def fit(self, *_: object, **__: object) -> NoReturn:
        """Raise `UnsupportedError`: a `Pipeline` trains it, on what its first stage retrieves."""
        raise UnsupportedError(
            "LambdaMART is the second stage of a Pipeline, which trains it: "
            "pc.Pipeline(retrieve=pc.IALS(), rank=pc.LambdaMART()).fit(train)"
        )

    def _settings(self, n_threads: int) -> dict[str, Any]:
        """Return LightGBM's parameters; it names what its authors mean by each."""
        return {
            "objective": "lambdarank",
            "label_gain": [0, 1],
            "metric": "None",  # see `_Ndcg`
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
            "seed": int(self.random_state),
            "num_threads": n_threads,
            "learning_rate": float(self.learning_rate),
            "num_leaves": int(self.num_leaves),
            "min_data_in_leaf": int(self.min_child_samples),
            "feature_fraction": float(self.colsample_bytree),
            "lambda_l2": float(self.reg_lambda),
        }


state.register_part(LambdaMART)


class Grown(NamedTuple):
    """What training has made.

    Attributes
    ----------
    text : str or None
        The trees, as `plain_text` writes them; None where nothing could be learnt.
    validation : dict
        See `LambdaMART`.
    """

    text: str | None
    validation: dict[str, float]


def start_scores(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the score that the trees are added to, by the rank among the features.

    The chance of a hit falls about as 1 / rank, and trees add up log-odds.
    """
    return -np.log(matrix[:, RANK].astype(np.float64))


def grow_trees(
    settings: LambdaMART,
    examples: Examples,
    categorical: list[int],
    *,
    num_threads: int,
    progress: bool,
) -> Grown:
    """Train LightGBM on examples, the last users of which are for early stopping.

    Parameters
    ----------
    settings : LambdaMART
    examples : Examples
        Users in random order.
    categorical : list of int
        Features that are categories.
    num_threads : int
    progress : bool
        Show a bar with the ndcg@10 of the validation users.
    """
    lightgbm: Any = require("lightgbm", "lightgbm")
    n_users = len(examples.sizes)
    n_valid = int(n_users * settings.validation)
    train, valid = examples.cut(n_users - n_valid)
    if not _orderable(train):
        return Grown(None, {})
    options = settings._settings(num_threads)
    data = _dataset(lightgbm, train, None, categorical, options)
    watched: list[Any] = []
    callbacks: list[Callable[[Any], None]] = []
    ndcg = _Ndcg(valid) if n_valid else None
    if ndcg is not None:
        watched = [_dataset(lightgbm, valid, data, categorical, options)]
        if settings.early_stopping_rounds is not None:
            rounds = int(settings.early_stopping_rounds)
            callbacks.append(lightgbm.early_stopping(rounds, verbose=False))
    bar = Progress(int(settings.n_estimators), "LambdaMART") if progress else None
    if bar is not None:
        callbacks.insert(0, lambda _: bar.update({} if ndcg is None else {METRIC: ndcg.latest}))
    try:
        booster = lightgbm.train(
            options,
            data,
            int(settings.n_estimators),
            valid_sets=watched,
            feval=ndcg,
            callbacks=callbacks,
        )
    finally:
        if bar is not None:
            bar.close()
    text = booster.model_to_string(num_iteration=booster.best_iteration or -1)
    if "split_feature" not in text:
        return Grown(None, {})
    measured = {}
    if ndcg is not None:
        before = start_scores(valid.features)
        after = before + booster.predict(
            valid.features, num_iteration=booster.best_iteration or -1, num_threads=num_threads
        )
        measured = {"retrieved": ndcg.value(before), "ranked": ndcg.value(after)}
        if measured["ranked"] <= measured["retrieved"]:
            return Grown(None, measured)
    return Grown(plain_text(text, train.features.shape[1]), measured)


def _orderable(examples: Examples) -> bool:
    """Whether there are two pairs with different labels."""
    return bool(len(examples.labels) and examples.labels.min() < examples.labels.max())


def _dataset(
    lightgbm: Any,
    part: Examples,
    like: Any,
    categorical: list[int],
    options: dict[str, Any],
) -> Any:
    return lightgbm.Dataset(
        part.features,
        part.labels,
        reference=like,
        group=part.sizes,
        init_score=start_scores(part.features),
        categorical_feature=categorical,
        params=options,
    )


class _Ndcg:
    """Mean ndcg@10 over users with a hit, by numpy: LightGBM's own adds up as threads finish."""

    def __init__(self, examples: Examples) -> None:
        self._labels = examples.labels.astype(np.float64)
        self._owners = np.repeat(np.arange(len(examples.sizes)), examples.sizes)
        starts = np.cumsum(examples.sizes) - examples.sizes
        self._rank = np.arange(len(self._labels)) - np.repeat(starts, examples.sizes)
        self._discounts = np.where(self._rank < _AT, 1 / np.log2(self._rank + 2), 0)
        self._ideal = self._gain(self._labels)
        self.latest = 0.0

    def _gain(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        order = np.lexsort((self._rank, -scores, self._owners))
        gains = self._labels[order] * self._discounts
        return np.bincount(self._owners, gains).astype(np.float64)

    def value(self, scores: NDArray[np.float64]) -> float:
        return float((self._gain(scores) / self._ideal).mean())

    def __call__(self, scores: NDArray[np.float64], data: Any) -> tuple[str, float, Literal[True]]:
        self.latest = self.value(scores)
        return METRIC, self.latest, True
