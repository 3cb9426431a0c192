"""Data to try things on: a generated shop, generated ratings, and loaders for public sets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from penchant.data._films import make_ratings
from penchant.data._shop import make_purchases
from penchant.errors import MissingFileError, ParameterError, choose

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Splits", "load", "make_purchases", "make_ratings"]


class Splits(NamedTuple):
    """The parts of a set that comes already split; ``valid`` is None where there is none."""

    train: pd.DataFrame
    test: pd.DataFrame
    valid: pd.DataFrame | None = None


def load(name: str, root: str | os.PathLike[str] | None = None, *, fold: int | None = None) -> Any:
    """Load a public data set from a directory where you have put it.

    Nothing is downloaded: get a set from the address below and unpack it into a folder of its name.

    Parameters
    ----------
    name : str
        One of

        - ``"online-retail-ii"``: UCI Online Retail II (CC BY 4.0), archive.ics.uci.edu, set 502,
          saved as ``transactions.parquet``. InvoiceDate, CustomerID, Description, Quantity
          (negative: a return), Price, Country.
        - ``"gowalla"``: Gowalla check-ins (SNAP), the LightGCN split, as ``train.parquet``,
          ``valid.parquet`` and ``test.parquet``. user_id, item_id. Gives `Splits`; ``valid`` is a
          part of ``train``.
        - ``"ml-100k"``: MovieLens 100k (GroupLens, research use), files.grouplens.org. user, item,
          rating, timestamp (seconds), title. With ``fold`` from 1 to 5: `Splits`.
        - ``"ml-latest-small"``: MovieLens latest-small, as above. userId, movieId, rating,
          timestamp (seconds), title, genres.
        - ``"hetrec2011-lastfm"``: Last.fm listening counts (HetRec 2011, research use),
          files.grouplens.org. userID, artistID, weight.
        - ``"wfmu"``: radio playlists as ``playlists.parquet``. AirDate (the playlist), Artist,
          Title, and track, which is Artist, three bars, Title.
        - ``"amazon-toys"``: Amazon Toys & Games 5-core (McAuley, UCSD) as ``sequences.txt``. user,
          item, position.
    root : path, optional
        Directory that holds the folders; the environment variable ``PENCHANT_DATA`` by default.
    fold : int, optional
        Canonical fold of ``"ml-100k"``, from 1 to 5.

    Returns
    -------
    pandas.DataFrame or Splits

    Raises
    ------
    MissingFileError
        If the directory is not known or lacks the set.
    ParameterError
        If there is no set of that name, or ``fold`` does not fit it.

    Notes
    -----
    No checksums are checked: the publishers give none for these files.
    """
    choose("name", name, _LOADERS)
    if fold is not None and name != "ml-100k":
        raise ParameterError(f"fold={fold!r} is for 'ml-100k'; {name!r} has no folds")
    if fold is not None and fold not in range(1, 6):
        raise ParameterError(f"fold={fold!r} must be from 1 to 5")
    folder = _root(root) / name
    if not folder.is_dir():
        raise MissingFileError(
            f"the data set {name!r} is not in {folder.parent}: get it from the address in "
            f"help(penchant.datasets.load) and unpack it into {folder}"
        )
    return _LOADERS[name](folder) if fold is None else _ml_100k(folder, fold)


def _root(root: str | os.PathLike[str] | None) -> Path:
    if root is not None:
        return Path(root).expanduser()
    found = os.environ.get("PENCHANT_DATA")
    if not found:
        raise MissingFileError(
            "no data directory: set the environment variable PENCHANT_DATA or pass root= with the "
            "directory that holds the data sets (help(penchant.datasets.load) says where to get "
            "them); penchant.datasets.make_purchases() and make_ratings() need no files"
        )
    return Path(found).expanduser()


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise MissingFileError(f"{folder} lacks the file {name}")
    return path


def _online_retail(folder: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(_file(folder, "transactions.parquet"))


def _gowalla(folder: Path) -> Splits:
    import pandas as pd

    parts = [pd.read_parquet(_file(folder, f"{n}.parquet")) for n in ("train", "test", "valid")]
    return Splits(*parts)


def _ml_100k(folder: Path, fold: int | None = None) -> pd.DataFrame | Splits:
    import pandas as pd

    titles = pd.read_csv(
        _file(folder, "u.item"),
        sep="|",
        header=None,
        usecols=[0, 1],
        names=["item", "title"],
        encoding="latin-1",
    )

    def ratings(name: str) -> pd.DataFrame:
        names = ["user", "item", "rating", "timestamp"]
        frame = pd.read_csv(_file(folder, name), sep="\t", names=names)
        return frame.merge(titles, on="item", how="left")

    if fold is None:
        return ratings("u.data")
    return Splits(ratings(f"u{fold}.base"), ratings(f"u{fold}.test"))


def _ml_latest_small(folder: Path) -> pd.DataFrame:
    import pandas as pd

    movies = pd.read_csv(_file(folder, "movies.csv"))
    return pd.read_csv(_file(folder, "ratings.csv")).merge(movies, on="movieId", how="left")


def _lastfm(folder: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(_file(folder, "user_artists.dat"), sep="\t")


def _wfmu(folder: Path) -> pd.DataFrame:
    import pandas as pd

    frame = pd.read_parquet(_file(folder, "playlists.parquet"))
    return frame.assign(track=frame["Artist"] + "|||" + frame["Title"])


def _amazon_toys(folder: Path) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    lines = _file(folder, "sequences.txt").read_text().splitlines()
    numbers = [np.fromstring(line, np.int64, sep=" ") for line in lines if line]
    lengths = np.array([len(n) - 1 for n in numbers])
    starts = np.cumsum(lengths) - lengths
    return pd.DataFrame(
        {
            "user": np.repeat([n[0] for n in numbers], lengths),
            "item": np.concatenate([n[1:] for n in numbers]),
            "position": np.arange(lengths.sum()) - np.repeat(starts, lengths),
        }
    )


_LOADERS: dict[str, Callable[[Path], Any]] = {
    "online-retail-ii": _online_retail,
    "gowalla": _gowalla,
    "ml-100k": _ml_100k,
    "ml-latest-small": _ml_latest_small,
    "hetrec2011-lastfm": _lastfm,
    "wfmu": _wfmu,
    "amazon-toys": _amazon_toys,
}
