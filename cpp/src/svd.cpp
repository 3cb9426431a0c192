#include "penchant/svd.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <optional>
#include <vector>

#include "grid.hpp"
#include "penchant/parallel.hpp"
#include "penchant/simd.hpp"
#include "stream_purposes.hpp"
#include "svd_penalty.hpp"
#include "training.hpp"

namespace penchant {
namespace {

// Ratings between two looks at the cancel flag.
constexpr std::int64_t kRatingsPerPiece = 16384;

// Sorting the ratings into cells costs half an epoch, and an order serves for several.
constexpr std::int32_t kEpochsPerDeal = 8;

// Whether decays can gather in a scale: none of them takes a row near zero at once.
bool decays_slowly(const SgdGroup& group) {
  const float lost = group.learning_rate * group.regularization;
  return lost >= 0.0F && lost <= 0.5F;
}

// Roughly what a step costs, and what a thread should have to do in a parallel loop.
constexpr double kNanosecondsPerFactor = 0.5;
constexpr double kLeastWork = 5e5;

class SvdTrainer {
 public:
  SvdTrainer(const Ratings& ratings, const SvdFactors& factors, const SvdParams& params,
             const CancelCheck& cancelled)
      : params_(params),
        grid_(ratings.matrix, ratings.values, factors.items.rows,
              svd_grid_size(factors.users.rows, factors.items.rows, ratings.matrix.entries(),
                            factors.users.cols),
              {params.seed, kSvdDealUsers, kSvdDealItems}, params.num_threads),
        counts_(count_ratings(ratings.matrix, factors.items.rows)),
        n_ratings_(static_cast<double>(std::max<std::int64_t>(ratings.matrix.entries(), 1))),
        factors_(factors),
        users_(factors.users),
        items_(factors.items),
        item_scales_(static_cast<std::size_t>(factors.items.rows), 1.0F),
        cancel_(cancelled) {}

  // One pass over all ratings; nothing if it was cancelled on the way.
  std::optional<SvdEpoch> run_epoch(std::int32_t epoch) {
    if (epoch % kEpochsPerDeal == 1) grid_.deal(epoch);
    const std::int32_t size = grid_.size();
    std::vector<double> squares(static_cast<std::size_t>(size) * static_cast<std::size_t>(size));
    const SvdCellArgs args = cell_args(epoch);
    for (std::int32_t step = 0; step < size && !cancel_.raised(0); ++step)
      parallel_for(size, params_.num_threads, [&](std::int64_t block, int thread) {
        const auto user_block = static_cast<std::int32_t>(block);
        const std::int32_t item_block = (user_block + step) % size;
        squares[static_cast<std::size_t>(user_block * size + item_block)] =
            run_cell(args, user_block, item_block, thread);
      });
    if (args.item_scales != nullptr) apply_scales();
    users_.write_back(params_.num_threads);
    items_.write_back(params_.num_threads);
    if (cancel_.raised(0)) return std::nullopt;
    const double mean = std::accumulate(squares.begin(), squares.end(), 0.0) / n_ratings_;
    return SvdEpoch{epoch, mean + penalty() / n_ratings_, std::sqrt(mean)};
  }

 private:
  double run_cell(SvdCellArgs args, std::int32_t user_block, std::int32_t item_block, int thread) {
    const auto [first, last] = grid_.cell(user_block, item_block);
    double squares = 0.0;
    for (std::int64_t begin = first; begin < last && !cancel_.raised(thread);
         begin += kRatingsPerPiece) {
      args.event_users = grid_.event_users() + begin;
      args.event_items = grid_.event_items() + begin;
      args.event_values = grid_.event_values() + begin;
      args.n_events = std::min(kRatingsPerPiece, last - begin);
      squares += kernels().svd_cell(&args);
    }
    return squares;
  }

  void apply_scales() {
    const std::int64_t stride = items_.stride();
    for (std::size_t i = 0; i < item_scales_.size(); ++i) {
      float* row = items_.data() + static_cast<std::int64_t>(i) * stride;
      for (std::int64_t f = 0; f < stride; ++f) row[f] *= item_scales_[i];
      item_scales_[i] = 1.0F;
    }
  }

