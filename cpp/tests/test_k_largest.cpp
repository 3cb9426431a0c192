#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "penchant/k_largest.hpp"
#include "reference.hpp"

using namespace penchant;

TEST_CASE("the k largest of each row are those of a sort") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr std::int64_t kRows = 13;
  for (const std::int64_t n : reference::kOddSizes)
    for (const std::int64_t k : {std::int64_t{0}, std::int64_t{1}, n / 2, n}) {
      auto scores = reference::random_matrix(kRows, n, 9);
      for (std::size_t i = 0; i < scores.size(); ++i) {
        scores[i] = std::round(scores[i]);  // ties, and zeros of either sign
        if (i % 5 == 2) scores[i] = -kInfinity;
      }
      std::vector<std::int64_t> columns(static_cast<std::size_t>(kRows * k), 7);
      std::vector<float> best(columns.size(), 7.0F);
      k_largest({scores.data(), kRows, n}, {columns.data(), kRows, k}, {best.data(), kRows, k}, 2);
      for (std::int64_t row = 0; row < kRows; ++row) {
        std::vector<std::pair<double, std::int64_t>> scored;
        for (std::int64_t column = 0; column < n; ++column) {
          const float score = scores[static_cast<std::size_t>(row * n + column)];
          if (score > -kInfinity) scored.emplace_back(static_cast<double>(score), column);
        }
        const auto expected = reference::best(scored, k);
        for (std::int64_t i = 0; i < k; ++i) {
          const auto at = static_cast<std::size_t>(row * k + i);
          const bool some = i < static_cast<std::int64_t>(expected.size());
          const std::int64_t column = some ? expected[static_cast<std::size_t>(i)].second : -1;
          REQUIRE(columns[at] == column);
          const float score =
              some ? scores[static_cast<std::size_t>(row * n + column)] : -kInfinity;
          REQUIRE(best[at] == score);
          REQUIRE(std::signbit(best[at]) == std::signbit(score));
        }
      }
    }
}
