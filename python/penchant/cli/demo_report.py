"""What the demo shows: progress lines, the metrics table, customers beside their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from penchant.cli.console import format_table, is_live, say, side_by_side, width
from penchant.models import Callback

if TYPE_CHECKING:
    from penchant.data.interactions import Interactions
    from penchant.models import Recommender


# The two ways of measuring: label -> (training items left out, what that means).
MEASURED = {
    "new": (True, "on items new to the customer (those of the training rows left out)"),
    "repeats": (False, "counting re-purchases, as tutorials do"),
}


class Progress(Callback):
    """Shows the metrics as they are measured: on a bar in a terminal, else a line for each time.

    The bar of `fit` would do, but its names are too long to fit beside each other in 80 columns.
    """

    def __init__(self, metric: str, epochs: int, every: int) -> None:
        self.metric = metric
        self.epochs = epochs
        self.every = every
        self._bar: Any = None
        self._values = dict.fromkeys(MEASURED, "-")

    def on_fit_begin(self, model: Recommender, train: Interactions) -> None:
        """Draw the empty bar."""
        if is_live():
            from tqdm import tqdm

            layout = "  {bar} {n_fmt}/{total_fmt} {elapsed}<{remaining} {desc}"
            self._bar = tqdm(total=self.epochs, bar_format=layout, dynamic_ncols=True)

    def on_epoch_end(self, model: Recommender, epoch: int, logs: dict[str, Any]) -> bool | None:
        """Show the loss, and the last measures of the metric."""
        measured = {label: logs.get(f"{self.metric} {label}") for label in MEASURED}
        self._values.update((k, f"{v:.4f}") for k, v in measured.items() if v is not None)
        values = ", ".join(f"{label} {value}" for label, value in self._values.items())
        text = f"{self.metric} {values}, loss {logs['loss']:.3f}"
        if self._bar is not None:
            self._bar.set_description_str(text, refresh=False)
            self._bar.update(1)
        elif epoch % self.every == 0 or epoch == self.epochs:
            say(f"  epoch {epoch:>3}/{self.epochs}  {text}")
        return None

    def on_fit_end(self, model: Recommender) -> None:
        """Leave the bar as it was last."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()


def show_metrics(
    model: Recommender, train: Interactions, test: Interactions, k: int
) -> dict[str, float]:
    """Print the model's metrics beside those of a popularity baseline, measured both ways.

    Returns the baseline's precision in each of them.
    """
    from penchant import Popularity

    baseline = Popularity().fit(train, progress=False)
    precision = {}
    for label, (new_only, meaning) in MEASURED.items():
        ours, n_users = _measure(model, test, k, new_only)
        theirs, _ = _measure(baseline, test, k, new_only)
        best = dict.fromkeys(ours, 1.0) | {f"precision@{k}": ceiling(model, test, k, new_only)}
        rows = [
            (name, *(f"{number:.4f}" for number in (value, theirs[name], best[name])))
            for name, value in ours.items()
        ]
        header = (f"{n_users:,} customers", type(model).__name__, "Popularity", "best possible")
        say(f"  {label}: {meaning}")
        say(format_table(header, rows, indent="    "))
        say()
        precision[f"precision@{k} {label}"] = theirs[f"precision@{k}"]
    say("  Best possible: no recommender can exceed it on these rows, because many")
    say(f"  customers held out fewer than {k} products.")
    return precision


def _measure(
    model: Recommender, test: Interactions, k: int, new_only: bool
) -> tuple[dict[str, float], int]:
    from penchant import evaluate
    from penchant.data.frames import to_arrow

    names = [f"{metric}@{k}" for metric in ("precision", "recall", "ndcg", "hit_rate")]
    rows = to_arrow(evaluate(model, test, metrics=names, exclude_seen=new_only))[0].to_pylist()
    return {row["metric"]: row["value"] for row in rows}, rows[0]["n_users"]


def ceiling(model: Recommender, test: Interactions, k: int, new_only: bool) -> float:
    """Highest precision@k any model can reach: the mean over users of min(k, relevant) / k."""
    from penchant.evaluation.metrics import find_truth

    truth = find_truth(model, test, exclude_seen=new_only, unknown="popular")
    return float(np.minimum(truth.n_relevant, k).mean() / k)


def pick_customers(train: Interactions, test: Interactions, seed: int, n: int = 3) -> list[Any]:
    """Draw customers with a history short enough to read and something held out."""
    bought = np.diff(train.csr("distinct").indptr)
    held_out = test.users.codes(train.users.to_arrow()) >= 0
    for wanted in ((bought >= 8) & (bought <= 30) & held_out, held_out, bought > 0):
        candidates = np.flatnonzero(wanted)
        if len(candidates) >= n:
            break
    chosen = np.random.RandomState(seed).permutation(candidates)[:n]
    return [train.users[int(code)] for code in np.sort(chosen)]


def show_recommendations(
    model: Recommender, train: Interactions, test: Interactions, customers: list[Any], k: int
) -> None:
    """Print each customer's purchases beside the recommendations, hits marked with a star."""
    from penchant.data.frames import to_arrow

    table = to_arrow(model.recommend(customers, k=k))[0]
    answers = list(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True))
    for number, customer in enumerate(customers):
        if number:
            say()
        names, counts = _purchases(train, customer)
        later = set(_purchases(test, customer)[0])
        shown = k if len(names) <= k else k - 1
        left = [f"{count:>3} x {name}" for name, count in zip(names, counts, strict=True)][:shown]
        if len(names) > shown:
            left.append(f"      … and {len(names) - shown} more")
        right = [
            f"{rank:>2} {'*' if name in later else ' '} {name}"
            for rank, name in enumerate([str(i) for u, i in answers if u == customer], start=1)
        ]
        say(
            side_by_side(
                [f"Customer {customer} bought ({len(names)} products)", *left],
                ["recommended (* = held-out purchase)", *right],
                width(),
                indent="  ",
            )
        )


def _purchases(data: Interactions, customer: Any) -> tuple[list[str], list[int]]:
    """Names of what a customer bought and how often, the most frequent first."""
    row = int(data.users.codes([customer])[0])
    if row < 0:
        return [], []
    matrix = data.csr("count")
    part = slice(int(matrix.indptr[row]), int(matrix.indptr[row + 1]))
    counts = matrix.values[part]
    order = np.argsort(-counts, kind="stable")
    names = data.items.take(matrix.indices[part][order]).to_pylist()
    return [str(name) for name in names], [int(count) for count in counts[order]]
