"""Implicit alternating least squares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from penchant import _core
from penchant.errors import DataError, ParameterError
from penchant.models import results
from penchant.models.explain import Contributions
from penchant.models.factor_model import FactorModel, Factors
from penchant.models.params import Choice, Integer, Real, Rule
from penchant.models.ranker import NUM_THREADS, Rows
from penchant.models.weights import HISTORY_VALUES, Weight

if TYPE_CHECKING:
    from penchant.data.ids import IdMap
    from penchant.data.interactions import CSR, Interactions
    from penchant.models.growth import Growth
    from penchant.models.histories import Histories
    from penchant.models.incremental import Reduction
    from penchant.models.training import FitMonitor

_USERS, _ITEMS = 0, 1  # random streams of the first factors
_Side = Literal["user", "item"]
_Floats = NDArray[np.float32]


class IALS(FactorModel):
    """Matrix factorization that fits every cell of the users x items matrix by least squares.

    A pair of the data should score 1 and counts with its confidence; every pair, seen or not,
    should score 0 and counts with `unobserved_weight` [1]_ [2]_. Users and items are solved for in
    turns; few epochs are enough. Training is parallel, and its result the same bits for any number
    of threads.

    Parameters
    ----------
    factors : int, default 64
        Length of a user or item vector.
    epochs : int, default 16
        How often both sides are solved for.
    regularization : float, default 5.0
        L2 penalty. User u gets ``regularization * (n_u + unobserved_weight * n_items) **
        regularization_exponent``, n_u being the number of their items; items likewise. The
        defaults are those that did well on validation parts of four quite different data sets.
    regularization_exponent : float, default 0.0
        1 makes the penalty of a user proportional to the weight of their cells, 0 the same for
        everybody.
    unobserved_weight : float, default 0.1
        What a cell weighs that is no pair of the data. A small weight suits large catalogues.
    alpha : float, default 0.0
        A pair has confidence ``1 + alpha * value``, the values of its events added up (the number
        of its events where the data have no value column). 0 leaves values out.
    confidence_scaling : {"linear", "log"}, default "linear"
        "log" puts ``log(1 + value)`` in the place of the value [1]_.
    popularity_exponent : float, default 0.0
        Cells of item i that are no pairs weigh in proportion to the number of its users to this
        power, `unobserved_weight` on average [3]_. 0: all alike.
    solver : {"auto", "cholesky", "subspace", "cg"}, default "auto"
        How a row is solved: "cholesky" exactly; "subspace" in blocks of `block_size` factors, each
        exactly [4]_; "cg" by `cg_steps` conjugate gradient steps; "auto" exactly where the row is
        short and by conjugate gradients where it is long.
    block_size : int, default 64
        Only for ``solver="subspace"``; rounded up to a multiple of 16.
    cg_steps : int, default 3
        Only for "cg" and "auto".
    init_scale : float, default 0.1
        Standard deviation of the first factors, before division by the square root of `factors`.
    random_state : int, default 0
        The same data and `random_state` give the same model.
    num_threads : int, optional
        Default: what `penchant.show_config()` prints.

    Attributes
    ----------
    user_factors_ : float32 array of shape (n_users, factors)
    item_factors_ : float32 array of shape (n_items, factors)
    history_ : frame
        A row per epoch: epoch; loss, the whole objective; seconds; and metrics of callbacks.

    References
    ----------
    .. [1] Hu, Koren, Volinsky: "Collaborative filtering for implicit feedback datasets", ICDM 2008.
    .. [2] Rendle, Krichene, Zhang, Koren: "Revisiting the performance of iALS on item
       recommendation benchmarks", RecSys 2022.
    .. [3] He, Zhang, Kan, Chua: "Fast matrix factorization for online recommendation with implicit
       feedback", SIGIR 2016.
    .. [4] Rendle, Krichene, Zhang, Koren: "iALS++: speeding up matrix factorization with subspace
       optimization", 2021.

    Examples
    --------
    >>> import penchant as pc
    >>> baskets = [["tea", "jam"], ["tea", "jam"], ["tea"], ["pen", "ink"], ["pen", "ink"], ["pen"]]
    >>> data = pc.Interactions.from_sequences(baskets)
    >>> model = pc.IALS(factors=8).fit(data, progress=False)
    >>> model.recommend(2, k=1)["item"].to_list()
    ['jam']
    """

    _rules: ClassVar[Mapping[str, Rule]] = {
        "factors": Integer(1, 2048),
        "epochs": Integer(1, 1_000_000),
        "regularization": Real(0, 1e6),
        "regularization_exponent": Real(-2, 2),
        "unobserved_weight": Real(0, 1e6),
        "alpha": Real(0, 1e6),
        "confidence_scaling": Choice(("linear", "log")),
        "popularity_exponent": Real(-4, 4),
        "solver": Choice(("auto", "cholesky", "subspace", "cg")),
        "block_size": Integer(1, 2048),
        "cg_steps": Integer(1, 10_000),
        "init_scale": Real(0, 100, open_low=True),
        "random_state": Integer(0, 2**63 - 1),
        "num_threads": NUM_THREADS,
    }
    _divergence_advice: ClassVar[str] = "use a larger regularization, or smaller values"
    _weights: ClassVar[Mapping[str, Weight]] = {
        "user_factors_": Weight(("users", "factors")),
        "item_factors_": Weight(("items", "factors")),
        **HISTORY_VALUES,
    }

    user_factors_: _Floats
    item_factors_: _Floats

    def __init__(
        self,
        *,
        factors: int = 64,
        epochs: int = 16,
        regularization: float = 5.0,
        regularization_exponent: float = 0.0,
        unobserved_weight: float = 0.1,
        alpha: float = 0.0,
        confidence_scaling: Literal["linear", "log"] = "linear",
        popularity_exponent: float = 0.0,
        solver: Literal["auto", "cholesky", "subspace", "cg"] = "auto",
        block_size: int = 64,
        cg_steps: int = 3,
        init_scale: float = 0.1,
        random_state: int = 0,
        num_threads: int | None = None,
    ) -> None:
        self.factors = factors
        self.epochs = epochs
        self.regularization = regularization
        self.regularization_exponent = regularization_exponent
        self.unobserved_weight = unobserved_weight
        self.alpha = alpha
        self.confidence_scaling = confidence_scaling
        self.popularity_exponent = popularity_exponent
        self.solver = solver
        self.block_size = block_size
        self.cg_steps = cg_steps
        self.init_scale = init_scale
        self.random_state = random_state
        self.num_threads = num_threads
        self._check_params()

    # ---- training -------------------------------------------------------------------------------

    def _check_params(self, params: Mapping[str, Any] | None = None) -> None:
        super()._check_params(params)
        chosen = self.get_params(deep=False) if params is None else params
        if chosen["regularization"] == 0 and chosen["unobserved_weight"] == 0:
            raise ParameterError(
                f"{type(self).__name__}: regularization and unobserved_weight are both 0, so "
                "nothing holds the factors back: set one of them"
            )

    def _start(self, train: Interactions) -> None:
        self.history_values_ = train.csr("sum").values if self.alpha else None
        factors = int(self.factors)
        scale = float(self.init_scale) / np.sqrt(factors)
        seed = int(self.random_state)
        self.user_factors_, self.item_factors_ = (
            _core.random_normal(rows, factors, scale=scale, seed=seed, stream=stream)
            for stream, rows in ((_USERS, train.n_users), (_ITEMS, train.n_items))
        )

    def _fit(self, train: Interactions, monitor: FitMonitor) -> None:
        _core.fit_ials(
            self.seen_.indptr,
            self.seen_.indices,
            self._confidence(train.csr("sum"), train.users, train.items),
            monitor.draft("user_factors_"),
            monitor.draft("item_factors_"),
            self._item_weights(self.item_counts_),
            factors=int(self.factors),
            epochs=int(self.epochs),
            solver=self.solver,
            block_size=int(self.block_size),
            cg_steps=int(self.cg_steps),
            num_threads=self._threads(None),
            on_epoch=monitor,
            **self._objective(),
        )

    def _objective(self) -> dict[str, float]:
        names = ("regularization", "regularization_exponent", "unobserved_weight")
        return {name: float(getattr(self._trained, name)) for name in names}

    def _confidence(self, matrix: CSR, rows: IdMap | None, columns: IdMap) -> _Floats | None:
        """Return the confidence of each pair; an error names the first that has none."""
        if not self._trained.alpha:
            return None
        values = matrix.values.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            scaled = np.log1p(values) if self._trained.confidence_scaling == "log" else values
            confidence = 1.0 + float(self._trained.alpha) * scaled
            found: _Floats = confidence.astype(np.float32)
        wrong = np.flatnonzero(~((found > 0) & np.isfinite(found)))
        if len(wrong):
            first = int(wrong[0])
            row = int(np.searchsorted(matrix.indptr, first, side="right")) - 1
            name = f"history {row}" if rows is None else f"{rows.name} {_id(rows, row)!r}"
            raise DataError(
                f"{type(self).__name__}: {name} and {columns.name} "
                f"{_id(columns, int(matrix.indices[first]))!r} have the value {values[first]:g}, "
                f"so a confidence of {confidence[first]:g}; it must be positive and finite "
                f"({len(wrong)} such pairs): drop them, net returns off the purchases, or use "
                "another alpha"
            )
        return found

    def _item_weights(self, counts: NDArray[np.int64]) -> _Floats | None:
        """Return what cells of items weigh relative to the mean item of the training data."""
        if not self._trained.popularity_exponent:
            return None
        exponent = float(self._trained.popularity_exponent)
        mean = np.mean(np.maximum(self.item_counts_, 1) ** exponent)
        return (np.maximum(counts, 1) ** exponent / mean).astype(np.float32)

    def _factors(self) -> Factors:
        return Factors(self.user_factors_, self.item_factors_, None)

    # ---- users and items that training never saw ------------------------------------------------

    def _folding(self, side: _Side) -> _core.IalsFoldIn:
        """Return the solver of rows of a side; made once and kept until the factors change."""
        key = f"fold_in_{side}"
        found: _core.IalsFoldIn | None = self._derived.get(key)
        if found is None:
            users = side == "user"
            found = self._derived[key] = _core.IalsFoldIn(
                np.ascontiguousarray(self.item_factors_ if users else self.user_factors_),
                self._item_weights(self.item_counts_) if users else None,
                num_threads=self._threads(None),
                **self._objective(),
            )
        return found

    def _fold_in(self, histories: Histories) -> _Floats:
        """Return the vectors that users with these items would have, exactly."""
        matrix = histories.matrix("sum")
        confidence = self._confidence(matrix, None, self.items_)
        return self._solve("user", matrix, confidence, None, None)

    def _needs_values(self) -> bool:
        return bool(self._trained.alpha)

    def _contributions(self, history: Histories, item: int) -> Contributions:
        """Return the summands of the score: A^-1 = (Gram + ridge + own)^-1 gives c_j h_j A^-1 h."""
        matrix = history.matrix("sum")
        confidence = self._confidence(matrix, None, self.items_)
        found = self._folding("user").contributions(matrix.indices, confidence, item)
        return Contributions(matrix.indices, found)

    def _solve(
        self,
        side: _Side,
        matrix: CSR,
        confidence: _Floats | None,
        weights: _Floats | None,
        num_threads: int | None,
    ) -> _Floats:
        found: _Floats = self._folding(side).solve(
            matrix.indptr,
            matrix.indices,
            confidence,
            weights,
            num_threads=self._threads(num_threads),
        )
        return found

    def _value_reduction(self) -> Reduction:
        return "sum" if self._trained.alpha else "distinct"

    def _adopt_users(self, codes: Rows, queries: _Floats) -> None:
        self.user_factors_[codes] = queries

    def _learn_items(self, growth: Growth, takers: CSR) -> None:
        """Solve for them exactly."""
        confidence = self._confidence(takers, None, self.users_)
        weights = self._item_weights(self.item_counts_[growth.items])
        self.item_factors_[growth.items] = self._solve("item", takers, confidence, weights, None)

    def fold_in_users(self, new: Interactions, *, num_threads: int | None = None) -> Any:
        """Solve for users from their items, the items as they are.

        Parameters
        ----------
        new : Interactions
            Events of any users, known or not, with items of the training data.
        num_threads : int, optional
            Default: the model's ``num_threads``.

        Returns
        -------
        frame of new.n_users rows
            As `user_vectors`, in the order of ``new.users``. The model itself does not change.

        Raises
        ------
        UnknownIdError
            An item outside the training data.
        DataError
            `new` is not `Interactions`, or a pair has no positive confidence.
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> import penchant as pc
        >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea", "jam"], ["pen", "ink"]])
        >>> model = pc.IALS(factors=4).fit(data, progress=False)
        >>> model.fold_in_users(pc.Interactions.from_sequences([["pen"]])).shape
        (1, 4)
        """
        return self._fold_in_side("user", new, num_threads)

    def fold_in_items(self, new: Interactions, *, num_threads: int | None = None) -> Any:
        """Solve for items from their users, the users as they are.

        Parameters
        ----------
        new : Interactions
            Events of any items, known or not, with users of the training data.
        num_threads : int, optional
            Default: the model's ``num_threads``.

        Returns
        -------
        frame of new.n_items rows
            As `item_vectors`, in the order of ``new.items``. The model itself does not change.

        Raises
        ------
        UnknownIdError
            A user outside the training data.
        DataError
            `new` is not `Interactions`, or a pair has no positive confidence.
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> import pandas as pd, penchant as pc
        >>> pairs = [(1, "tea"), (1, "jam"), (2, "tea"), (2, "milk"), (3, "jam")]
        >>> shop = pd.DataFrame(pairs, columns=["who", "what"])
        >>> model = pc.IALS(factors=4)
        >>> model = model.fit(pc.Interactions.from_frame(shop, user="who", item="what"))
        >>> more = pd.DataFrame({"who": [1, 2], "what": ["pie", "pie"]})
        >>> vectors = model.fold_in_items(pc.Interactions.from_frame(more, user="who", item="what"))
        >>> vectors.index.tolist()
        ['pie']
        """
        return self._fold_in_side("item", new, num_threads)

    def _fold_in_side(self, side: _Side, new: Interactions, num_threads: int | None) -> Any:
        self._check_fitted()
        results.check_interactions(new, "new")
        matrix = new.csr("sum")
        rows, columns, known, other = new.users, new.items, self.items_, "item"
        if side == "item":
            matrix = matrix.transposed(new.n_items)
            rows, columns, known, other = new.items, new.users, self.users_, "user"
        confidence = self._confidence(matrix, rows, columns)
        names = columns.take(np.arange(len(columns), dtype=np.int32))
        codes = results.resolve(known, names, other, "error", ("error",)).codes
        weights = self._item_weights(np.diff(matrix.indptr)) if side == "item" else None
        if confidence is not None:
            matrix = matrix._replace(values=confidence)
        matrix = matrix.recoded(codes)
        confidence = None if confidence is None else matrix.values
        vectors = self._solve(side, matrix, confidence, weights, num_threads)
        return results.vector_frame(rows, vectors, rows.name, self.backend_)


def _id(ids: IdMap, code: int) -> Any:
    return ids.take(np.array([code], dtype=np.int32)).to_pylist()[0]
