"""A generated gift shop: deterministic, quick, and with tastes worth learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from penchant.data.split import check_seed
from penchant.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

_COLOURS = (
    "RED|BLUE|GREEN|PINK|WHITE|IVORY|BLACK|SILVER|GOLD|CREAM|TURQUOISE|LILAC|YELLOW|ORANGE|"
    "COPPER|MINT|NAVY|CORAL"
)
_MOTIFS = (
    "HEART|STAR|POLKADOT|PAISLEY|RETROSPOT|DAISY|ROSE|BIRD|BUTTERFLY|OWL|CHERRY|STRAWBERRY|"
    "SAILOR|CIRCUS|DINOSAUR|WOODLAND|SNOWFLAKE|REINDEER|VINTAGE|CHALKBOARD|TULIP|LEAF|STRIPE|"
    "GINGHAM|SPACEBOY|DOLLY GIRL|PEACOCK|FEATHER|HONEYBEE|SEASHELL"
)
_OBJECTS = (
    "MUG|TEA TOWEL|LUNCH BAG|T-LIGHT HOLDER|CAKESTAND|LANTERN|CUSHION COVER|PHOTO FRAME|"
    "JAM JAR|TRINKET BOX|DOORMAT|WALL CLOCK|PARTY BUNTING|GIFT WRAP|NOTEBOOK|TEAPOT|APRON|"
    "HOT WATER BOTTLE|STORAGE TIN|COAT HOOK|CANDLE|KEYRING|BOWL|PICNIC BASKET|WATERING CAN|"
    "EGG CUP|NECKLACE|HAND WARMER|PAPER NAPKINS|DRAWER KNOB"
)
_WORDS = [words.split("|") for words in (_COLOURS, _MOTIFS, _OBJECTS)]
_N_COLOURS, _N_MOTIFS, _N_OBJECTS = map(len, _WORDS)
_COUNTRIES = ("United Kingdom", "Germany", "France", "EIRE", "Spain", "Netherlands", "Belgium")
_COUNTRY_SHARES = (0.90, 0.025, 0.025, 0.02, 0.01, 0.01, 0.01)

_FIRST_DAY, _DAYS = np.datetime64("2010-01-04T00:00"), 720
_GUESTS = 0.2  # share of invoices without a customer
_RETURNS = 0.02
_LINES = 18  # mean lines of an invoice
# A style is what a kind of customer likes: some motifs and some kinds of object. A customer has a
# main style, a second and a third.
_STYLES = 16
_STYLE_SHARES = (0.75, 0.20, 0.05)
# Where a line comes from: a motif of the style, a kind of object, both at once, or what all buy.
_SOURCES = (0.10, 0.08, 0.68, 0.14)


def make_purchases(
    n_rows: int = 240_000,
    n_customers: int = 3_000,
    n_products: int = 2_000,
    random_state: int = 41,
) -> pd.DataFrame:
    """Generate the invoice lines of a gift shop, as dirty as real ones.

    A few products sell very often and most seldom. Each customer likes a few motifs (hearts, owls)
    and a few kinds of object (mugs, lanterns), so that what one bought says what one will buy. Some
    invoices have no customer, some lines are returns, customers buy favourites again. The same
    arguments always give the same table.

    Parameters
    ----------
    n_rows : int
        Number of lines.
    n_customers : int
        Number of customers; fewer appear if there are fewer invoices (18 lines each).
    n_products : int
        Number of products, at most 16,200.
    random_state : int
        Seed.

    Returns
    -------
    pandas.DataFrame
        Sorted by date, with the columns Invoice (int64), InvoiceDate (datetime64), CustomerID
        (float64, as pandas stores integers among nulls), Description (text), Quantity (int64,
        negative for a return), Price (float64, pounds) and Country (text).

    Raises
    ------
    ParameterError
        If a size is out of range.

    Examples
    --------
    >>> from penchant.data import datasets
    >>> shop = datasets.make_purchases(n_rows=1000, n_customers=50, n_products=100)
    >>> len(shop), bool(shop["CustomerID"].isna().any()), bool((shop["Quantity"] < 0).any())
    (1000, True, True)
    """
    most = _N_COLOURS * _N_MOTIFS * _N_OBJECTS
    for name, size, limit in (
        ("n_rows", n_rows, 2**31 - 1),
        ("n_customers", n_customers, 2**31 - 1),
        ("n_products", n_products, most),
    ):
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ParameterError(f"{name}={size!r} must be a positive integer")
        if size > limit:
            raise ParameterError(f"{name}={size:,} must be at most {limit:,}")
    check_seed(random_state)
    # The legacy generator: its bits are frozen for ever, those of default_rng are not.
    rng = np.random.RandomState(random_state)
    products = _Products(rng, n_products)
    invoice, customer, minute = _invoices(rng, n_rows, n_customers)
    product = _choose(rng, customer, products, n_customers)
    quantity = _quantities(rng, product, products.price)
    product, quantity, customer, invoice, minute = _return_some(
        rng, product, quantity, customer, invoice, minute
    )
    return _frame(rng, products, product, quantity, customer, invoice, minute, n_customers)


class _Products:
    """Names, prices and popularity, and the products of each motif and each kind of object."""

    def __init__(self, rng: np.random.RandomState, n: int) -> None:
        combination = rng.permutation(_N_COLOURS * _N_MOTIFS * _N_OBJECTS)[:n]
        colour, rest = np.divmod(combination, _N_MOTIFS * _N_OBJECTS)
        self.motif, self.kind = np.divmod(rest, _N_OBJECTS)
        words = [np.array(w, object) for w in _WORDS]
        self.name = words[0][colour] + " " + words[1][self.motif] + " " + words[2][self.kind]
        self.weight = 1.0 / (np.arange(n) + 8.0) ** 0.75  # a power law with a blunt head
        base = rng.lognormal(0.6, 0.6, _N_OBJECTS)[self.kind] * rng.lognormal(0.0, 0.25, n)
        endings = np.array([0.25, 0.45, 0.75, 0.95])[rng.randint(0, 4, n)]
        self.price = np.round(np.floor(base) + endings, 2)

    def sample(self, rng: np.random.RandomState, group: np.ndarray, of: np.ndarray) -> np.ndarray:
        """Draw one product of each wanted group by popularity; -1 where the group has none.

        ``group`` is the group of each product, ``of`` the group wanted for each draw.
        """
        order = np.argsort(group, kind="stable")
        ends = np.cumsum(self.weight[order])
        first = np.searchsorted(group[order], of, side="left")
        last = np.searchsorted(group[order], of, side="right")
        low = np.where(first > 0, ends[first - 1], 0.0)
        high = np.where(last > 0, ends[last - 1], 0.0)
        place = np.searchsorted(ends, low + rng.rand(len(of)) * (high - low), side="right")
        place = np.clip(place, first, np.maximum(last - 1, first))
        return np.where(last > first, order[np.minimum(place, len(order) - 1)], -1)


def _invoices(
    rng: np.random.RandomState, n_rows: int, n_customers: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the invoice, the customer (-1: a guest) and the minute of each line."""
    n_invoices = max(n_rows // _LINES, 1)
    lines = rng.geometric(1.0 / _LINES, n_invoices)
    ends = np.cumsum(lines) / lines.sum() * n_rows  # scaled to the rows wanted
    invoice = np.searchsorted(ends, np.arange(n_rows) + 0.5)
    activity = rng.lognormal(0.0, 1.0, n_customers)
    buyer = np.searchsorted(
        np.cumsum(activity) / activity.sum(), rng.rand(n_invoices) * (1 - 1e-12)
    )
    buyer[rng.rand(n_invoices) < _GUESTS] = -1
    # Everyone buys once, if there are invoices enough.
    sure = rng.permutation(np.flatnonzero(buyer >= 0))[:n_customers]
    buyer[sure] = rng.permutation(n_customers)[: len(sure)]
    day = np.sort((_DAYS * rng.rand(n_invoices) ** 0.8).astype(np.int64))  # the shop grows
    minute = day * 1440 + rng.randint(8 * 60, 18 * 60, n_invoices)
    minute.sort()
    return invoice, buyer[invoice], minute[invoice]


def _choose(
    rng: np.random.RandomState, customer: np.ndarray, products: _Products, n_customers: int
) -> np.ndarray:
    """Return the product of each line."""
    n = len(customer)
    # Guests have tastes too, one guest for each line.
    person = np.where(customer >= 0, customer, n_customers)
    styles = rng.randint(0, _STYLES, (n_customers + 1, 3))
    style = styles[person, np.searchsorted(np.cumsum(_STYLE_SHARES)[:-1], rng.rand(n))]
    guest = person == n_customers
    style[guest] = rng.randint(0, _STYLES, int(guest.sum()))
    motif = _favourites(rng, _N_MOTIFS)[style, np.minimum(rng.geometric(0.35, n) - 1, 5)]
    kind = _favourites(rng, _N_OBJECTS)[style, np.minimum(rng.geometric(0.35, n) - 1, 5)]

    n_kinds = _N_OBJECTS
    both = products.sample(rng, products.motif * n_kinds + products.kind, motif * n_kinds + kind)
    choices = np.stack(
        [
            products.sample(rng, products.motif, motif),
            products.sample(rng, products.kind, kind),
            both,
            products.sample(rng, np.zeros(len(products.weight), np.int64), np.zeros(n, np.int64)),
        ]
    )
    source = np.searchsorted(np.cumsum(_SOURCES)[:-1], rng.rand(n), side="right")
    product = choices[source, np.arange(n)]
    return np.where(product >= 0, product, choices[3])


def _favourites(rng: np.random.RandomState, n: int) -> np.ndarray:
    """Return six of ``n`` things for each style, the best liked first."""
    return np.stack([rng.permutation(n)[:6] for _ in range(_STYLES)])


def _quantities(rng: np.random.RandomState, product: np.ndarray, price: np.ndarray) -> np.ndarray:
    packs = np.array([1, 2, 3, 4, 6, 12, 24, 48])
    cheap = np.array([0.10, 0.14, 0.08, 0.10, 0.16, 0.26, 0.12, 0.04])
    dear = np.array([0.42, 0.24, 0.10, 0.10, 0.09, 0.04, 0.008, 0.002])
    draw = rng.rand(len(product))
    is_cheap = price[product] < 3.0
    place = np.where(
        is_cheap,
        np.searchsorted(np.cumsum(cheap)[:-1], draw, side="right"),
        np.searchsorted(np.cumsum(dear)[:-1], draw, side="right"),
    )
    return packs[place]


def _return_some(
    rng: np.random.RandomState,
    product: np.ndarray,
    quantity: np.ndarray,
    customer: np.ndarray,
    invoice: np.ndarray,
    minute: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Turn some lines into returns of earlier ones, some days later, whole or in part."""
    n = len(product)
    returned = np.flatnonzero(rng.rand(n) < _RETURNS)
    bought = (returned * rng.rand(len(returned))).astype(np.int64)
    later = minute[bought] + rng.randint(1 * 1440, 30 * 1440, len(returned))
    product, quantity, customer = product.copy(), quantity.copy(), customer.copy()
    minute, invoice = minute.copy(), invoice.copy()
    amount = np.maximum(np.abs(quantity[bought]) // rng.randint(1, 3, len(returned)), 1)
    product[returned], customer[returned] = product[bought], customer[bought]
    quantity[returned], minute[returned] = -amount, later
    invoice[returned] = invoice[-1] + 1 + np.arange(len(returned))  # a credit note of its own
    order = np.lexsort((invoice, minute))
    return tuple(a[order] for a in (product, quantity, customer, invoice, minute))


def _frame(
    rng: np.random.RandomState,
    products: _Products,
    product: np.ndarray,
    quantity: np.ndarray,
    customer: np.ndarray,
    invoice: np.ndarray,
    minute: np.ndarray,
    n_customers: int,
) -> pd.DataFrame:
    import pandas as pd

    numbers = 12_346.0 + np.cumsum(rng.randint(1, 4, n_customers))
    country = rng.choice(len(_COUNTRIES), n_customers + 1, p=_COUNTRY_SHARES)
    country[n_customers] = 0
    is_guest = customer < 0
    _, number = np.unique(invoice, return_inverse=True)
    dates = _FIRST_DAY + minute.astype("timedelta64[m]")
    return pd.DataFrame(
        {
            "Invoice": 489_434 + number,
            "InvoiceDate": dates.astype("datetime64[us]"),
            "CustomerID": np.where(is_guest, np.nan, numbers[customer]),
            "Description": products.name[product],
            "Quantity": quantity.astype(np.int64),
            "Price": products.price[product],
            "Country": np.array(_COUNTRIES, object)[country[customer]],
        }
    )
