"""`partial_fit`: new events, users and items without a refit."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import pyarrow as pa

from penchant.data.frames import to_arrow
from penchant.data.interactions import Interactions
from penchant.errors import DataError, DivergenceError, ParameterError, UnsupportedError
from penchant.models import results
from penchant.models.explain import ExplainingRanker
from penchant.models.growth import (
    Growth,
    in_fixed_order,
    in_own_codes,
    merge_events,
    merge_times,
    own_codes,
    widen,
)
from penchant.models.weights import weights_problem

ModelT = TypeVar("ModelT", bound="GrowingRanker")

Reduction = Literal["distinct", "count", "sum", "last"]


class GrowingRanker(ExplainingRanker):
    """Adds `partial_fit`."""

    # ---- what a model defines -------------------------------------------------------------------

    _describes: ClassVar[bool] = False  # whether attributes can say what a new item is like

    def _value_reduction(self) -> Reduction:
        """Return what a repeated pair means to the model; "distinct" where values do not count."""
        return "distinct"

    def _grow(self, growth: Growth) -> None:
        """Learn about new users and items, whose rows are zero, from what is in `seen_` now."""
        raise UnsupportedError(
            f"{type(self).__name__} cannot learn more events: fit it again with all of them"
        )

    # ---- for everybody --------------------------------------------------------------------------

    def partial_fit(self: ModelT, new: Interactions | None = None, *, items: Any = None) -> ModelT:
        """Learn new events, users and items without a refit.

        Users with new events, known or not, get the vector that all their events give them with
        the items as they are (as in ``recommend(history=...)``); new items get theirs from the
        users who took them (with `Prod2Vec` from the known items near them in the new sequences,
        or all that a user took where none is near). Where they have no events yet, or only of users
        who took no known item, it is the mean of those of the known items whose attributes are most
        like theirs (where none is alike that of all, or what the ratings say), until a later call
        brings such events. The vectors of known items do not change, so refit from time to time.
        Item-item models compute their matrix again, and are as if they were fitted to all data. In
        a `Pipeline` each model learns this way; trees stay as they are.

        Parameters
        ----------
        new : Interactions, optional
            Events of known and unknown users and items, under any column names. Their row order
            does not matter: of a pair that repeats without a time the largest value is the last.
            They count as later than all that the model has, whatever their times: a rating of
            last year replaces the known one of today. Fit again where old events come late.
            What their tables say of users and items replaces what was known; null says nothing.
        items : frame, optional
            Attributes of new items: the item column of the training data, and columns of its item
            table. Items with events may have a row too.

        Returns
        -------
        self
            With every id it had before. Where an error is raised the model is as it was.

        Raises
        ------
        DataError
            `new` is not `Interactions`; the model goes by values, and only one of the training
            data and `new` has a value column; ids that cannot be of the training data's dtype,
            missing or repeated ids in `items`.
        UnsupportedError
            A model that cannot learn more, or items without events where attributes do not help
            (no item table, or an item-item model).
        ParameterError
            Neither `new` nor `items`.
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> import penchant as pc
        >>> data = pc.Interactions.from_sequences([["tea", "jam"], ["tea", "jam"], ["pen", "ink"]])
        >>> model = pc.IALS(factors=4).fit(data, progress=False)
        >>> more = pc.Interactions.from_sequences([["pen"], ["pen", "cap"]], users=[7, 8])
        >>> model.partial_fit(more).recommend(7, k=1)["item"].to_list()
        ['ink']
        >>> model.users_.to_list(), "cap" in model.items_
        ([0, 1, 2, 7, 8], True)
        """
        self._check_fitted()
        if new is None and items is None:
            raise ParameterError("partial_fit wants new interactions, or a frame of new items")
        self._check_learns_more()
        if new is not None:
            results.check_interactions(new, "new")
            self._check_new(new)
        before = dict(self.__dict__)
        try:
            self._take_in(new, self._item_rows(items))
            problem = weights_problem(self)
            if problem:
                raise DivergenceError(f"{type(self).__name__}: partial_fit failed: {problem}")
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _check_learns_more(self) -> None:
        """Raise the `UnsupportedError` of a model that has no `_grow`, whatever is new."""
        if type(self)._grow is GrowingRanker._grow:
            GrowingRanker._grow(self, None)  # type: ignore[arg-type]

    def _check_new(self, new: Interactions) -> None:
        goes_by_them = self._value_reduction() in ("sum", "last")
        if goes_by_them and self.columns_.value is None and new.columns.value is not None:
            raise DataError(
                f"new has the value column {new.columns.value!r}, and this {type(self).__name__} "
                "was trained without one, so that every event counts 1: leave out value= when "
                "reading new, or fit again with the values of all events"
            )
        by_values = goes_by_them and self.columns_.value is not None
        if by_values and new.columns.value is None:
            raise DataError(
                f"new has no value column, and this {type(self).__name__} goes by the values of "
                f"{self.columns_.value!r}: name it when reading the data"
            )
        if by_values and self.history_values_ is None:
            self._own_histories(np.zeros(1, dtype=np.int64))  # says so

    def _item_rows(self, items: Any) -> pa.Table | None:
        """Return the frame of new items as a table; ids are neither null nor repeated."""
        if items is None:
            return None
        name = self.columns_.item
        if not hasattr(items, "columns"):
            raise DataError(f"items must be a frame with the column {name!r} and attributes")
        table, _ = to_arrow(items)
        if name not in table.column_names:
            raise DataError(f"items lacks the column {name!r} of ids")
        ids = table[name]
        if ids.null_count:
            raise DataError(f"items: column {name!r} has nulls: every row needs an id")
        everything, _ = self.items_.union(ids)  # "7" and "7.0" are the same integer
        counts = np.bincount(everything.codes(ids))
        if (counts > 1).any():
            repeated = everything[int(np.argmax(counts > 1))]
            raise DataError(f"items has more than one row for {name} {repeated!r}")
        return table

    def _take_in(self, new: Interactions | None, rows: pa.Table | None) -> None:
        """Widen the model by new ids, add the events, and let it learn."""
        known = widen(self, new, rows)
        untaken = self.item_counts_ == 0
        events, event_items = None, np.empty(0, dtype=np.int32)
        touched = np.empty(0, dtype=np.int64)
        taken = np.zeros(len(self.items_), dtype=np.bool_)
        if new is not None:
            events = in_fixed_order(new)
            event_items = own_codes(self.items_, events.items)
            reduction = self._value_reduction()
            matrix = in_own_codes(
                events.csr(reduction), own_codes(self.users_, events.users), event_items
            )
            merge_events(self, matrix, reduction)
            merge_times(self, events, event_items, known)
            touched, taken[matrix.items] = np.unique(matrix.users), True
        fresh = ~known.items
        if (fresh & ~taken).any() and not (self._describes and self.item_features_ is not None):
            why = "learns items from events alone"
            if self._describes:
                why = "was trained without an item table that new items could be compared by"
            raise UnsupportedError(
                f"this {type(self).__name__} {why}: give new items when they have events"
            )
        self._weights_changed()
        known.items[self.guessed_items_] = False
        unlearnt = np.flatnonzero(~known.items & (self.item_counts_ > 0))
        first = unlearnt[untaken[unlearnt]]
        fresh_items = np.flatnonzero(fresh)
        self._grow(Growth(known, events, event_items, touched, unlearnt, fresh_items, first))
        self._weights_changed()
