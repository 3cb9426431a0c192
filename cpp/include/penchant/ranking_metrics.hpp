// Ranking metrics of many users at once, from their ranked lists and their relevant items.
#pragma once

#include <cstdint>
#include <span>

#include "penchant/types.hpp"

namespace penchant {

enum class RankingMetric { kPrecision, kRecall, kNdcg, kMap, kMrr, kHitRate };

struct MetricAt {
  RankingMetric metric;
  std::int32_t k;
};

// values(u, m) = metric m of user u, for lists `recommended` (users x longest k; -1 ends a list
// early).
//
// relevant: sorted item ids a user; n_relevant[u] >= its row's length also counts relevant items
// that no list can hold (unknown to the model). With hits h_1..h_k (0 or 1) and R = n_relevant[u]:
//   precision  sum(h) / k                          recall    sum(h) / R
//   hit_rate   1 if any h                          mrr       1 / rank of the first hit, else 0
//   map        sum(h_i * precision@i) / min(k, R)
//   ndcg       sum(h_i / log2(i + 1)) / sum_{i <= min(k, R)} 1 / log2(i + 1)
// A user without relevant items gets NaN: it has no metric, and the caller leaves it out.
void ranking_metrics(MatrixView<const std::int64_t> recommended, const CsrView& relevant,
                     std::span<const std::int64_t> n_relevant, std::span<const MetricAt> metrics,
                     MatrixView<double> values, int num_threads);

// Sets shown[item] for every item in the first k places of any list; called list by list or chunk
// by chunk, the share of items set is the coverage of the catalogue.
void mark_recommended(MatrixView<const std::int64_t> recommended, std::int32_t k,
                      std::span<bool> shown);

}  // namespace penchant
