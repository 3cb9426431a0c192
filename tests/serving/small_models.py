"""Small models for the tests of serving, fitted for real, and what their servers need."""

import time
import urllib.error
import urllib.request

import numpy as np
import pandas as pd

import penchant as pc

# Warnings are errors in subprocesses too, except deprecations in other people's old releases.
WARNINGS = ["-W", "error", "-W", "ignore::DeprecationWarning"]

TOKEN = "a token of the tests"  # of servers whose models may be changed
ITEMS = ["MUG", 'BOX, "RED"', "TÊTE À TÊTE", "LINE\nBREAK", "BACK\\SLASH", "日本茶", "", " PEN "]


def fit(user_ids, model=None):
    rng = np.random.RandomState(7)
    events = pd.DataFrame(
        {"who": rng.choice(user_ids, 120), "what": rng.choice(ITEMS + ["LAMP"] * 5, 120)}
    )
    events = pd.concat([events, pd.DataFrame({"who": user_ids, "what": ITEMS[0]})])
    data = pc.Interactions.from_frame(events, user="who", item="what")
    model = model or pc.BPR(factors=8, epochs=5, random_state=3)
    return model.fit(data, progress=False)


def wait_until_healthy(address, process, log):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/ping") as response:
                assert response.status == 200
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    raise AssertionError("the server did not start")
