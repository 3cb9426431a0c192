"""What the training jobs of tests learn from."""

from __future__ import annotations

import pandas as pd

import penchant as pc


def frame(held_out=False):
    """Forty users of two tastes, five items each, and one item of the same taste held out."""
    rows = [
        (17000 + user, f"taste {user % 2} item {(user + step) % 8}")
        for user in range(40)
        for step in (range(5, 6) if held_out else range(5))
    ]
    return pd.DataFrame(rows, columns=["customer", "product"])


def interactions(held_out=False):
    return pc.Interactions.from_frame(frame(held_out), user="customer", item="product")
