#include "penchant/bpr_fold_in.hpp"

#include <algorithm>
#include <cmath>

#include "penchant/alias_table.hpp"
#include "penchant/parallel.hpp"
#include "penchant/random.hpp"
#include "penchant/simd.hpp"

namespace penchant {
namespace {

// Passes over a history. Half as many lose 3 % of recall on Gowalla.
constexpr int kEpochs = 30;
// Candidates are shared by this many consecutive steps, as in training: they stay in the cache.
constexpr int kEventsPerDraw = 8;
// Draws before the items are looked through for one that is not in the history.
constexpr int kAttempts = 64;

enum Stream : std::uint64_t { kFoldIn = 8 };  // 1 to 3 are those of the training

bool holds(std::span<const std::int32_t> history, std::int32_t item) {
  return std::binary_search(history.begin(), history.end(), item);
}

}  // namespace

// Candidates for a negative, the positive item last, and their scores.
struct BprFoldIn::Steps {
  std::vector<std::int32_t> rows;
  std::vector<float> scores;
};

BprFoldIn::BprFoldIn(MatrixView<const float> items, const float* biases,
                     std::span<const std::int64_t> counts, const BprParams& params)
    : items_(items), biases_(static_cast<std::size_t>(items.rows), 0.0F), params_(params) {
  if (biases != nullptr) biases_.assign(biases, biases + items.rows);
  if (params.negatives != NegativeSampling::kPopular || items.rows == 0) return;
  std::vector<double> weights;
  weights.reserve(counts.size());
  for (const std::int64_t count : counts)
    weights.push_back(std::pow(static_cast<double>(std::max<std::int64_t>(count, 1)),
                               static_cast<double>(params.popularity_exponent)));
  threshold_.resize(weights.size());
  alias_.resize(weights.size());
  build_alias_table(weights, threshold_, alias_);
}

std::int32_t BprFoldIn::draw(RandomStream* random) const {
  const std::uint64_t bits = next_u64(random);
  const std::uint32_t slot =
      below(static_cast<std::uint32_t>(bits >> 32), static_cast<std::uint32_t>(items_.rows));
  if (threshold_.empty() || static_cast<std::uint32_t>(bits) < threshold_[slot])
    return static_cast<std::int32_t>(slot);
  return alias_[slot];
}

// -1 where the history holds everything.
std::int32_t BprFoldIn::draw_unseen(std::span<const std::int32_t> history,
                                    RandomStream* random) const {
  for (int attempt = 0; attempt < kAttempts; ++attempt)
    if (const std::int32_t item = draw(random); !holds(history, item)) return item;
  for (std::int32_t item = 0; item < items_.rows; ++item)
    if (!holds(history, item)) return item;
  return -1;
}

void BprFoldIn::draw_candidates(std::span<const std::int32_t> history, RandomStream* random,
                                Steps* steps) const {
  std::vector<std::int32_t>& rows = steps->rows;
  rows.clear();
  if (params_.negatives == NegativeSampling::kDynamic)
    for (int c = 0; c < params_.n_candidates; ++c)
      if (const std::int32_t item = draw(random); !holds(history, item)) rows.push_back(item);
  if (rows.empty()) rows.push_back(draw_unseen(history, random));
  rows.push_back(-1);  // the positive item's place
  steps->scores.resize(rows.size());
}

void BprFoldIn::solve_row(std::span<const std::int32_t> history, Steps* steps, float* row) const {
  const std::int64_t factors = items_.cols;
  std::fill_n(row, factors, 0.0F);
  if (static_cast<std::int64_t>(history.size()) == items_.rows) return;  // nothing to prefer to
  std::uint64_t key = stream_key(params_.seed, kFoldIn);
  for (const std::int32_t item : history) key = mix64(key ^ static_cast<std::uint64_t>(item));
  RandomStream random{key, 0};
  const int events_per_draw = params_.negatives == NegativeSampling::kDynamic ? kEventsPerDraw : 1;
  float gathered = 0.0F;  // squared gradients, for AdaGrad
  int uses = 0;
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    const float progress = static_cast<float>(epoch) / static_cast<float>(kEpochs);
    const float rate = params_.learning_rate * (1.0F - progress);  // to rest, whatever training did
    for (const std::int32_t positive : history) {
      if (uses++ % events_per_draw == 0) draw_candidates(history, &random, steps);
      std::vector<std::int32_t>& rows = steps->rows;
      std::vector<float>& scores = steps->scores;
      rows.back() = positive;
      const RowDotsArgs args{
          row,          items_.data, factors, rows.data(), static_cast<std::int64_t>(rows.size()),
          scores.data()};
      kernels().row_dots(&args);
      for (std::size_t i = 0; i < rows.size(); ++i)
        scores[i] += biases_[static_cast<std::size_t>(rows[i])];
      const auto best = std::max_element(scores.begin(), scores.end() - 1);
      const std::int32_t negative = rows[static_cast<std::size_t>(best - scores.begin())];
      const float margin = std::clamp(scores.back() - *best, -80.0F, 80.0F);
      const float gradient = 1.0F / (1.0F + std::exp(margin));
      float own = rate;
      if (params_.optimizer == BprOptimizer::kAdagrad) {
        own /= std::sqrt(1.0F + gathered);
        gathered += gradient * gradient;
      }
      const float decay = 1.0F - own * params_.user_regularization;
      const float step = own * gradient;
      const float* p = items_.row(positive);
      const float* q = items_.row(negative);
      for (std::int64_t f = 0; f < factors; ++f) row[f] = decay * row[f] + step * (p[f] - q[f]);
    }
  }
}

void BprFoldIn::solve(const CsrView& histories, MatrixView<float> out, int num_threads) const {
  const int threads = resolve_num_threads(num_threads);
  std::vector<Steps> steps(static_cast<std::size_t>(threads));
  parallel_chunks(
      histories.rows(), 4, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
        for (std::int64_t h = begin; h < end; ++h)
          solve_row(histories.row(h), &steps[static_cast<std::size_t>(thread)], out.row(h));
      });
}

}  // namespace penchant
