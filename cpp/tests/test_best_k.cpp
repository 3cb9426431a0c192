#include <doctest/doctest.h>

#include <limits>
#include <set>
#include <vector>

#include "best_k.hpp"
#include "reference.hpp"

using namespace penchant;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The k best by a sort.
std::vector<std::pair<double, std::int64_t>> sorted(const std::vector<Scored>& offered,
                                                    std::int64_t k) {
  std::vector<std::pair<double, std::int64_t>> scored;
  for (const Scored& hit : offered) scored.emplace_back(static_cast<double>(hit.score), hit.item);
  return reference::best(scored, k);
}

void check_written(BestK& best, const std::vector<Scored>& offered, std::int64_t k) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(k), 7);
  std::vector<float> scores(static_cast<std::size_t>(k), 7.0F);
  best.write(rows.data(), scores.data());
  const auto expected = sorted(offered, k);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const bool some = i < expected.size();
    REQUIRE(rows[i] == (some ? expected[i].second : -1));
    REQUIRE(scores[i] == (some ? static_cast<float>(expected[i].first) : -kInfinity));
  }
}

}  // namespace

TEST_CASE("the best of a stream are those of a sort, settled or not, in one or merged") {
  RandomStream random(5, 1);
  BestK best;
  for (const std::int64_t k : {100, 1, 2, 10, 33, 5000, 1, 40})
    for (const std::uint32_t every : {1U, 7U, 1000U})
      for (const int n : {0, 1, 63, 64, 65, 999}) {
        best.start(k, -kInfinity);
        BestK other;
        other.start(k, -kInfinity);
        std::vector<Scored> offered;
        for (int i = 0; i < n; ++i) {
          // Many ties, and scores that rise so that thresholds move.
          const float score =
              static_cast<float>(reference::draw(random, 50)) - 25.0F + static_cast<float>(i / 100);
          offered.push_back({score, static_cast<std::int32_t>(n - i)});
          (i % 3 == 0 ? other : best).offer(score, offered.back().item);
          if (reference::draw(random, every) == 0) best.settle();
        }
        best.merge(other);
        check_written(best, offered, k);
      }
}

TEST_CASE("a threshold is never above the k-th best, and is it as soon as k have settled") {
  RandomStream random(9, 1);
  for (const std::int64_t k : {1, 4, 20, 100}) {
    BestK best;
    best.start(k, -kInfinity);
    std::vector<Scored> offered;
    for (std::int32_t i = 0; i < 1000; ++i) {
      const auto score = static_cast<float>(reference::draw(random, 1U << 20));
      offered.push_back({score, i});
      best.offer(score, i);
      const auto wanted = sorted(offered, k);
      const bool full = static_cast<std::int64_t>(wanted.size()) == k;
      const float kth = full ? static_cast<float>(wanted.back().first) : -kInfinity;
      REQUIRE(best.threshold() <= kth);
      if (i % 10 != 9) continue;
      const float before = best.threshold();
      best.settle();
      REQUIRE(best.threshold() >= before);
      REQUIRE(best.threshold() <= kth);
      if (full) REQUIRE(best.threshold() > -kInfinity);
    }
    // What is left to settle is a quarter of k at most.
    REQUIRE(best.threshold() >= static_cast<float>(sorted(offered, k + k / 4 + 1).back().first));
  }
}

TEST_CASE("what is below the floor, and NaN, are turned away; zeros of either sign tie") {
  BestK best;
  best.start(3, 0.5F);
  for (const float score : {0.25F, std::numeric_limits<float>::quiet_NaN(), 0.5F, -1.0F})
    best.offer(score, 1);
  check_written(best, {{0.5F, 1}}, 3);
  best.start(2, -kInfinity);
  best.offer(0.0F, 5);
  best.offer(-0.0F, 3);
  best.offer(-0.0F, 9);
  check_written(best, {{0.0F, 3}, {0.0F, 5}}, 2);
}
