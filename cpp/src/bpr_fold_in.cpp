#include "penchant/bpr_fold_in.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "members.hpp"
#include "penchant/alias_table.hpp"
#include "penchant/parallel.hpp"
#include "penchant/random.hpp"
#include "penchant/simd.hpp"
#include "stream_purposes.hpp"

namespace penchant {
namespace {

// Passes over a history. For plain SGD the first rate is this multiple of the training's (AdaGrad's
// is bold enough). Chosen on the validation part of Gowalla: 30 passes at the training's rate lose
// a little more recall, 10 at five times of it half as much again.
constexpr int kEpochs = 15;
constexpr float kSgdBoldness = 3.0F;
// Candidates are shared by this many consecutive steps, as in training: they stay in the cache.
constexpr std::int64_t kStepsOfDraw = 8;
// Floats of a row that are fetched ahead; the rest streams in behind.
constexpr std::int64_t kPrefetch = 128;
// Draws before the items are looked through for one that is not in the history.
constexpr int kAttempts = 64;

// No bolder than what lets the penalty take a row to zero in one step, unless the training was.
float bold_rate(const BprParams& params) {
  const float bold = kSgdBoldness * params.learning_rate;
  if (bold * params.user_regularization <= 1.0F) return bold;
  return std::max(params.learning_rate, 1.0F / params.user_regularization);
}

}  // namespace

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
std::int32_t BprFoldIn::draw_unseen(const Members& history, RandomStream* random) const {
  for (int attempt = 0; attempt < kAttempts; ++attempt)
    if (const std::int32_t item = draw(random); !history.holds(item)) return item;
  for (std::int32_t item = 0; item < items_.rows; ++item)
    if (!history.holds(item)) return item;
  return -1;
}

void BprFoldIn::draw_candidates(const Members& history, RandomStream* random,
                                std::vector<std::int32_t>* candidates) const {
  candidates->clear();
  if (params_.negatives == NegativeSampling::kDynamic)
    for (int c = 0; c < params_.n_candidates; ++c)
      if (const std::int32_t item = draw(random); !history.holds(item)) candidates->push_back(item);
  if (candidates->empty()) candidates->push_back(draw_unseen(history, random));
  for (const std::int32_t item : *candidates)  // they are used after the ones before them
    for (std::int64_t f = 0; f < std::min(items_.cols, kPrefetch); f += kRowMultiple)
      __builtin_prefetch(items_.row(item) + f);
}

void BprFoldIn::solve_row(std::span<const std::int32_t> items, float* row) const {
  std::fill_n(row, items_.cols, 0.0F);
  const auto n = static_cast<std::int64_t>(items.size());
  if (n == items_.rows || n == 0) return;  // nothing to prefer, or nothing to prefer to
  Members history;
  history.start(items);
  std::uint64_t key = stream_key(params_.seed, kBprFoldIn);
  for (const std::int32_t item : items) key = mix64(key ^ static_cast<std::uint64_t>(item));
  RandomStream random{key, 0};
  const std::int64_t steps_of_draw =
      params_.negatives == NegativeSampling::kDynamic ? kStepsOfDraw : 1;
  std::vector<std::int32_t> candidates;
  std::vector<std::int32_t> next;
  draw_candidates(history, &random, &next);
  const bool adagrad = params_.optimizer == BprOptimizer::kAdagrad;
  const float first_rate = adagrad ? params_.learning_rate : bold_rate(params_);
  float gathered = 0.0F;
  std::int64_t left = 0;  // steps of the candidates in use
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    const float progress = static_cast<float>(epoch) / static_cast<float>(kEpochs);
    for (std::int64_t begin = 0; begin < n;) {
      if (left == 0) {
        std::swap(candidates, next);
        draw_candidates(history, &random, &next);
        left = steps_of_draw;
      }
      const std::int64_t steps = std::min(left, n - begin);
      const BprRowStepsArgs args{
          row, items_.data, biases_.data(), items_.cols, candidates.data(),
          static_cast<std::int32_t>(candidates.size()), items.data() + begin, steps,
          // To rest, whatever training did.
          first_rate * (1.0F - progress), params_.user_regularization, adagrad, &gathered};
      kernels().bpr_row_steps(&args);
      begin += steps;
      left -= steps;
    }
  }
}

void BprFoldIn::solve(const CsrView& histories, MatrixView<float> out, int num_threads) const {
  parallel_chunks(histories.rows(), 4, num_threads, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t h = begin; h < end; ++h) solve_row(histories.row(h), out.row(h));
  });
}

}  // namespace penchant
