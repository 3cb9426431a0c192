#include "penchant/rerank.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "penchant/parallel.hpp"

namespace penchant {
namespace {

constexpr std::int64_t kUsersAtOnce = 16;
constexpr double kLowest = -std::numeric_limits<double>::infinity();
// A determinant that falls below this share is zero: vectors are float32, so that the similarity of
// equal ones is 1 to about 1e-7.
constexpr double kSingular = 1e-6;

// Eight sums side by side, added up in one order.
double dot(const float* a, const float* b, std::int64_t size) {
  constexpr std::int64_t kLanes = 8;
  double lanes[kLanes] = {};
  std::int64_t k = 0;
  for (; k + kLanes <= size; k += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane)
      lanes[lane] += static_cast<double>(a[k + lane]) * static_cast<double>(b[k + lane]);
  for (std::int64_t lane = 0; k < size; ++k, ++lane)
    lanes[lane] += static_cast<double>(a[k]) * static_cast<double>(b[k]);
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

double set_similarity(std::span<const std::int32_t> a, std::span<const std::int32_t> b,
                      bool jaccard) {
  std::size_t shared = 0;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    shared += a[i] == b[j] ? 1 : 0;
    const bool left = a[i] <= b[j];
    j += b[j] <= a[i] ? 1 : 0;
    i += left ? 1 : 0;
  }
  if (shared == 0) return 0.0;
  const auto both = static_cast<double>(shared);
  if (jaccard) return both / static_cast<double>(a.size() + b.size() - shared);
  return both / std::sqrt(static_cast<double>(a.size()) * static_cast<double>(b.size()));
}

// One user's candidates.
class Candidates {
 public:
  Candidates(const CandidateLists& lists, const ItemSimilarity& similarity)
      : lists_(lists), similarity_(similarity) {}

  void read(std::int64_t user) {
    items_ = lists_.items.row(user);
    relevance_ = lists_.relevance.row(user);
    size_ = std::find(items_, items_ + lists_.items.cols, -1) - items_;
    const auto& vectors = similarity_.vectors;
    if (vectors.data == nullptr) return;
    copies_.resize(static_cast<std::size_t>(size_ * vectors.cols));
    for (std::int64_t p = 0; p < size_; ++p)
      std::copy_n(vectors.row(items_[p]), vectors.cols, copies_.data() + p * vectors.cols);
  }

  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] double relevance(std::int64_t place) const { return relevance_[place]; }

  [[nodiscard]] double similarity(std::int64_t a, std::int64_t b) const {
    if (const std::int64_t width = similarity_.vectors.cols; similarity_.vectors.data != nullptr)
      return dot(copies_.data() + a * width, copies_.data() + b * width, width);
    const CsrView& sets = *similarity_.sets;
    return set_similarity(sets.row(items_[a]), sets.row(items_[b]), similarity_.jaccard);
  }

 private:
  const CandidateLists& lists_;
  const ItemSimilarity& similarity_;
  const std::int64_t* items_ = nullptr;
  const double* relevance_ = nullptr;
  std::int64_t size_ = 0;
  std::vector<float> copies_;  // side by side: every one is read once a step
};

// The places not chosen yet, ascending, and the order so far.
class Chosen {
 public:
  void start(std::int64_t size, std::int64_t* order) {
    left_.resize(static_cast<std::size_t>(size));
    for (std::size_t p = 0; p < left_.size(); ++p) left_[p] = static_cast<std::int64_t>(p);
    order_ = order;
    count_ = 0;
  }
  [[nodiscard]] const std::vector<std::int64_t>& left() const { return left_; }
  [[nodiscard]] std::int64_t count() const { return count_; }

  // The left place with the largest value, -1 where all are minus infinity.
  template <typename Value>
  [[nodiscard]] std::int64_t best(const Value& value) const {
    std::int64_t best = -1;
    double highest = kLowest;
    for (const std::int64_t place : left_)
      if (const double own = value(place); own > highest) {
        highest = own;
        best = place;
      }
    return best;
  }
  void take(std::int64_t place) {
    order_[count_++] = place;
    left_.erase(std::lower_bound(left_.begin(), left_.end(), place));
  }
  void finish(std::int64_t width) {
    std::int64_t* const rest = std::copy(left_.begin(), left_.end(), order_ + count_);
    std::fill(rest, order_ + width, -1);
  }

