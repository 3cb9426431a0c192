#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <set>
#include <vector>

#include "penchant/ranking_metrics.hpp"
#include "reference.hpp"

using namespace penchant;

// Straight from the definitions in ranking_metrics.hpp.
static double naive(const MetricAt& wanted, const std::vector<std::int64_t>& list,
                    const std::set<std::int64_t>& relevant, std::int64_t n_relevant) {
  if (n_relevant == 0) return std::nan("");
  const auto k = static_cast<std::size_t>(wanted.k);
  std::vector<double> hit;
  for (std::size_t i = 0; i < k; ++i)
    hit.push_back(i < list.size() && relevant.count(list[i]) > 0 ? 1.0 : 0.0);
  double hits = 0.0;
  double dcg = 0.0;
  double average = 0.0;
  double reciprocal = 0.0;
  double ideal = 0.0;
  for (std::size_t i = 0; i < k; ++i) {
    hits += hit[i];
    dcg += hit[i] / std::log2(static_cast<double>(i) + 2.0);
    average += hit[i] * hits / static_cast<double>(i + 1);
    if (hit[i] > 0.0 && reciprocal == 0.0) reciprocal = 1.0 / static_cast<double>(i + 1);
    if (static_cast<std::int64_t>(i) < n_relevant)
      ideal += 1.0 / std::log2(static_cast<double>(i) + 2.0);
  }
  switch (wanted.metric) {
    case RankingMetric::kPrecision:
      return hits / wanted.k;
    case RankingMetric::kRecall:
      return hits / static_cast<double>(n_relevant);
    case RankingMetric::kNdcg:
      return dcg / ideal;
    case RankingMetric::kMap:
      return average / static_cast<double>(std::min<std::int64_t>(wanted.k, n_relevant));
    case RankingMetric::kMrr:
      return reciprocal;
    case RankingMetric::kHitRate:
      return hits > 0.0 ? 1.0 : 0.0;
  }
  return std::nan("");
}

TEST_CASE("metrics agree with their definitions") {
  const std::vector<RankingMetric> all = {RankingMetric::kPrecision, RankingMetric::kRecall,
                                          RankingMetric::kNdcg,      RankingMetric::kMap,
                                          RankingMetric::kMrr,       RankingMetric::kHitRate};
  for (const std::int64_t users : reference::kOddSizes) {
    const std::int64_t n_items = 40;
    const std::int64_t longest = 17;
    const auto relevant = reference::random_csr(users, n_items, 12, 11);
    RandomStream random{stream_key(3, static_cast<std::uint64_t>(users)), 0};
    std::vector<std::int64_t> lists(static_cast<std::size_t>(users * longest), -1);
    std::vector<std::int64_t> n_relevant;
    for (std::int64_t u = 0; u < users; ++u) {
      std::vector<std::int64_t> items(static_cast<std::size_t>(n_items));
      std::iota(items.begin(), items.end(), 0);
      const std::uint32_t length = reference::draw(random, static_cast<std::uint32_t>(longest) + 1);
      for (std::uint32_t i = 0; i < length; ++i) {
        std::swap(items[i],
                  items[i + reference::draw(random, static_cast<std::uint32_t>(items.size()) - i)]);
        lists[static_cast<std::size_t>(u * longest) + i] = items[i];
      }
      n_relevant.push_back(static_cast<std::int64_t>(relevant.view().row(u).size()) +
                           (u % 3 == 0 ? 2 : 0));
    }
    std::vector<MetricAt> wanted;
    for (const RankingMetric metric : all)
      for (const std::int32_t k : {1, 7, 10, 17, 33}) wanted.push_back({metric, k});
    std::vector<double> one(static_cast<std::size_t>(users) * wanted.size());
    std::vector<double> three(one.size());
    const auto width = static_cast<std::int64_t>(wanted.size());
    ranking_metrics({lists.data(), users, longest}, relevant.view(), n_relevant, wanted,
                    {one.data(), users, width}, 1);
    ranking_metrics({lists.data(), users, longest}, relevant.view(), n_relevant, wanted,
                    {three.data(), users, width}, 3);
    for (std::int64_t u = 0; u < users; ++u) {
      const auto begin = lists.begin() + u * longest;
      const std::vector<std::int64_t> list(begin, begin + longest);
      const auto row = relevant.view().row(u);
      const std::set<std::int64_t> items(row.begin(), row.end());
      for (std::size_t m = 0; m < wanted.size(); ++m) {
        const double expected =
            naive(wanted[m], list, items, n_relevant[static_cast<std::size_t>(u)]);
        const double found = one[static_cast<std::size_t>(u) * wanted.size() + m];
        if (std::isnan(expected)) {
          CHECK(std::isnan(found));
        } else {
          CHECK(found == doctest::Approx(expected).epsilon(1e-12));
          CHECK(three[static_cast<std::size_t>(u) * wanted.size() + m] == found);
        }
      }
    }
  }
}

TEST_CASE("items in the first k places are marked, list after list") {
  const std::vector<std::int64_t> lists = {0, 1, 2, 5, 0, -1};
  std::array<bool, 6> shown{};
  mark_recommended({lists.data(), 2, 3}, 1, shown);
  CHECK(shown == std::array<bool, 6>{true, false, false, false, false, true});
  mark_recommended({lists.data(), 1, 3}, 2, shown);
  CHECK(shown == std::array<bool, 6>{true, true, false, false, false, true});
  mark_recommended({lists.data(), 2, 3}, 50, shown);
  CHECK(shown == std::array<bool, 6>{true, true, true, false, false, true});
}
