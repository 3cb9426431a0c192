"""Examples for a learnt ranking, from a retriever that has not seen what they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from penchant.errors import DataError
from penchant.models.ranking_features import Features, Matrix
from penchant.models.two_stages import Found, Retriever, UsersOrHistories

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions

_USERS_AT_ONCE = 2048


class Examples(NamedTuple):
    """Candidates of some users, one user after the other.

    Attributes
    ----------
    features : float32 array of shape (n, n_features)
    labels : float32 array of shape (n,)
        1 where the user took the item in the part held out.
    sizes : int64 array
        Candidates of each user.
    """

    features: Matrix
    labels: NDArray[np.float32]
    sizes: NDArray[np.int64]

    def cut(self, n_users: int) -> tuple[Examples, Examples]:
        """Return the examples of the first users, and those of the others."""
        place = int(self.sizes[:n_users].sum())
        return (
            Examples(self.features[:place], self.labels[:place], self.sizes[:n_users]),
            Examples(self.features[place:], self.labels[place:], self.sizes[n_users:]),
        )


def hold_out(data: Interactions, share: float, seed: int, by: str = "auto") -> NDArray[np.bool_]:
    """Choose events of each user.

    Parameters
    ----------
    data : Interactions
    share : float
        Of a user's events, rounded down but at least one; nobody is left without any.
    seed : int
        From 0 to 2**32 - 1.
    by : {"auto", "time", "random"}
        The last events, or any; "auto" is "time" where events have a time or an order.

    Returns
    -------
    bool array of shape (len(data),)

    Raises
    ------
    DataError
        "time" without a time or an order.

    Examples
    --------
    >>> from penchant.data import Interactions
    >>> data = Interactions.from_sequences([["a", "b", "c", "d"], ["a"]])
    >>> hold_out(data, 0.5, seed=0).tolist()
    [False, False, True, True, False]
    """
    timed = data.columns.timestamp is not None or data.columns.order is not None
    if by == "time" and not timed:
        raise DataError(
            "LambdaMART(holdout_by='time') holds out each user's last events, and train has "
            "neither timestamps nor an order: name the column with timestamp= or order="
        )
    if timed and by != "random":
        order = data.chronological()
        oldest_first = np.arange(len(data)) if order is None else order
    else:
        oldest_first = np.random.RandomState(seed).permutation(len(data))
    users = data.array("user")
    events = oldest_first[np.argsort(users[oldest_first], kind="stable")]
    counts = np.bincount(users, minlength=data.n_users)
    wanted = np.minimum(np.maximum((counts * share).astype(np.int64), 1), counts - 1)
    from_end = np.repeat(np.cumsum(counts), counts) - np.arange(len(data))  # 1 for the last
    chosen = np.zeros(len(data), dtype=np.bool_)
    chosen[events[from_end <= np.repeat(wanted, counts)]] = True
    return chosen


def held_out_pairs(retriever: Retriever, held_out: Interactions) -> NDArray[np.int64]:
    """Return the pairs held out as sorted keys ``user * n_items + item`` in the retriever's codes.

    Pairs that the retriever does not know, and so cannot find, are left out.
    """
    model = retriever.model
    users = model.users_.codes(held_out.users.to_arrow())[held_out.array("user")]
    items = model.items_.codes(held_out.items.to_arrow())[held_out.array("item")]
    known = (users >= 0) & (items >= 0)
    return np.unique(users[known].astype(np.int64) * len(model.items_) + items[known])


def make_examples(
    retriever: Retriever,
    features: Features,
    pairs: NDArray[np.int64],
    *,
    depth: int,
    max_users: int,
    seed: int,
    num_threads: int,
) -> Examples:
    """Retrieve for users in random order and label what they are known to have taken.

    Users of whose held-out items none is retrieved teach nothing about order and are left out.

    Parameters
    ----------
    retriever : Retriever
        Fitted without the pairs.
    features : Features
    pairs : int64 array
        See `held_out_pairs`.
    depth : int
        Candidates of each user.
    max_users : int
        No more than this many users are asked about.
    seed : int
        From 0 to 2**32 - 1.
    num_threads : int
    """
    n_items = len(retriever.model.items_)
    users = np.random.RandomState(seed).permutation(np.unique(pairs // n_items))[:max_users]
    parts = []
    for start in range(0, len(users), _USERS_AT_ONCE):
        asked = UsersOrHistories(users[start : start + _USERS_AT_ONCE])
        seen = asked.seen(retriever.model.seen_)
        filters = {"exclude": seen, "candidates": None, "allowed": None}
        items, scores = retriever.search(asked, depth, filters, num_threads)
        assert asked.users is not None
        hits = np.isin(asked.users[:, None] * n_items + items, pairs) & (items >= 0)
        useful = np.flatnonzero(hits.any(axis=1))
        asked, items, scores, hits = asked.take(useful), items[useful], scores[useful], hits[useful]
        rows, place = np.nonzero(items >= 0)
        ranks = (place + 1).astype(np.float32)
        found = Found(asked, rows, items[rows, place], scores[rows, place], ranks)
        sizes = np.bincount(rows, minlength=len(useful)).astype(np.int64)
        labels = hits[rows, place].astype(np.float32)
        parts.append(Examples(features.matrix(found, num_threads), labels, sizes))
    if not parts:
        return Examples(np.empty((0, 0), np.float32), np.empty(0, np.float32), np.empty(0, int))
    return Examples(*(np.concatenate(column) for column in zip(*parts, strict=True)))