 private:
  std::vector<std::int64_t> left_;
  std::int64_t* order_ = nullptr;
  std::int64_t count_ = 0;
};

void choose_mmr(const Candidates& candidates, const GreedyParams& params,
                std::vector<double>& likest, Chosen& chosen) {
  likest.assign(static_cast<std::size_t>(candidates.size()), kLowest);
  const double weight = params.relevance_weight;
  while (chosen.count() < params.depth && !chosen.left().empty()) {
    const std::int64_t next = chosen.best([&](std::int64_t place) {
      const double repeat = chosen.count() == 0 ? 0.0 : likest[static_cast<std::size_t>(place)];
      return weight * candidates.relevance(place) - (1.0 - weight) * repeat;
    });
    chosen.take(next);
    for (const std::int64_t place : chosen.left()) {
      double& own = likest[static_cast<std::size_t>(place)];
      own = std::max(own, candidates.similarity(next, place));
    }
  }
}

// The incremental Cholesky decomposition of the paper: row t of `factor` has the coefficients of
// all places for the t-th chosen one, and `gains` what each place would multiply the determinant
// by.
struct Cholesky {
  std::vector<double> factor;
  std::vector<double> gains;
};

void choose_dpp(const Candidates& candidates, const GreedyParams& params, Cholesky& state,
                Chosen& chosen) {
  const std::int64_t size = candidates.size();
  state.gains.assign(static_cast<std::size_t>(size), 1.0);
  state.factor.clear();
  const double weight = params.relevance_weight;
  while (chosen.count() < params.depth && !chosen.left().empty()) {
    const std::int64_t next = chosen.best([&](std::int64_t place) {
      const double gain = state.gains[static_cast<std::size_t>(place)];
      if (weight == 1.0) return candidates.relevance(place);
      if (gain < kSingular) return kLowest;
      return weight * candidates.relevance(place) + (1.0 - weight) * std::log(gain);
    });
    if (next < 0) return;
    const auto step = static_cast<std::size_t>(chosen.count());
    chosen.take(next);
    if (weight == 1.0) continue;
    const auto width = static_cast<std::size_t>(size);
    state.factor.resize((step + 1) * width);
    const double length = std::sqrt(state.gains[static_cast<std::size_t>(next)]);
    for (const std::int64_t place : chosen.left()) {
      const auto own = static_cast<std::size_t>(place);
      double rest = candidates.similarity(next, place);
      for (std::size_t t = 0; t < step; ++t)
        rest -= state.factor[t * width + static_cast<std::size_t>(next)] *
                state.factor[t * width + own];
      rest /= length;
      state.factor[step * width + own] = rest;
      state.gains[own] -= rest * rest;
    }
  }
}

template <typename State, typename Choose>
void rerank(const CandidateLists& lists, const ItemSimilarity& similarity,
            const GreedyParams& params, MatrixView<std::int64_t> order, const Choose& choose) {
  parallel_chunks(lists.items.rows, kUsersAtOnce, params.num_threads,
                  [&](std::int64_t begin, std::int64_t end, int) {
                    Candidates candidates(lists, similarity);
                    Chosen chosen;
                    State state;
                    for (std::int64_t user = begin; user < end; ++user) {
                      candidates.read(user);
                      chosen.start(candidates.size(), order.row(user));
                      choose(candidates, params, state, chosen);
                      chosen.finish(order.cols);
                    }
                  });
}

}  // namespace

void rerank_mmr(const CandidateLists& lists, const ItemSimilarity& similarity,
                const GreedyParams& params, MatrixView<std::int64_t> order) {
  rerank<std::vector<double>>(lists, similarity, params, order, choose_mmr);
}

void rerank_dpp(const CandidateLists& lists, const ItemSimilarity& similarity,
                const GreedyParams& params, MatrixView<std::int64_t> order) {
  rerank<Cholesky>(lists, similarity, params, order, choose_dpp);
}

void cap_attributes(MatrixView<const std::int64_t> items, const CsrView& values,
                    std::int64_t n_values, std::int64_t at_most, MatrixView<std::uint8_t> kept,
                    int num_threads) {
  // A chunk for each thread or so would do; the counts are made once for each.
  const std::int64_t chunk = std::max<std::int64_t>(kUsersAtOnce, n_values / 16);
  parallel_chunks(items.rows, chunk, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
    std::vector<std::int64_t> counts(static_cast<std::size_t>(n_values), 0);
    for (std::int64_t user = begin; user < end; ++user) {
      const std::int64_t* const list = items.row(user);
      std::uint8_t* const stays = kept.row(user);
      for (std::int64_t p = 0; p < items.cols; ++p) {
        stays[p] = 0;
        if (list[p] < 0) continue;
        const auto own = values.row(list[p]);
        if (std::any_of(own.begin(), own.end(), [&](std::int32_t value) {
              return counts[static_cast<std::size_t>(value)] >= at_most;
            }))
          continue;
        stays[p] = 1;
        for (const std::int32_t value : own) ++counts[static_cast<std::size_t>(value)];
      }
      for (std::int64_t p = 0; p < items.cols; ++p)
        if (stays[p] != 0)
          for (const std::int32_t value : values.row(list[p]))
            counts[static_cast<std::size_t>(value)] = 0;
    }
  });
}

}  // namespace penchant