  [[nodiscard]] SvdCellArgs cell_args(std::int32_t epoch) {
    const float progress = static_cast<float>(epoch - 1) / static_cast<float>(params_.epochs);
    const float share = 1.0F - params_.learning_rate_decay * progress;
    SvdCellArgs args{};
    args.user_factors = users_.data();
    args.item_factors = items_.data();
    args.user_biases = factors_.user_biases;
    args.item_biases = factors_.item_biases;
    if (decays_slowly(params_.users) && decays_slowly(params_.items))
      args.item_scales = item_scales_.data();
    args.stride = users_.stride();
    args.mean = params_.mean;
    args.user_rate = share * params_.users.learning_rate;
    args.item_rate = share * params_.items.learning_rate;
    args.user_bias_rate = share * params_.user_biases.learning_rate;
    args.item_bias_rate = share * params_.item_biases.learning_rate;
    args.user_regularization = params_.users.regularization;
    args.item_regularization = params_.items.regularization;
    args.user_bias_regularization = params_.user_biases.regularization;
    args.item_bias_regularization = params_.item_biases.regularization;
    return args;
  }

  [[nodiscard]] double penalty() {
    const auto of = [&](const float* rows, std::int64_t stride,
                        const std::vector<std::int64_t>& counts, const SgdGroup& group) {
      return row_penalty(rows, static_cast<std::int64_t>(counts.size()), stride, counts,
                         static_cast<double>(group.regularization), params_.num_threads);
    };
    return of(users_.data(), users_.stride(), counts_.users, params_.users) +
           of(items_.data(), items_.stride(), counts_.items, params_.items) +
           of(factors_.user_biases, 1, counts_.users, params_.user_biases) +
           of(factors_.item_biases, 1, counts_.items, params_.item_biases);
  }

  SvdParams params_;
  Grid grid_;
  RatingCounts counts_;
  double n_ratings_;
  SvdFactors factors_;
  PaddedRows users_;
  PaddedRows items_;
  std::vector<float> item_scales_;  // see SvdCellArgs
  CancelFlag cancel_;
};

}  // namespace

// An item block should fill about half a second-level cache of 1 MiB; a cell should be long enough
// to be worth handing to a thread.
std::int32_t svd_grid_size(std::int64_t n_users, std::int64_t n_items, std::int64_t n_ratings,
                           std::int64_t factors) {
  constexpr std::int64_t kBlockBytes = std::int64_t{512} << 10;
  constexpr std::int64_t kMinRatings = 1024;
  const std::int64_t row_bytes = padded_columns(factors) * 4;
  const std::int64_t for_cache = std::max<std::int64_t>(n_items * row_bytes / kBlockBytes, 8);
  const auto for_work = static_cast<std::int64_t>(
      std::sqrt(static_cast<double>(n_ratings) / static_cast<double>(kMinRatings)));
  const std::int64_t most = std::min({std::int64_t{128}, n_items / 8, n_users / 8, for_work});
  const std::int64_t size = std::clamp<std::int64_t>(for_cache, 1, std::max<std::int64_t>(most, 1));
  return static_cast<std::int32_t>(std::bit_floor(static_cast<std::uint64_t>(size)));
}

std::int32_t fit_svd(const Ratings& ratings, const SvdFactors& factors, const SvdParams& params,
                     const SvdEpochCallback& on_epoch, const CancelCheck& cancelled) {
  if (factors.users.rows == 0 || factors.items.rows == 0) return 0;
  SvdParams fixed = params;  // asked once: the environment may change while we train
  const std::int64_t ratings_of_step =
      ratings.matrix.entries() / svd_grid_size(factors.users.rows, factors.items.rows,
                                               ratings.matrix.entries(), factors.users.cols);
  fixed.num_threads =
      threads_for(kNanosecondsPerFactor * static_cast<double>(ratings_of_step * factors.users.cols),
                  kLeastWork, resolve_num_threads(params.num_threads));
  SvdTrainer trainer(ratings, factors, fixed, cancelled);
  return run_epochs(trainer, params.epochs, on_epoch);
}

}  // namespace penchant
