"""Published figures, and the settings of implicit that stand beside ours on Gowalla."""

from __future__ import annotations

from typing import Any

# Gowalla, LightGCN split, recall@20 and ndcg@20, from reczoo/BARS. (MF-BPR's epoch was probably
# picked on the test users.)
GOWALLA = {
    "Item2Vec": (0.1326, 0.1057),
    "ItemCF": (0.1570, 0.1214),
    "MF-BPR": (0.1627, 0.1378),
    "SLIM": (0.1699, 0.1382),
    "EASE": (0.1765, 0.1467),
    "LightGCN": (0.1820, 0.1547),
    "MF-CCL": (0.1837, 0.1493),
    "UltraGCN": (0.1862, 0.1580),
}

IMPLICIT_BPR: dict[str, dict[str, Any]] = {
    "implicit BPR, 64 factors": {
        "factors": 64,
        "learning_rate": 0.01,
        "regularization": 0.01,
        "iterations": 100,
    }
}
IMPLICIT_ALS: dict[str, dict[str, Any]] = {
    f"implicit ALS, {factors} factors": {
        "factors": factors,
        "regularization": regularization,
        "alpha": 20,
        "iterations": iterations,
    }
    for factors, regularization, iterations in ((64, 20, 15), (128, 20, 15), (256, 50, 12))
}
