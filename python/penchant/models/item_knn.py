"""Item-item neighbourhoods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from penchant import _core
from penchant.models.neighbor_model import NEIGHBOR_WEIGHTS, VALUES, NeighborModel, Values
from penchant.models.params import Choice, Integer, Real, Rule
from penchant.models.ranker import NUM_THREADS
from penchant.models.weights import Weight


class ItemKNN(NeighborModel):
    """Recommends what is most like the items of a user's history.

    For every item the `neighbors` most similar ones are found and kept [1]_; a user's score of an
    item is the sum of its similarities to the items of the history. Nothing is trained, so fitting
    takes moments, new users need no refit, and ``recommend(history=...)`` is exact. The result is
    the same bits for any number of threads.

    An item that nothing in the history points to has score 0: it may be recommended, by ascending
    code, where fewer than `k` items have a positive score.

    Parameters
    ----------
    similarity : {"cosine", "bm25", "tfidf", "rp3beta"}, default "cosine"
        How much two items are alike, as the users they share say. "cosine" of their columns;
        "tfidf", the cosine after weighting each user by the logarithm of (1 + items) / (1 + the
        user's items), so that users of everything count little; "bm25", the inner product of
        columns whose values saturate and are discounted for popular items, users weighted alike
        [2]_; "rp3beta", the probability to walk from one item over a user to the other, taken to
        the power of `alpha`, and divided by the popularity of the other to the power of `beta`
        [3]_.
    neighbors : int, default 100
        Similar items kept for each item.
    K1 : float, default 1.2
        Only for "bm25": the larger, the later values saturate.
    B : float, default 0.75
        Only for "bm25": how much popular items are discounted, from 0 to 1.
    alpha : float, default 1.0
        Only for "rp3beta": exponent of the steps' probabilities.
    beta : float, default 0.6
        Only for "rp3beta": exponent of the popularity.
    shrinkage : float, default 0.0
        A similarity that c users speak for is multiplied by ``c / (c + shrinkage)`` [4]_.
    values : {"distinct", "count", "sum", "last"}, default "distinct"
        What the history of a user says about an item: 1, whatever happened; the number of events;
        the sum of their values; or the latest value. Values must be above zero. They are taken
        relative to the largest, and below 5e-10 of it count as that much.
    num_threads : int, optional
        Default: what `penchant.show_config()` prints.

    Attributes
    ----------
    neighbor_indptr_, neighbor_indices_, neighbor_values_ : arrays
        The similarities as a sparse items x items matrix (CSR: int64, int32, float32), columns
        ascending. Row h holds what item h points to.
    history_values_ : float32 array or None
        The values of `seen_`, where they are not all 1.

    Notes
    -----
    The cost is the sum over users of the squared length of their history; with histories of
    bounded length it grows linearly with the interactions. Fitting takes, besides the training
    matrix (12 bytes an interaction with values, 8 without), 8 bytes an interaction (16 with
    values), 8 bytes a neighbour kept and 9 bytes an item and thread.

    References
    ----------
    .. [1] Sarwar, Karypis, Konstan, Riedl: "Item-based collaborative filtering recommendation
       algorithms", WWW 2001.
    .. [2] Robertson, Zaragoza: "The probabilistic relevance framework: BM25 and beyond", 2009; for
       items as the library implicit has it.
    .. [3] Paudel, Christoffel, Newell, Bernstein: "Updatable, accurate, diverse, and scalable
       recommendations for interactive applications", ACM TiiS 2017.
    .. [4] Bell, Koren: "Improved neighborhood-based collaborative filtering", KDD Cup 2007.

    Examples
    --------
    >>> import penchant as pc
    >>> baskets = [["tea", "jam"], ["tea", "jam"], ["tea"], ["pen", "ink"], ["pen", "ink"], ["pen"]]
    >>> model = pc.ItemKNN().fit(pc.Interactions.from_sequences(baskets))
    >>> model.recommend(2, k=1)["item"].to_list()
    ['jam']
    >>> model.recommend(history=["ink"], k=1)["item"].to_list()
    ['pen']
    """

    _rules: ClassVar[Mapping[str, Rule]] = {
        "similarity": Choice(("cosine", "bm25", "tfidf", "rp3beta")),
        "neighbors": Integer(1, 1_000_000),
        "K1": Real(0, 1e6),
        "B": Real(0, 1),
        "alpha": Real(0, 5),
        "beta": Real(0, 5),
        "shrinkage": Real(0, 1e9),
        "values": VALUES,
        "num_threads": NUM_THREADS,
    }
    _weights: ClassVar[Mapping[str, Weight]] = NEIGHBOR_WEIGHTS

    def __init__(
        self,
        *,
        similarity: Literal["cosine", "bm25", "tfidf", "rp3beta"] = "cosine",
        neighbors: int = 100,
        K1: float = 1.2,  # noqa: N803  as the literature and implicit have it
        B: float = 0.75,  # noqa: N803
        alpha: float = 1.0,
        beta: float = 0.6,
        shrinkage: float = 0.0,
        values: Values = "distinct",
        num_threads: int | None = None,
    ) -> None:
        self.similarity = similarity
        self.neighbors = neighbors
        self.K1 = K1
        self.B = B
        self.alpha = alpha
        self.beta = beta
        self.shrinkage = shrinkage
        self.values = values
        self.num_threads = num_threads
        self._check_params()

    def _learn(self) -> None:
        trained = self._trained
        found = _core.fit_knn(
            self.seen_.indptr,
            self.seen_.indices,
            self.history_values_,
            len(self.items_),
            similarity=trained.similarity,
            neighbors=int(trained.neighbors),
            k1=float(trained.K1),
            b=float(trained.B),
            alpha=float(trained.alpha),
            beta=float(trained.beta),
            shrinkage=float(trained.shrinkage),
            num_threads=self._threads(None),
        )
        self._set_neighbors(*found)
