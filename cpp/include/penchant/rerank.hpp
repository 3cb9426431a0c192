// Greedy re-ranking of candidate lists: maximal marginal relevance, determinantal point processes
// and caps.
#pragma once

#include <cstdint>

#include "penchant/types.hpp"

namespace penchant {

// How like two items are, from -1 to 1; an item is 1 to itself. Either vectors of length 1 (their
// inner product) or, where those are null, sets of attribute values (nothing is like an empty one).
struct ItemSimilarity {
  MatrixView<const float> vectors;  // items x dimensions
  const CsrView* sets = nullptr;    // items x attribute values
  bool jaccard = true;              // shared / all values; else shared / sqrt(product of the sizes)
};

// One list a user, best first: items (-1 only at the end) and how relevant they are (finite).
struct CandidateLists {
  MatrixView<const std::int64_t> items;
  MatrixView<const double> relevance;
};

struct GreedyParams {
  double relevance_weight;  // in [0, 1]: the rest is the weight of diversity
  std::int64_t depth;       // places that are chosen; the others follow as they were
  int num_threads;          // the order does not depend on it
};

// Each row of `order` becomes the places of the user's list in their new order, -1 at the end.
// Sums have one order and no instruction set of their own, ties go to the earlier place.

// The next place is the one with the largest w * relevance - (1 - w) * (largest similarity to those
// chosen). Carbonell and Goldstein 1998.
void rerank_mmr(const CandidateLists& lists, const ItemSimilarity& similarity,
                const GreedyParams& params, MatrixView<std::int64_t> order);

// The next place is the one with the largest w * relevance + (1 - w) * log(what it multiplies
// the determinant of the similarities of those chosen by): Chen, Zhang and Zhou 2018, algorithm 1
// and equation 20. Where every determinant is zero, the rest follows as it was.
void rerank_dpp(const CandidateLists& lists, const ItemSimilarity& similarity,
                const GreedyParams& params, MatrixView<std::int64_t> order);

// kept(u, p) = 1 where an item stays when each list, read from its start, may hold every attribute
// value `at_most` times; 0 where it does not and at padding.
void cap_attributes(MatrixView<const std::int64_t> items, const CsrView& values,
                    std::int64_t n_values, std::int64_t at_most, MatrixView<std::uint8_t> kept,
                    int num_threads);

}  // namespace penchant
