"""Write the golden artifacts of the current format version: ``python tests/golden/make_golden.py``.

An artifact in a ``v<number>`` folder must load for ever, so one that is there is never written
again (``v1`` is frozen from the release of 0.1.0 on): this adds those that are missing. Run it for
each new format version and each model added to `models`, and commit what it makes. Each folder in
it is an artifact: those of models, named in `expected.json` with what the models answered when they
were saved, and ``arrays``, which is no model (tests/storage/test_golden.py says what it holds).

``word2vec_early`` is older than this script's `word2vec`: commit 9fcf1a9 was the first to keep how
often users took each item. ``trees_early`` is older than `trees`: its "gift|new" is one category.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

import penchant as pc
from penchant.errors import UnsupportedError
from penchant.storage import write_artifact
from penchant.storage.manifest import FORMAT_VERSION

HERE = Path(__file__).resolve().parent
K = 4
STRANGER = ["TRAY № 1", "Kerze № 3"]  # the history of somebody whom no model knows


def purchases() -> pd.DataFrame:
    """Twenty customers of a shop with twelve products."""
    rng = np.random.default_rng(17)
    n = 120
    return pd.DataFrame(
        {
            "CustomerID": 12340 + rng.integers(0, 20, n),
            "Description": rng.choice(
                [
                    f"{thing} № {number}"
                    for thing in ("MUG", "TRAY", "Kerze")
                    for number in range(4)
                ],
                n,
            ),
            "Quantity": rng.integers(1, 9, n),
            "Country": rng.choice(["France", "Österreich"], n),
            "InvoiceDate": pd.Timestamp("2010-12-01")
            + pd.to_timedelta(rng.integers(0, 400, n), "D"),
        }
    )


def models() -> dict[str, pc.models.Recommender]:
    """Return the models by folder name."""
    frame = purchases()
    data = pc.Interactions.from_frame(
        frame,
        user="CustomerID",
        item="Description",
        value="Quantity",
        timestamp="InvoiceDate",
        context="Country",
    )
    train, valid = pc.split.random(data, test_size=0.3, random_state=41)
    watch = pc.ValidationMetric(valid, "precision@2", every=3)
    bpr = pc.BPR(factors=5, epochs=7, num_threads=2, user_regularization=0.03)
    bpr.fit(train, progress=False, callbacks=[watch])
    reversed_roles = pc.Interactions.from_frame(frame, user="Description", item="CustomerID")
    popularity = pc.Popularity().fit(reversed_roles)
    prod2vec = pc.Prod2Vec(vector_size=6, epochs=5, min_count=2).fit(data, progress=False)
    with tempfile.TemporaryDirectory() as temporary:
        file = f"{temporary}/vectors.txt"
        prod2vec.save_word2vec(file)
        word2vec = pc.models.load_word2vec(file)
    return {
        "bpr": bpr,
        "popularity": popularity,
        "prod2vec": prod2vec,
        "word2vec": word2vec,
        "trees": trees(frame),
    }


def trees(frame: pd.DataFrame) -> pc.Pipeline:
    """Return popular products, ranked by trees over a table; lately everybody buys what is new."""
    names = sorted(frame["Description"].unique())
    kinds = [("gift", "gift|new", "kitchen")[place % 3] for place in range(len(names))]
    items = pd.DataFrame({"Description": names, "kinds": kinds})
    rng = np.random.default_rng(5)
    users = frame["CustomerID"].unique()
    late = pd.DataFrame({"CustomerID": np.repeat(users, 2)})
    late["Description"] = rng.choice(names[1::3], len(late))
    late["InvoiceDate"] = frame["InvoiceDate"].max() + pd.Timedelta(days=1)
    data = pc.Interactions.from_frame(
        pd.concat([frame, late])[list(late)],
        user="CustomerID",
        item="Description",
        timestamp="InvoiceDate",
        item_features=items,
    )
    ranking = pc.LambdaMART(
        n_estimators=5, num_leaves=4, min_child_samples=4, validation=0, holdout=0.3
    )
    model = pc.Pipeline(retrieve=pc.Popularity(), k=12, rank=ranking)
    return model.fit(data, progress=False)


def expectation(model: pc.models.Recommender) -> dict[str, object]:
    """Return what a loaded model has to say."""
    history = model.history_.astype(object)
    return {
        "parameters": {
            name: value
            for name, value in model.get_params().items()
            if isinstance(value, bool | int | float | str | None)
        },
        "recommend": model.recommend(k=K).to_dict("list"),
        "stranger": answer(model.recommend, history=STRANGER),
        "similar_items": answer(model.similar_items),
        "history": history.where(model.history_.notna(), None).to_dict("list"),
    }


def answer(ask: Callable[..., Any], **options: Any) -> dict[str, list[Any]] | None:
    """Return an answer's columns, None from a model that cannot answer."""
    try:
        return ask(k=K, **options).to_dict("list")
    except UnsupportedError:
        return None


def write_arrays(folder: Path) -> None:
    """Write an artifact of every kind of content."""
    meta = {
        "class": "Golden",
        "parameters": {"factors": 3, "rate": 0.05, "name": "Zoë", "seed": None},
        "metrics": {"ndcg@10": 0.25},
        "columns": ["user", "item"],
    }
    arrays = {
        "factors": np.arange(12, dtype=np.float32).reshape(4, 3) / 8,
        "offsets": np.array([0, 2, 2, 2**40]),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 4), np.int32),
    }
    tables = {
        "users": pa.table({"id": pa.array([-1, 17850])}),
        "items": pa.table({"id": pa.array(["", "MUG", "TÊTE À TÊTE"], pa.large_string())}),
    }
    write_artifact(folder, meta=meta, arrays=arrays, tables=tables)


def main() -> None:
    """Write what the folder of this format version lacks."""
    folder = HERE / f"v{FORMAT_VERSION}"
    answers = folder / "expected.json"
    expected = json.loads(answers.read_text("utf-8")) if answers.exists() else {}
    for name, model in models().items():
        if name not in expected:
            model.save(folder / name)
            expected[name] = expectation(model)
    if not (folder / "arrays").exists():
        write_arrays(folder / "arrays")
    text = json.dumps(expected, indent=1, ensure_ascii=False)
    answers.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
