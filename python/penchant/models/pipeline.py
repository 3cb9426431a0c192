"""Two stages in one model: retrieve a few hundred items, then rank those."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from penchant.errors import ArtifactError, UnsupportedError, require
from penchant.models import results, state
from penchant.models.base import Recommender
from penchant.models.histories import Histories
from penchant.models.ials import IALS
from penchant.models.indexed import IndexedRanker
from penchant.models.lambdamart import LambdaMART
from penchant.models.learnt_ranking import LearntRanking, fit_ranking
from penchant.models.params import Integer, Rule
from penchant.models.parts import add_part, grown, take_part, unfitted
from penchant.models.ranker import Rows, Scores
from penchant.models.stage_rules import Model
from penchant.models.two_stages import (
    ModelRanks,
    Retriever,
    Second,
    Stage,
    TwoStageIndex,
    UsersOrHistories,
)
from penchant.retrieval.protocol import NO_SCORE

if TYPE_CHECKING:
    import pyarrow as pa

    from penchant.data.interactions import Interactions
    from penchant.models.training import FitMonitor
    from penchant.retrieval.graph_report import Options
    from penchant.retrieval.graph_search import GraphSearch


class Pipeline(Recommender):
    """Retrieves with one model and ranks what it has found with another, as one model.

    The first stage finds its `k` best items for each user, under all filters; the second scores
    just those, and its score is the one that is shown. So a model that is good at finding, and
    quick, goes together with one that is good at ordering a few, such as one of ratings or trees
    over features (the two stages of Covington et al. [1]_).

    Every answer is by the score of the second stage, ties by the lower code:

    - `recommend` returns at most `k` items for each user, however many are asked for;
    - `predict` and `recommend_users` score any pair, whether or not it would be retrieved;
    - items or users that the ranking model does not know (`Prod2Vec` leaves out rare ones) come
      after all others, in the order of the first stage, with the lowest finite float32 as their
      score, and are left out of means. What the *retrieving* model does not know is not part of
      the pipeline;
    - strangers (``recommend(history=...)``) are answered where both stages can fold in;
    - `similar_items`, `similar_users`, `item_vectors` and `user_vectors` are those of the first
      stage, for the second has no say in what is alike;
    - `explain` is that of the second stage, whose score is shown; `LambdaMART` has none, see
      ``model.retrieve_.explain(...)`` and `feature_importances_`;
    - `build_index` makes an approximate index of the first stage, where a model ranks. Trees go by
      the rank in the exact search, so that with `LambdaMART` there is none;
    - `partial_fit` gives new events to every model; the trees of `LambdaMART` stay as they are.

    `fit` makes new models of the same hyperparameters as the two given, which stay as they are;
    the fitted ones are `retrieve_` and `rank_`. Callbacks of `fit` are not passed on to them.

    Parameters
    ----------
    retrieve : model, optional
        The first stage. None is ``IALS()``.
    k : int, default 200
        Items retrieved for each user. A change by `set_params` acts at once.
    rank : model or LambdaMART, optional
        The second stage: a model ranks by its own score, `LambdaMART` learns from the scores of
        models and the item and user tables. None is ``LambdaMART()``.

    Attributes
    ----------
    retrieve_ : Recommender
        The fitted first stage.
    rank_ : Recommender or LearntRanking
        The fitted second stage.
    feature_importances_ : frame
        What the trees of `LambdaMART` go by.
    validation_ : dict
        See `LambdaMART`.

    References
    ----------
    .. [1] Covington, Adams, Sargin: "Deep neural networks for YouTube recommendations", RecSys
       2016.

    Examples
    --------
    >>> import pandas as pd, penchant as pc
    >>> rows = [("ann", "tea", 5), ("ann", "jam", 3), ("bob", "tea", 4), ("eve", "jam", 2)]
    >>> frame = pd.DataFrame(rows, columns=["who", "what", "stars"])
    >>> data = pc.Interactions.from_frame(frame, user="who", item="what", value="stars")
    >>> model = pc.Pipeline(retrieve=pc.ItemKNN(), k=50, rank=pc.SVD(factors=2))
    >>> model.fit(data, progress=False).recommend("bob", k=1)["what"].to_list()
    ['jam']
    >>> model.set_params(rank__factors=4)
    Pipeline(retrieve=ItemKNN(), k=50, rank=SVD(factors=4))
    """

    _rules: ClassVar[Mapping[str, Rule]] = {
        "retrieve": Model(),
        "k": Integer(1, 2**31 - 1),
        "rank": Model(others=(LambdaMART,)),
    }
    _has_softmax: ClassVar[bool] = False  # the second stage does not score everything

    retrieve_: Recommender
    rank_: Recommender | LearntRanking

    def __init__(
        self,
        *,
        retrieve: Recommender | None = None,
        k: int = 200,
        rank: Recommender | LambdaMART | None = None,
    ) -> None:
        self.retrieve = retrieve
        self.k = k
        self.rank = rank
        self._check_params()

    # ---- training -------------------------------------------------------------------------------

    def _stages(self) -> tuple[Recommender, Recommender | LambdaMART]:
        """Return new objects with the hyperparameters of the two stages."""
        retrieve = IALS() if self.retrieve is None else unfitted(self.retrieve)
        return retrieve, LambdaMART() if self.rank is None else unfitted(self.rank)

    def _start(self, train: Interactions) -> None:
        retrieve, rank = self._stages()
        seen = train.csr("distinct")
        retrieve._begin(train, seen)
        if isinstance(rank, LambdaMART):
            require("lightgbm", "lightgbm")  # before anything is trained
            self._set_stages(retrieve, LearntRanking.untrained(rank, int(self.k)))
        else:
            rank._begin(train, seen)
            self._set_stages(retrieve, rank)

    def _fit(self, train: Interactions, monitor: FitMonitor) -> None:
        retrieve, rank = self._stages()
        shown = monitor.progress
        if isinstance(rank, LambdaMART):
            learnt = fit_ranking(rank, retrieve, train, int(self.k), shown)
            self._set_stages(retrieve.fit(train, progress=shown), learnt)
        else:
            retrieve.fit(train, progress=shown)
            self._set_stages(retrieve, rank.fit(train, progress=shown))
        self._weights_changed()

    def _set_stages(self, retrieve: Recommender, rank: Recommender | LearntRanking) -> None:
        self.retrieve_, self.rank_ = retrieve, rank
        # It may leave out items, and users who took nothing else.
        self.users_, self.items_ = retrieve.users_, retrieve.items_
        self.seen_, self.item_counts_ = retrieve.seen_, retrieve.item_counts_
        self.item_first_seen_, self.last_event_ = retrieve.item_first_seen_, retrieve.last_event_
        self.item_features_ = retrieve.item_features_
        self.user_features_ = retrieve.user_features_

    def _models(self) -> tuple[Recommender, ...]:
        """Return the fitted models that the second stage goes by."""
        if isinstance(self.rank_, LearntRanking):
            return tuple(self.rank_.models.values())
        return (self.rank_,)

    def _check_learns_more(self) -> None:
        for model in (self.retrieve_, *self._models()):
            model._check_learns_more()

    def _take_in(self, new: Interactions | None, rows: pa.Table | None) -> None:
        """Let copies of all models learn, and answer by those."""
        retrieve = grown(self.retrieve_, new, rows)
        rank: Recommender | LearntRanking
        if isinstance(self.rank_, LearntRanking):
            models = self.rank_.models.items()
            rank = self.rank_.with_models({n: grown(part, new, rows) for n, part in models})
        else:
            rank = grown(self.rank_, new, rows)
        self._set_stages(retrieve, rank)
        self._weights_changed()

    def _training_begins(self) -> None:
        super()._training_begins()
        for name in ("retrieve", "rank"):  # as they are now, whatever becomes of the caller's
            if (part := getattr(self, name)) is not None:
                setattr(self._trained, name, unfitted(part))

    def _forget(self) -> None:
        super()._forget()
        for name in ("retrieve_", "rank_"):
            self.__dict__.pop(name, None)

    # ---- what was learnt ------------------------------------------------------------------------

    @property
    def feature_importances_(self) -> Any:
        """Frame of what the trees go by: feature, gain (of all its splits), splits; best first.

        Raises
        ------
        UnsupportedError
            A model ranks, not `LambdaMART`.
        NotFittedError
            Before `fit`.
        """
        return results.to_frame(self._learnt().importances(), self.backend_)

    @property
    def validation_(self) -> dict[str, float]:
        """ndcg@10 of the retrieved order and of the trees; see `LambdaMART`.

        Raises
        ------
        UnsupportedError
            A model ranks, not `LambdaMART`.
        NotFittedError
            Before `fit`.
        """
        return dict(self._learnt().validation)

    def _learnt(self) -> LearntRanking:
        self._check_fitted()
        if not isinstance(self.rank_, LearntRanking):
            raise UnsupportedError(
                f"{type(self.rank_).__name__} ranks by its own score: only rank=LambdaMART() "
                "learns from features"
            )
        return self.rank_

    # ---- answers --------------------------------------------------------------------------------

    def _index(self) -> TwoStageIndex:
        return self._two_stages("exact")

    def _searcher(self, index: str | None) -> TwoStageIndex:
        return self._two_stages("exact" if index == "exact" or self.index_ is None else None)

    def _two_stages(self, by: Literal["exact"] | None) -> TwoStageIndex:
        key = "two stages" if by == "exact" else "two stages, approximate"
        index: TwoStageIndex | None = self._derived.get(key)
        if index is None:
            retriever = Retriever(self.retrieve_, by)
            second: Second
            if isinstance(self.rank_, LearntRanking):
                second = self.rank_.bind(retriever)
            else:
                second = ModelRanks(self._second_stage(self.rank_))
            index = self._derived[key] = TwoStageIndex(retriever, second, int(self.k))
        return index

    def _prepare(self) -> None:
        for model in (self.retrieve_, *self._models()):
            model._prepare()
        super()._prepare()

    def _indexed(self) -> IndexedRanker:
        return self if isinstance(self.rank_, LearntRanking) else self.retrieve_._indexed()

    def _make_graph(self, options: Options, num_threads: int) -> GraphSearch:
        """Say why there is none: it is the first stage that has one, unless trees rank."""
        raise UnsupportedError(
            "LambdaMART goes by the rank of an item in the exact search, so that a pipeline with "
            "it has no approximate index: leave index='exact', or let a model rank, as in "
            "Pipeline(rank=ItemKNN())"
        )

    def _second_stage(self, model: Recommender) -> Stage:
        stage: Stage | None = self._derived.get("second stage")
        if stage is None:
            stage = self._derived["second stage"] = Stage(model, self.users_, self.items_)
        return stage

    def _queries(self, codes: Rows | None) -> UsersOrHistories:
        everyone = np.arange(len(self.users_), dtype=np.int64)
        return UsersOrHistories(everyone if codes is None else codes)

    def _telling(self, queries: Callable[[], UsersOrHistories]) -> NDArray[np.bool_] | None:
        """Return whom the first stage finds items for."""
        retriever = Retriever(self.retrieve_)
        return self.retrieve_._telling(lambda: retriever.queries(queries()))

    def _fold_in(self, histories: Histories) -> UsersOrHistories:
        self._check_folds_in()
        return UsersOrHistories(histories=histories, first=self.retrieve_._fold_in(histories))

    def _check_folds_in(self) -> None:
        for model in (self.retrieve_, *self._models()):
            model._check_folds_in()

    @property
    def capabilities_(self) -> frozenset[str]:
        """What the pipeline can do: what its first stage can.

        "history", "partial_fit" and "new_items" only where all models can, "explain" where the
        model that ranks can, "approximate_index" not with `LambdaMART`.

        Examples
        --------
        >>> import penchant as pc
        >>> sorted(pc.Pipeline(retrieve=pc.ItemKNN(), rank=pc.IALS()).capabilities_)
        ['explain', 'history', 'partial_fit', 'similar_items']
        """
        if self.__sklearn_is_fitted__():
            retrieve, models = self.retrieve_, self._models()
            ranks = not isinstance(self.rank_, LearntRanking)
        else:
            retrieve, rank = self._stages()
            ranks = not isinstance(rank, LambdaMART)
            models = tuple(rank.models) if isinstance(rank, LambdaMART) else (rank,)
        found = retrieve.capabilities_ - {"explain", "softmax"}
        for model in models:
            found -= {"history", "partial_fit", "new_items"} - model.capabilities_
        if ranks:
            return found | (models[0].capabilities_ & {"explain"})
        return found - {"approximate_index"}

    def _check_explains(self) -> None:
        if isinstance(self.rank_, LearntRanking):
            raise UnsupportedError(
                "the trees of a LambdaMART do not explain their scores by a history: see "
                "feature_importances_ for what they go by, or ask the first stage, as in "
                "model.retrieve_.explain(...)"
            )
        self.rank_._check_explains()

    def _explained(self, who: int | Histories, item: int, k: int | None) -> Any:
        """Explain by the model that ranks, whose score it is."""
        assert isinstance(self.rank_, Recommender)
        asked = self._second_stage(self.rank_).own(who, item)
        if asked is None:
            what = "item or all of the history" if isinstance(who, Histories) else "user or item"
            raise UnsupportedError(
                f"{type(self.rank_).__name__}, which ranks, does not know this {what}, so that "
                "there is no score of it to explain"
            )
        return self.rank_._explained(*asked, k)

    def _finish(self, scores: Scores) -> Scores:
        if isinstance(self.rank_, LearntRanking):
            return scores
        return np.where(scores == NO_SCORE, scores, self.rank_._finish(scores))

    def _neighbors(self, codes: Rows, k: int, num_threads: int) -> tuple[Rows, Scores]:
        return self.retrieve_._neighbors(codes, k, num_threads)

    def _vectors(self, side: Literal["user", "item"]) -> NDArray[np.float32]:
        return self.retrieve_._vectors(side)

    # ---- state ----------------------------------------------------------------------------------

    def _add_parts(self, captured: state.State) -> state.State:
        whole = add_part(captured, "retrieve", self.retrieve_)
        if isinstance(self.rank_, LearntRanking):
            return self.rank_.add_to(whole)
        return add_part(whole, "rank", self.rank_)

    def _restore_parts(self, saved: state.State) -> None:
        retrieve = take_part(saved, "retrieve")
        if retrieve.users_ != self.users_ or retrieve.items_ != self.items_:
            raise ArtifactError("its first stage has other users or items")
        rank: Recommender | LearntRanking
        if "ranking" in saved.meta:
            settings = LambdaMART() if self._trained.rank is None else self._trained.rank
            if not isinstance(settings, LambdaMART):
                raise ArtifactError("its second stage is not that of its hyperparameters")
            rank = LearntRanking.take_from(saved, settings)
        else:
            rank = take_part(saved, "rank")
        self._set_stages(retrieve, rank)
