#include "penchant/ranking_metrics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "penchant/parallel.hpp"

namespace penchant {
namespace {

// Sums over the first k places of one list.
struct Hits {
  double count = 0.0;
  double discounted = 0.0;     // sum of 1 / log2(rank + 1) over hits
  double precision_sum = 0.0;  // sum of precision@rank over hits
  double first_reciprocal = 0.0;
};

class Discounts {
 public:
  explicit Discounts(std::int64_t longest)
      : one_(static_cast<std::size_t>(longest) + 1), sum_(static_cast<std::size_t>(longest) + 1) {
    for (std::size_t rank = 1; rank < one_.size(); ++rank) {
      one_[rank] = 1.0 / std::log2(static_cast<double>(rank) + 1.0);
      sum_[rank] = sum_[rank - 1] + one_[rank];
    }
  }
  [[nodiscard]] double at(std::int64_t rank) const { return one_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] double ideal(std::int64_t hits) const {
    return sum_[static_cast<std::size_t>(hits)];
  }

 private:
  std::vector<double> one_;
  std::vector<double> sum_;
};

// hits[r] describes the first r places.
void scan_list(std::span<const std::int64_t> list, std::span<const std::int32_t> relevant,
               const Discounts& discounts, std::vector<Hits>& hits) {
  hits.assign(list.size() + 1, Hits{});
  for (std::size_t place = 0; place < list.size(); ++place) {
    const auto rank = static_cast<std::int64_t>(place) + 1;
    Hits& now = hits[place + 1];
    now = hits[place];
    const std::int64_t item = list[place];
    if (item < 0 || !std::binary_search(relevant.begin(), relevant.end(), item)) continue;
    now.count += 1.0;
    now.discounted += discounts.at(rank);
    now.precision_sum += now.count / static_cast<double>(rank);
    if (now.first_reciprocal == 0.0) now.first_reciprocal = 1.0 / static_cast<double>(rank);
  }
}

double value_of(const MetricAt& wanted, const Hits& hits, std::int64_t n_relevant,
                const Discounts& discounts) {
  const std::int64_t reachable = std::min<std::int64_t>(wanted.k, n_relevant);
  switch (wanted.metric) {
    case RankingMetric::kPrecision:
      return hits.count / static_cast<double>(wanted.k);
    case RankingMetric::kRecall:
      return hits.count / static_cast<double>(n_relevant);
    case RankingMetric::kNdcg:
      return hits.discounted / discounts.ideal(reachable);
    case RankingMetric::kMap:
      return hits.precision_sum / static_cast<double>(reachable);
    case RankingMetric::kMrr:
      return hits.first_reciprocal;
    case RankingMetric::kHitRate:
      return hits.count > 0.0 ? 1.0 : 0.0;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

void ranking_metrics(MatrixView<const std::int64_t> recommended, const CsrView& relevant,
                     std::span<const std::int64_t> n_relevant, std::span<const MetricAt> metrics,
                     MatrixView<double> values, int num_threads) {
  // Ranks looked up: those of the lists, and the ideal ones, min(k, relevant) at most.
  std::int64_t most = 0;
  for (const std::int64_t count : n_relevant) most = std::max(most, count);
  std::int64_t longest = recommended.cols;
  for (const MetricAt& wanted : metrics)
    longest = std::max(longest, std::min<std::int64_t>(wanted.k, most));
  const Discounts discounts(longest);
  parallel_chunks(
      recommended.rows, 512, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
        std::vector<Hits> hits;
        for (std::int64_t u = begin; u < end; ++u) {
          const std::span list(recommended.row(u), static_cast<std::size_t>(recommended.cols));
          scan_list(list, relevant.row(u), discounts, hits);
          const std::int64_t total = n_relevant[static_cast<std::size_t>(u)];
          for (std::size_t m = 0; m < metrics.size(); ++m) {
            const auto places =
                static_cast<std::size_t>(std::min<std::int64_t>(metrics[m].k, recommended.cols));
            values.row(u)[m] = total > 0 ? value_of(metrics[m], hits[places], total, discounts)
                                         : std::numeric_limits<double>::quiet_NaN();
          }
        }
      });
}

void mark_recommended(MatrixView<const std::int64_t> recommended, std::int32_t k,
                      std::span<bool> shown) {
  for (std::int64_t u = 0; u < recommended.rows; ++u)
    for (std::int64_t place = 0; place < std::min<std::int64_t>(k, recommended.cols); ++place)
      if (const std::int64_t item = recommended.row(u)[place]; item >= 0)
        shown[static_cast<std::size_t>(item)] = true;
}

}  // namespace penchant
