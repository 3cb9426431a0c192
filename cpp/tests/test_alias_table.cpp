#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "penchant/alias_table.hpp"
#include "reference.hpp"

// The probability of each draw that a table stands for, summed up exactly.
static std::vector<double> implied_probabilities(const std::vector<double>& weights) {
  std::vector<std::uint32_t> threshold(weights.size());
  std::vector<std::int32_t> alias(weights.size());
  penchant::build_alias_table(weights, threshold, alias);
  std::vector<double> probabilities(weights.size(), 0.0);
  const auto n = static_cast<double>(weights.size());
  for (std::size_t slot = 0; slot < weights.size(); ++slot) {
    const double own = static_cast<double>(threshold[slot]) * 0x1p-32;
    probabilities[slot] += own / n;
    probabilities[static_cast<std::size_t>(alias[slot])] += (1.0 - own) / n;
  }
  return probabilities;
}

TEST_CASE("an alias table draws each item in proportion to its weight") {
  for (const std::int64_t n : reference::kOddSizes)
    for (const double exponent : {-0.5, 0.0, 0.75, 1.0, 3.0}) {
      std::vector<double> weights;
      for (std::int64_t i = 0; i < n; ++i)
        weights.push_back(std::pow(static_cast<double>(i + 1), exponent));
      const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
      const auto probabilities = implied_probabilities(weights);
      for (std::size_t i = 0; i < weights.size(); ++i)
        CHECK(probabilities[i] == doctest::Approx(weights[i] / total).epsilon(1e-6));
    }
}

TEST_CASE("weights of zero are never drawn") {
  const auto probabilities = implied_probabilities({0.0, 3.0, 0.0, 1.0, 0.0});
  CHECK(probabilities[0] == 0.0);
  CHECK(probabilities[2] == 0.0);
  CHECK(probabilities[4] == 0.0);
  CHECK(probabilities[1] == doctest::Approx(0.75));
}
