#include "penchant/knn.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <vector>

#include "best_k.hpp"
#include "knn_weights.hpp"
#include "penchant/parallel.hpp"
#include "sparse_rows.hpp"
#include "training.hpp"

namespace penchant {
namespace {

constexpr std::int64_t kItemsPerTask = 16;

// One item's sums over the users, and the items that have any. All sums are zero between items.
struct Sums {
  std::vector<float> sums;
  std::vector<std::int32_t> counts;   // empty unless they are wanted
  std::vector<std::int32_t> touched;  // room for one more than there are items
  BestK best;

  Sums(std::int64_t n_items, bool counted)
      : sums(static_cast<std::size_t>(n_items), 0.0F),
        counts(counted ? static_cast<std::size_t>(n_items) : 0, 0),
        touched(static_cast<std::size_t>(n_items) + 1) {}
};

// Adds the rows of all users of an item. A sum is zero only where nothing was added: weights are
// kept large enough that no product underflows (see knn_weights.hpp).
template <bool kWeighted, bool kCounted>
std::int64_t add_rows(const KnnWeights& w, std::int64_t rank, Sums* out) {
  float* const sums = out->sums.data();
  std::int32_t* const counts = out->counts.data();
  std::int32_t* const touched = out->touched.data();
  const std::int32_t* const items = w.entry_ranks.data();
  std::int64_t n = 0;
  const std::int64_t last = w.item_begin[static_cast<std::size_t>(rank) + 1];
  for (std::int64_t e = w.item_begin[static_cast<std::size_t>(rank)]; e < last; ++e) {
    const auto user = static_cast<std::size_t>(w.item_users[static_cast<std::size_t>(e)]);
    float share = w.user_factors[user];
    if (share == 0.0F) continue;
    if constexpr (kWeighted) share *= w.item_weights[static_cast<std::size_t>(e)];
    const std::int64_t end = w.user_begin[user + 1];
    for (std::int64_t p = w.user_begin[user]; p < end; ++p) {
      const std::int32_t item = items[p];
      const float old = sums[item];
      touched[n] = item;
      n += std::bit_cast<std::uint32_t>(old) == 0;
      if constexpr (kWeighted)
        sums[item] = old + share * w.entry_weights[static_cast<std::size_t>(p)];
      else
        sums[item] = old + share;
      if constexpr (kCounted) ++counts[item];
    }
  }
  return n;
}

// Turns sums into similarities, sets them back to zero, and keeps the k best in `best`.
template <bool kCounted>
void select(const KnnWeights& w, std::int64_t rank, std::int64_t n, const KnnParams& params,
            Sums* out) {
  const float left = w.left[static_cast<std::size_t>(rank)];
  const float* const right = w.right.data();
  const auto shrinkage = static_cast<float>(params.shrinkage);
  float* const sums = out->sums.data();
  std::int32_t* const counts = out->counts.data();
  const std::int32_t* const touched = out->touched.data();
  BestK& best = out->best;
  best.start(params.neighbors, std::numeric_limits<float>::denorm_min());
  float threshold = best.threshold();
  sums[rank] = 0.0F;  // an item is not its own neighbour
  for (std::int64_t t = 0; t < n; ++t) {
    const std::int32_t at = touched[t];
    float score = sums[at] * right[at] * left;
    sums[at] = 0.0F;
    if constexpr (kCounted) {
      const auto count = static_cast<float>(counts[at]);
      counts[at] = 0;
      score *= count / (count + shrinkage);
    }
    if (!(score >= threshold)) continue;
    best.offer(score, w.item_of_rank[static_cast<std::size_t>(at)]);
    threshold = best.threshold();
  }
}

using RowKernel = void (*)(const KnnWeights&, std::int64_t, const KnnParams&, Sums*);

template <bool kWeighted, bool kCounted>
void find_row(const KnnWeights& w, std::int64_t rank, const KnnParams& params, Sums* out) {
  select<kCounted>(w, rank, add_rows<kWeighted, kCounted>(w, rank, out), params, out);
}

RowKernel choose_kernel(bool weighted, bool counted) {
  if (weighted) return counted ? find_row<true, true> : find_row<true, false>;
  return counted ? find_row<false, true> : find_row<false, false>;
}

// The most neighbours that each item can have.
std::vector<std::int64_t> most_neighbors(const KnnWeights& w, std::int64_t n_items,
                                         const KnnParams& params) {
  const std::int64_t most = std::min<std::int64_t>(params.neighbors, n_items - 1);
  std::vector<std::int64_t> room(static_cast<std::size_t>(n_items), 0);
  for (std::size_t rank = 0; rank < w.item_of_rank.size(); ++rank) {
    std::int64_t reach = 0;
    for (std::int64_t e = w.item_begin[rank]; e < w.item_begin[rank + 1] && reach < most; ++e) {
      const auto user = static_cast<std::size_t>(w.item_users[static_cast<std::size_t>(e)]);
      reach += w.user_begin[user + 1] - w.user_begin[user] - 1;
    }
    room[static_cast<std::size_t>(w.item_of_rank[rank])] = std::min(reach, most);
  }
  return room;
}

}  // namespace

std::optional<SparseMatrix> fit_knn(const CsrView& interactions, const float* values,
                                    std::int64_t n_items, const KnnParams& params,
                                    const CancelCheck& cancelled) {
  const int threads = resolve_num_threads(params.num_threads);  // asked once: it may change
  CancelFlag cancel(cancelled);
  const KnnWeights weights = weigh(interactions, values, n_items, params);
  if (cancel.raised(0)) return std::nullopt;
  SparseRows found(most_neighbors(weights, n_items, params));
  const bool counted = params.shrinkage > 0.0;
  const RowKernel find = choose_kernel(!weights.entry_weights.empty(), counted);
  std::vector<std::optional<Sums>> sums(static_cast<std::size_t>(threads));
  // Popular items first: the longest tasks must not come last.
  parallel_chunks(n_items, kItemsPerTask, threads,
                  [&](std::int64_t begin, std::int64_t end, int thread) {
                    auto& own = sums[static_cast<std::size_t>(thread)];
                    if (!own) own.emplace(n_items, counted);
                    for (std::int64_t rank = begin; rank < end; ++rank) {
                      if (cancel.raised(thread)) return;
                      find(weights, rank, params, &*own);
                      found.put(weights.item_of_rank[static_cast<std::size_t>(rank)],
                                own->best.sorted_by_item());
                    }
                  });
  if (cancel.raised(0)) return std::nullopt;
  return found.finish();
}

}  // namespace penchant
