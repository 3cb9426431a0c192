"""Re-ranking as its documentation defines it, one user and one item at a time, in plain Python."""

from __future__ import annotations

import math

import numpy as np

from penchant import rerank

MASK = 2**64 - 1
STEP = 0x9E3779B97F4A7C15


def mix(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def draw(seed, user, stream, number):
    key = mix((user & MASK) ^ mix((seed + STEP * stream) & MASK))
    return mix((key + STEP * (number + 1)) & MASK)


def values_of(row, columns):
    """The set of (column, value) of a row of the item table."""
    found = set()
    for name in columns:
        value = row[name]
        parts = value.split("|") if isinstance(value, str) else value
        if not isinstance(parts, list | np.ndarray):
            parts = [parts]
        found |= {(name, one) for one in parts if one is not None and one == one}
    return found


class Oracle:
    """Knows the items: codes, the table in pandas, the model's vectors, counts and times."""

    def __init__(self, model, table):
        self.model, self.table = model, table.set_index("product")
        self.names = model.items_.to_list()
        self.rows = [self.table.loc[name].to_dict() for name in self.names]

    def answer(self, rerankers, ranked, k, pool, user):
        """Re-rank `ranked`, (code, score) of all that the user may have, best first."""
        self.user, self.ranked, self.k, self.pool = user, ranked, k, pool
        size = min(pool, len(self.names))
        while True:
            items = [item for item, _ in ranked[:size]]
            scores = [float(score) for _, score in ranked[:size]]
            low, high = min(scores, default=0.0), max(scores, default=0.0)
            pairs = [
                (item, (score - low) / (high - low) if high > low else 1.0)
                for item, score in zip(items, scores, strict=True)
            ]
            for number, one in enumerate(rerankers, start=1):
                depth = k if number == len(rerankers) else min(pool, size)
                pairs = getattr(self, type(one).__name__.lower())(one, pairs, depth, size)
            if len(pairs) >= k or len(items) < size or size == len(self.names):
                return [item for item, _ in pairs[:k]]
            size = min(4 * size, len(self.names))

    @staticmethod
    def by_place(items, width):
        return [(item, 1.0 - place / width) for place, item in enumerate(items[:width])]

    # ---- diversity ------------------------------------------------------------------------------

    def likeness(self, one, a, b):
        if one.by == "vectors":
            vectors = self.model._vectors("item")
            x, y = (vectors[i].astype(np.float64) for i in (a, b))
            lengths = [math.sqrt(float((v * v).sum())) or 1.0 for v in (x, y)]
            x, y = (
                (v / n).astype(np.float32).astype(float)
                for v, n in zip((x, y), lengths, strict=True)
            )
            return float(x @ y)
        x, y = (values_of(self.rows[i], one.by) for i in (a, b))
        shared = len(x & y)
        if not shared:
            return 0.0
        if one.similarity == "jaccard":
            return shared / len(x | y)
        return shared / math.sqrt(float(len(x)) * float(len(y)))

    def mmr(self, one, pairs, depth, width):
        left, chosen, others = pairs[: self.pool], [], pairs[self.pool :]
        weight = one.relevance_weight
        repeats = {item: 0.0 for item, _ in pairs}
        while left and len(chosen) < depth:
            best = max(left, key=lambda p: weight * p[1] - (1.0 - weight) * repeats[p[0]])
            left.remove(best)
            for item, _ in left:
                likeness = self.likeness(one, best[0], item)
                repeats[item] = max(repeats[item], likeness) if chosen else likeness
            chosen.append(best)
        return self.by_place([item for item, _ in chosen + left + others], width)

    def dpp(self, one, pairs, depth, width):
        left, chosen, factor = pairs[: self.pool], [], {item: [] for item, _ in pairs}
        others = pairs[self.pool :]
        gains = {item: 1.0 for item, _ in pairs}
        weight = one.relevance_weight
        if weight == 1.0:
            return self.by_place([item for item, _ in pairs], width)
        while len(chosen) < depth:
            open_ones = [p for p in left if gains[p[0]] >= 1e-6]
            if not open_ones:
                break
            best = max(
                open_ones, key=lambda p: weight * p[1] + (1.0 - weight) * math.log(gains[p[0]])
            )
            left.remove(best)
            for item, _ in left:
                rest = self.likeness(one, best[0], item)
                for mine, theirs in zip(factor[best[0]], factor[item], strict=False):
                    rest -= mine * theirs
                rest /= math.sqrt(gains[best[0]])
                factor[item].append(rest)
                gains[item] -= rest * rest
            chosen.append(best)
        return self.by_place([item for item, _ in chosen + left + others], width)

    # ---- rules ----------------------------------------------------------------------------------

    def popularitydiscount(self, one, pairs, depth, width):
        counts = self.model.item_counts_.astype(float)
        novelty = 1.0 - np.log1p(counts) / np.log1p(counts).max()
        mixed = [(i, (1.0 - one.weight) * r + one.weight * float(novelty[i])) for i, r in pairs]
        return sorted(mixed, key=lambda pair: -pair[1])

    def attributecap(self, one, pairs, depth, width):
        counts, kept = {}, []
        for item, relevance in pairs:
            values = values_of(self.rows[item], [one.column])
            if all(counts.get(value, 0) < one.at_most for value in values):
                kept.append((item, relevance))
                for value in values:
                    counts[value] = counts.get(value, 0) + 1
        return kept

    def promotions(self, one, pairs, depth, width):
        fine = {item for item, _ in self.ranked}
        codes = [self.names.index(name) for name in one.items if name in self.names]
        wanted = [code for code in codes if code in fine]
        slots = [slot - 1 for slot in one.slots if slot <= self.k]
        return self.put(pairs, dict(zip(slots, wanted, strict=False)), width)

    def exploration(self, one, pairs, depth, width):
        new = self.new_items(one)
        pool = [item for item, _ in self.ranked if item in new][: one.n_candidates]
        if not new:
            return pairs
        seed = one.random_state
        pool.sort(key=lambda item: draw(seed, self.user, 2, item))
        places = [
            place
            for place in range(min(depth, width))
            if (draw(seed, self.user, 1, place) >> 11) * 2.0**-53 < one.weight
        ]
        return self.put(pairs, dict(zip(places, pool, strict=False)), width)

    def new_items(self, one):
        last = self.model.last_event_
        days = self.model.item_first_seen_
        if one.age_column is not None:
            born = self.table.loc[self.names, one.age_column]
            days = [
                None if b != b or b is None else np.datetime64(b, "us").astype(np.int64)
                for b in born
            ]
        oldest = last - round(one.max_age_days * 86_400_000_000)
        return {i for i, day in enumerate(days) if day is not None and day >= oldest}

    def put(self, pairs, at, width):
        rest = iter([item for item, _ in pairs if item not in at.values()])
        found = [at[p] if p in at else next(rest, None) for p in range(width + len(self.names))]
        return self.by_place([item for item in found if item is not None], width)


CHAINS = {
    "mmr vectors": [rerank.MMR(relevance_weight=0.4)],
    "dpp vectors": [rerank.DPP(relevance_weight=0.5)],
    "mmr kinds": [rerank.MMR(by=["kind"], relevance_weight=0.5)],
    "mmr of two columns": [rerank.MMR(by=["kind", "maker"], similarity="cosine")],
    "diversity alone": [rerank.MMR(by=["kind"], relevance_weight=0)],
    "dpp kinds": [rerank.DPP(by=["kind", "maker", "tags"], relevance_weight=0.3)],
    "relevance alone": [rerank.DPP(by=["kind"], relevance_weight=1)],
    "discount": [rerank.PopularityDiscount(weight=0.7)],
    "cap": [rerank.AttributeCap("maker", at_most=1)],
    "cap of lists": [rerank.AttributeCap("tags", at_most=1)],
    "cap of joined text": [rerank.AttributeCap("kind", at_most=2)],
    "explore": [rerank.Exploration(weight=0.5, max_age_days=20)],
    "explore by a column": [
        rerank.Exploration(weight=1, max_age_days=9, age_column="born", n_candidates=5)
    ],
    "promote": [rerank.Promotions(["item 07", "item 02", "item 12"], slots=[1, 4, 99])],
    "capped, then diverse": [
        rerank.AttributeCap("kind", at_most=2),
        rerank.DPP(by=["kind"], relevance_weight=0.4),
    ],
    "all": [
        rerank.PopularityDiscount(weight=0.2),
        rerank.MMR(by=["kind"], relevance_weight=0.6),
        rerank.Exploration(weight=0.3, random_state=5),
        rerank.Promotions(["item 01", "item 08"], slots=[2, 3]),
        rerank.AttributeCap("maker", at_most=2),
    ],
}  # fmt: skip
