"""Approximate search of a model's answers: `build_index`; and whose answers those are."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from penchant.errors import UnsupportedError, choose
from penchant.models.ranker import Ranker
from penchant.retrieval.graph import Dtype
from penchant.retrieval.graph_report import IndexReport, Options
from penchant.retrieval.graph_search import GraphSearch
from penchant.retrieval.protocol import Index


class IndexedRanker(Ranker):
    """Adds an approximate index, for catalogues so large that a scan takes too long."""

    def build_index(
        self,
        index: Literal["hnsw", "exact"] = "hnsw",
        *,
        connectivity: int = 16,
        expansion_add: int = 128,
        expansion_search: int | None = None,
        target_recall: float = 0.95,
        dtype: Dtype | None = None,
        num_threads: int | None = None,
    ) -> IndexReport | None:
        """Make `recommend` search by an approximate index, or by the exact one again.

        The index is a graph of near neighbours (HNSW, Malkov and Yashunin 2018, built by usearch;
        the extra ``ann``). It pays off from some 100,000 items. Scores have the same bits as those
        of the exact search; a few of the best items may be missing. How many is measured here, on
        users of the model, and told in the report.

        Filters hold: more candidates are taken where seen or excluded items have to be left out;
        candidate lists, filters that leave few items, and users for whom the graph finds fewer
        than `k` items are answered exactly. ``recommend(..., index="exact")`` is exact for one
        call. `similar_items`, `similar_users` and `recommend_users` are exact always. In a
        `Pipeline` the index is that of the model that retrieves, and so is its recall.

        The index is saved with the model and goes away with the next `fit` or `partial_fit`. One
        made on several threads may differ from one time to the next; once made it answers alike
        for any number of threads.

        Parameters
        ----------
        index : {"hnsw", "exact"}, default "hnsw"
            "exact" drops an approximate index.
        connectivity, expansion_add, expansion_search, target_recall, dtype
            See `penchant.retrieval.ApproximateIndex`.
        num_threads : int, optional
            Default: the model's ``num_threads``.

        Returns
        -------
        IndexReport or None
            What was made, and its recall; None for "exact". It is kept as ``index_``.

        Raises
        ------
        UnsupportedError
            The model has no vectors.
        MissingExtraError
            usearch is not installed: ``pip install 'penchant[ann]'``.
        ParameterError
            An option out of range.
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> import penchant as pc
        >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea", "milk"], ["jam"]])
        >>> model = pc.BPR(factors=4, epochs=3).fit(data, progress=False)
        >>> model.build_index().recall
        1.0
        >>> len(model.recommend(k=1))
        3
        """
        self._check_fitted()
        choose("index", index, ("hnsw", "exact"))
        options = Options(connectivity, expansion_add, expansion_search, target_recall, dtype)
        threads = self._threads(num_threads)
        owner = self._indexed()
        if index == "exact":
            owner._derived.pop("graph", None)
            return None
        owner._derived["graph"] = made = owner._make_graph(options.checked(), threads)
        return made.report

    @property
    def index_(self) -> IndexReport | None:
        """What `build_index` returned: the approximate index in use; None for exact search."""
        self._check_fitted()
        graph: GraphSearch | None = self._indexed()._derived.get("graph")
        return None if graph is None else graph.report

    def _indexed(self) -> IndexedRanker:
        """Return the model that an approximate index of this one belongs to."""
        return self

    def _make_graph(self, options: Options, num_threads: int) -> GraphSearch:
        raise UnsupportedError(
            f"{type(self).__name__} has no vectors to make an approximate index of, and its exact "
            "search does not scan vectors: leave index='exact', or use a model with vectors, such "
            "as BPR or IALS"
        )

    def _searcher(self, index: str | None) -> Index:
        graph: GraphSearch | None = self._derived.get("graph")
        return self._index() if graph is None or index == "exact" else graph

    def has_own_scores(self, users: ArrayLike) -> NDArray[np.bool_]:
        """Tell which users are answered by scores of their own, not with the most popular items.

        Parameters
        ----------
        users : int array of shape (q,)
            Codes of `users_`, or -1.

        Returns
        -------
        bool array of shape (q,)

        Examples
        --------
        >>> import penchant as pc
        >>> data = pc.Interactions.from_sequences([["tea"], ["tea", "jam"]])
        >>> pc.Popularity().fit(data).has_own_scores([1, -1]).tolist()
        [True, False]
        """
        self._check_fitted()
        codes = np.asarray(users, dtype=np.int64)
        return self._told(codes >= 0, lambda rows: self._queries(codes[rows]))[0]
