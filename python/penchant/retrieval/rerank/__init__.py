"""Re-ranking: what ``model.recommend(..., rerank=[...])`` takes.

The search finds a pool of each user's best items, ten times `k` unless ``pool=`` says otherwise,
and the re-rankers work on it one after the other, in the order given: `MMR` and `DPP` (diversity),
`PopularityDiscount` (the long tail), `AttributeCap` (at most two of an artist), `Exploration` (new
items) and `Promotions` (chosen items at chosen places). The first ``k`` are the answer, with the
model's own scores. A re-ranker changes what those before it have done: what must hold goes last.

Your own re-ranker is a subclass of `Reranker`.
"""

from penchant.retrieval.rerank.diversity import DPP, MMR
from penchant.retrieval.rerank.exploration import Exploration
from penchant.retrieval.rerank.lists import Catalogue, RankedLists, Request, Reranker
from penchant.retrieval.rerank.rules import AttributeCap, PopularityDiscount, Promotions

__all__ = [
    "DPP",
    "MMR",
    "AttributeCap",
    "Catalogue",
    "Exploration",
    "PopularityDiscount",
    "Promotions",
    "RankedLists",
    "Request",
    "Reranker",
]
