"""word2vec over the sequences in which items were taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.errors import DataError, UnsupportedError, notice
from penchant.models.explain import Contributions
from penchant.models.factor_model import Factors
from penchant.models.params import Choice, Flag, Integer, Real, Rule
from penchant.models.ranker import NUM_THREADS
from penchant.models.results import keep_rows
from penchant.models.sequence_growth import SequenceGrowth
from penchant.models.weights import HISTORY_VALUES, Weight
from penchant.models.word2vec_exchange import Word2VecExchange
from penchant.retrieval.exact import unit_rows
from penchant.retrieval.filters import RowLists, offsets, recode

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models.histories import Histories
    from penchant.models.training import FitMonitor

_INPUT = 0  # random stream of the first vectors


class Prod2Vec(SequenceGrowth, Word2VecExchange):
    """Item vectors from sequences: items taken near one another get similar vectors.

    Skip-gram or CBOW with negative sampling [1]_ over baskets, sessions, playlists or purchase
    histories [2]_: the sessions of the data if there are any, else all events of each user, in
    time order. Parameters have gensim's names; where their meaning differs they say so. Training
    is parallel, and its result the same bits for any number of threads.

    Items that occur fewer than `min_count` times get no vector and are no part of the fitted
    model: they are not in `items_`, are never recommended, and asking about them is asking about
    an unknown item. Users without any other item are not in `users_` likewise.

    Parameters
    ----------
    vector_size : int, default 64
        Length of a vector.
    window : int, default 10
        Items at most this far apart in a sequence count as near.
    min_count : int, default 3
        Items that occur fewer times are left out before anything else.
    epochs : int, default 30
        Passes over the sequences.
    ns_exponent : float, default 0.75
        Negatives are drawn in proportion to an item's count to this power: 1 by popularity, 0
        uniformly, below 0 rare items more often than popular ones. Matters much [3]_.
    negative : int, default 5
        Negatives drawn for each window, which its pairs share (gensim draws for each pair).
    sample : float, default 0.001
        Occurrences of items with more than this share of all events are left out at random, the
        more popular the more often. 0 keeps all. Items that are not more frequent than the average
        one always stay whole, so that small catalogues do not lose most of their events.
    sg : {1, 0}, default 1
        1 is skip-gram, 0 CBOW (faster).
    alpha : float, default 0.025
        Learning rate at the start.
    min_alpha : float, default 0.0001
        Learning rate at the end; it falls linearly.
    shrink_windows : bool, default True
        Draw the size of each window from 1 to `window`, so that nearer items count more.
    history_weighting : {"mean", "recency", "last"}, default "mean"
        How the vector of a user is made from the vectors of the items they took: their mean, a
        mean in which each event weighs `recency_decay` times the one after it, or the last alone.
        The events of `partial_fit` come after all that a user had before; without a time or an
        order column they stand by item id. Where `partial_fit` learns what an item is like that it
        had to guess until then, vectors of earlier users follow with "mean"; otherwise, the order
        of events not being kept, only those of users without another item.
    recency_decay : float, default 0.8
        Only for ``history_weighting="recency"``.
    score_vectors : {"input", "output", "both"}, default "both"
        What the cosine of scores and of `similar_items` is taken of: the input vectors as gensim
        does; the output vectors, which can do better on few data; or the sum of the two, each of
        length 1.
    popularity_weight : float, default 0.1
        The score of a recommended item is its cosine with the user's vector plus this weight times
        the natural logarithm of its count. 0 is the cosine alone, as in gensim; weights of 0.05 to
        0.15 find many more of the items taken next. `similar_items` is not concerned.
    random_state : int, default 0
        The same data and `random_state` give the same model.
    num_threads : int, optional
        Default: what `penchant.show_config()` prints.

    Attributes
    ----------
    item_vectors_ : float32 array of shape (n_items, vector_size)
        The input vectors, gensim's ``wv``.
    output_vectors_ : float32 array of shape (n_items, vector_size)
        The weights of the predicted item, gensim's ``syn1neg``.
    user_vectors_ : float32 array of shape (n_users, vector_size)
        Of the users' own sequences, made as `history_weighting` says of `score_vectors`.
    vocabulary_counts_ : int64 array of shape (n_items,)
        Occurrences of each item.
    history_values_ : float32 array or None
        How often each user took each item of `seen_`; None in models saved by early versions.
    history_ : frame
        A row per epoch: epoch; loss, the mean over pairs (windows where CBOW) of -log sigmoid of
        the score of the item and of minus the scores of its negatives; seconds; and metrics of
        callbacks.

    References
    ----------
    .. [1] Mikolov, Sutskever, Chen, Corrado, Dean: "Distributed representations of words and
       phrases and their compositionality", NIPS 2013.
    .. [2] Grbovic et al.: "E-commerce in your inbox: product recommendations at scale", KDD 2015.
    .. [3] Caselles-Dupré, Lesaint, Royo-Letelier: "Word2vec applied to recommendation:
       hyperparameters matter", RecSys 2018.

    Examples
    --------
    >>> import penchant as pc
    >>> baskets = 20 * [["tea", "jam", "milk"], ["pen", "ink", "paper"]]
    >>> data = pc.Interactions.from_sequences(baskets)
    >>> model = pc.Prod2Vec(vector_size=8, epochs=20).fit(data, progress=False)
    >>> model.recommend(history=["tea", "milk"], k=1)["item"].to_list()
    ['jam']
    """

    _rules: ClassVar[Mapping[str, Rule]] = {
        "vector_size": Integer(1, 2048),
        "window": Integer(1, 10_000),
        "min_count": Integer(1, 2**31 - 1),
        "epochs": Integer(1, 1_000_000),
        "ns_exponent": Real(-100, 100),
        "negative": Integer(1, 256),
        "sample": Real(0, 1),
        "sg": Integer(0, 1),
        "alpha": Real(0, 10, open_low=True),
        "min_alpha": Real(0, 10),
        "shrink_windows": Flag(),
        "history_weighting": Choice(("mean", "recency", "last")),
        "recency_decay": Real(0, 1, open_low=True),
        "score_vectors": Choice(("input", "output", "both")),
        "popularity_weight": Real(0, 100),
        "random_state": Integer(0, 2**63 - 1),
        "num_threads": NUM_THREADS,
    }
    _weights: ClassVar[Mapping[str, Weight]] = {
        "item_vectors_": Weight(("items", "vector_size")),
        "output_vectors_": Weight(("items", "vector_size")),
        "user_vectors_": Weight(("users", "vector_size")),
        "vocabulary_counts_": Weight(("items",), dtype="int64"),
        **HISTORY_VALUES,  # how often each user took each item
    }
    _may_lack_users: ClassVar[bool] = True  # see `load_word2vec`
    _divergence_advice: ClassVar[str] = "use a smaller alpha"

    item_vectors_: NDArray[np.float32]
    output_vectors_: NDArray[np.float32]
    user_vectors_: NDArray[np.float32]
    vocabulary_counts_: NDArray[np.int64]

    def __init__(
        self,
        *,
        vector_size: int = 64,
        window: int = 10,
        min_count: int = 3,
        epochs: int = 30,
        ns_exponent: float = 0.75,
        negative: int = 5,
        sample: float = 1e-3,
        sg: Literal[0, 1] = 1,
        alpha: float = 0.025,
        min_alpha: float = 0.0001,
        shrink_windows: bool = True,
        history_weighting: Literal["mean", "recency", "last"] = "mean",
        recency_decay: float = 0.8,
        score_vectors: Literal["input", "output", "both"] = "both",
        popularity_weight: float = 0.1,
        random_state: int = 0,
        num_threads: int | None = None,
    ) -> None:
        self.vector_size = vector_size
        self.window = window
        self.min_count = min_count
        self.epochs = epochs
        self.ns_exponent = ns_exponent
        self.negative = negative
        self.sample = sample
        self.sg = sg
        self.alpha = alpha
        self.min_alpha = min_alpha
        self.shrink_windows = shrink_windows
        self.history_weighting = history_weighting
        self.recency_decay = recency_decay
        self.score_vectors = score_vectors
        self.popularity_weight = popularity_weight
        self.random_state = random_state
        self.num_threads = num_threads
        self._check_params()

    # ---- training -------------------------------------------------------------------------------

    def _start(self, train: Interactions) -> None:
        counts = np.bincount(train.array("item"), minlength=train.n_items).astype(np.int64)
        kept = counts >= int(self.min_count)
        if not kept.any():
            raise DataError(
                f"Prod2Vec: none of the {len(counts):,} items occurs min_count={self.min_count} "
                f"times; the most frequent occurs {counts.max():,} times: set min_count to that "
                "or less"
            )
        code = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
        self._keep(kept, code)
        own = train.csr("count")
        self.history_values_ = own.values[kept[own.indices]]
        self.vocabulary_counts_ = counts[kept]
        self._sentences = recode(train.sequences(), code)
        if np.diff(self._sentences.indptr).max(initial=0) < 2:
            notice(
                "Prod2Vec: no sequence holds two items, so that nothing can be learnt and the "
                "vectors stay random; join shorter sequences, or lower min_count"
            )
        by_user = self._sentences
        if train.sessions is not None:
            by_user = recode(train.sequences("user"), code)
        lengths = np.diff(by_user.indptr)
        self._own = RowLists(offsets(lengths[lengths > 0]), by_user.indices)
        size = int(self.vector_size)
        # As word2vec: uniform in +-0.5 / size has this standard deviation.
        self.item_vectors_ = _core.random_normal(
            len(self.items_),
            size,
            scale=1 / (np.sqrt(12) * size),
            seed=int(self.random_state),
            stream=_INPUT,
        )
        self.output_vectors_ = np.zeros((len(self.items_), size), dtype=np.float32)
        self._weights_changed()
        self.user_vectors_ = self._mean(*self._own)

    def _untrained_loss(self) -> float:
        return float((int(self.negative) + 1) * np.log(2))

    def _keep(self, kept: NDArray[np.bool_], code: NDArray[np.int32]) -> None:
        """Leave items without a vector out of the model, and users who took nothing else."""
        seen = recode(self.seen_, code)
        lengths = np.diff(seen.indptr)
        if not kept.all():
            self.items_ = self.items_.subset(np.flatnonzero(kept))
            self.item_counts_ = self.item_counts_[kept]
            if self.item_first_seen_ is not None:
                self.item_first_seen_ = self.item_first_seen_[kept]
            self.item_features_ = keep_rows(self.item_features_, kept)
        if not lengths.all():
            self.users_ = self.users_.subset(np.flatnonzero(lengths))
            self.user_features_ = keep_rows(self.user_features_, lengths > 0)
        self.seen_ = RowLists(offsets(lengths[lengths > 0]), seen.indices)

    def _fit(self, train: Interactions, monitor: FitMonitor) -> None:
        try:
            _core.fit_skipgram(
                self._sentences.indptr,
                self._sentences.indices,
                monitor.draft("item_vectors_"),
                monitor.draft("output_vectors_"),
                epochs=int(self.epochs),
                window=int(self.window),
                shrink_windows=self.shrink_windows,
                negative=int(self.negative),
                ns_exponent=float(self.ns_exponent),
                sample=float(self.sample),
                skip_gram=bool(self.sg),
                alpha=float(self.alpha),
                min_alpha=float(self.min_alpha),
                seed=int(self.random_state),
                num_threads=self._threads(None),
                on_epoch=monitor,
            )
        finally:
            del self._sentences, self._own

    def _epoch_accepted(self) -> None:
        self._derived.pop("score_vectors", None)
        self.user_vectors_[...] = self._mean(*self._own)

    # ---- answers --------------------------------------------------------------------------------

    def _factors(self) -> Factors:
        def vectors() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            return unit_rows(self.user_vectors_), unit_rows(self._score_vectors())

        def biases() -> NDArray[np.float32] | None:
            weight = np.float32(self.popularity_weight)
            # No biases where they would all be zero: cosines then have one bit pattern.
            return weight * np.log(self.vocabulary_counts_).astype(np.float32) if weight else None

        return self._kept_factors(vectors, biases)

    def _score_vectors(self) -> NDArray[np.float32]:
        """Return the vectors that cosines are taken of."""
        if "score_vectors" not in self._derived:
            vectors = self.item_vectors_
            if self._trained.score_vectors == "output":
                # The input where nothing was learnt: never zero.
                learnt = np.any(self.output_vectors_ != 0, axis=1, keepdims=True)
                vectors = np.where(learnt, self.output_vectors_, vectors)
            elif self._trained.score_vectors == "both":
                vectors = unit_rows(vectors) + unit_rows(self.output_vectors_)
            self._derived["score_vectors"] = np.ascontiguousarray(vectors)
        found: NDArray[np.float32] = self._derived["score_vectors"]
        return found

    def _vectors(self, side: Literal["user", "item"]) -> NDArray[np.float32]:
        return self.user_vectors_ if side == "user" else self._score_vectors()

    def _fold_in(self, histories: Histories) -> NDArray[np.float32]:
        return unit_rows(self._mean(histories.indptr, histories.items))

    def _mean(self, indptr: NDArray[np.int64], items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the weighted mean of the item vectors of each history."""
        return _core.fold_in_histories(
            np.ascontiguousarray(indptr),
            np.ascontiguousarray(items),
            self._score_vectors(),
            decay=self._decay(),
            num_threads=self._threads(None),
        )

    def _own_history(self, code: int) -> Histories:
        if self._trained.history_weighting != "mean":
            raise UnsupportedError(
                "Prod2Vec keeps how often a user took which items, not in which order, and "
                f"history_weighting={self._trained.history_weighting!r} goes by that: pass history="
            )
        return super()._own_history(code)

    def _contributions(self, history: Histories, item: int) -> Contributions:
        """Return the summands of the cosine; what the item's popularity adds is nobody's."""
        weights = self._decay() ** np.arange(len(history.items) - 1, -1, -1)
        vectors = self._score_vectors()[history.items].astype(np.float64)
        length = np.linalg.norm(weights @ vectors) or 1.0
        aim = self._factors().items[item].astype(np.float64)
        found = weights * (vectors @ aim) / length
        return Contributions(history.items, found.astype(np.float32))
