from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from penchant.data import Interactions, datasets, split
from penchant.errors import MissingFileError, ParameterError, PenchantWarning

# Frozen: what the shop of the default arguments adds up to.
QUANTITY_SUM = 1_838_695
N_GUESTS = 46_646
NAMES = ["WHITE CIRCUS LUNCH BAG", "BLACK STRAWBERRY MUG", "CORAL LEAF APRON"]
REVENUE = 3_360_747.45

needs_data = pytest.mark.skipif(
    not os.environ.get("PENCHANT_DATA"),
    reason="the public data sets are not here: set PENCHANT_DATA to their directory",
)


@pytest.fixture(scope="module")
def shop() -> pd.DataFrame:
    return datasets.make_purchases()


def test_the_shop_is_as_dirty_as_a_real_one(shop: pd.DataFrame) -> None:
    assert len(shop) == 240_000
    assert list(shop) == ["Invoice", "InvoiceDate", "CustomerID", "Description", "Quantity",
                          "Price", "Country"]  # fmt: skip
    assert shop["CustomerID"].dtype == np.float64
    assert shop["CustomerID"].nunique() == 3000
    assert shop["Description"].nunique() == 2000
    assert 0.15 < shop["CustomerID"].isna().mean() < 0.25
    assert 0.015 < (shop["Quantity"] < 0).mean() < 0.025
    assert (shop["Quantity"] != 0).all()
    assert shop["Price"].between(0.2, 50).all()
    assert shop["InvoiceDate"].is_monotonic_increasing
    assert shop["Description"].str.fullmatch(r"[A-Z][A-Z -]+[A-Z]").all()
    assert shop["Country"].value_counts().idxmax() == "United Kingdom"


def test_an_invoice_has_one_customer_one_time_and_one_country(shop: pd.DataFrame) -> None:
    for one, others in {
        "Invoice": ["CustomerID", "InvoiceDate", "Country"],
        "CustomerID": ["Country"],
        "Description": ["Price"],
    }.items():
        distinct = shop[[one, *others]].dropna(subset=[one]).drop_duplicates()
        assert distinct[one].is_unique


def test_returns_are_of_something_bought_before(shop: pd.DataFrame) -> None:
    known = shop.dropna()
    returned = known[known["Quantity"] < 0]
    bought = known[known["Quantity"] > 0].groupby(["CustomerID", "Description"])["InvoiceDate"]
    first = bought.min().rename("first").reset_index()
    joined = returned.merge(first, on=["CustomerID", "Description"], how="left")
    assert (joined["first"] < joined["InvoiceDate"]).mean() > 0.95


def test_popularity_is_a_power_law_and_customers_buy_again(shop: pd.DataFrame) -> None:
    counts = shop["Description"].value_counts()
    assert 0.15 < counts.head(100).sum() / counts.sum() < 0.6
    assert counts.iloc[0] > 40 * counts.iloc[-1]
    pairs = shop.dropna().groupby(["CustomerID", "Description"]).size()
    assert 0.1 < 1 - len(pairs) / pairs.sum() < 0.5


def test_tastes_can_be_learned(shop: pd.DataFrame) -> None:
    """What neighbours in taste bought says more than what everyone bought."""
    with pytest.warns(PenchantWarning):
        data = Interactions.from_frame(
            shop, user="CustomerID", item="Description", value="Quantity",
            negative_values="drop", duplicates="last",
        )  # fmt: skip
    train, test = split.random(data, random_state=41)
    seen = train.to_csr()
    relevant = np.zeros((train.n_users, train.n_items), bool)
    users = train.users.codes(test.users.to_arrow())[test.array("user")]
    items = train.items.codes(test.items.to_arrow())[test.array("item")]
    known = (users >= 0) & (items >= 0)
    relevant[users[known], items[known]] = True
    popularity = np.asarray(seen.sum(axis=0), float).ravel()
    similar = (seen.T @ seen).toarray() / np.sqrt(np.outer(popularity, popularity))
    np.fill_diagonal(similar, 0)

    def precision(scores: np.ndarray) -> float:
        scores = np.where(seen.toarray() > 0, -np.inf, scores)
        top = np.argpartition(-scores, 10, axis=1)[:, :10]
        tested = relevant.any(axis=1)
        return float(np.take_along_axis(relevant, top, 1)[tested].mean())

    by_popularity = precision(np.broadcast_to(popularity, relevant.shape))
    assert 0.03 < by_popularity < 0.12
    assert precision(seen @ similar) > 2 * by_popularity


