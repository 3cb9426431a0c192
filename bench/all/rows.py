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
    "svd-speed": Run("svd --data synthetic --repeats 3", 3),
    "svd": Run("svd --data ml-100k", 1),
    "svdpp": Run("svdpp", 2),
    "svd-best": Run("svd --data ml-100k --best", 6),
    "import": Run("import --repeats 3", 0.2),
    "threads": Run("threads", 1),
    "scale": Run("scale", 2),
    "scale-100": Run("scale --largest 100", 25, large=True),
}

ROWS: list[Row] = [
    Row("BPR, Gowalla, 64 factors: updates/s against implicit", "bpr", "ratio", 2.0, 4.0),
    Row("BPR, Gowalla test, tuned on valid: recall@20", "bpr-quality", "recall@20", 0.178, 0.190),
    Row("... fit seconds", "bpr-quality", "seconds", 120, None, smaller_is_better=True),
    Row("SVD, 100 factors: updates/s against Surprise", "svd-speed", "ratio", 12, 40),
    Row("SVD, ML-100k u1-u5: RMSE", "svd", "rmse", 0.940, None, smaller_is_better=True),
    Row("SVD++, ML-100k u1-u5: fit against Surprise", "svdpp", "ratio", 25, 100),
    Row("... RMSE", "svdpp", "rmse", 0.9238, None, smaller_is_better=True),
    Row("Best RMSE on ML-100k u1-u5", "svd-best", "rmse", 0.915, 0.900, smaller_is_better=True),
    Row("import penchant, seconds", "import", "import penchant", 0.8, 0.3, smaller_is_better=True),
    Row("Models and variants with equal bits for 1, 2, 3, 8 threads", "threads", "share", 1.0),
]
