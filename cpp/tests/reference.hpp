// Naive double-precision oracles and the data that the tests feed both sides.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "penchant/random.hpp"
#include "penchant/types.hpp"

namespace reference {

// Sizes around the widths of vectors and panels.
inline const std::vector<std::int64_t> kOddSizes = {1, 7, 15, 16, 17, 33, 97};

struct Csr {
  std::vector<std::int64_t> indptr{0};
  std::vector<std::int32_t> indices;

  [[nodiscard]] penchant::CsrView view() const { return {indptr, indices}; }
  void add_row(const std::set<std::int32_t>& row) {
    indices.insert(indices.end(), row.begin(), row.end());
    indptr.push_back(static_cast<std::int64_t>(indices.size()));
  }
};

inline std::uint32_t draw(penchant::RandomStream& random, std::uint32_t bound) {
  return penchant::below(static_cast<std::uint32_t>(penchant::next_u64(&random) >> 32), bound);
}

inline Csr random_csr(std::int64_t rows, std::int64_t cols, std::uint32_t longest,
                      std::uint64_t seed) {
  Csr csr;
  penchant::RandomStream random{seed, 0};
  for (std::int64_t r = 0; r < rows; ++r) {
    std::set<std::int32_t> row;
    for (std::uint32_t i = draw(random, longest + 1); i > 0; --i)
      row.insert(static_cast<std::int32_t>(draw(random, static_cast<std::uint32_t>(cols))));
    csr.add_row(row);
  }
  return csr;
}

inline std::vector<float> random_matrix(std::int64_t rows, std::int64_t cols, std::uint64_t seed,
                                        float scale = 1.0F) {
  std::vector<float> values(static_cast<std::size_t>(rows * cols));
  penchant::random_normal({values.data(), rows, cols}, scale, seed, 0, 1);
  return values;
}

inline double score(const float* query, const float* vector, double bias, std::int64_t dim) {
  double sum = bias;
  for (std::int64_t k = 0; k < dim; ++k)
    sum += static_cast<double>(query[k]) * static_cast<double>(vector[k]);
  return sum;
}

// The k best of (score, row), ties to the lower row.
inline std::vector<std::pair<double, std::int64_t>> best(
    std::vector<std::pair<double, std::int64_t>> scored, std::int64_t k) {
  std::sort(scored.begin(), scored.end(), [](const auto& a, const auto& b) {
    return a.first > b.first || (a.first == b.first && a.second < b.second);
  });
  if (static_cast<std::int64_t>(scored.size()) > k) scored.resize(static_cast<std::size_t>(k));
  return scored;
}

}  // namespace reference
