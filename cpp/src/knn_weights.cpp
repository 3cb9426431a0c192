#include "knn_weights.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace penchant {
namespace {

constexpr double kLeastWeight = 0x1p-31;
constexpr double kLeastFactor = 0x1p-60;

// What the formulas need to know about users and items, in double precision.
struct Totals {
  std::vector<double> item_counts;
  std::vector<double> item_sums;
  std::vector<double> user_sums;
  double largest_value = 1.0;
  double mean_size = 1.0;
};

double value_of(const float* values, std::int64_t entry) {
  return values == nullptr ? 1.0 : static_cast<double>(values[entry]);
}

std::int64_t entries_begin(const CsrView& csr, std::size_t row) {
  return csr.indptr[row];
}

Totals add_up(const CsrView& interactions, const float* values, std::size_t n_items) {
  Totals totals;
  totals.item_counts.assign(n_items, 0.0);
  totals.item_sums.assign(n_items, 0.0);
  const auto n_users = static_cast<std::size_t>(interactions.rows());
  totals.user_sums.assign(n_users, 0.0);
  if (values != nullptr && interactions.entries() > 0)
    totals.largest_value =
        static_cast<double>(*std::max_element(values, values + interactions.entries()));
  for (std::size_t u = 0; u < n_users; ++u)
    for (std::int64_t e = entries_begin(interactions, u); e < interactions.indptr[u + 1]; ++e) {
      const auto item = static_cast<std::size_t>(interactions.indices[static_cast<std::size_t>(e)]);
      const double value = value_of(values, e);
      totals.item_counts[item] += 1.0;
      totals.item_sums[item] += value;
      totals.user_sums[u] += value;
    }
  const double sum = std::accumulate(totals.item_sums.begin(), totals.item_sums.end(), 0.0);
  if (sum > 0.0) totals.mean_size = sum / static_cast<double>(n_items);
  return totals;
}

struct Entry {
  double value;
  std::size_t user;
  std::size_t item;
};

// w of one entry as its user's and as its item's, each at most 1; bm25 lacks its constant factor
// K1 + 1. With values, the factors of rp3beta's steps are in the weights: they alone keep them
// <= 1.
std::pair<double, double> weights(const KnnParams& params, const Totals& totals,
                                  const Entry& entry) {
  const double relative = entry.value / totals.largest_value;
  double weight = relative;
  if (params.similarity == Similarity::kTfidf) {
    weight = std::sqrt(relative);
  } else if (params.similarity == Similarity::kRp3beta) {
    return {std::pow(entry.value / totals.user_sums[entry.user], params.alpha),
            std::pow(entry.value / totals.item_sums[entry.item], params.alpha)};
  } else if (params.similarity == Similarity::kBm25) {
    const double length =
        1.0 - params.b + params.b * totals.item_sums[entry.item] / totals.mean_size;
    weight = entry.value / (params.k1 * length + entry.value);
  }
  return {weight, weight};
}

float bounded(double weight) {
  return static_cast<float>(std::max(weight, kLeastWeight));
}

// q of every user, scaled so that the largest is 1; returns the scale.
double weigh_users(const CsrView& interactions, const Totals& totals, std::int64_t n_items,
                   const KnnParams& params, bool binary, std::vector<float>* out) {
  const std::size_t n_users = totals.user_sums.size();
  std::vector<double> factors(n_users, 1.0);
  for (std::size_t u = 0; u < n_users; ++u) {
    const auto count = static_cast<double>(interactions.indptr[u + 1] - interactions.indptr[u]);
    if (count == 0.0) continue;
    if (params.similarity == Similarity::kRp3beta) {
      if (binary) factors[u] = std::pow(count, -params.alpha);
    } else if (params.similarity != Similarity::kCosine) {
      const double idf = std::log1p(static_cast<double>(n_items)) - std::log1p(count);
      factors[u] = idf > 0.0 ? idf * idf : 0.0;
    }
  }
  const double largest = n_users > 0 ? *std::max_element(factors.begin(), factors.end()) : 1.0;
  const double scale = largest > 0.0 ? largest : 1.0;
  out->resize(n_users);
  std::transform(factors.begin(), factors.end(), out->begin(), [&](double factor) {
    return factor > 0.0 ? static_cast<float>(std::max(factor / scale, kLeastFactor)) : 0.0F;
  });
  return scale;
}

// Ranks the items and writes the users' rows in the new order.
void rank_items(const CsrView& interactions, const Totals& totals, KnnWeights* w) {
  const std::size_t n_items = totals.item_counts.size();
  w->item_of_rank.resize(n_items);
  std::iota(w->item_of_rank.begin(), w->item_of_rank.end(), 0);
  std::stable_sort(w->item_of_rank.begin(), w->item_of_rank.end(), [&](auto a, auto b) {
    return totals.item_counts[static_cast<std::size_t>(a)] >
           totals.item_counts[static_cast<std::size_t>(b)];
  });
  std::vector<std::int32_t> rank_of(n_items);
  w->item_begin.assign(n_items + 1, 0);
  for (std::size_t rank = 0; rank < n_items; ++rank) {
    const auto item = static_cast<std::size_t>(w->item_of_rank[rank]);
    rank_of[item] = static_cast<std::int32_t>(rank);
    w->item_begin[rank + 1] =
        w->item_begin[rank] + static_cast<std::int64_t>(totals.item_counts[item]);
  }
  w->user_begin.assign(interactions.indptr.begin(), interactions.indptr.end());
  w->entry_ranks.resize(interactions.indices.size());
  std::transform(interactions.indices.begin(), interactions.indices.end(), w->entry_ranks.begin(),
                 [&](std::int32_t item) { return rank_of[static_cast<std::size_t>(item)]; });
}

bool all_ones(const float* values, std::int64_t n) {
  return values == nullptr || std::all_of(values, values + n, [](float v) { return v == 1.0F; });
}

// Weights of the entries, where they are not all 1, and the item-major copy of the matrix.
void weigh_entries(const float* values, const Totals& totals, const KnnParams& params,
                   KnnWeights* w) {
  const std::size_t n = w->entry_ranks.size();
  w->item_users.resize(n);
  if (values != nullptr) {
    w->entry_weights.resize(n);
    w->item_weights.resize(n);
  }
  std::vector<std::int64_t> next(w->item_begin.begin(), w->item_begin.end() - 1);
  for (std::size_t u = 0; u + 1 < w->user_begin.size(); ++u)
    for (std::int64_t e = w->user_begin[u]; e < w->user_begin[u + 1]; ++e) {
      const auto entry = static_cast<std::size_t>(e);
      const auto rank = static_cast<std::size_t>(w->entry_ranks[entry]);
      const auto at = static_cast<std::size_t>(next[rank]++);
      w->item_users[at] = static_cast<std::int32_t>(u);
      if (values == nullptr) continue;
      const auto item = static_cast<std::size_t>(w->item_of_rank[rank]);
      const auto [own, others] = weights(params, totals, {value_of(values, e), u, item});
      w->entry_weights[entry] = bounded(own);
      w->item_weights[at] = bounded(others);
    }
}

// f and g of every item. Without entry weights, the weight of an item's entries is in them.
void weigh_items(const Totals& totals, const KnnParams& params, double user_scale, bool binary,
                 KnnWeights* w) {
  const std::size_t n_items = totals.item_counts.size();
  w->left.assign(n_items, 0.0F);
  w->right.assign(n_items, 0.0F);
  for (std::size_t rank = 0; rank < n_items; ++rank) {
    const auto item = static_cast<std::size_t>(w->item_of_rank[rank]);
    if (totals.item_counts[item] == 0.0) continue;
    double left = 1.0;
    double right = 1.0;
    if (params.similarity == Similarity::kRp3beta) {
      if (binary) left = user_scale * std::pow(totals.item_counts[item], -params.alpha);
      right = std::pow(totals.item_counts[item], -params.beta);
    } else if (params.similarity == Similarity::kBm25) {
      const double own = binary ? weights(params, totals, {1.0, 0, item}).first : 1.0;
      left = own * user_scale * (params.k1 + 1.0) * (params.k1 + 1.0);
      right = own;
    } else {
      double square = 0.0;
      for (std::int64_t e = w->item_begin[rank]; e < w->item_begin[rank + 1]; ++e) {
        const auto at = static_cast<std::size_t>(e);
        const double own = binary ? 1.0 : static_cast<double>(w->item_weights[at]);
        square += own * own *
                  static_cast<double>(w->user_factors[static_cast<std::size_t>(w->item_users[at])]);
      }
      left = right = square > 0.0 ? 1.0 / std::sqrt(square) : 0.0;
    }
    w->left[rank] = static_cast<float>(left);
    w->right[rank] = static_cast<float>(right);
  }
}

}  // namespace

KnnWeights weigh(const CsrView& interactions, const float* values, std::int64_t n_items,
                 const KnnParams& params) {
  KnnWeights found;
  const float* used = all_ones(values, interactions.entries()) ? nullptr : values;
  const Totals totals = add_up(interactions, used, static_cast<std::size_t>(n_items));
  const double scale =
      weigh_users(interactions, totals, n_items, params, used == nullptr, &found.user_factors);
  rank_items(interactions, totals, &found);
  weigh_entries(used, totals, params, &found);
  weigh_items(totals, params, scale, used == nullptr, &found);
  return found;
}

}  // namespace penchant
