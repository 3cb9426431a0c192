// The weights of the item-item similarities; see knn.hpp for the formulas.
#pragma once

#include <cstdint>
#include <vector>

#include "penchant/knn.hpp"
#include "penchant/types.hpp"

namespace penchant {

// Items are ranked by falling number of users: what most users add to lies close together, and so
// in the first-level cache. Weights and factors are scaled to (0, 1] and bounded from below, so
// that a product of two weights and a factor neither overflows nor underflows; `left` makes up for
// the scale.
struct KnnWeights {
  std::vector<std::int32_t> item_of_rank;
  std::vector<std::int64_t> user_begin;
  std::vector<std::int32_t> entry_ranks;  // of the users' entries
  std::vector<float> entry_weights;       // empty: all 1
  std::vector<std::int64_t> item_begin;   // by rank
  std::vector<std::int32_t> item_users;   // ascending for each item
  std::vector<float> item_weights;        // empty: all 1
  std::vector<float> user_factors;        // q
  std::vector<float> left;                // f by rank
  std::vector<float> right;               // g by rank
};

KnnWeights weigh(const CsrView& interactions, const float* values, std::int64_t n_items,
                 const KnnParams& params);

}  // namespace penchant
