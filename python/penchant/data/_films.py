"""Generated ratings of films: deterministic, quick, and with tastes worth learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from penchant.data.split import check_seed
from penchant.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

_ADJECTIVES = (
    "Silent|Hidden|Crimson|Golden|Lost|Broken|Midnight|Electric|Distant|Burning|Frozen|Secret|"
    "Endless|Hollow|Wild|Gentle|Savage|Velvet|Paper|Iron|Glass|Restless|Borrowed|Second|Last"
)
_NOUNS = (
    "Harbour|Garden|Summer|Empire|River|Mirror|Letters|Highway|Orchard|Circus|Winter|Station|"
    "Kingdom|Island|Promise|Stranger|Detective|Orchestra|Lighthouse|Carnival|Voyage|Machine|"
    "Bridge|Shadow|Daughter|Parade|Comet|Village|Duel|Season"
)
_GENRES = (
    "Action|Adventure|Animation|Comedy|Crime|Documentary|Drama|Family|Fantasy|Horror|Musical|"
    "Mystery|Romance|Sci-Fi|Thriller|War|Western"
)
_WORDS = [words.split("|") for words in (_ADJECTIVES, _NOUNS)]
_MOST_FILMS = len(_WORDS[0]) * len(_WORDS[1]) * 4  # each name with up to four years
_TASTES = 8  # dimensions of what makes people like films
_FIRST_SECOND, _SECONDS = 1_104_537_600, 15 * 365 * 86_400  # 2005 to 2019
_CELLS = 2_000_000  # users x films drawn at a time


def make_ratings(
    n_ratings: int = 100_000,
    n_users: int = 600,
    n_films: int = 2_000,
    random_state: int = 41,
) -> pd.DataFrame:
    """Generate ratings of films like those of MovieLens.

    People see well-known films and films of their taste, and rate them by taste, by the film's
    quality and by how generous they are. The same arguments always give the same table.

    Parameters
    ----------
    n_ratings : int
        Number of ratings, at most half of ``n_users * n_films``; nobody rates a film twice.
    n_users : int
        Number of users, each with one rating at least.
    n_films : int
        Number of films, at most 3,000; the least known may appear in no rating.
    random_state : int
        Seed.

    Returns
    -------
    pandas.DataFrame
        Sorted by user and time, with the columns user (int64, from 1), title (text, with the
        year), genres (text, joined by ``|``), rating (float64, 0.5 to 5 in halves) and timestamp
        (int64, seconds since 1970).

    Raises
    ------
    ParameterError
        If a size is out of range.

    Examples
    --------
    >>> from penchant.data import datasets
    >>> films = datasets.make_ratings(n_ratings=500, n_users=20, n_films=100)
    >>> len(films), films["user"].nunique(), float(films["rating"].max())
    (500, 20, 5.0)
    """
    for name, size, limit in (
        ("n_films", n_films, _MOST_FILMS),
        ("n_users", n_users, 2**31 - 1),
        ("n_ratings", n_ratings, n_users * n_films // 2),
    ):
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ParameterError(f"{name}={size!r} must be a positive integer")
        if size > limit:
            raise ParameterError(f"{name}={size:,} must be at most {limit:,}")
    if n_ratings < n_users:
        raise ParameterError(f"n_ratings={n_ratings:,} must be at least n_users ({n_users:,})")
    check_seed(random_state)
    # The legacy generator: its bits are frozen for ever, those of default_rng are not.
    rng = np.random.RandomState(random_state)
    titles, genres, films = _films(rng, n_films)
    people = rng.normal(size=(n_users, _TASTES)) / np.sqrt(_TASTES)
    seen = _seen(rng, people @ films.T, _activity(rng, n_users, n_films, n_ratings))
    user, film = np.nonzero(seen)
    match = np.einsum("ij,ij->i", people[user], films[film])
    generosity, quality = rng.normal(0.0, 0.4, n_users), rng.normal(0.0, 0.4, n_films)
    noise = rng.normal(0.0, 0.6, len(user))
    rating = 3.2 + generosity[user] + quality[film] + 0.55 * match + noise
    return _frame(rng, user, titles[film], genres[film], np.clip(np.round(2 * rating) / 2, 0.5, 5))


def _films(rng: np.random.RandomState, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return titles, genres and what each film has of every taste."""
    adjective, noun = (np.array(words, object) for words in _WORDS)
    number = rng.permutation(_MOST_FILMS)[:n]
    name, edition = np.divmod(number, 4)
    year = 1930 + 22 * edition + rng.randint(0, 22, n)  # editions of a name differ in their year
    first, second = np.divmod(name, len(noun))
    titles = "The " + adjective[first] + " " + noun[second] + " (" + year.astype(str) + ")"
    names = np.array(_GENRES.split("|"), object)
    flavour = rng.normal(size=(len(names), _TASTES))
    chosen = np.stack([rng.permutation(len(names))[:3] for _ in range(n)])
    count = 1 + rng.randint(0, 3, n)
    genres = np.array(
        ["|".join(sorted(names[c[:k]])) for c, k in zip(chosen, count, strict=True)], object
    )
    first_of = np.arange(3) < count[:, None]
    own = (flavour[chosen] * first_of[:, :, None]).sum(axis=1) / np.sqrt(count)[:, None]
    return titles, genres, 0.8 * own + 0.6 * rng.normal(size=(n, _TASTES))


def _activity(rng: np.random.RandomState, n_users: int, n_films: int, total: int) -> np.ndarray:
    """Return how many films each user rates: 1 at least, most of them at most, `total` in all."""
    wish = rng.lognormal(0.0, 0.9, n_users)
    counts = np.ones(n_users, np.int64)
    most = max(1, int(0.8 * n_films))
    while (left := total - counts.sum()) > 0:
        open_ = counts < most
        share = np.where(open_, wish, 0.0)
        more = np.minimum((left * share / share.sum()).astype(np.int64), most - counts)
        if not more.any():  # less than one each: one to each of the keenest
            more[np.argsort(-share, kind="stable")[:left]] = 1
        counts += more
    return counts


def _seen(rng: np.random.RandomState, match: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Draw the films of each user without repeats: known films and those that match."""
    n_users, n_films = match.shape
    known = -0.9 * np.log(np.arange(n_films) + 10.0)
    seen = np.zeros((n_users, n_films), bool)
    step = max(1, _CELLS // n_films)
    for start in range(0, n_users, step):
        part = slice(start, start + step)
        # Gumbel noise turns the largest of some scores into a draw by softmax.
        noise = -np.log(-np.log(rng.uniform(1e-300, 1.0, match[part].shape)))
        order = np.argsort(-(known + 1.2 * match[part] + noise), axis=1, kind="stable")
        drawn = np.arange(n_films) < counts[part, None]
        np.put_along_axis(seen[part], order, drawn, axis=1)
    return seen


def _frame(
    rng: np.random.RandomState,
    user: np.ndarray,
    titles: np.ndarray,
    genres: np.ndarray,
    rating: np.ndarray,
) -> pd.DataFrame:
    import pandas as pd

    # Everybody rates over a few weeks from some day on, in an order of their own.
    n_users = int(user[-1]) + 1
    start = _FIRST_SECOND + rng.randint(0, _SECONDS, n_users)
    time = start[user] + rng.randint(0, 40 * 86_400, len(user))
    order = np.lexsort((time, user))
    return pd.DataFrame(
        {
            "user": user[order] + 1,
            "title": titles[order],
            "genres": genres[order],
            "rating": rating[order],
            "timestamp": time[order].astype(np.int64),
        }
    )
