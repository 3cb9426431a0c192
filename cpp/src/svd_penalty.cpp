#include "svd_penalty.hpp"

#include <numeric>
#include <vector>

#include "penchant/parallel.hpp"

namespace penchant {

double row_penalty(const float* rows, std::int64_t n_rows, std::int64_t stride,
                   std::span<const std::int64_t> counts, double regularization, int num_threads) {
  constexpr std::int64_t kChunk = 1024;
  if (rows == nullptr || regularization == 0.0 || n_rows == 0) return 0.0;
  std::vector<double> sums(static_cast<std::size_t>((n_rows + kChunk - 1) / kChunk), 0.0);
  parallel_chunks(n_rows, kChunk, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
    double sum = 0.0;
    for (std::int64_t r = begin; r < end; ++r) {
      // Four chains, or the additions would wait for each other.
      float squares[4] = {};
      const float* row = rows + r * stride;
      std::int64_t f = 0;
      for (; f + 4 <= stride; f += 4)
        for (int k = 0; k < 4; ++k) squares[k] += row[f + k] * row[f + k];
      for (; f < stride; ++f) squares[0] += row[f] * row[f];
      sum += static_cast<double>(counts[static_cast<std::size_t>(r)]) *
             static_cast<double>((squares[0] + squares[1]) + (squares[2] + squares[3]));
    }
    sums[static_cast<std::size_t>(begin / kChunk)] = sum;
  });
  return regularization * std::accumulate(sums.begin(), sums.end(), 0.0);
}

RatingCounts count_ratings(const CsrView& matrix, std::int64_t n_items) {
  RatingCounts counts;
  counts.users.reserve(static_cast<std::size_t>(matrix.rows()));
  for (std::int64_t u = 0; u < matrix.rows(); ++u)
    counts.users.push_back(static_cast<std::int64_t>(matrix.row(u).size()));
  counts.items.assign(static_cast<std::size_t>(n_items), 0);
  for (const std::int32_t item : matrix.indices) ++counts.items[static_cast<std::size_t>(item)];
  return counts;
}

}  // namespace penchant