def test_the_same_arguments_give_the_same_shop() -> None:
    first, again = (datasets.make_purchases(5000, 100, 200) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    other = datasets.make_purchases(5000, 100, 200, random_state=1)
    assert not other["Description"].equals(first["Description"])


def test_the_shop_never_changes(shop: pd.DataFrame) -> None:
    """The README and the notebooks quote numbers of this very table."""
    assert int(shop["Quantity"].sum()) == QUANTITY_SUM
    assert int(shop["CustomerID"].isna().sum()) == N_GUESTS
    assert shop["Description"].iloc[[0, 100_000, -1]].tolist() == NAMES
    assert round(float((shop["Quantity"] * shop["Price"]).sum()), 2) == REVENUE


def test_the_shop_is_made_in_no_time(shop: pd.DataFrame) -> None:
    start = time.process_time()
    datasets.make_purchases()
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_rows": 0}, "n_rows=0 must be a positive integer"),
        ({"n_customers": 1.5}, "n_customers=1.5"),
        ({"n_products": 20_000}, "n_products=20,000 must be at most 16,200"),
        ({"random_state": -1}, "random_state=-1"),
        ({"random_state": "x"}, "random_state='x'"),
    ],
)
def test_sizes_are_checked(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        datasets.make_purchases(**arguments)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (7, 1, 3), (50, 500, 16_200), (1000, 3, 2)])
def test_tiny_shops(sizes: tuple[int, int, int]) -> None:
    shop = datasets.make_purchases(*sizes)
    assert len(shop) == sizes[0]
    assert shop["Description"].nunique() <= sizes[2]


def test_without_a_directory_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PENCHANT_DATA", raising=False)
    with pytest.raises(MissingFileError, match=r"PENCHANT_DATA or pass root=.*make_purchases"):
        datasets.load("gowalla")
    with pytest.raises(MissingFileError, match="'gowalla' is not in"):
        datasets.load("gowalla", root=tmp_path)
    (tmp_path / "gowalla").mkdir()
    with pytest.raises(FileNotFoundError, match=r"gowalla lacks the file train\.parquet"):
        datasets.load("gowalla", root=tmp_path)
    with pytest.raises(ParameterError, match="did you mean 'gowalla'"):
        datasets.load("Gowala")


@pytest.mark.parametrize(("name", "fold"), [("gowalla", 1), ("ml-100k", 0), ("ml-100k", 6)])
def test_folds_are_checked(name: str, fold: int) -> None:
    with pytest.raises(ParameterError, match=f"fold={fold}"):
        datasets.load(name, fold=fold)


@needs_data
@pytest.mark.parametrize(
    ("name", "n_rows", "columns"),
    [
        ("online-retail-ii", 1_067_370, [
            "InvoiceDate", "CustomerID", "Description", "Quantity", "Price", "Country"]),
        ("ml-100k", 100_000, ["user", "item", "rating", "timestamp", "title"]),
        ("ml-latest-small", 100_836, [
            "userId", "movieId", "rating", "timestamp", "title", "genres"]),
        ("hetrec2011-lastfm", 92_834, ["userID", "artistID", "weight"]),
        ("wfmu", 77_455, ["AirDate", "Artist", "Title", "track"]),
        ("amazon-toys", 167_597, ["user", "item", "position"]),
    ],
)  # fmt: skip
def test_public_sets(name: str, n_rows: int, columns: list[str]) -> None:
    frame = datasets.load(name)
    assert len(frame) == n_rows
    assert list(frame) == columns


@needs_data
def test_sets_that_come_split() -> None:
    gowalla = datasets.load("gowalla")
    assert [len(part) for part in gowalla] == [810_128, 217_242, 91_047]
    assert gowalla.valid is not None
    fold = datasets.load("ml-100k", fold=1)
    assert (len(fold.train), len(fold.test), fold.valid) == (80_000, 20_000, None)
    movies = datasets.load("ml-100k")
    assert movies["title"].notna().all()
    assert "Shall We Dance? (1996)" in set(movies["title"])
    assert "Misérables, Les (1995)" in set(movies["title"])


@needs_data
def test_the_retail_table_is_read_well_under_a_second() -> None:
    path = Path(os.environ["PENCHANT_DATA"]) / "online-retail-ii" / "transactions.parquet"
    start = time.process_time()
    with pytest.warns(PenchantWarning, match="dropped 243,007 of 1,067,370 rows"):
        data = Interactions.from_parquet(
            path, user="CustomerID", item="Description", value="Quantity",
            timestamp="InvoiceDate", negative_values="drop",
        )  # fmt: skip
    assert time.process_time() - start < 3, "CPU seconds of all threads, on a busy machine"
    assert (data.n_users, data.dropped["negative_value"]) == (5881, 18_744)
    assert len(data) == 1_067_370 - 243_007 - 18_744
