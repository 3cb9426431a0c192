"""Ranking metrics of a model on held-out interactions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant import _core
from penchant.data.frames import from_arrow
from penchant.errors import DataError, UnknownIdError, choose
from penchant.evaluation.names import MetricName, parse_metrics
from penchant.models.results import check_interactions, unknown_message
from penchant.retrieval.exact import pad_columns
from penchant.retrieval.filters import RowLists, offsets, owners_of, take_lists

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models.base import Recommender

_USERS_AT_ONCE = 8192  # bounds the memory for lists and filters, whatever the number of users


class Truth(NamedTuple):
    """What a good recommendation would have hit.

    Attributes
    ----------
    users : int32 array of shape (q,)
        Codes in the model, -1 for users it does not know.
    relevant : RowLists of q lists
        Codes of relevant items in the model.
    n_relevant : int64 array of shape (q,)
        Relevant items, those unknown to the model included; at least 1.
    n_skipped : int
        Users of the test data that are left out.
    """

    users: NDArray[np.int32]
    relevant: RowLists
    n_relevant: NDArray[np.int64]
    n_skipped: int


def evaluate(
    model: Recommender,
    test: Interactions,
    metrics: str | Iterable[str] = ("precision@10", "recall@10", "ndcg@10"),
    *,
    exclude_seen: bool = True,
    unknown: Literal["popular", "drop", "error"] = "popular",
    rerank: Any = (),
    pool: int | None = None,
    num_threads: int | None = None,
) -> Any:
    """Measure a fitted model on held-out interactions, ranking all items for every user.

    A user's relevant items are the distinct items of their test interactions. With `exclude_seen`
    the training items of the user are neither recommended nor counted as relevant. Test items that
    the model never saw cannot be hit but do count: they stay in the denominator of recall.

    Parameters
    ----------
    model : Recommender
        A fitted model.
    test : Interactions
        Held-out data, with ids of their own; matched to the model's by value.
    metrics : str or iterable of str
        ``precision@k`` (hits / k), ``recall@k`` (hits / relevant), ``ndcg@k``, ``map@k``,
        ``mrr@k``, ``hit_rate@k``: means over users. ``coverage@k``: share of the catalogue that
        is in the top k of anybody.
    exclude_seen : bool, default True
        Leave training items out. False measures re-purchases too.
    unknown : {"popular", "drop", "error"}, default "popular"
        Test users outside the training data are recommended the most popular items, are left out
        (counted in n_users_skipped), or are an error.
    rerank, pool
        As in `Recommender.recommend`: measure the re-ranked lists, cut at the longest k.
    num_threads : int, optional
        Default: the model's ``num_threads``. The values do not depend on it.

    Returns
    -------
    frame
        Of the test data's kind: metric, value (float64), n_users (that the value is a mean over),
        n_users_skipped (without relevant items, or dropped).

    Raises
    ------
    ParameterError
        An unknown metric; the message names the closest one.
    DataError
        No test user has a relevant item.
    UnknownIdError
        With ``unknown="error"``.

    Examples
    --------
    >>> import penchant as pc
    >>> train = pc.Interactions.from_sequences([["tea", "jam"], ["tea"], ["tea", "pen"]])
    >>> test = pc.Interactions.from_sequences([["pen"], ["jam", "ink"]])
    >>> pc.evaluate(pc.Popularity().fit(train), test, ["precision@1", "recall@1", "coverage@1"])
            metric     value  n_users  n_users_skipped
    0  precision@1  1.000000        2                0
    1     recall@1  0.750000        2                0
    2   coverage@1  0.666667        2                0
    """
    chosen = parse_metrics(metrics)
    check_interactions(test, "test")
    truth = find_truth(model, test, exclude_seen=exclude_seen, unknown=unknown)
    search = {"exclude_seen": exclude_seen, "rerank": rerank, "pool": pool}
    values = measure(model, truth, chosen, num_threads=num_threads, **search)
    n_users = len(truth.users)
    table = pa.table(
        {
            "metric": pa.array([str(name) for name in chosen]),
            "value": pa.array(values, pa.float64()),
            "n_users": pa.array([n_users] * len(chosen), pa.int64()),
            "n_users_skipped": pa.array([truth.n_skipped] * len(chosen), pa.int64()),
        }
    )
    return from_arrow(table, test.backend)


def find_truth(
    model: Recommender, test: Interactions, *, exclude_seen: bool, unknown: str
) -> Truth:
    """Translate test interactions into the model's codes and leave out users without a truth.

    Raises
    ------
    UnknownIdError, DataError
        See `evaluate`.
    """
    choose("unknown", unknown, ("popular", "drop", "error"))
    model._check_fitted()
    user_ids = test.users.to_arrow()
    users = model.users_.codes(user_ids)
    if unknown == "error" and (users < 0).any():
        missing = user_ids.filter(pa.array(users < 0))
        raise UnknownIdError(unknown_message(missing, "user", ("popular", "drop")))
    matrix = test.csr("distinct")
    rows = owners_of(matrix)
    items = model.items_.codes(test.items.to_arrow())[matrix.indices]
    wanted = np.ones(len(rows), dtype=bool)
    for start in range(0, test.n_users if exclude_seen else 0, _USERS_AT_ONCE):
        stop = min(start + _USERS_AT_ONCE, test.n_users)
        part = slice(matrix.indptr[start], matrix.indptr[stop])
        seen = take_lists(model.seen_, users[start:stop])
        wanted[part] = ~_in_lists(seen, rows[part] - start, items[part], len(model.items_))
    n_relevant = np.bincount(rows[wanted], minlength=test.n_users)
    kept = n_relevant > 0
    if unknown == "drop":
        kept &= users >= 0
    if not kept.any():
        raise DataError(
            "no test user can be measured: each has only training items"
            + (" or is unknown to the model" if unknown == "drop" else "")
            + "; pass exclude_seen=False to count training items, or check the ids"
        )
    known = wanted & (items >= 0)
    rows, items = rows[known], items[known]
    # Codes in the model follow another order than those of the test data.
    order = np.lexsort((items, rows))
    lists = RowLists(
        offsets(np.bincount(rows, minlength=test.n_users)), items[order].astype(np.int32)
    )
    return Truth(
        users[kept],
        take_lists(lists, np.flatnonzero(kept)),
        n_relevant[kept].astype(np.int64),
        int(np.count_nonzero(~kept)),
    )


def _in_lists(
    lists: RowLists, rows: NDArray[np.int64], items: NDArray[np.int32], n_items: int
) -> NDArray[np.bool_]:
    """Whether ``items[i]`` is in list ``rows[i]``; False for items of -1."""
    owners = owners_of(lists)
    keys = owners * n_items + lists.indices  # ascending: sorted lists, one after the other
    asked = rows * n_items + items
    place = np.searchsorted(keys, asked)
    place[place == len(keys)] = 0
    found = keys[place] == asked if len(keys) else np.zeros(len(asked), dtype=bool)
    return found & (items >= 0)


def measure(
    model: Recommender,
    truth: Truth,
    metrics: Sequence[MetricName],
    *,
    exclude_seen: bool,
    rerank: Any = (),
    pool: int | None = None,
    num_threads: int | None = None,
) -> list[float]:
    """Return the value of each metric, averaged over the users of `truth`.

    Users are ranked in chunks. Means are exactly rounded (`math.fsum`), so they depend neither on
    the chunks nor on the number of threads.
    """
    n_users, n_items = len(truth.users), len(model.items_)
    longest = max(name.k for name in metrics)
    per_user = [name for name in metrics if name.metric != "coverage"]
    values = np.empty((n_users, len(per_user)))
    shown = {name.k: np.zeros(n_items, dtype=bool) for name in metrics if name.metric == "coverage"}
    for start in range(0, n_users, _USERS_AT_ONCE):
        part = np.arange(start, min(start + _USERS_AT_ONCE, n_users))
        rows, scores = model.recommend_codes(
            truth.users[part],
            longest,
            exclude_seen=exclude_seen,
            rerank=rerank,
            pool=pool,
            num_threads=num_threads,
        )
        for k, mask in shown.items():
            _core.mark_recommended(rows, k, mask)
        if per_user:
            relevant = take_lists(truth.relevant, part)
            values[part] = _core.ranking_metrics(
                np.ascontiguousarray(pad_columns(rows, scores, min(longest, n_items))[0]),
                relevant.indptr,
                relevant.indices,
                truth.n_relevant[part],
                [(name.metric, name.k) for name in per_user],
                num_threads=model._threads(num_threads),
            )
    means = iter([math.fsum(column.tolist()) / n_users for column in values.T])
    return [
        float(shown[name.k].mean()) if name.metric == "coverage" else next(means)
        for name in metrics
    ]
