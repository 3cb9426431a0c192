"""The rows of the table, and the runs that give their figures."""

from __future__ import annotations

from typing import NamedTuple


class Run(NamedTuple):
    """A bench command; `minutes` is what it takes on two threads of a quiet machine."""

    arguments: str
    minutes: float
    large: bool = False  # only with --scale


class Row(NamedTuple):
    """A line: the figure of a run, and what it should be."""

    title: str
    run: str
    figure: str
    floor: float | None = None
    goal: float | None = None
    smaller_is_better: bool = False


RUNS: dict[str, Run] = {
    "bpr": Run("bpr --data gowalla", 3),
    "bpr-quality": Run("bpr --data gowalla --quality --no-rivals", 2),
    "bpr-race": Run("bpr --data gowalla --race", 0.8),
    "ials": Run("ials", 2),
    "ials-quality": Run("ials --quality", 2.5),
    "ials-fold-in": Run("ials --fold-in --factors 64", 0.5),
    "prod2vec": Run("prod2vec --data retail", 4.6),
    "prod2vec-cbow": Run("prod2vec --data retail --sg 0", 1.4),
    "prod2vec-toys": Run("prod2vec --data toys --quality", 0.6),
    "prod2vec-wfmu": Run("prod2vec --data wfmu --quality", 0.4),
    "svd-speed": Run("svd --data synthetic --repeats 3", 1),
    "svd": Run("svd --data ml-100k", 1),
    "svdpp": Run("svdpp", 1.4),
    "svd-best": Run("svd --data ml-100k --best", 6),
    "ease-quality": Run("ease --quality", 1),
    "knn": Run("knn", 0.3),
    "topk": Run("topk", 4),
    "anti-testset": Run("anti_testset", 2),
    "bpr-fold-in": Run("bpr --data gowalla --fold-in", 2),
    "import": Run("import --repeats 3", 0.2),
    "serve": Run("serve", 7),
    "threads": Run("threads", 1),
    "scale": Run("scale --repeats 1", 3),
    "scale-100": Run("scale --largest 100 --repeats 1", 8, large=True),
}

