"""`Interactions`: a table of events with numbered users and items."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from penchant.data import _build, _repeats, report
from penchant.data._build import Content
from penchant.data._columns import Columns, restore_numbers
from penchant.data._csr import CSR, REDUCTIONS, make_csr
from penchant.data._readers import Readers
from penchant.data._sequences import Sequences, make_sequences
from penchant.data._times import write_times
from penchant.data.frames import from_arrow
from penchant.data.ids import IdMap
from penchant.errors import ParameterError, choose, require

__all__ = ["CSR", "Columns", "Interactions", "Sequences"]


class Interactions(Readers):
    """What users did with items: clean events, with users and items numbered from 0.

    Make one with `from_frame`, `from_parquet`, `from_sql` or `from_sequences`. It never changes.

    Attributes
    ----------
    users, items : IdMap
        The ids, sorted; an event's codes count into them.
    sessions : IdMap or None
    events : pyarrow.Table
        Columns ``user`` and ``item`` (int32 codes) and, where given, ``value`` (float64),
        ``timestamp`` (int64 microseconds of UTC), ``session`` (int32 code), ``order`` and
        ``context:<name>``.
    columns : Columns
        The caller's column names.
    backend : {"pandas", "polars", "pyarrow"}
        Library the data came from; frames are given back as its frames.
    dropped : dict of str to int
        Rows left out, by reason: ``missing_user``, ``missing_item``, ``missing_session``,
        ``negative_value``, ``returned`` (nothing left after returns), ``repeated``.
    item_features, user_features : pyarrow.Table or None
        One row for each code.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"customer": [1, 1, 2, 2], "product": ["MUG", "MUG", "MUG", "TRAY"]})
    >>> data = Interactions.from_frame(df, user="customer", item="product")
    >>> data
    Interactions(4 events, 2 users 'customer', 2 items 'product')
    >>> data.csr("count").values.tolist()
    [2.0, 1.0, 1.0]
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        self._csr: dict[str, CSR] = {}
        self.users: IdMap = content.users
        self.items: IdMap = content.items
        self.sessions: IdMap | None = content.sessions
        self.events: Any = content.events
        self.columns: Columns = content.columns
        self.backend: str = content.backend
        self.dropped = dict(content.dropped)
        self.item_features: Any = content.item_features
        self.user_features: Any = content.user_features

    @property
    def n_users(self) -> int:
        """Number of different users."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of different items."""
        return len(self.items)

    def __len__(self) -> int:
        return int(self.events.num_rows)

    def array(self, part: str) -> np.ndarray:
        """Return a part of the events as a NumPy array, such as ``array("user")``.

        Raises
        ------
        ParameterError
            If the data have no such part.
        """
        names = self.events.column_names
        if part not in names:
            raise ParameterError(
                f"these interactions have no {part!r} column, only {', '.join(map(repr, names))}; "
                f"name it when reading the data"
            )
        return np.asarray(self.events.column(part))

    def csr(self, reduce: str = "distinct") -> CSR:
        """Return the users x items matrix; repeated pairs are reduced to one value.

        Parameters
        ----------
        reduce : {"distinct", "sum", "count", "last"}
            1 for each pair; the sum of its values (of its events, without a value column); the
            number of its events; or the value of its latest event.

        Returns
        -------
        CSR
            Computed once; its arrays are read-only.
        """
        choose("reduce", reduce, REDUCTIONS)
        if reduce not in self._csr:
            codes = self.array("user"), self.array("item")
            events = self.array("value") if self.columns.value is not None else None
            oldest_first = self.chronological() if reduce == "last" else None
            groups = _repeats.group(oldest_first, *codes)
            self._csr[reduce] = make_csr(groups, codes, events, reduce, self.n_users)
        return self._csr[reduce]

    def chronological(self) -> np.ndarray | None:
        """Return row numbers from oldest to newest event; None if the rows are in that order."""
        time = self.array("timestamp") if self.columns.timestamp is not None else None
        order = self.array("order") if self.columns.order is not None else None
        return _repeats.chronological(time, order)

    def sequences(self, by: str | None = None) -> Sequences:
        """Return the items of each user or session, by time, then order column, then row.

        Parameters
        ----------
        by : {"user", "session"}, optional
            A sequence for each user or each session of a user; default: sessions if there are any.

        Returns
        -------
        Sequences

        Examples
        --------
        >>> Interactions.from_sequences([["b", "a", "b"], ["c"]]).sequences().items.tolist()
        [1, 0, 1, 2]
        """
        by = by or ("user" if self.sessions is None else "session")
        choose("by", by, ("user", "session"))
        sessions = self.array("session") if by == "session" else None
        return make_sequences(self.events, sessions, self.n_users, self.chronological())

    def to_csr(self, reduce: str = "distinct") -> Any:
        """Return the users x items matrix as a `scipy.sparse.csr_matrix` of float32.

        Parameters
        ----------
        reduce : {"distinct", "sum", "count", "last"}
            As in `csr`.
        """
        sparse = require("scipy.sparse")
        indptr, indices, values = self.csr(reduce)
        return sparse.csr_matrix(
            (values.copy(), indices.copy(), indptr.copy()), shape=(self.n_users, self.n_items)
        )

    def to_frame(self) -> Any:
        """Return the events as the caller had them: their kind of frame, names and dtypes."""
        content, columns = self._content, {}
        for part, name in self.columns:
            column = self.events.column(part).combine_chunks()
            ids = {"user": self.users, "item": self.items, "session": self.sessions}.get(part)
            if ids is not None:
                column = ids.take(np.asarray(column))
            elif part == "timestamp" and content.time_format is not None:
                column = write_times(column, content.time_format)
            elif part in content.number_types:
                column = restore_numbers(column, content.number_types[part])
            columns[name] = column
        return from_arrow(pa.table(columns), self.backend)

    def select(self, rows: Any) -> Interactions:
        """Return some of the events; ids without an event are left out and codes renumbered.

        Parameters
        ----------
        rows : array-like of bool, shape (len(self),), or of int
            A mask, or row numbers from 0.

        Returns
        -------
        Interactions

        Raises
        ------
        DataError
            If no rows are chosen.
        ParameterError
            If a mask has another length, or a row number is out of range.
        """
        rows = _build.row_numbers(np.asarray(rows), len(self))
        content = self._content
        events = self.events.take(pa.array(rows))
        changed: dict[str, Any] = {}
        for part, ids in (("user", self.users), ("item", self.items), ("session", self.sessions)):
            if ids is None:
                continue
            place = events.column_names.index(part)
            kept_ids, codes, kept = _build.compact(ids, np.asarray(events.column(part)))
            events = events.set_column(place, part, pa.array(codes))
            changed[f"{part}s"] = kept_ids
            features = getattr(content, f"{part}_features", None)
            if features is not None and kept is not None:
                changed[f"{part}_features"] = features.take(pa.array(kept))
        return Interactions(replace(content, events=events, dropped={}, **changed))

    def describe(self) -> Any:
        """Return a summary to read, as a frame with the columns ``statistic`` and ``value``."""
        facts = report.facts(self)
        table = pa.table({"statistic": list(facts), "value": list(facts.values())})
        return from_arrow(table, self.backend)

    def __repr__(self) -> str:
        return report.text(self)

    def _repr_html_(self) -> str:
        return report.html(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"content": self._content}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["content"])  # type: ignore[misc]
