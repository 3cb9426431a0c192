// The penalty in the loss of SVD and SVD++, summed in an order that does not depend on threads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "penchant/svd.hpp"

namespace penchant {

// Sum over rows of counts[row] * regularization * |row|^2; rows start `stride` floats apart.
double row_penalty(const float* rows, std::int64_t n_rows, std::int64_t stride,
                   std::span<const std::int64_t> counts, double regularization, int num_threads);

// Ratings of each user and of each item.
struct RatingCounts {
  std::vector<std::int64_t> users;
  std::vector<std::int64_t> items;
};
RatingCounts count_ratings(const CsrView& matrix, std::int64_t n_items);

}  // namespace penchant
