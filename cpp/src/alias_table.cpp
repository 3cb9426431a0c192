#include "penchant/alias_table.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

namespace penchant {
namespace {

std::uint32_t to_threshold(double probability) {
  return static_cast<std::uint32_t>(
      std::clamp(std::floor(probability * 0x1p32), 0.0, 0x1p32 - 1.0));
}

}  // namespace

void build_alias_table(std::span<const double> weights, std::span<std::uint32_t> threshold,
                       std::span<std::int32_t> alias) {
  const std::size_t n = weights.size();
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<double> scaled(n);
  std::vector<std::size_t> small;
  std::vector<std::size_t> large;
  for (std::size_t i = 0; i < n; ++i) {
    scaled[i] = weights[i] * static_cast<double>(n) / total;
    (scaled[i] < 1.0 ? small : large).push_back(i);
  }
  while (!small.empty() && !large.empty()) {
    const std::size_t under = small.back();
    const std::size_t over = large.back();
    small.pop_back();
    threshold[under] = to_threshold(scaled[under]);
    alias[under] = static_cast<std::int32_t>(over);
    scaled[over] -= 1.0 - scaled[under];
    if (scaled[over] < 1.0) {
      large.pop_back();
      small.push_back(over);
    }
  }
  // What is left over differs from 1 by rounding only: such a slot always draws itself.
  for (const auto* rest : {&small, &large})
    for (const std::size_t i : *rest) {
      threshold[i] = 0xffffffffU;
      alias[i] = static_cast<std::int32_t>(i);
    }
}

}  // namespace penchant