ROWS: list[Row] = [
    Row("BPR, Gowalla, 64 factors: updates/s against implicit", "bpr", "ratio", 2.0, 4.0),
    Row("BPR, Gowalla test, tuned on valid: recall@20", "bpr-quality", "recall@20", 0.178, 0.190),
    Row("... fit seconds", "bpr-quality", "seconds", 120, None, smaller_is_better=True),
    Row(
        "BPR, Gowalla test: seconds to recall@20 .160",
        "bpr-race",
        "seconds to target",
        20,
        5,
        smaller_is_better=True,
    ),
    *(
        Row(
            f"IALS, Gowalla, {factors} factors: time to implicit ALS's recall@20, ratio",
            "ials",
            f"ratio@{factors}",
            1.0,
            2.5,
        )
        for factors in (64, 128, 256)
    ),
    Row("IALS, Gowalla test, tuned on valid: recall@20", "ials-quality", "recall@20", 0.176, 0.186),
    Row("... fit seconds", "ials-quality", "seconds", 120, None, smaller_is_better=True),
    Row(
        "IALS, 64 factors: a stranger with 50 items, ms",
        "ials-fold-in",
        "milliseconds@64",
        1.0,
        None,
        smaller_is_better=True,
    ),
    Row("Prod2Vec skip-gram, retail baskets: words/s against gensim", "prod2vec", "ratio", 3, 8),
    Row("... HitRate@100 test", "prod2vec", "hit_rate@100 test"),
    Row("... gensim's", "prod2vec", "gensim hit_rate@100 test"),
    Row("Prod2Vec CBOW, retail baskets: words/s against gensim", "prod2vec-cbow", "ratio", 2, 5),
    Row("... HitRate@100 test", "prod2vec-cbow", "hit_rate@100 test"),
    Row("... gensim's", "prod2vec-cbow", "gensim hit_rate@100 test"),
    Row("Prod2Vec, toys, tuned: HitRate@100", "prod2vec-toys", "hit_rate@100 test", 0.1714, 0.204),
    Row("Prod2Vec, WFMU, tuned: HitRate@100", "prod2vec-wfmu", "hit_rate@100 test", 0.0969, 0.1154),
    Row("SVD, 100 factors: updates/s against Surprise", "svd-speed", "ratio", 12, 40),
    Row("SVD, ML-100k u1-u5: RMSE", "svd", "rmse", 0.940, None, smaller_is_better=True),
    Row("SVD++, ML-100k u1-u5: fit against Surprise", "svdpp", "ratio", 25, 100),
    Row("... RMSE", "svdpp", "rmse", 0.9238, None, smaller_is_better=True),
    Row("Best RMSE on ML-100k u1-u5", "svd-best", "rmse", 0.915, 0.900, smaller_is_better=True),
    Row(
        "Best ndcg@10 on ML-100k, 75/25, mean of 5 splits",
        "ease-quality",
        "EASE with low-rank weights",
        0.478,
        0.500,
    ),
    Row(
        "ItemKNN, Gowalla: against CosineRecommender",
        "knn",
        "penchant ItemKNN('cosine').fit",
        1.5,
        4,
    ),
    Row("... against BM25Recommender", "knn", "penchant ItemKNN('bm25').fit"),
    *(
        Row(f"Top {k}, 10,000 queries, {n:,} x 64: against faiss", "topk", name, 1.3, 3)
        for n in (41_000, 200_000, 1_000_000)
        for k in (10, 100)
        for name in [f"batch, top {k} of {n:,} x 64: ratio"]
    ),
    *(
        Row(
            f"... one query, top 10 of {n:,}", "topk", f"single, top 10 of {n:,} x 64: ratio", 3, 10
        )
        for n in (41_000, 1_000_000)
    ),
    Row(
        "... 1,000 candidates for each query, of 1,000,000",
        "topk",
        "candidates, top 10 of 1,000,000 x 64: ratio",
        5,
        50,
    ),
    Row(
        "... cost of 50 excluded vectors for each query, of 200,000",
        "topk",
        "exclude, top 10 of 200,000 x 64: cost",
        0.15,
        0.05,
        smaller_is_better=True,
    ),
    Row("All users x all films, MovieLens: against Surprise", "anti-testset", "ratio", 300, 2000),
    Row(
        "BPR, Gowalla: share of recall@20 lost by folding strangers in",
        "bpr-fold-in",
        "lost",
        0.10,
        0.03,
        smaller_is_better=True,
    ),
    Row(
        "... a stranger with 50 items, ms",
        "bpr-fold-in",
        "milliseconds",
        1.0,
        0.1,
        smaller_is_better=True,
    ),
    Row("import penchant, seconds", "import", "import penchant", 0.8, 0.3, smaller_is_better=True),
    Row(
        "Growth: exponent of time over rows, 0.5 to 5 M rows, largest of 8 models",
        "scale",
        "largest growth",
        1.25,
        None,
        smaller_is_better=True,
    ),
    Row(
        "... peak memory over CSR and weights, largest",
        "scale",
        "largest memory",
        2.5,
        None,
        smaller_is_better=True,
    ),
    Row(
        "/v1/recommend under wrk: requests/s against a bare FastAPI handler",
        "serve",
        "throughput against bare FastAPI",
        0.4,
        0.8,
    ),
    Row("... against a bare Starlette route", "serve", "throughput against bare Starlette"),
    Row("... against a bare ASGI callable", "serve", "throughput against bare ASGI"),
    Row("Scoring, 32 waiting requests: against NumPy argpartition", "serve", "scoring", 3, 10),
    Row(
        "... share of the rate reached that this and bare ASGI allow", "serve", "share of the bound"
    ),
    Row(
        "Latency at half the maximum throughput, p99, ms",
        "serve",
        "latency p99 ms",
        15,
        5,
        smaller_is_better=True,
    ),
    Row(
        "Swaps of the model under full load: failed or mixed answers",
        "serve",
        "failed or mixed",
        0,
        0,
        smaller_is_better=True,
    ),
    Row(
        "Memory that a second worker adds, artifact of 1 GB",
        "serve",
        "memory of a second worker",
        0.20,
        0.05,
        smaller_is_better=True,
    ),
    Row(
        "Start of `penchant serve` to a healthy /ping, artifact of 1 GB, seconds",
        "serve",
        "start seconds",
        3,
        1,
        smaller_is_better=True,
    ),
    Row("Models and variants with equal bits for 1, 2, 3, 8 threads", "threads", "share", 1.0),
]
